// SPDX-License-Identifier: MIT
/* nvfs check: machines from their files, mounts, and the answer. */
#include "lib_mock.h"

#include <sys/stat.h>

#include "check.h"

#define NR(table)	(sizeof(table) / sizeof((table)[0]))

static char root[] = "/tmp/nvfs-check-unit-XXXXXX";

static int make_root(void **state)
{
	(void)state;
	strcpy(root + sizeof(root) - 7, "XXXXXX");
	assert_non_null(mkdtemp(root));
	return 0;
}

static int remove_root(void **state)
{
	char command[80];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", root);
	assert_int_equal(system(command), 0);
	return 0;
}

static void put_bytes(const char *path, const void *bytes, size_t length)
{
	char name[512];
	int fd;

	snprintf(name, sizeof(name), "%s%s", root, path);
	for (char *at = name + strlen(root) + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		mkdir(name, 0700);
		*at = '/';
	}
	fd = open(name, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, length), length);
	close(fd);
}

static void put(const char *path, const char *text)
{
	put_bytes(path, text, strlen(text));
}

static void a_bare_machine_is_described(void **state)
{
	struct platform platform;

	(void)state;
	platform_look(root, &platform);
	assert_true(platform.kernel[0] && platform.arch[0]);
	assert_string_equal(platform.os, "unknown");
	assert_string_equal(platform.iommu, "off");
	assert_string_equal(platform.secure_boot, "off (no UEFI)");
	assert_string_equal(platform.lockdown, "unknown");
	assert_string_equal(platform.encryption, "none seen");
	assert_string_equal(platform.container, "none seen");
	assert_string_equal(platform.nvidia, "not loaded");
	assert_false(platform.nvidia_fs);
	assert_true(!strcmp(platform.uring, "yes") ||
		    !strncmp(platform.uring, "no (E", 5));
	assert_true(!strcmp(platform.cachestat, "yes") ||
		    !strncmp(platform.cachestat, "no (E", 5));
}

static void a_server_is_described(void **state)
{
	struct platform platform;

	(void)state;
	put("/etc/os-release", "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n");
	put("/sys/kernel/iommu_groups/0/type", "identity\n");
	put("/sys/kernel/iommu_groups/1/type", "identity\n");
	put_bytes("/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c",
		  "\x06\0\0\0\x01", 5);
	put("/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
	put("/proc/cmdline", "quiet mem_encrypt=on ro\n");
	put("/run/.containerenv", "");
	put("/proc/driver/nvidia/version",
	    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\nGCC version: gcc 12.2.0\n");
	put("/sys/module/nvidia_fs/version", "2.20\n");
	platform_look(root, &platform);
	assert_string_equal(platform.os, "Debian GNU/Linux 12");
	assert_string_equal(platform.iommu, "on, passthrough");
	assert_string_equal(platform.secure_boot, "on");
	assert_string_equal(platform.lockdown, "integrity");
	assert_string_equal(platform.encryption, "SME");
	assert_string_equal(platform.container, "podman");
	assert_string_equal(platform.nvidia, "open 570.86.15");
	assert_true(platform.nvidia_fs);
}

static void other_machines_are_described(void **state)
{
	struct platform platform;

	(void)state;
	put("/etc/os-release", "PRETTY_NAME=Plain\nID=x\n");
	put("/sys/kernel/iommu_groups/0/type", "identity\n");
	put("/sys/kernel/iommu_groups/1/type", "DMA-FQ\n");
	put("/sys/firmware/efi/runtime", "");
	put("/proc/cpuinfo", "flags\t: fpu tdx_guest_not\n");
	put("/proc/cmdline", "xmem_encrypt=on\n");
	put("/proc/1/cgroup", "0::/kubepods/burstable/pod1\n");
	put("/proc/driver/nvidia/version",
	    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22\n");
	platform_look(root, &platform);
	assert_string_equal(platform.os, "Plain");
	assert_string_equal(platform.iommu, "on, translates for some devices");
	assert_string_equal(platform.secure_boot, "unknown");
	assert_string_equal(platform.encryption, "none seen");
	assert_string_equal(platform.container, "yes");
	assert_string_equal(platform.nvidia, "closed 550.54.14");
	put("/sys/kernel/iommu_groups/0/type", "DMA\n");
	put("/proc/cpuinfo", "flags\t: fpu tdx_guest avx\n");
	/* No machine's words reach the terminal as they are. */
	put("/etc/os-release", "PRETTY_NAME=\"a\033[31mb\"\n");
	put("/proc/driver/nvidia/version", "nonsense\n");
	platform_look(root, &platform);
	assert_string_equal(platform.os, "a?[31mb");
	assert_string_equal(platform.iommu, "on, translates");
	assert_string_equal(platform.encryption, "TDX guest");
	assert_string_equal(platform.nvidia, "closed ");
}

static void file_systems_with_data_are_listed_once(void **state)
{
	static const char mounts[] =
		"21 1 0:20 / / rw - overlay overlay rw,lowerdir=/l,upperdir=/u,workdir=/w\n"
		"22 21 0:21 / /proc rw,nosuid - proc proc rw\n"
		"23 21 0:22 / /sys rw - sysfs sysfs rw\n"
		"24 21 0:23 / /run rw - tmpfs tmpfs rw\n"
		"25 21 259:3 / /mnt/a\\040b rw,relatime - ext4 /dev/nvme0n1p2 rw\n"
		"26 21 259:3 /sub /mnt/bind rw,relatime - ext4 /dev/nvme0n1p2 rw\n"
		"27 21 259:4 / /mnt/x rw - xfs /dev/nvme0n1p3 rw\n"
		"28 21 0:40 / /mnt/n rw - nfs4 server:/export rw\n"
		"29 21 0:41 / /dev/shm rw - tmpfs shm rw\n";
	struct mount *list;
	char name[512];
	int nr;

	(void)state;
	put("/mountinfo", mounts);
	snprintf(name, sizeof(name), "%s/mountinfo", root);
	nr = mounts_list(name, &list);
	assert_int_equal(nr, 4);
	assert_string_equal(list[0].target, "/");
	assert_string_equal(list[0].fs, "overlay");
	assert_string_equal(list[1].target, "/mnt/a b");
	assert_string_equal(list[1].fs, "ext4");
	assert_string_equal(list[1].source, "/dev/nvme0n1p2");
	assert_string_equal(list[2].target, "/mnt/x");
	assert_string_equal(list[3].fs, "nfs4");
	mounts_free(list, nr);
	snprintf(name, sizeof(name), "%s/none", root);
	assert_true(mounts_list(name, &list) < 0);
}

static void some_file_is_found_to_ask_about(void **state)
{
	char name[512], link[64] = "";
	int fd;

	(void)state;
	/* None yet: one without a name. */
	fd = open_any_file(root);
	assert_true(fd >= 0);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	assert_true(readlink(name, link, sizeof(link) - 1) > 0);
	assert_non_null(strstr(link, "(deleted)"));
	close(fd);
	put("/a/b/c/file", "x");
	snprintf(name, sizeof(name), "%s/zlink", root);
	assert_int_equal(symlink("/etc/hostname", name), 0);
	snprintf(name, sizeof(name), "%s/pipe", root);
	assert_int_equal(mkfifo(name, 0600), 0);
	fd = open_any_file(root);
	assert_true(fd >= 0);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
	memset(link, 0, sizeof(link));
	assert_true(readlink(name, link, sizeof(link) - 1) > 0);
	assert_non_null(strstr(link, "/a/b/c/file"));
	close(fd);
	snprintf(name, sizeof(name), "%s/none", root);
	assert_int_equal(open_any_file(name), -ENOENT);
}

/* -------------------------------------------------------------- the answer */

static struct subject subjects[3];
static struct check check;
static struct conclusion conclusion;

/* Two drives and a mount, one GPU, none of them direct for @reasons. */
static void set_up(const uint32_t *reasons)
{
	memset(&check, 0, sizeof(check));
	memset(subjects, 0, sizeof(subjects));
	check.info.provider_version = 0x20000;
	check.nr_gpus = 1;
	check.subjects = subjects;
	check.nr_subjects = 3;
	for (int i = 0; i < 3; i++) {
		subjects[i].kind = i == 2 ? SUBJECT_MOUNT : SUBJECT_DRIVE;
		subjects[i].path = i == 2 ? "/mnt" : i ? "/dev/b" : "/dev/a";
		subjects[i].fs = "";
		subjects[i].verdicts[0].query.reason = reasons[i];
		subjects[i].verdicts[0].query.route =
			reasons[i] ? NVFS_ROUTE_BOUNCE : NVFS_ROUTE_DIRECT;
	}
}

static int conclude(void)
{
	check_conclude(&check, &conclusion);
	return check_status(&conclusion);
}

static void one_direct_pair_is_a_yes(void **state)
{
	static const uint32_t reasons[] = { NVFS_REASON_NOT_PCI, 0,
					    NVFS_REASON_NO_DIO };

	(void)state;
	set_up(reasons);
	assert_int_equal(conclude(), 0);
	assert_int_equal(conclusion.direct, 1);
	assert_int_equal(conclusion.pairs, 3);
	assert_string_equal(conclusion.reason, "none");
	assert_string_equal(conclusion.text, "1 of 3 pairs go direct");
}

static void the_nearest_pair_gives_the_reason(void **state)
{
	static const uint32_t reasons[] = { NVFS_REASON_NOT_PCI,
					    NVFS_REASON_HOST_BRIDGE,
					    NVFS_REASON_NO_DIO };

	(void)state;
	set_up(reasons);
	assert_int_equal(conclude(), 1);
	assert_string_equal(conclusion.reason, "host-bridge");
	assert_non_null(strstr(conclusion.text, "/dev/b with gpu:0"));
	assert_string_equal(conclusion.remedy,
			    nvfs_reason_remedy(NVFS_REASON_HOST_BRIDGE));
	/* What can't be opened is no witness. */
	subjects[1].error = -EACCES;
	assert_int_equal(conclude(), 1);
	assert_string_equal(conclusion.reason, "not-pci");
	for (int i = 0; i < 3; i++)
		subjects[i].error = -EACCES;
	assert_int_equal(conclude(), 1);
	assert_string_equal(conclusion.reason, "unknown");
	assert_non_null(strstr(conclusion.remedy, "root"));
}

static void what_lacks_is_said_in_the_order_of_need(void **state)
{
	static const uint32_t reasons[] = { 1, 1, 1 };

	(void)state;
	set_up(reasons);
	check.nr_subjects = 0;
	assert_int_equal(conclude(), 1);
	assert_string_equal(conclusion.reason, "no-drive");
	check.nr_gpus = 0;
	check.gpu_error = -ENOSYS;
	assert_int_equal(conclude(), 1);
	assert_string_equal(conclusion.reason, "no-gpu");
	assert_non_null(strstr(conclusion.text, "libcuda.so.1"));
	check.info.provider_version = 0;
	assert_int_equal(conclude(), 1);
	assert_string_equal(conclusion.reason, "no-provider");
	check.module_error = -ENOENT;
	assert_int_equal(conclude(), 1);
	assert_string_equal(conclusion.reason, "no-module");
	assert_non_null(strstr(conclusion.text, "is not loaded"));
	assert_null(strstr(conclusion.text, "modprobe nvfs"));
	assert_non_null(strstr(conclusion.remedy, "modprobe nvfs. Without it"));
}

static void a_named_file_that_is_missing_is_trouble(void **state)
{
	static const uint32_t reasons[] = { 0, 0, 0 };

	(void)state;
	set_up(reasons);
	subjects[1].kind = SUBJECT_FILE;
	subjects[1].error = -ENOENT;
	subjects[1].path = "/no/such/file";
	assert_int_equal(conclude(), 2);
	assert_non_null(strstr(conclusion.text, "/no/such/file"));
	/* A drive that nobody named is only not looked at. */
	subjects[1].kind = SUBJECT_DRIVE;
	assert_int_equal(conclude(), 0);
}

/* ------------------------------------------------------- what is printed */

struct told {
	unsigned int nr;
	char all[1024];
};

static void note_setting(void *arg, const char *where, const char *key,
			 const char *value)
{
	struct told *told = arg;
	size_t at = strlen(told->all);

	told->nr++;
	snprintf(told->all + at, sizeof(told->all) - at, "%s %s=%s\n", where,
		 key, value);
}

static void who_may_copy_is_told(void **state)
{
	struct cufile_config config;
	struct told told = { 0 };
	char name[512];

	(void)state;
	put("/cufile.json", "{ \"nvfs\": { \"gpu_copies\": false } }\n");
	snprintf(name, sizeof(name), "%s/cufile.json", root);
	setenv("CUFILE_ENV_PATH_JSON", name, 1);
	setenv("NVFS_GPU_COPIES", "on", 1);
	cufile_look(&config, note_setting, &told);
	assert_int_equal(config.error, 0);
	assert_non_null(strstr(told.all, "file nvfs.gpu_copies=false\n"));
	assert_non_null(strstr(told.all, "environment NVFS_GPU_COPIES=on\n"));
	assert_null(strstr(told.all, "mapped"));
	/* What is as by default is not told. */
	put("/cufile.json", "{ \"nvfs\": { \"gpu_copies\": true } }\n");
	unsetenv("NVFS_GPU_COPIES");
	setenv("NVFS_MAPPED_WRITES", "off", 1);
	memset(&told, 0, sizeof(told));
	cufile_look(&config, note_setting, &told);
	assert_null(strstr(told.all, "opies"));
	assert_non_null(strstr(told.all, "environment NVFS_MAPPED_WRITES=off\n"));
	unsetenv("NVFS_MAPPED_WRITES");
	unsetenv("CUFILE_ENV_PATH_JSON");
}

static void keys_that_do_nothing_are_told(void **state)
{
	struct cufile_config config;
	struct told told = { 0 };
	char name[512];

	(void)state;
	put("/cufile.json",
	    "{ \"properties\": { \"alow_compat_mode\": false },"
	    "  \"denylist\": { \"mounts\": [\"/x\", \"/y\"], \"drivers\": [] },"
	    "  \"a\\u001bb\": 1, \"profile\": { \"nvtx\": false } }\n");
	snprintf(name, sizeof(name), "%s/cufile.json", root);
	setenv("CUFILE_ENV_PATH_JSON", name, 1);
	cufile_look(&config, note_setting, &told);
	unsetenv("CUFILE_ENV_PATH_JSON");
	assert_int_equal(config.error, 0);
	assert_non_null(strstr(told.all, "unknown key properties.alow_compat_mode=passed over\n"));
	assert_non_null(strstr(told.all, "unknown key a?b=passed over\n"));
	assert_non_null(strstr(told.all, "file denylist.mounts=/x\nfile denylist.mounts=/y\n"));
	assert_non_null(strstr(told.all, "no effect profile.nvtx=nothing here looks at it\n"));
	assert_null(strstr(told.all, "denylist.drivers"));
}

/* What libcufile does not open with. */
static void what_libcufile_refuses_is_refused(void **state)
{
	struct cufile_config config;
	struct told told = { 0 };
	char name[512];

	(void)state;
	snprintf(name, sizeof(name), "%s/not-there.json", root);
	setenv("CUFILE_ENV_PATH_JSON", name, 1);
	cufile_look(&config, note_setting, &told);
	assert_int_equal(config.error, -ENOENT);
	assert_false(config.none);
	put("/cufile.json", "{}\n");
	snprintf(name, sizeof(name), "%s/cufile.json", root);
	setenv("CUFILE_ENV_PATH_JSON", name, 1);
	setenv("CUFILE_ALLOW_COMPAT_MODE", "perhaps", 1);
	cufile_look(&config, note_setting, &told);
	assert_int_equal(config.error, -EINVAL);
	assert_string_equal(config.path, "the environment");
	assert_string_equal(config.why, "CUFILE_ALLOW_COMPAT_MODE: true or false is expected");
	setenv("CUFILE_ALLOW_COMPAT_MODE", "no", 1);
	setenv("CUFILE_LOGGING_LEVEL", "LOUD", 1);
	cufile_look(&config, note_setting, &told);
	assert_int_equal(config.error, -ERANGE);
	unsetenv("CUFILE_LOGGING_LEVEL");
	cufile_look(&config, note_setting, &told);
	assert_int_equal(config.error, 0);
	unsetenv("CUFILE_ALLOW_COMPAT_MODE");
	unsetenv("CUFILE_ENV_PATH_JSON");
}

/* What check_print_text() writes, as one text. */
static void print_to(char *text, size_t size)
{
	int was = dup(STDOUT_FILENO);
	int fd = memfd_create("text", MFD_CLOEXEC);
	ssize_t n;

	assert_true(was >= 0 && fd >= 0);
	fflush(stdout);
	dup2(fd, STDOUT_FILENO);
	check_conclude(&check, &conclusion);
	check_print_text(&check, &conclusion);
	fflush(stdout);
	dup2(was, STDOUT_FILENO);
	close(was);
	n = pread(fd, text, size - 1, 0);
	assert_true(n > 0);
	text[n] = '\0';
	close(fd);
}

/* Whoever may mount chooses these words, and root reads them. */
static void a_file_is_on_the_mount_that_it_is_on(void **state)
{
	static const char *const none[] = {
		"/no/such/file", "/dev/null", "",
	};
	struct mount *mount = mount_of("/proc/self/mountinfo",
				       "/proc/version");

	(void)state;
	assert_non_null(mount);
	assert_string_equal(mount->fs, "proc");
	assert_string_equal(mount->target, "/proc");
	mounts_free(mount, 1);
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++)
		assert_null(mount_of("/proc/self/mountinfo", none[i]));
	assert_null(mount_of("/no/such/mountinfo", "/proc/version"));
}

static void no_mount_commands_the_terminal(void **state)
{
	static const uint32_t reasons[] = { NVFS_REASON_HOST_BRIDGE,
					    NVFS_REASON_NOT_PCI,
					    NVFS_REASON_NO_DIO };
	static char text[16384];

	(void)state;
	for (int error = 0; error < 2; error++) {
		set_up(reasons);
		subjects[0].kind = SUBJECT_MOUNT;
		subjects[0].path = "/mnt/a\033]0;b\ac";
		subjects[0].fs = "x\033f";
		subjects[0].source = "d\033[2Je";
		subjects[0].error = error ? -EACCES : 0;
		print_to(text, sizeof(text));
		assert_null(strchr(text, '\033'));
		assert_null(strchr(text, '\a'));
		assert_non_null(strstr(text, "/mnt/a?]0;b?c  "));
		assert_non_null(strstr(text, "x?f on d?[2Je\n"));
	}
}

#define root_test(name) \
	cmocka_unit_test_setup_teardown(name, make_root, remove_root)

int main(void)
{
	static const struct CMUnitTest tests[] = {
		root_test(a_bare_machine_is_described),
		root_test(a_server_is_described),
		root_test(other_machines_are_described),
		root_test(file_systems_with_data_are_listed_once),
		root_test(some_file_is_found_to_ask_about),
		root_test(who_may_copy_is_told),
		cmocka_unit_test(a_file_is_on_the_mount_that_it_is_on),
		root_test(keys_that_do_nothing_are_told),
		root_test(what_libcufile_refuses_is_refused),
		cmocka_unit_test(no_mount_commands_the_terminal),
		cmocka_unit_test(one_direct_pair_is_a_yes),
		cmocka_unit_test(the_nearest_pair_gives_the_reason),
		cmocka_unit_test(what_lacks_is_said_in_the_order_of_need),
		cmocka_unit_test(a_named_file_that_is_missing_is_trouble),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
