/* SPDX-License-Identifier: MIT */
/*
 * So much of the kernel's headers that the module's own files compile, as they
 * are, into a program for unit tests. Every <linux/...> that they include is
 * made by tests/rules.mk and includes this file.
 *
 * Only what pure functions use works. The rest has the right type and is never
 * called: a function that is not declared here is not defined anywhere either,
 * and a test that reached it would crash.
 */
#ifndef NVFS_TEST_SHIM_H
#define NVFS_TEST_SHIM_H

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <linux/types.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;
typedef u64 phys_addr_t;
typedef u64 resource_size_t;
typedef unsigned short umode_t;

/* ------------------------------------------------------------- compiler */

#define __init
#define __exit
#define __user
#define __rcu
#define __maybe_unused		__attribute__((unused))
#define likely(x)		(x)
#define unlikely(x)		(x)
#define READ_ONCE(x)		(x)
#define WRITE_ONCE(x, v)	((x) = (v))
#define smp_rmb()		((void)0)
#define smp_load_acquire(p)	(*(p))
#define smp_store_release(p, v)	((void)(*(p) = (v)))
#define ARRAY_SIZE(a)		(sizeof(a) / sizeof((a)[0]))
#define BUILD_BUG_ON(x)		_Static_assert(!(x), #x)
#define IS_ENABLED(option)	1
#define container_of(p, type, member) \
	((type *)((char *)(p) - offsetof(type, member)))
#define offsetofend(type, member) \
	(offsetof(type, member) + sizeof(((type *)0)->member))

/* ----------------------------------------------------------- arithmetic */

#define BITS_PER_LONG		64
#define PAGE_SHIFT		12
#define PAGE_SIZE		(1UL << PAGE_SHIFT)
#define U64_MAX			UINT64_MAX
#define U32_MAX			UINT32_MAX
#define BIT(n)			(1UL << (n))
#define FIELD_MAX(mask)		((mask) >> __builtin_ctzll(mask))
#define clamp(v, lo, hi)	min(max(v, lo), hi)
#define BIT_ULL(n)		(1ULL << (n))
#define SZ_2M			0x200000
#define GENMASK_ULL(h, l)	(~0ULL >> (63 - (h)) & ~0ULL << (l))
#define FIELD_PREP(mask, v)	((u64)(v) << __builtin_ctzll(mask) & (mask))
#define FIELD_GET(mask, v)	(((v) & (mask)) >> __builtin_ctzll(mask))
#define IS_ALIGNED(x, a)	(((x) & ((typeof(x))(a) - 1)) == 0)
#define ALIGN_DOWN(x, a)	((x) & ~((typeof(x))(a) - 1))
#define ALIGN(x, a)		ALIGN_DOWN((x) + (a) - 1, a)
#define round_down(x, a)	ALIGN_DOWN(x, a)
#define min(a, b)		((a) < (b) ? (a) : (b))
#define max(a, b)		((a) > (b) ? (a) : (b))
#define min_t(type, a, b)	min((type)(a), (type)(b))
#define div_u64(a, b)		((u64)(a) / (b))
#define check_add_overflow(a, b, d) __builtin_add_overflow(a, b, d)

/* ------------------------------------------------- errors in pointers */

#define MAX_ERRNO		4095
#define IS_ERR(p)		((unsigned long)(p) >= -(unsigned long)MAX_ERRNO)
#define ERR_PTR(e)		((void *)(long)(e))
#define PTR_ERR(p)		((long)(p))
#define ERR_CAST(p)		((void *)(p))

/* --------------------------------------------------------------- module */

#define THIS_MODULE		((void *)0)
#define __MUTEX_INITIALIZER(m)	{ 0 }
#define DEFINE_MUTEX(m)		struct mutex m
#define MODULE_PARM_DESC(name, text)
#define module_param(name, type, mode)
#define module_param_named(name, var, type, mode)
#define pr_info(...)		((void)0)
#define pr_warn(...)		((void)0)
#define pr_warn_once(...)	((void)0)
#define pr_debug(...)		((void)0)
#define pr_info_ratelimited(...) ((void)0)
#define symbol_get(x)		(shim_looks++, &(x))
#define symbol_put(x)		((void)0)
#define lockdep_assert_held(m)	((void)0)
#define MODULE_NAME_LEN		56
#define HZ			250
#define time_before(a, b)	((long)((a) - (b)) < 0)
#define strscpy(to, from, size)	((void)snprintf(to, size, "%s", from))
enum { MODULE_STATE_LIVE, MODULE_STATE_COMING, MODULE_STATE_GOING };
enum { NOTIFY_OK = 1 };
struct module {
	char name[MODULE_NAME_LEN];
	unsigned long start, size;
};
#define within_module(addr, mod) ((addr) - (mod)->start < (mod)->size)
extern unsigned long jiffies;
extern unsigned int shim_looks;

/* -------------------------------------------------------------- structs */

typedef unsigned int gfp_t;
struct mutex { int held; };
struct list_head { struct list_head *next, *prev; };
struct hlist_head { struct hlist_node *first; };
struct hlist_node { struct hlist_node *next, **pprev; };
struct kref { int refs; };
struct xarray { void *entries; };
struct rcu_head { void *next; };
struct completion { int done; };
typedef struct { int head; } wait_queue_head_t;
struct percpu_ref { int count; };
typedef struct { int counter; } atomic_t;
typedef struct { int refs; } refcount_t;

static inline void atomic_inc(atomic_t *v)
{
	v->counter++;
}

typedef struct { long long counter; } atomic64_t;
typedef long loff_t;
struct fileattr { unsigned int fsx_xflags; };
#define FS_XFLAG_REALTIME	1
#define GFP_KERNEL_ACCOUNT	1
#define __GFP_RETRY_MAYFAIL	0
#define __GFP_NOWARN	0
#define SEEK_DATA	3
#define SEEK_HOLE	4
#define current			((void *)0)
struct notifier_block { int (*notifier_call)(struct notifier_block *nb,
					     unsigned long action, void *p); };
struct range { u64 start, end; };
struct dev_pagemap { int type; struct range range; int nr_range; void *owner; };
struct device { struct device *parent; };
struct pci_bus { unsigned char number; };
struct pci_dev {
	struct pci_bus *bus;
	unsigned int devfn;
	unsigned short vendor, device;
	unsigned int class;
	struct device dev;
	int refs;
};
struct iommu_domain { unsigned int type; };
struct page { int unused; };
struct bio_vec {
	struct page *bv_page;
	unsigned int bv_len;
	unsigned int bv_offset;
};
struct gendisk { u64 diskseq; struct mutex open_mutex; struct device dev; };
#define disk_to_dev(disk)	(&(disk)->dev)
#define disk_live(disk)		true
struct block_device { struct gendisk *bd_disk; };
struct seq_file {
	char text[8192];
	size_t used;
	char *buf;
	size_t size, count;
};
struct super_block {
	struct block_device *s_bdev;
	unsigned long s_magic;
	const struct super_operations *s_op;
	struct dentry *s_root;
};
struct super_operations {
	int (*show_options)(struct seq_file *m, struct dentry *root);
};
struct inode {
	umode_t i_mode;
	struct super_block *i_sb;
	struct address_space *i_mapping;
};
struct address_space { struct inode *host; };
struct path { void *dentry; };
struct file {
	struct address_space *f_mapping;
	unsigned int f_mode, f_flags;
	struct path f_path;
	void *private_data;
};
enum { VM_EXEC, VM_MAYEXEC, VM_MAYSHARE, VM_PFNMAP, VM_IO, VM_DONTEXPAND,
	VM_DONTDUMP, VM_WIPEONFORK };
struct vm_operations_struct { int unused; };
struct vm_area_struct {
	unsigned long vm_start, vm_end, vm_pgoff, vm_flags, vm_page_prot;
	const struct vm_operations_struct *vm_ops;
	void *vm_private_data;
};
struct fs_context { int unused; };
struct vfsmount { struct super_block *mnt_sb; };
struct file_system_type {
	const char *name;
	int (*init_fs_context)(struct fs_context *fc);
	void (*kill_sb)(struct super_block *sb);
};
void kill_anon_super(struct super_block *sb);
struct kstat { u32 result_mask, dio_offset_align; };

#define hlist_entry_safe(p, type, member) \
	((p) ? container_of(p, type, member) : NULL)
#define hlist_for_each_entry(pos, head, member) \
	for (pos = hlist_entry_safe((head)->first, typeof(*pos), member); pos; \
	     pos = hlist_entry_safe(pos->member.next, typeof(*pos), member))
#define hlist_for_each_entry_safe(pos, n, head, member) \
	for (pos = NULL, (void)(n); pos;)
#define xa_for_each(xa, index, entry) \
	for (entry = NULL, (void)(index); entry;)
#define for_each_pci_dev(d)	while (d)
#define to_pci_dev(d)		container_of(d, struct pci_dev, dev)

/* ------------------------------------------- memory and PCI by numbers */

#define PHYS_PFN(x)		((u64)(x) >> PAGE_SHIFT)
#define offset_in_page(x)	((u64)(x) & (PAGE_SIZE - 1))
/* A page's address tells its number, so that tests can check it. */
#define pfn_to_page(pfn)	((struct page *)((u64)(pfn) << PAGE_SHIFT))
#define __va(x)			((void *)(uintptr_t)(x))
#define rmb()			((void)0)
#define PCI_VENDOR_ID_INTEL	0x8086
#define PCI_BASE_CLASS_STORAGE	0x01
#define PCI_BASE_CLASS_DISPLAY	0x03
#define PCI_CLASS_MEMORY_RAM	0x0500
#define PCI_CLASS_STORAGE_EXPRESS 0x010802
#define PCI_DEVFN(slot, fn)	(((slot) & 0x1f) << 3 | ((fn) & 7))
#define PCI_DEVID(bus, devfn)	((u16)(bus) << 8 | (devfn))

/* Constants of code that is not reached: any value does. */
enum shim_constants {
	PCI_EXT_CAP_ID_ACS, PCI_ACS_CTRL, PCI_ACS_RR, PCI_ACS_CR, PCI_ACS_EC,
	PCI_EXP_TYPE_ROOT_PORT, PCI_STD_NUM_BARS, IORESOURCE_MEM,
	PAGES_PER_SUBSECTION, CC_ATTR_MEM_ENCRYPT, MEMORY_DEVICE_GENERIC,
	__IOMMU_DOMAIN_PAGING, BUS_NOTIFY_ADD_DEVICE, BUS_NOTIFY_DEL_DEVICE,
	BUS_NOTIFY_BOUND_DRIVER, BUS_NOTIFY_UNBIND_DRIVER,
	BUS_NOTIFY_UNBOUND_DRIVER, NOTIFY_DONE, GFP_KERNEL,
	FMODE_CAN_ODIRECT, AT_STATX_DONT_SYNC, XA_FLAGS_ALLOC1, XA_FLAGS_ACCOUNT,
	XA_MARK_1, xa_limit_31b, PERCPU_REF_INIT_ATOMIC, shim_pci_bus_type,
};
extern int pci_bus_type;

/* What the module's headers and its files need declared. */
struct inode *file_inode(const struct file *file);
void percpu_ref_put(struct percpu_ref *ref);
bool percpu_ref_tryget_live(struct percpu_ref *ref);

/* ------------------------------------------------ memory, locks, lists */

#define kzalloc(size, flags)	calloc(1, size)
#define kfree(p)		free(p)
#define mutex_lock(m)		((void)(m)->held++)
#define mutex_unlock(m)		((void)(m)->held--)
#define LIST_HEAD(name)		struct list_head name = { &(name), &(name) }
#define list_for_each_entry(pos, head, member) \
	for (pos = container_of((head)->next, typeof(*pos), member); \
	     &pos->member != (head); \
	     pos = container_of(pos->member.next, typeof(*pos), member))

static inline void list_add_tail(struct list_head *entry,
				 struct list_head *head)
{
	entry->prev = head->prev;
	entry->next = head;
	head->prev->next = entry;
	head->prev = entry;
}

#define list_for_each_entry_safe(pos, n, head, member) \
	for (pos = container_of((head)->next, typeof(*pos), member), \
	     n = container_of(pos->member.next, typeof(*pos), member); \
	     &pos->member != (head); \
	     pos = n, n = container_of(n->member.next, typeof(*n), member))

static inline void hlist_add_head(struct hlist_node *node,
				  struct hlist_head *head)
{
	node->next = head->first;
	node->pprev = &head->first;
	if (head->first)
		head->first->pprev = &node->next;
	head->first = node;
}

static inline void hlist_del(struct hlist_node *node)
{
	*node->pprev = node->next;
	if (node->next)
		node->next->pprev = node->pprev;
}

static inline void list_del(struct list_head *entry)
{
	entry->prev->next = entry->next;
	entry->next->prev = entry->prev;
}

/* A test may look whether all of them are free again. */
struct rw_semaphore { int readers, writers; };
#define DECLARE_RWSEM(name)	struct rw_semaphore name
#define down_read(s)		((void)(s)->readers++)
#define up_read(s)		((void)(s)->readers--)
#define down_write(s)		((void)(s)->writers++)
#define up_write(s)		((void)(s)->writers--)
#define downgrade_write(s)	((void)(s)->writers--, (void)(s)->readers++)
#define lockdep_assert_held_write(s) ((void)0)
#define device_lock(d)		((void)(d))
#define device_unlock(d)	((void)(d))
#define device_is_registered(d)	((d) != NULL)

static inline struct pci_dev *pci_dev_get(struct pci_dev *pdev)
{
	pdev->refs++;
	return pdev;
}

static inline void pci_dev_put(struct pci_dev *pdev)
{
	pdev->refs--;
}

/* ------------------------------------------------------ static branches */

#define DECLARE_STATIC_KEY_FALSE(name) extern bool name
#define DEFINE_STATIC_KEY_FALSE(name) bool name
#define static_branch_unlikely(key) (*(key))
#define static_key_enabled(key)	(*(key))
#define static_branch_enable(key) ((void)(*(key) = true))
#define static_branch_disable(key) ((void)(*(key) = false))
#define static_branch_inc(key)	static_branch_enable(key)
#define static_branch_dec(key)	static_branch_disable(key)

/* A test sets it; nothing else moves it. */
extern u64 shim_cycles;
#define get_cycles()		shim_cycles
#define nvfs_compat_cycles_khz() 2000000U
#define __fls(x)		((unsigned long)(63 - __builtin_clzll(x)))

struct kernel_param { void *arg; };
struct kernel_param_ops {
	int (*set)(const char *text, const struct kernel_param *param);
	int (*get)(char *text, const struct kernel_param *param);
};
#define module_param_cb(name, ops, arg, mode) \
	static const void *const shim_param_##name __maybe_unused = (ops)

/* ------------------------------------------------------------- processes */

typedef struct { unsigned int val; } kuid_t;
struct pid { int refs; };
/* The process that runs, and as whom; a test sets them. */
extern struct pid *shim_pid;
extern kuid_t shim_euid;
#define task_tgid(task)		shim_pid
#define current_euid()		shim_euid
#define uid_eq(a, b)		((a).val == (b).val)
#define get_pid(p)		((p)->refs++, (p))
#define put_pid(p)		((void)((p) && (p)->refs--))

/* ----------------------------------------------------------- tracepoints */

#define TP_PROTO(...)		__VA_ARGS__
#define TRACE_EVENT(name, proto, ...) static inline void trace_##name(proto) { }
#define TRACE_EVENT_FN(name, proto, ...) \
	static inline void trace_##name(proto) { }
#define DECLARE_EVENT_CLASS(...)
#define DEFINE_EVENT(class, name, proto, ...) \
	static inline void trace_##name(proto) { }

/* ------------------------------------------------------------- counters */

#define SHIM_CPUS		4
/* The variable's own name is the copy of CPU 0, on which everything runs. */
#define DECLARE_PER_CPU(type, name) extern type name, name##_others[SHIM_CPUS]
#define DEFINE_PER_CPU(type, name) type name, name##_others[SHIM_CPUS]
#define per_cpu(name, cpu)	(*((cpu) ? &name##_others[cpu] : &name))
#define this_cpu_add(var, n)	((var) += (n))
#define this_cpu_inc(var)	this_cpu_add(var, 1)
#define __percpu
#define alloc_percpu(type)	((type *)calloc(SHIM_CPUS, sizeof(type)))
#define alloc_percpu_gfp(type, gfp)	alloc_percpu(type)
#define cond_resched()		((void)0)
#define free_percpu(p)		free(p)
#define per_cpu_ptr(p, cpu)	(&(p)[cpu])
#define for_each_possible_cpu(c) for ((c) = 0; (c) < SHIM_CPUS; (c)++)

static inline void seq_printf(struct seq_file *m, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	m->used += (size_t)vsnprintf(m->text + m->used,
				     sizeof(m->text) - m->used, format, args);
	va_end(args);
}

static inline int scnprintf(char *to, size_t size, const char *format, ...)
{
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(to, size, format, args);
	va_end(args);
	return n < (int)size ? n : (int)size - 1;
}

#endif /* NVFS_TEST_SHIM_H */
