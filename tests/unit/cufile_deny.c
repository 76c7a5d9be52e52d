// SPDX-License-Identifier: MIT
/*
 * Files that the denylist of cufile.json keeps from going direct, over mounts
 * and a sysfs that the tests make up, and over the machine's own mounts.
 */
#include "cufile_mock.h"

#include <ftw.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cufile/deny.h"

#define DISK	"/devices/pci0/0000:00:04.0/nvme/nvme0/nvme0n1"
#define HEAD	"/devices/virtual/nvme-subsystem/nvme-subsys0"

static char sysfs[64];
static struct cf_deny deny;
static struct cf_mount mount;
static int mount_error;
static bool real_mounts;
static char why[CF_DENY_SIZE + 64];
static int file = -1;
static dev_t dev;
static bool is_device;

/* So are files on the device of the test's choice. */
int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);

int __wrap_fstat(int fd, struct stat *st)
{
	int ret = __real_fstat(fd, st);

	if (ret || fd != file)
		return ret;
	st->st_dev = dev;
	if (is_device) {
		st->st_mode = S_IFBLK | 0600;
		st->st_rdev = dev;
	}
	return 0;
}

int __real_cf_mount_of(int fd, struct cf_mount *mount);
int __wrap_cf_mount_of(int fd, struct cf_mount *mount);

int __wrap_cf_mount_of(int fd, struct cf_mount *found)
{
	if (real_mounts)
		return __real_cf_mount_of(fd, found);
	*found = mount;
	return mount_error;
}

/* --------------------------------------------------------------- the sysfs */

static void put(const char *path, const char *text)
{
	char name[300];
	FILE *out;

	snprintf(name, sizeof(name), "%s%s", sysfs, path);
	for (char *at = name + strlen(sysfs) + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		assert_true(!mkdir(name, 0700) || errno == EEXIST);
		*at = '/';
	}
	if (!text)
		return;
	out = fopen(name, "we");
	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static void put_link(const char *path, const char *target)
{
	char name[300];

	put(path, NULL);
	snprintf(name, sizeof(name), "%s%s", sysfs, path);
	assert_int_equal(symlink(target, name), 0);
}

/* @path is the block device with that number. */
static void put_device(const char *path, dev_t number)
{
	char name[300], target[300], text[32];

	snprintf(name, sizeof(name), "%s/dev", path);
	snprintf(text, sizeof(text), "%u:%u\n", major(number), minor(number));
	put(name, text);
	snprintf(name, sizeof(name), "/dev/block/%u:%u", major(number),
		 minor(number));
	snprintf(target, sizeof(target), "../..%s", path);
	put_link(name, target);
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int deny_setup(void **state)
{
	strcpy(sysfs, "/tmp/nvfs-deny.XXXXXX");
	assert_non_null(mkdtemp(sysfs));
	cf_sysfs = sysfs;
	memset(&deny, 0, sizeof(deny));
	memset(&mount, 0, sizeof(mount));
	mount_error = 0;
	real_mounts = false;
	strcpy(mount.target, "/mnt/a");
	strcpy(mount.source, "none");
	strcpy(mount.fstype, "ext4");
	file = open(sysfs, O_RDWR | O_TMPFILE, 0600);
	assert_true(file >= 0);
	dev = makedev(259, 70050);
	is_device = false;
	return mock_setup(state);
}

static int deny_teardown(void **state)
{
	close(file);
	nftw(sysfs, remove_one, 8, FTW_DEPTH | FTW_PHYS);
	cf_sysfs = "/sys";
	return mock_teardown(state);
}

static void add(enum cf_deny_kind kind, const char *entry)
{
	strcpy(deny.entry[kind][deny.nr[kind]++], entry);
}

static bool is_denied(void)
{
	why[0] = '\0';
	return cf_denied(&deny, file, why, sizeof(why));
}

/* With this one entry alone. */
static bool denies(enum cf_deny_kind kind, const char *entry)
{
	bool denied;

	memset(&deny, 0, sizeof(deny));
	add(kind, entry);
	denied = is_denied();
	memset(&deny, 0, sizeof(deny));
	return denied;
}

static void assert_denied_by(enum cf_deny_kind kind, const char *entry)
{
	char text[CF_DENY_SIZE + 64];

	assert_true(denies(kind, entry));
	snprintf(text, sizeof(text), "denylist.%s has \"%s\"",
		 cf_deny_names[kind], entry);
	assert_string_equal(why, text);
}

/* ---------------------------------------------------------------- the lists */

static void empty_lists_ask_nothing(void **state)
{
	(void)state;
	mount_error = -EIO;
	assert_false(is_denied());
	assert_string_equal(why, "");
}

static void a_mount_is_denied_by_where_it_is(void **state)
{
	(void)state;
	assert_denied_by(CF_DENY_MOUNTS, "/mnt/a");
	assert_denied_by(CF_DENY_MOUNTS, "//mnt///a//");
	assert_false(denies(CF_DENY_MOUNTS, "/mnt"));
	assert_false(denies(CF_DENY_MOUNTS, "/mnt/a/b"));
	assert_false(denies(CF_DENY_MOUNTS, "/mnt/aa"));
	assert_false(denies(CF_DENY_MOUNTS, "/mnta"));
	assert_false(denies(CF_DENY_MOUNTS, "/"));
	strcpy(mount.target, "/");
	assert_denied_by(CF_DENY_MOUNTS, "/");
	add(CF_DENY_MOUNTS, "/x");
	add(CF_DENY_MOUNTS, "/");
	assert_true(is_denied());
	assert_string_equal(why, "denylist.mounts has \"/\"");
}

static void a_file_system_is_denied_by_its_type(void **state)
{
	(void)state;
	assert_denied_by(CF_DENY_FILESYSTEMS, "ext4");
	assert_false(denies(CF_DENY_FILESYSTEMS, "ext"));
	assert_false(denies(CF_DENY_FILESYSTEMS, "/mnt/a"));
}

static void a_disk_is_denied_by_its_name(void **state)
{
	(void)state;
	put_device(DISK, dev);
	assert_denied_by(CF_DENY_DEVICES, "nvme0n1");
	assert_denied_by(CF_DENY_DEVICES, "/dev/nvme0n1");
	assert_false(denies(CF_DENY_DEVICES, "nvme0"));
	assert_false(denies(CF_DENY_DEVICES, "/dev/nvme0n1p1"));
	assert_false(denies(CF_DENY_DEVICES, "/dev/null"));
	/* The system of the file is not its driver. */
	assert_false(denies(CF_DENY_DRIVERS, "ext4"));
}

/* It is mounted nowhere. */
static void a_device_is_denied_by_itself(void **state)
{
	(void)state;
	is_device = true;
	mount_error = -ENOENT;
	assert_false(denies(CF_DENY_MOUNTS, "/mnt/a"));
	assert_false(denies(CF_DENY_FILESYSTEMS, "ext4"));
	assert_true(denies(CF_DENY_DEVICES, "nvme0n1"));
	assert_non_null(strstr(why, "sysfs does not know its device"));
	put_device(DISK, dev);
	assert_denied_by(CF_DENY_DEVICES, "nvme0n1");
	assert_false(denies(CF_DENY_DEVICES, "nvme1n1"));
}

/* A disk that is not there is none; a name that leads nowhere may be of any. */
static void names_that_lead_nowhere_deny_all(void **state)
{
	(void)state;
	put_device(DISK, dev);
	assert_false(denies(CF_DENY_DEVICES, "/dev/nvfs-none"));
	assert_false(denies(CF_DENY_DEVICES, "nvfs-none"));
	assert_true(denies(CF_DENY_DEVICES, "/dev/disk/by-id/nvfs-none"));
	assert_string_equal(why, "there is a denylist, and an entry of devices leads nowhere");
	assert_true(denies(CF_DENY_DEVICES, "mapper/nvfs-none"));
	assert_true(denies(CF_DENY_DEVICES, "/nvfs-none"));
}

static void a_slash_in_a_name_is_one(void **state)
{
	(void)state;
	put_device("/devices/pci0/block/cciss!c0d0", dev);
	assert_denied_by(CF_DENY_DEVICES, "/dev/cciss/c0d0");
}

static void a_partition_is_denied_with_its_disk(void **state)
{
	(void)state;
	put_device(DISK, makedev(259, 70000));
	put_device(DISK "/nvme0n1p2", dev);
	put(DISK "/nvme0n1p2/partition", "2\n");
	assert_denied_by(CF_DENY_DEVICES, "nvme0n1p2");
	assert_denied_by(CF_DENY_DEVICES, "nvme0n1");
	assert_false(denies(CF_DENY_DEVICES, "nvme0n1p1"));
}

/* dm over md over two disks, one of them by a partition. */
static void an_array_is_denied_with_what_it_is_made_of(void **state)
{
	(void)state;
	put_device(DISK, makedev(259, 70000));
	put_device("/devices/pci0/nvme1n1", makedev(259, 70001));
	put_device("/devices/pci0/nvme1n1/nvme1n1p1", makedev(259, 70002));
	put("/devices/pci0/nvme1n1/nvme1n1p1/partition", "1\n");
	put_device("/devices/virtual/block/md0", makedev(9, 70000));
	put_device("/devices/virtual/block/dm-0", dev);
	put_link("/devices/virtual/block/dm-0/slaves/md0", "../../md0");
	put_link("/devices/virtual/block/md0/slaves/nvme1n1p1",
		 "../../../../pci0/nvme1n1/nvme1n1p1");
	put_link("/devices/virtual/block/md0/slaves/nvme0n1",
		 "../../../../pci0/0000:00:04.0/nvme/nvme0/nvme0n1");
	assert_denied_by(CF_DENY_DEVICES, "nvme0n1");
	assert_denied_by(CF_DENY_DEVICES, "md0");
	assert_denied_by(CF_DENY_DEVICES, "/dev/dm-0");
	assert_false(denies(CF_DENY_DEVICES, "nvme2n1"));
	/* One that is no more. */
	put_link("/devices/virtual/block/md0/slaves/gone", "../../gone");
	assert_true(denies(CF_DENY_DEVICES, "nvme2n1"));
	assert_non_null(strstr(why, "sysfs does not name a device behind it"));
}

static void a_device_is_denied_by_any_driver_it_hangs_on(void **state)
{
	(void)state;
	put_device(DISK, dev);
	put_link("/devices/pci0/0000:00:04.0/driver", "../../../bus/pci/drivers/nvme");
	put("/bus/pci/drivers/nvme/x", "");
	put_link("/bus/pci/drivers/nvme/module", "../../../../module/nvme_pci");
	put_link("/devices/pci0/driver", "../../bus/bridge");
	assert_denied_by(CF_DENY_DRIVERS, "nvme");
	assert_denied_by(CF_DENY_DRIVERS, "nvme_pci");
	assert_denied_by(CF_DENY_DRIVERS, "bridge");
	assert_false(denies(CF_DENY_DRIVERS, "sd"));
	assert_false(denies(CF_DENY_DRIVERS, "nvme0n1"));
}

static void a_drive_of_many_paths_is_of_its_driver(void **state)
{
	(void)state;
	put_device(HEAD "/nvme0n1", makedev(259, 70000));
	put_device(HEAD "/nvme0n1/nvme0n1p1", dev);
	put(HEAD "/nvme0n1/nvme0n1p1/partition", "1\n");
	put_link(HEAD "/nvme0", "../../../pci0/00:04.0/nvme/nvme0");
	put_link(HEAD "/nvme1", "../../../pci0/00:05.0/nvme/nvme1");
	put("/devices/pci0/00:04.0/nvme/nvme0/x", "");
	put("/devices/pci0/00:05.0/nvme/nvme1/x", "");
	put_link("/devices/pci0/00:04.0/driver", "../../../bus/nvme");
	put_link("/devices/pci0/00:05.0/driver", "../../../bus/vmd");
	assert_denied_by(CF_DENY_DRIVERS, "nvme");
	assert_denied_by(CF_DENY_DRIVERS, "vmd");
	assert_false(denies(CF_DENY_DRIVERS, "sd"));
	put_link(HEAD "/nvme2", "gone");
	assert_true(denies(CF_DENY_DRIVERS, "sd"));
	assert_non_null(strstr(why, "sysfs does not know its paths"));
}

static void what_is_on_no_device_is_denied_by_its_type_alone(void **state)
{
	(void)state;
	dev = makedev(0, 77);
	strcpy(mount.source, "server:/export");
	strcpy(mount.fstype, "nfs4");
	assert_denied_by(CF_DENY_DRIVERS, "nfs4");
	assert_denied_by(CF_DENY_FILESYSTEMS, "nfs4");
	assert_false(denies(CF_DENY_DRIVERS, "nvme"));
	assert_false(denies(CF_DENY_DEVICES, "nvme0n1"));
}

static void what_cannot_be_told_is_denied(void **state)
{
	(void)state;
	/* There is no sysfs. */
	assert_true(denies(CF_DENY_DEVICES, "nvme0n1"));
	assert_string_equal(why, "there is a denylist, and sysfs does not know its device");
	assert_true(denies(CF_DENY_DRIVERS, "nvme"));
	dev = makedev(0, 77);
	strcpy(mount.source, "/dev/nvfs-none");
	assert_true(denies(CF_DENY_DEVICES, "nvme0n1"));
	assert_non_null(strstr(why, "what was mounted is not there"));
	assert_true(denies(CF_DENY_DRIVERS, "nvme"));
	assert_false(denies(CF_DENY_FILESYSTEMS, "xfs"));
	/* An overlay is on no device that it names. */
	strcpy(mount.fstype, "overlay");
	assert_true(denies(CF_DENY_DRIVERS, "nvme"));
	assert_non_null(strstr(why, "an overlay does not say"));
	assert_true(denies(CF_DENY_DEVICES, "nvme0n1"));
	assert_true(denies(CF_DENY_FILESYSTEMS, "xfs"));
	assert_false(denies(CF_DENY_MOUNTS, "/mnt/b"));
	strcpy(mount.fstype, "ext4");
	mount_error = -ENOENT;
	assert_true(denies(CF_DENY_MOUNTS, "/mnt/b"));
	assert_non_null(strstr(why, "it is not in the table of mounts"));
	mount_error = -ENOSYS;
	assert_true(denies(CF_DENY_MOUNTS, "/mnt/b"));
	assert_non_null(strstr(why, "there is no libmount"));
	/* A descriptor that is none. */
	mount_error = 0;
	close(file);
	assert_true(denies(CF_DENY_MOUNTS, "/mnt/b"));
	assert_string_equal(why, "there is a denylist, and Bad file descriptor");
	file = open(sysfs, O_RDONLY | O_CLOEXEC);
}

static void more_devices_than_are_looked_at_are_denied(void **state)
{
	char path[100], target[100];

	(void)state;
	put_device("/devices/virtual/block/md0", dev);
	for (unsigned int i = 0; i < 64; i++) {
		snprintf(path, sizeof(path), "/devices/pci0/sd%u", i);
		put_device(path, makedev(8, 70000 + i));
		snprintf(path, sizeof(path),
			 "/devices/virtual/block/md0/slaves/sd%u", i);
		snprintf(target, sizeof(target), "../../../../pci0/sd%u", i);
		put_link(path, target);
		assert_int_equal(denies(CF_DENY_DEVICES, "nvme0n1"), i == 63);
	}
}

/* ------------------------------------------------------------- the machine */

/* What /proc says of the mount with the number that statx() gives. */
static bool read_mount(int fd, char target[300])
{
	char line[4096];
	struct statx stx;
	bool found = false;
	FILE *in;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &stx) ||
	    !(stx.stx_mask & STATX_MNT_ID))
		return false;
	in = fopen("/proc/self/mountinfo", "re");
	assert_non_null(in);
	while (!found && fgets(line, sizeof(line), in)) {
		unsigned long long id;

		found = sscanf(line, "%llu %*s %*s %*s %299s", &id, target) ==
			2 && id == stx.stx_mnt_id;
	}
	fclose(in);
	return found;
}

static void the_mount_of_a_file_is_found(void **state)
{
	struct cf_mount found;
	char target[300];

	(void)state;
	real_mounts = true;
	assert_int_equal(cf_mount_of(file, &found), 0);
	assert_true(*found.fstype);
	if (!read_mount(file, target))
		skip();
	assert_string_equal(found.target, target);
	assert_denied_by(CF_DENY_MOUNTS, target);
	assert_denied_by(CF_DENY_FILESYSTEMS, found.fstype);
}

static void what_is_mounted_nowhere_is_not_found(void **state)
{
	int fd = memfd_create("nvfs-deny", MFD_CLOEXEC);
	struct cf_mount found;

	(void)state;
	real_mounts = true;
	assert_true(fd >= 0);
	assert_int_equal(cf_mount_of(fd, &found), -ENOENT);
	assert_int_equal(cf_mount_of(-1, &found), -ENOENT);
	close(fd);
}

/* --------------------------------------------------------------- libcufile */

static void use_file(const char *text)
{
	char name[100];

	put("/cufile.json", text);
	snprintf(name, sizeof(name), "%s/cufile.json", sysfs);
	setenv("CUFILE_ENV_PATH_JSON", name, 1);
}

/* As the engine has it, when the file is read. */
static bool may_go_direct(CUfileHandle_t fh)
{
	assert_int_equal(cuFileRead(fh, gpu_memory, 100, 0, 0), 100);
	return !mock.last.file->no_direct;
}

static void a_denied_file_goes_through_host_memory(void **state)
{
	CUfileHandle_t fh;

	(void)state;
	use_file("{ \"denylist\": { \"mounts\": [\"/mnt/b\", \"/mnt/a\"] } }");
	mock_log_to_file("INFO");
	fh = mock_handle();
	assert_non_null(strstr(mock_log(), " may not go direct: denylist.mounts has \"/mnt/a\"\n"));
	assert_false(may_go_direct(fh));
	cuFileHandleDeregister(fh);
	strcpy(mount.target, "/mnt/c");
	assert_cufile(mock_register(mock_fd, &fh), SUCCESS);
	assert_true(may_go_direct(fh));
}

static void a_denied_file_is_refused_where_none_may_bounce(void **state)
{
	CUfileHandle_t fh;
	const char *log;

	(void)state;
	use_file("{ \"blacklist\": { \"filesystems\": [\"ext4\"] },"
		 "  \"properties\": { \"allow_compat_mode\": false } }");
	mock_log_to_file("ERROR");
	mock_fd = mock_file(O_RDWR);
	assert_cufile(mock_register(mock_fd, &fh), IO_NOT_SUPPORTED);
	log = mock_log();
	assert_int_equal(mock_count_of(log, "\n"), 1);
	assert_non_null(strstr(log, "cuFileHandleRegister(): 5008, "));
	assert_non_null(strstr(log, "; denylist.filesystems has \"ext4\"\n"));
	strcpy(mount.fstype, "xfs");
	assert_cufile(mock_register(mock_fd, &fh), SUCCESS);
}

/* By the section's older name, too, whatever the other one has. */
static void both_names_of_the_section_count(void **state)
{
	CUfileHandle_t fh;

	(void)state;
	use_file("{ \"denylist\": { \"mounts\": [\"/mnt/b\"] },"
		 "  \"blacklist\": { \"mounts\": [\"/mnt/a\"] } }");
	fh = mock_handle();
	assert_false(may_go_direct(fh));
	cuFileHandleDeregister(fh);
	strcpy(mount.target, "/mnt/b");
	assert_cufile(mock_register(mock_fd, &fh), SUCCESS);
	assert_false(may_go_direct(fh));
}

/* Nothing goes direct anyway, and nobody looks. */
static void nobody_looks_where_nothing_goes_direct(void **state)
{
	CUfileHandle_t fh;

	(void)state;
	use_file("{ \"denylist\": { \"mounts\": [\"/mnt/a\"] },"
		 "  \"properties\": { \"force_compat_mode\": true } }");
	fh = mock_handle();
	assert_true(may_go_direct(fh));
}

static void assert_refused(const char *text, int error, const char *told)
{
	struct cf_config *config = calloc(1, sizeof(*config));
	char reason[200] = "";

	assert_non_null(config);
	cf_config_defaults(config);
	assert_int_equal(cf_config_parse(config, text, strlen(text), reason,
					 sizeof(reason)), error);
	assert_string_equal(reason, told);
	free(config);
}

static void lists_that_are_none_are_refused(void **state)
{
	char text[1000] = "{\"denylist\":{\"devices\":[\"\"";

	(void)state;
	assert_refused("{\"denylist\":{\"mounts\":\"/mnt\"}}", -EINVAL,
		       "denylist.mounts: an array is expected");
	assert_refused("{\"denylist\":{\"drivers\":[\"a\",7]}}", -EINVAL,
		       "denylist.drivers: text of 1 to 255 bytes is expected");
	assert_refused("{\"blacklist\":{\"mounts\":[\"\"]}}", -EINVAL,
		       "blacklist.mounts: text of 1 to 255 bytes is expected");
	assert_refused("{\"denylist\":{\"mounts\":[\"mnt\"]}}", -EINVAL,
		       "denylist.mounts: \"mnt\" does not begin with /");
	assert_refused("{\"denylist\":{\"drivers\":[\"a\\nb\"]}}", -EINVAL,
		       "denylist.drivers: text of 1 to 255 bytes is expected");
	assert_refused("{\"denylist\":{\"mounts\":[\"a\\u0000b\"]}}", -EINVAL,
		       "denylist.mounts: text of 1 to 255 bytes is expected");
	for (unsigned int i = 0; i < CF_MAX_DENY; i++)
		strcat(text, ",\"x\"");
	strcat(text, "]}}");
	assert_refused(text, -ERANGE, "denylist.devices: more than 32 entries");
	snprintf(text, sizeof(text), "{\"denylist\":{\"drivers\":[\"%0255d\"]}}", 0);
	assert_refused(text, 0, "");
	snprintf(text, sizeof(text), "{\"denylist\":{\"drivers\":[\"%0256d\"]}}", 0);
	assert_refused(text, -EINVAL,
		       "denylist.drivers: text of 1 to 255 bytes is expected");
}

#define DENY_TEST(f)	\
	cmocka_unit_test_setup_teardown(f, deny_setup, deny_teardown)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		DENY_TEST(empty_lists_ask_nothing),
		DENY_TEST(a_mount_is_denied_by_where_it_is),
		DENY_TEST(a_file_system_is_denied_by_its_type),
		DENY_TEST(a_disk_is_denied_by_its_name),
		DENY_TEST(a_device_is_denied_by_itself),
		DENY_TEST(names_that_lead_nowhere_deny_all),
		DENY_TEST(a_slash_in_a_name_is_one),
		DENY_TEST(a_partition_is_denied_with_its_disk),
		DENY_TEST(an_array_is_denied_with_what_it_is_made_of),
		DENY_TEST(a_device_is_denied_by_any_driver_it_hangs_on),
		DENY_TEST(a_drive_of_many_paths_is_of_its_driver),
		DENY_TEST(what_is_on_no_device_is_denied_by_its_type_alone),
		DENY_TEST(what_cannot_be_told_is_denied),
		DENY_TEST(more_devices_than_are_looked_at_are_denied),
		DENY_TEST(the_mount_of_a_file_is_found),
		DENY_TEST(what_is_mounted_nowhere_is_not_found),
		DENY_TEST(a_denied_file_goes_through_host_memory),
		DENY_TEST(a_denied_file_is_refused_where_none_may_bounce),
		DENY_TEST(both_names_of_the_section_count),
		DENY_TEST(nobody_looks_where_nothing_goes_direct),
		DENY_TEST(lists_that_are_none_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
