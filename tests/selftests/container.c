// SPDX-License-Identifier: MIT
/*
 * A container that is given the device nodes and a directory, and nothing else:
 * a root of its own, namespaces of its own, no capability, and the system calls
 * that Docker leaves to its containers.
 */
#include "fix_async.h"

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>

#define SEED	131
#define SIZE	(1 * MIB)

/* Somebody, and the group that may open the device: the udev rule's. */
#define BOX_USER	100000
#define BOX_GROUP	77001

/* Where the container's root is put together. */
#define ROOT	"/run/nvfs-test/box"

/* ------------------------------------------------------------ system calls */

/*
 * What Docker's default profile keeps from a container without capabilities.
 * clone3() is not there for it (ENOSYS), so that clone()'s flags can be seen.
 */
static const int denied[] = {
	__NR_acct, __NR_add_key, __NR_adjtimex, __NR_bpf, __NR_chroot,
	__NR_clock_settime, __NR_create_module, __NR_delete_module,
	__NR_fanotify_init, __NR_finit_module, __NR_fsconfig, __NR_fsmount,
	__NR_fsopen, __NR_fspick, __NR_get_kernel_syms, __NR_get_mempolicy,
	__NR_init_module, __NR_io_uring_enter, __NR_io_uring_register,
	__NR_io_uring_setup, __NR_ioperm, __NR_iopl, __NR_kcmp,
	__NR_kexec_file_load, __NR_kexec_load, __NR_keyctl,
	__NR_lookup_dcookie, __NR_mbind, __NR_mount, __NR_mount_setattr,
	__NR_move_mount, __NR_move_pages, __NR_name_to_handle_at,
	__NR_nfsservctl, __NR_open_by_handle_at, __NR_open_tree,
	__NR_perf_event_open, __NR_pivot_root, __NR_process_vm_readv,
	__NR_process_vm_writev, __NR_ptrace, __NR_query_module, __NR_quotactl,
	__NR_reboot, __NR_request_key, __NR_set_mempolicy, __NR_setdomainname,
	__NR_sethostname, __NR_setns, __NR_settimeofday, __NR_swapoff,
	__NR_swapon, __NR__sysctl, __NR_sysfs, __NR_syslog, __NR_umount2,
	__NR_unshare, __NR_uselib, __NR_userfaultfd, __NR_ustat,
	__NR_vhangup,
};

#define DENIED		(sizeof(denied) / sizeof(denied[0]))
#define NAMESPACES	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS |	\
			 CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |	\
			 CLONE_NEWNET)

static struct sock_filter statement(uint16_t code, uint32_t k)
{
	return (struct sock_filter)BPF_STMT(code, k);
}

static struct sock_filter jump(uint16_t code, uint32_t k, uint8_t yes,
			       uint8_t no)
{
	return (struct sock_filter)BPF_JUMP(code, k, yes, no);
}

static void filter_system_calls(void)
{
	struct sock_filter code[2 * DENIED + 16];
	struct sock_fprog program = { .filter = code };
	unsigned short n = 0;
	size_t i;

#define LOAD_FIELD(field)						\
	statement(BPF_LD | BPF_W | BPF_ABS,				\
		  (uint32_t)offsetof(struct seccomp_data, field))
#define RETURN(what)	statement(BPF_RET | BPF_K, what)
#define EQUAL(value, yes, no)	jump(BPF_JMP | BPF_JEQ | BPF_K, value, yes, no)
	code[n++] = LOAD_FIELD(arch);
	code[n++] = EQUAL(AUDIT_ARCH_X86_64, 1, 0);
	code[n++] = RETURN(SECCOMP_RET_KILL_PROCESS);
	code[n++] = LOAD_FIELD(nr);
	for (i = 0; i < DENIED; i++) {
		code[n++] = EQUAL((uint32_t)denied[i], 0, 1);
		code[n++] = RETURN(SECCOMP_RET_ERRNO | EPERM);
	}
	code[n++] = EQUAL(__NR_clone3, 0, 1);
	code[n++] = RETURN(SECCOMP_RET_ERRNO | ENOSYS);
	code[n++] = EQUAL(__NR_clone, 0, 3);
	code[n++] = LOAD_FIELD(args[0]);
	code[n++] = jump(BPF_JMP | BPF_JSET | BPF_K, NAMESPACES, 0, 1);
	code[n++] = RETURN(SECCOMP_RET_ERRNO | EPERM);
	code[n++] = RETURN(SECCOMP_RET_ALLOW);
#undef LOAD_FIELD
#undef RETURN
#undef EQUAL
	ASSERT_LE(n, sizeof(code) / sizeof(code[0]));
	program.len = n;
	ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	ASSERT_EQ(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct head = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct none[2] = { { 0 } };
	int cap;

	for (cap = 0; !prctl(PR_CAPBSET_READ, cap); cap++)
		continue;
	for (cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++)
		ASSERT_EQ(prctl(PR_CAPBSET_DROP, cap), 0);
	ASSERT_EQ(syscall(SYS_capset, &head, none), 0);
}

/* ----------------------------------------------------------- the container */

/*
 * @user: who runs it; with a user namespace if that is not root
 * @body: what runs in it, as its process 1
 * @told: what is done outside when @body calls box_tell()
 */
struct box {
	uid_t user;
	void (*body)(struct box *box);
	void (*told)(struct box *box);
	pid_t pid;
	char data[64];
	int up[2];
	int down[2];
};

static void make_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	ASSERT_GE(fd, 0);
	close(fd);
}

static void bind_file(const char *from, const char *to)
{
	make_file(to);
	ASSERT_EQ(mount(from, to, NULL, MS_BIND, NULL), 0);
}

/* A root that has /dev/nvidia-fs, the GPUs' nodes, /data and /proc. */
static void change_root(const struct box *box)
{
	int i, gpus = gpu_count();

	ASSERT_EQ(mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL), 0);
	ASSERT_EQ(mount("box", ROOT, "tmpfs", MS_NOSUID, "mode=755"), 0);
	ASSERT_EQ(mkdir(ROOT "/dev", 0755), 0);
	ASSERT_EQ(mkdir(ROOT "/data", 0755), 0);
	ASSERT_EQ(mkdir(ROOT "/proc", 0755), 0);
	bind_file("/dev/nvidia-fs", ROOT "/dev/nvidia-fs");
	for (i = 0; i < gpus; i++) {
		char from[40], to[80];

		snprintf(from, sizeof(from), "/dev/labgpu%d", i);
		snprintf(to, sizeof(to), ROOT "%s", from);
		bind_file(from, to);
	}
	ASSERT_EQ(mount(box->data, ROOT "/data", NULL, MS_BIND, NULL), 0);
	ASSERT_EQ(mount("proc", ROOT "/proc", "proc", 0, NULL), 0);
	ASSERT_EQ(chdir(ROOT), 0);
	ASSERT_EQ(syscall(SYS_pivot_root, ".", "."), 0);
	ASSERT_EQ(umount2(".", MNT_DETACH), 0);
	ASSERT_EQ(chdir("/"), 0);
	ASSERT_ERRNO(access("/sys/module", F_OK), ENOENT);
}

static void put_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		FAIL("%s: %s", path, strerror(errno));
	close(fd);
}

/* Somebody without a right becomes root of a user namespace of his own. */
static void become_user(const struct box *box)
{
	gid_t group = BOX_GROUP;
	char map[40];

	ASSERT_EQ(setgroups(1, &group), 0);
	ASSERT_EQ(setresgid(box->user, box->user, box->user), 0);
	ASSERT_EQ(setresuid(box->user, box->user, box->user), 0);
	ASSERT_EQ(prctl(PR_SET_DUMPABLE, 1), 0);
	ASSERT_EQ(unshare(CLONE_NEWUSER), 0);
	put_text("/proc/self/setgroups", "deny");
	snprintf(map, sizeof(map), "0 %u 1", (unsigned int)box->user);
	put_text("/proc/self/uid_map", map);
	put_text("/proc/self/gid_map", map);
}

static void box_init(struct box *box)
{
	/* the driver library is not in the box: open it before */
	change_root(box);
	drop_capabilities();
	filter_system_calls();
	box->body(box);
	_exit(0);
}

/* All that this kernel has; a box has at least a root and processes of its own. */
static int namespaces_here(void)
{
	static const struct { int flag; const char *file; } all[] = {
		{ CLONE_NEWNS, "mnt" }, { CLONE_NEWPID, "pid" },
		{ CLONE_NEWCGROUP, "cgroup" }, { CLONE_NEWUTS, "uts" },
		{ CLONE_NEWIPC, "ipc" }, { CLONE_NEWNET, "net" },
	};
	int flags = 0;
	size_t i;

	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		char path[32];

		snprintf(path, sizeof(path), "/proc/self/ns/%s", all[i].file);
		if (!access(path, F_OK))
			flags |= all[i].flag;
		else if (i > 1)
			harness_note("no namespaces of %s here", all[i].file);
		else
			SKIP("this kernel has no namespaces of %s", all[i].file);
	}
	return flags;
}

static void box_start(struct box *box)
{
	int status;
	pid_t pid;

	if (box->user)
		become_user(box);
	ASSERT_EQ(unshare(namespaces_here()), 0);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid)
		box_init(box);
	close(box->up[1]);
	close(box->down[0]);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	_exit(status ? 1 : 0);
}

/* In the container: have box->told() run outside. */
static void box_tell(struct box *box)
{
	char byte = 0;

	ASSERT_EQ(write(box->up[1], &byte, 1), 1);
	ASSERT_EQ(read(box->down[0], &byte, 1), 1);
}

static void make_data(struct box *box)
{
	char path[80];
	int fd;

	snprintf(box->data, sizeof(box->data), "%s/box%d", fix_place("ext4"),
		 (int)getpid());
	ASSERT_EQ(mkdir(box->data, 0700), 0);
	snprintf(path, sizeof(path), "%s/file", box->data);
	fd = file_make_at(path, 0, SIZE, SEED, O_RDWR);
	ASSERT_EQ(fchown(fd, box->user, box->user), 0);
	close(fd);
	ASSERT_EQ(chown(box->data, box->user, box->user), 0);
}

/* The nodes as the rules make them: of a group, and, the GPUs', of everybody. */
static void nodes_as_installed(bool installed)
{
	char out[200];

	ASSERT_EQ(chown("/dev/nvidia-fs", 0, installed ? BOX_GROUP : 0), 0);
	ASSERT_EQ(chmod("/dev/nvidia-fs", installed ? 0660 : 0600), 0);
	ASSERT_EQ(shell(out, sizeof(out), "chmod %s /dev/labgpu* 2>&1",
			installed ? "666" : "600"), 0);
}

static void box_run(struct box *box)
{
	char byte, out[200];
	int status;
	pid_t pid;

	make_data(box);
	top_dir();
	ASSERT_EQ(shell(out, sizeof(out), "mkdir -p " ROOT), 0);
	nodes_as_installed(true);
	ASSERT_EQ(pipe2(box->up, O_CLOEXEC), 0);
	ASSERT_EQ(pipe2(box->down, O_CLOEXEC), 0);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid)
		box_start(box);
	close(box->up[1]);
	close(box->down[0]);
	while (read(box->up[0], &byte, 1) == 1) {
		box->told(box);
		ASSERT_EQ(write(box->down[1], &byte, 1), 1);
	}
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	nodes_as_installed(false);
	ASSERT_EQ(status, 0);
	ASSERT_EQ(shell(out, sizeof(out), "rm -r %s 2>&1", box->data), 0);
}

/* ------------------------------------------------------------- what it does */

struct work {
	struct xfer x;
	struct gpu_buf buf;
	struct nvfs_register reg;
};

static void work_begin(struct work *w)
{
	memset(w, 0, sizeof(*w));
	w->x.dev = nv_open();
	w->x.length = SIZE;
	gpu_alloc(&w->buf, 0, SIZE, true);
	ASSERT_EQ(nv_register(w->x.dev, w->buf.va, SIZE, &w->reg), 0);
	w->x.region = w->reg.region;
	w->x.file = open("/data/file", O_RDWR | O_CLOEXEC);
	ASSERT_GE(w->x.file, 0);
}

static void work_end(struct work *w)
{
	ASSERT_EQ(nv_unregister(w->x.dev, w->x.region), 0);
	gpu_free(&w->buf);
	close(w->x.file);
	close(w->x.dev);
}

static void read_and_write(struct work *w)
{
	struct nvfs_query query;
	struct nvfs_rw rw;

	ASSERT_EQ(nv_query(w->x.dev, w->x.region, w->x.file, &query), 0);
	ASSERT_EQ(query.route, NVFS_ROUTE_DIRECT);
	ASSERT_EQ(nv_read(&w->x, &rw), 0);
	ASSERT_EQ(rw.done, SIZE);
	ASSERT_EQ(rw.route, NVFS_ROUTE_DIRECT);
	gpu_check_pattern(&w->buf, 0, SIZE, SEED, 0);
	gpu_put_pattern(&w->buf, 0, SIZE, SEED + 1, 0);
	ASSERT_EQ(nv_write(&w->x, &rw), 0);
	ASSERT_EQ(rw.done, SIZE);
	ASSERT_EQ(rw.route, NVFS_ROUTE_DIRECT);
	file_check(w->x.file, 0, 0, SIZE, SEED + 1);
}

/* 16 requests of 64 KiB; one has to bounce, which a worker does. */
static void read_in_a_batch(struct work *w)
{
	struct nvfs_request requests[16];
	struct nvfs_batch_submit submit;
	struct nvfs_event events[16];
	uint32_t batch = batch_make(w->x.dev, 16);
	struct xfer x = w->x;
	int i;

	gpu_fill(&w->buf, 0);
	for (i = 0; i < 16; i++) {
		x.length = 64 * KIB;
		x.file_offset = x.region_offset = (uint64_t)i * 64 * KIB;
		requests[i] = nv_request(&x, NVFS_OP_READ, NVFS_RW_BOUNCE,
					 (uint64_t)i);
	}
	requests[15].length -= 1000;
	ASSERT_EQ(batch_submit(w->x.dev, batch, requests, 16, &submit), 0);
	batch_reap_all(w->x.dev, batch, events, 16, 30);
	for (i = 0; i < 16; i++)
		ASSERT_EQ(events[i].done,
			  requests[events[i].user_data].length);
	ASSERT_EQ(batch_destroy(w->x.dev, batch), 0);
	gpu_check_pattern(&w->buf, 0, SIZE - 1000, SEED + 1, 0);
}

static void map_and_touch(struct work *w)
{
	uint8_t *at, *bytes = xmalloc(SIZE);

	at = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, w->x.dev,
		  (off_t)w->reg.mmap_offset);
	ASSERT_TRUE(at != MAP_FAILED);
	gpu_put_pattern(&w->buf, 0, SIZE, SEED + 2, 0);
	pattern_fill(bytes, SIZE, SEED + 2, 0);
	ASSERT_MEMEQ(at, bytes, SIZE);
	pattern_fill(at, SIZE, SEED + 3, 0);
	gpu_check_pattern(&w->buf, 0, SIZE, SEED + 3, 0);
	ASSERT_EQ(munmap(at, SIZE), 0);
	free(bytes);
}

/* What does not work says why, as it does outside. */
static void find_honest_errors(struct work *w)
{
	struct xfer x = w->x;
	struct nvfs_rw rw;

	x.region = 4711;
	ASSERT_ERRNO(nv_read(&x, &rw), ENOENT);
	ASSERT_ERRNO(nv_unregister(x.dev, 4711), ENOENT);
	x.region = w->x.region;
	x.region_offset = BLOCK;
	ASSERT_ERRNO(nv_read(&x, &rw), ERANGE);
	x.region_offset = 0;
	x.length = 100;
	ASSERT_ERRNO(nv_read(&x, &rw), EREMOTEIO);
	ASSERT_EQ(rw.reason, NVFS_REASON_ALIGN);
	x.length = SIZE;
	x.file = open("/data/file", O_RDONLY | O_CLOEXEC);
	ASSERT_ERRNO(nv_write(&x, &rw), EBADF);
	close(x.file);
	ASSERT_ERRNO(nv_read(&x, &rw), EBADF);
	x.file = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	ASSERT_GE(x.file, 0);
	ASSERT_ERRNO(nv_read(&x, &rw), EINVAL);
	close(x.file);
	ASSERT_ERRNO(ioctl(x.dev, _IO(NVFS_IOC_TYPE, 0x7f), &rw), ENOTTY);
}

static void find_freed_memory(struct work *w)
{
	struct gpu_buf buf;
	struct nvfs_rw rw;
	struct xfer x = w->x;

	gpu_alloc(&buf, 0, SIZE, false);
	x.region = nv_region(x.dev, &buf);
	gpu_free(&buf);
	ASSERT_ERRNO(nv_read(&x, &rw), ESTALE);
	ASSERT_EQ(nv_unregister(x.dev, x.region), 0);
}

/* A line of /proc/self/status. */
static void expect_status(const char *line)
{
	char text[4096];
	ssize_t n;
	int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	ASSERT_GE(fd, 0);
	n = read(fd, text, sizeof(text) - 1);
	ASSERT_GT(n, 0);
	text[n] = '\0';
	close(fd);
	ASSERT_CONTAINS(text, line);
}

/* The walls are there: what follows does not work because they are not. */
static void expect_walls(void)
{
	struct perf_event_attr attr = { .size = sizeof(attr) };

	ASSERT_EQ(getpid(), 1);
	expect_status("\nSeccomp:\t2\n");
	expect_status("\nNoNewPrivs:\t1\n");
	expect_status("\nCapEff:\t0000000000000000\n");
	expect_status("\nCapBnd:\t0000000000000000\n");
	ASSERT_ERRNO(syscall(__NR_bpf, 0, NULL, 0), EPERM);
	ASSERT_ERRNO(syscall(__NR_perf_event_open, &attr, 0, -1, -1, 0), EPERM);
	ASSERT_ERRNO(syscall(__NR_io_uring_setup, 1, NULL), EPERM);
	ASSERT_ERRNO(syscall(__NR_clone, CLONE_NEWUSER, 0, 0, 0, 0), EPERM);
	ASSERT_ERRNO(mount("x", "/data", "tmpfs", 0, NULL), EPERM);
	ASSERT_ERRNO(access("/dev/null", F_OK), ENOENT);
}

static void do_all(struct box *box)
{
	struct work w;

	(void)box;
	expect_walls();
	work_begin(&w);
	read_and_write(&w);
	read_in_a_batch(&w);
	map_and_touch(&w);
	find_honest_errors(&w);
	find_freed_memory(&w);
	work_end(&w);
	/* what a container does not give back ends with it */
	work_begin(&w);
}

/* As Docker does by default: root, but without root's rights. */
TEST(container_of_root_moves_data_with_the_device_node_only)
{
	struct box box = { .user = 0, .body = do_all };

	box_run(&box);
}

/* As rootless podman does: a user namespace on top. */
TEST(container_of_a_user_moves_data_with_the_device_node_only)
{
	struct box box = { .user = BOX_USER, .body = do_all };

	box_run(&box);
}

static void find_closed_node(struct box *box)
{
	(void)box;
	expect_walls();
	ASSERT_ERRNO(open("/dev/nvidia-fs", O_RDWR | O_CLOEXEC), EACCES);
}

static void close_node(struct box *box)
{
	(void)box;
	ASSERT_EQ(chmod("/dev/nvidia-fs", 0600), 0);
}

static void find_node_closed_from_outside(struct box *box)
{
	close(nv_open());
	box_tell(box);
	find_closed_node(box);
}

/* Root of a namespace is nobody special to the node's mode. */
TEST(root_of_a_user_namespace_needs_the_nodes_group)
{
	struct box box = {
		.user = BOX_USER,
		.body = find_node_closed_from_outside,
		.told = close_node,
	};

	box_run(&box);
}

/* -------------------------------------------------------- who sees whom */

/* The lines of /proc/nvfs/regions, as this process sees them. */
static int regions_seen(char *text, size_t size)
{
	int fd = open("/proc/nvfs/regions", O_RDONLY | O_CLOEXEC);
	ssize_t n;
	int lines = 0;
	char *p;

	ASSERT_GE(fd, 0);
	n = read(fd, text, size - 1);
	ASSERT_GE(n, 0);
	text[n] = '\0';
	close(fd);
	for (p = text; (p = strstr(p, "region ")); p++)
		lines++;
	return lines;
}

/* Outside has a region, too. Root sees both, the container's by its own pid. */
static void see_both(struct box *box)
{
	char text[2000], want[40], out[40];
	int dev = nv_open();
	struct gpu_buf buf;
	uint32_t id;

	(void)box;
	gpu_alloc(&buf, 0, SIZE, false);
	id = nv_region(dev, &buf);
	ASSERT_EQ(regions_seen(text, sizeof(text)), 2);
	snprintf(want, sizeof(want), "region %d:%u ", (int)getpid(), id);
	ASSERT_CONTAINS(text, want);
	/* the process that is 1 of a namespace further down */
	ASSERT_EQ(shell(out, sizeof(out),
			"awk '/^NSpid:/ && NF == 3 && $3 == 1 { print $2 }'"
			" /proc/[0-9]*/status"), 0);
	snprintf(want, sizeof(want), "region %d:1 ", atoi(out));
	ASSERT_CONTAINS(text, want);
	ASSERT_TRUE(strstr(text, "region 1:1 ") == NULL);
}

static void see_own(struct box *box)
{
	char text[2000];
	struct work w;

	work_begin(&w);
	box_tell(box);
	ASSERT_EQ(regions_seen(text, sizeof(text)), 1);
	ASSERT_CONTAINS(text, "region 1:1 ");
	work_end(&w);
	ASSERT_EQ(regions_seen(text, sizeof(text)), 0);
}

TEST(container_of_root_sees_its_own_regions_by_its_own_pids)
{
	struct box box = { .user = 0, .body = see_own, .told = see_both };

	box_run(&box);
}

TEST(container_of_a_user_sees_its_own_regions_by_its_own_pids)
{
	struct box box = {
		.user = BOX_USER, .body = see_own, .told = see_both,
	};

	box_run(&box);
}
