/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The emulated GPU's driver: what its files share.
 *
 *	main	module, PCI driver		file	/dev/labgpuN
 *	space	address spaces, allocations	mem	64 KiB pages of a GPU
 *	pin	pinned page tables, revoke	p2p	nvidia_p2p_*
 *	dmabuf	a range as a dma-buf		handle	memory without an address
 *	debugfs	what the host and the tests look at
 *
 * Locking: labgpu_lock protects everything.  It is taken inside mmap_lock, so
 * nothing that faults is done under it.  It is never held while a free callback
 * of a pin runs: all of nvidia_p2p_* may be called meanwhile, also by the
 * callback, and a put of the pin whose callback runs waits for its end.
 */
#ifndef _LABGPU_PRIV_H
#define _LABGPU_PRIV_H

#include <linux/completion.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/seq_file.h>

#include "labgpu.h"
#include "nv-p2p.h"

struct mm_struct;

/**
 * struct labgpu - one GPU
 * @ref: one for the PCI driver, one per open file, one per memory object
 * @gone: unplugged
 * @index: number of the device node
 * @bdf: PCI function in one word
 * @base: physical address of the memory's first byte
 * @npages: pages of memory
 * @nfree: pages not taken
 * @taken: one bit per page
 * @wc: the memory is marked as write-combining
 * @misc: the device node
 * @name: name of the device node
 * @uuid: see struct labgpu_info
 * @inode: whose page cache all open files share, so that one call finds every
 *	CPU mapping; held while @nopen is not 0
 * @nopen: open files
 */
struct labgpu {
	struct kref ref;
	bool gone;
	bool wc;
	u32 index;
	u32 bdf;
	phys_addr_t base;
	u32 npages;
	u32 nfree;
	unsigned long *taken;
	struct miscdevice misc;
	char name[16];
	u8 uuid[16];
	struct inode *inode;
	unsigned int nopen;
};

/**
 * struct labgpu_mem - pages of a GPU that were taken together
 * @ref: allocations, the handle, CPU mappings and pins; the last one gives them
 *	back
 * @gpu: whose
 * @npages: how many
 * @pages: number of each page on the GPU
 */
struct labgpu_mem {
	struct kref ref;
	struct labgpu *gpu;
	u32 npages;
	u32 pages[];
};

/**
 * struct labgpu_proc - a process with open GPUs: one range of addresses
 * @node: in labgpu_procs
 * @mm: names the process; held, so that it names no other later
 * @users: open files
 * @allocs: allocations by rising address
 */
struct labgpu_proc {
	struct list_head node;
	struct mm_struct *mm;
	unsigned int users;
	struct list_head allocs;
};

/**
 * struct labgpu_space - an open file
 * @gpu: the GPU
 * @proc: the process that opened it
 * @owner: file table of that process; only compared, never followed
 * @dead: the owner has closed it
 * @handles: memory that was taken without an address
 * @last_handle: the number of the newest
 */
struct labgpu_space {
	struct labgpu *gpu;
	struct labgpu_proc *proc;
	const void *owner;
	bool dead;
	struct list_head handles;
	u32 last_handle;
};

struct labgpu_record;

/**
 * struct labgpu_allocation - a range of GPU addresses
 * @node: in the process's allocs
 * @space: the open file it belongs to
 * @mem: its memory
 * @rec: its line in the history
 * @va: first address
 * @size: bytes, whole pages
 * @dying: being freed; the addresses are taken until all pins are gone
 */
struct labgpu_allocation {
	struct list_head node;
	struct labgpu_space *space;
	struct labgpu_mem *mem;
	struct labgpu_record *rec;
	u64 va;
	u64 size;
	bool dying;
};

enum labgpu_pin_state {
	LABGPU_PIN_LIVE,
	LABGPU_PIN_REVOKING,
	LABGPU_PIN_DEAD
};

/**
 * struct labgpu_pin - a page table that was handed out
 * @node: in the list of pins until it is dead
 * @ref: one while not dead, one per waiter
 * @state: LIVE becomes DEAD by a put, or REVOKING and then DEAD by a free
 * @table: what the caller sees; its address names the pin
 * @entries: what @table.pages points to
 * @uuid: what @table.gpu_uuid points to
 * @free_callback: NULL: persistent
 * @data: argument of @free_callback
 * @revoker: task that runs the callback
 * @done: the callback has returned and the pin is dead
 * @va: first address
 * @maps: DMA mappings
 * @nmems: number of @mems
 * @mems: the memory objects under it, each held
 */
struct labgpu_pin {
	struct list_head node;
	struct kref ref;
	enum labgpu_pin_state state;
	struct nvidia_p2p_page_table table;
	struct nvidia_p2p_page *entries;
	u8 uuid[16];
	void (*free_callback)(void *data);
	void *data;
	struct task_struct *revoker;
	struct completion done;
	u64 va;
	struct list_head maps;
	u32 nmems;
	struct labgpu_mem **mems;
};

extern struct mutex labgpu_lock;
extern const struct file_operations labgpu_fops;

/* labgpu_main.c */
void labgpu_put(struct labgpu *gpu);

/* labgpu_mem.c; labgpu_lock is held, but for labgpu_mem_new() */
struct labgpu_mem *labgpu_mem_new(u32 npages);
int labgpu_mem_take(struct labgpu *gpu, struct labgpu_mem *mem, bool scatter);
void labgpu_mem_put(struct labgpu_mem *mem);
u32 labgpu_mem_run(const struct labgpu_mem *mem, u32 first);
u32 labgpu_mem_extents(const struct labgpu_mem *mem);
phys_addr_t labgpu_mem_phys(const struct labgpu_mem *mem, u32 page);

/* labgpu_space.c */
struct labgpu_space *labgpu_space_open(struct labgpu *gpu);
void labgpu_space_end(struct labgpu_space *space);
void labgpu_space_close(struct labgpu_space *space);
int labgpu_space_check(const struct labgpu_space *space);
int labgpu_space_alloc(struct labgpu_space *space, struct labgpu_alloc *arg);
int labgpu_space_map(struct labgpu_space *space, struct labgpu_mem *mem, u64 va);
int labgpu_space_free(struct labgpu_space *space, u64 va);
struct labgpu_allocation *labgpu_space_find(struct labgpu_proc *proc, u64 va);
struct labgpu_proc *labgpu_proc_find(const struct mm_struct *mm);

/* labgpu_handle.c; labgpu_lock is held */
int labgpu_handle_create(struct labgpu_space *space, struct labgpu_create *arg);
int labgpu_handle_map(struct labgpu_space *space, const struct labgpu_map *arg);
int labgpu_handle_release(struct labgpu_space *space, u32 id);
void labgpu_handle_end(struct labgpu_space *space);

/* labgpu_pin.c; labgpu_lock is held */
struct labgpu_pin *labgpu_pin_new(u32 entries, u32 nmems);
void labgpu_pin_free(struct labgpu_pin *pin);
void labgpu_pin_add(struct labgpu_pin *pin);
struct labgpu_pin *labgpu_pin_find(const struct nvidia_p2p_page_table *table);
void labgpu_pin_kill(struct labgpu_pin *pin);
void labgpu_pin_wait(struct labgpu_pin *pin);
void labgpu_revoke_mem(const struct labgpu_mem *mem);
void labgpu_revoke_gpu(const struct labgpu *gpu);
unsigned int labgpu_pin_count(void);

/* labgpu_p2p.c; labgpu_lock is held */
void labgpu_unmap_all(struct labgpu_pin *pin);

/* labgpu_dmabuf.c; labgpu_lock is not held */
int labgpu_dmabuf_new(struct labgpu_space *space,
		      const struct labgpu_dmabuf *arg);

/* labgpu_debugfs.c; labgpu_lock is held for the records */
void labgpu_debugfs_init(void);
void labgpu_debugfs_exit(void);
struct labgpu_record *labgpu_record_new(u32 max_extents);
void labgpu_record_add(struct labgpu_record *rec,
		       const struct labgpu_allocation *alloc);
void labgpu_record_dying(struct labgpu_record *rec);
void labgpu_record_freed(struct labgpu_record *rec);
void labgpu_record_drop(struct labgpu_record *rec);

#endif /* _LABGPU_PRIV_H */
