// SPDX-License-Identifier: MIT
/*
 * Many users of one device: who may open it, and that nobody sees, uses or
 * infers what is another one's.
 */
#include "fix_async.h"
#include "fix_map.h"

#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
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
