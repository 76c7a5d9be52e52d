// SPDX-License-Identifier: MIT
/* Kernel modules of this build, for the kernel that runs. */
#include "fix.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

/*
 * The kernel's series, as build/ names it: "6.1" of "6.1.0-56-amd64", "6.12-debug"
 * of "6.12.117-nvfs-debug".
 */
static const char *series(void)
{
	static char name[32];
	struct utsname uts;
	char *dot;

	ASSERT_EQ(uname(&uts), 0);
	dot = strchr(uts.release, '.');
	ASSERT_TRUE(dot != NULL);
	snprintf(name, sizeof(name), "%.*s%s",
		 (int)(dot + 1 - uts.release + strspn(dot + 1, "0123456789")),
		 uts.release,
		 strstr(uts.release, "-nvfs-debug") ? "-debug" : "");
	return name;
}

int module_open(const char *module)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/build/%s/%s.ko", top_dir(), series(),
		 module);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		FAIL("%s: %s", path, strerror(errno));
	return fd;
}

int module_try_load(const char *module, const char *parameters)
{
	int fd = module_open(module);
	int ret = (int)syscall(SYS_finit_module, fd, parameters, 0);
	int saved = errno;

	close(fd);
	errno = saved;
	return ret;
}

void module_load(const char *module, const char *parameters)
{
	if (module_try_load(module, parameters))
		FAIL("load %s %s: %s", module, parameters, strerror(errno));
}

int module_unload(const char *module)
{
	return (int)syscall(SYS_delete_module, module, O_NONBLOCK);
}
