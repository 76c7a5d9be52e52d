// SPDX-License-Identifier: MIT
/*
 * Many users of one device: who may open it, and that nobody sees, uses or
 * infers what is another one's.
 */
#include "fix_async.h"
#include "fix_map.h"

#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEED	137

/* --------------------------------------------------------- the udev rule */

#define RULES	"/run/udev/rules.d"

/* Runs the machine's own udev over the device, with the rule of this tree. */
static void apply_rule(void)
{
	char out[1000];

	if (access("/lib/systemd/systemd-udevd", X_OK))
		SKIP("no systemd-udevd on this machine");
	if (shell(out, sizeof(out),
		  "mkdir -p " RULES " && cp %s/packaging/udev/70-nvfs.rules "
		  RULES " && /lib/systemd/systemd-udevd --daemon 2>&1 && "
		  "udevadm trigger --action=add --settle "
		  "/sys/class/nvidia-fs-class/nvidia-fs 2>&1; rc=$?; "
		  "udevadm info -q all -n /dev/nvidia-fs; "
		  "udevadm control --exit 2>&1; rm -r " RULES "; exit $rc",
		  top_dir()))
		FAIL("%s", out);
	/* what systemd-logind acts on */
	ASSERT_CONTAINS(out, ":uaccess:");
}

TEST(udev_rule_gives_the_device_to_the_group_render)
{
	struct group *group = getgrnam("render");
	struct stat st;

	if (!group)
		SKIP("no group \"render\" on this machine");
	ASSERT_EQ(stat("/dev/nvidia-fs", &st), 0);
	ASSERT_EQ(st.st_mode, S_IFCHR | 0600);
	apply_rule();
	ASSERT_EQ(stat("/dev/nvidia-fs", &st), 0);
	ASSERT_EQ(st.st_mode, S_IFCHR | 0660);
	ASSERT_EQ(st.st_uid, 0);
	ASSERT_EQ(st.st_gid, group->gr_gid);
	ASSERT_EQ(chown("/dev/nvidia-fs", 0, 0), 0);
	ASSERT_EQ(chmod("/dev/nvidia-fs", 0600), 0);
}

/* ------------------------------------------- what is another one's is nothing */

/*
 * The errno values of all calls that name a region: of one that another open
 * file has, and of one that nobody has.
 */
#define CALLS	6

static void errors_of(int dev, int file, uint32_t region, int error[CALLS])
{
	struct xfer x = {
		.dev = dev, .region = region, .file = file, .length = BLOCK,
	};
	uint32_t batch = batch_make(dev, 4);
	struct nvfs_batch_submit submit;
	struct nvfs_request request;
	struct nvfs_query query;
	struct nvfs_rw rw;
	int i = 0;

#define ERROR_OF(call) do {						\
	errno = 0;							\
	ASSERT_EQ(call, -1);						\
	error[i++] = errno;						\
} while (0)
	ERROR_OF(nv_read(&x, &rw));
	ERROR_OF(nv_write(&x, &rw));
	ERROR_OF(nv_rw_as(&x, false, NVFS_RW_BOUNCE, &rw));
	ERROR_OF(nv_query(dev, region, file, &query));
	request = nv_request(&x, NVFS_OP_READ, 0, 1);
	ERROR_OF(batch_submit(dev, batch, &request, 1, &submit));
	ERROR_OF(nv_unregister(dev, region));
#undef ERROR_OF
	ASSERT_EQ(batch_destroy(dev, batch), 0);
}

TEST(region_of_another_open_file_is_as_unknown_as_none)
{
	int others[CALLS], nobodys[CALLS], i;
	int dev, file = file_make(EXT4, SIZE, SEED, O_RDWR);
	struct view v;

	view_stage(&v, SIZE, false);
	dev = nv_open();
	errors_of(dev, file, v.reg.region, others);
	errors_of(dev, file, v.reg.region + 100, nobodys);
	for (i = 0; i < CALLS; i++) {
		ASSERT_EQ(others[i], ENOENT);
		ASSERT_EQ(nobodys[i], ENOENT);
	}
	/* and it has come to no harm */
	gpu_check_byte(&v.buf, 0, SIZE, OLD);
	ASSERT_EQ(nv_nr_regions(v.dev), 1);
	ASSERT_EQ(nv_nr_regions(dev), 0);
	file_check(file, 0, 0, SIZE, SEED);
	close(dev);
	view_finish(&v);
}

TEST(mapping_of_another_open_files_region_is_as_unknown_as_none)
{
	struct view v, none;

	view_stage(&v, SIZE, false);
	none = v;
	none.dev = nv_open();
	ASSERT_TRUE(try_map(&none, 0, SIZE, RW) == MAP_FAILED);
	ASSERT_EQ(errno, ENXIO);
	none.reg.mmap_offset += 77ULL << 40;
	ASSERT_TRUE(try_map(&none, 0, SIZE, RW) == MAP_FAILED);
	ASSERT_EQ(errno, ENXIO);
	close(none.dev);
	view_finish(&v);
}

/* A child's GPU memory: its address is good in the child only. */
static void hold_memory(int told[2], int end[2])
{
	struct gpu_buf buf;

	gpu_alloc(&buf, 0, SIZE, false);
	nv_region(nv_open(), &buf);
	ASSERT_EQ(write(told[1], &buf.va, sizeof(buf.va)), sizeof(buf.va));
	hear(end[0]);
	_exit(0);
}

TEST(memory_of_another_process_is_as_unknown_as_none)
{
	struct nvfs_register reg;
	int told[2], end[2];
	uint64_t va = 0;
	pid_t pid;
	int dev;

	ASSERT_EQ(pipe(told), 0);
	ASSERT_EQ(pipe(end), 0);
	pid = fork();
	if (!pid)
		hold_memory(told, end);
	ASSERT_EQ(read(told[0], &va, sizeof(va)), sizeof(va));
	dev = nv_open();
	ASSERT_ERRNO(nv_register(dev, va, SIZE, &reg), EFAULT);
	ASSERT_ERRNO(nv_register(dev, va + (1ULL << 36), SIZE, &reg), EFAULT);
	ASSERT_EQ(nv_nr_regions(dev), 0);
	close(dev);
	tell(end[1]);
	expect_child(pid);
}

/* Ids begin anew for each open file: they tell nothing of the others. */
TEST(ids_do_not_tell_what_others_have)
{
	struct view v[5];
	int i;

	for (i = 0; i < 5; i++) {
		view_stage(&v[i], SIZE, false);
		ASSERT_EQ(v[i].reg.region, 1);
		ASSERT_EQ(v[i].reg.mmap_offset >> 40,
			  v[0].reg.mmap_offset >> 40);
	}
	for (i = 0; i < 5; i++)
		view_finish(&v[i]);
}

/* -------------------------------------------------------------- the limit */

#define LIMIT	"/sys/module/nvfs/parameters/pin_limit_mib"
#define NOBODY	65534

static void set_limit(const char *mib)
{
	char out[200];

	if (shell(out, sizeof(out), "echo %s 2>&1 >" LIMIT, mib))
		FAIL("%s", out);
}

/* A key of the line of this user in /proc/nvfs/users; -1 without a line. */
static long long of_user(uid_t uid, const char *key)
{
	char out[200];

	ASSERT_EQ(shell(out, sizeof(out),
			"sed -n 's/^user %u .*\\<%s=\\([0-9]*\\).*/\\1/p' "
			"/proc/nvfs/users", (unsigned int)uid, key), 0);
	return out[0] ? atoll(out) : -1;
}

/*
 * Nobody, who has no capability, in a process of its own; the GPU's nodes are
 * everybody's and so is the device.
 */
static void as_nobody(void (*body)(void))
{
	char out[200];
	pid_t pid;

	ASSERT_EQ(shell(out, sizeof(out),
			"chmod 666 /dev/nvidia-fs /dev/labgpu* 2>&1"), 0);
	pid = fork();
	if (!pid) {
		ASSERT_EQ(setgroups(0, NULL), 0);
		ASSERT_EQ(setgid(NOBODY), 0);
		ASSERT_EQ(setuid(NOBODY), 0);
		body();
		_exit(0);
	}
	expect_child(pid);
	ASSERT_EQ(shell(out, sizeof(out),
			"chmod 600 /dev/nvidia-fs /dev/labgpu* 2>&1"), 0);
}

static void pin_up_to_the_limit(void)
{
	struct nvfs_register reg;
	struct view a, b;
	struct gpu_buf more;
	int dev;

	view_stage(&a, MIB, false);
	view_stage(&b, MIB, true);
	gpu_alloc(&more, 0, 64 * KIB, false);
	dev = nv_open();
	ASSERT_EQ(of_user(NOBODY, "pinned"), 2 * MIB);
	ASSERT_EQ(of_user(NOBODY, "limit"), 2 * MIB);
	ASSERT_EQ(of_user(NOBODY, "opens"), 3);
	/* it is the user's limit, not the open file's */
	ASSERT_ERRNO(nv_register(dev, more.va, more.size, &reg), EDQUOT);
	ASSERT_ERRNO(nv_register(a.dev, more.va, BLOCK, &reg), EDQUOT);
	ASSERT_ERRNO(nv_register(dev, more.va, 1ULL << 62, &reg), EDQUOT);
	ASSERT_EQ(nv_nr_regions(dev), 0);
	ASSERT_EQ(of_user(NOBODY, "pinned"), 2 * MIB);
	view_finish(&b);
	ASSERT_EQ(nv_register(dev, more.va, more.size, &reg), 0);
	ASSERT_EQ(of_user(NOBODY, "pinned"), MIB + 64 * KIB);
	/* memory that its owner has freed is not pinned */
	gpu_free(&more);
	ASSERT_EQ(of_user(NOBODY, "pinned"), MIB);
	ASSERT_EQ(nv_unregister(dev, reg.region), 0);
	ASSERT_EQ(of_user(NOBODY, "pinned"), MIB);
	view_finish(&a);
	ASSERT_EQ(of_user(NOBODY, "pinned"), 0);
	ASSERT_EQ(of_user(NOBODY, "opens"), 1);
	close(dev);
	ASSERT_EQ(of_user(NOBODY, "pinned"), -1);
}

TEST(pin_limit_is_the_users)
{
	set_limit("2");
	as_nobody(pin_up_to_the_limit);
	set_limit("0");
}

static void fail_to_pin(void)
{
	struct nvfs_register reg;
	struct gpu_buf buf;
	int i, dev = nv_open();

	gpu_alloc(&buf, 0, MIB, false);
	for (i = 0; i < 10; i++) {
		ASSERT_ERRNO(nv_register(dev, buf.va + (1ULL << 36), MIB, &reg),
			     EFAULT);
		ASSERT_EQ(of_user(NOBODY, "pinned"), 0);
	}
	ASSERT_EQ(nv_register(dev, buf.va, MIB, &reg), 0);
}

TEST(failed_register_is_not_charged)
{
	set_limit("1");
	as_nobody(fail_to_pin);
	set_limit("0");
}

static void *register_nonsense(void *stop)
{
	struct nvfs_register reg;
	int dev = nv_open();

	/* as much as a sum of all that is pinned can hold, nearly */
	while (!__atomic_load_n((bool *)stop, __ATOMIC_RELAXED))
		ASSERT_ERRNO(nv_register(dev, 0, (1ULL << 63) - 64 * KIB, &reg),
			     EFAULT);
	return NULL;
}

static void pin_beside_nonsense(void)
{
	struct nvfs_register reg;
	struct gpu_buf buf;
	bool stop = false;
	pthread_t thread;
	int i, dev = nv_open();

	gpu_alloc(&buf, 0, MIB, false);
	ASSERT_EQ(pthread_create(&thread, NULL, register_nonsense, &stop), 0);
	for (i = 0; i < 2000; i++) {
		ASSERT_EQ(nv_register(dev, buf.va, MIB, &reg), 0);
		ASSERT_EQ(nv_unregister(dev, reg.region), 0);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	ASSERT_EQ(pthread_join(thread, NULL), 0);
}

/* What a provider refuses is not counted meanwhile, if no bus has so much. */
TEST(nonsense_of_one_process_spoils_no_other_of_the_user)
{
	as_nobody(pin_beside_nonsense);
}

static void pin_much(void)
{
	struct view v;

	view_stage(&v, 16 * MIB, false);
	ASSERT_EQ(of_user(NOBODY, "pinned"), 16 * MIB);
	ASSERT_EQ(of_user(NOBODY, "limit"), 0);
	view_finish(&v);
}

/* More than the usual RLIMIT_MEMLOCK, which is for host memory. */
TEST(pins_are_counted_but_not_limited_by_default)
{
	as_nobody(pin_much);
}

/* CAP_SYS_RESOURCE: who manages the machine is counted, too. */
TEST(pin_limit_does_not_hold_for_who_may_exceed_quotas)
{
	long long before = of_user(0, "pinned");
	struct view v;

	set_limit("1");
	view_stage(&v, 4 * MIB, false);
	ASSERT_EQ(of_user(0, "pinned") - (before < 0 ? 0 : before), 4 * MIB);
	view_finish(&v);
	set_limit("0");
}

static void see_own_only(void)
{
	char out[200];

	close(nv_open());
	ASSERT_EQ(shell(out, sizeof(out), "cat /proc/nvfs/users"), 0);
	ASSERT_EQ(strcmp(out, ""), 0);
	nv_open();
	ASSERT_EQ(shell(out, sizeof(out), "cat /proc/nvfs/users"), 0);
	ASSERT_EQ(strcmp(out, "user 65534 pinned=0 limit=0 opens=1\n"), 0);
}

TEST(users_see_what_they_have_pinned_themselves)
{
	struct view v;

	view_stage(&v, MIB, false);
	ASSERT_GE(of_user(0, "pinned"), MIB);
	as_nobody(see_own_only);
	view_finish(&v);
}

/* cat, cp and others send a file where it is to go without looking at it. */
TEST(stats_can_be_sent)
{
	int fd = open("/proc/nvfs/stats", O_RDONLY | O_CLOEXEC);
	int to = memfd_create("sent", MFD_CLOEXEC);

	ASSERT_GE(fd, 0);
	ASSERT_GT(sendfile(to, fd, NULL, 1 << 16), 0);
}
