// SPDX-License-Identifier: MIT
/* What kind of machine this is, from its files. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <sys/syscall.h>

#include "check.h"
#include "ring.h"

#ifndef SYS_cachestat
#define SYS_cachestat	451
#endif

#define RING_BYTES	4096U
#define EFI		"/sys/firmware/efi"
#define SECURE_BOOT	EFI "/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

/* The file's first bytes, ended by a zero byte; how many, or -1. */
static ssize_t load(const char *root, const char *path, char *text, size_t size)
{
	char name[512];
	size_t done = 0;
	ssize_t n;
	int fd;

	text[0] = '\0';
	snprintf(name, sizeof(name), "%s%s", root, path);
	fd = open(name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return -1;
	while ((n = read(fd, text + done, size - 1 - done)) > 0)
		done += (size_t)n;
	close(fd);
	if (n < 0)
		return -1;
	text[done] = '\0';
	return (ssize_t)done;
}

static bool is_there(const char *root, const char *path)
{
	char name[512];

	snprintf(name, sizeof(name), "%s%s", root, path);
	return !access(name, F_OK);
}

/* Without control characters: this goes to a terminal. */
static void set(char *word, const char *text, size_t length)
{
	if (length >= CHECK_WORD)
		length = CHECK_WORD - 1;
	for (size_t i = 0; i < length; i++)
		word[i] = iscntrl((unsigned char)text[i]) ? '?' : text[i];
	word[length] = '\0';
}

static void say(char *word, const char *text)
{
	set(word, text, strlen(text));
}

static void look_at_os(const char *root, struct platform *platform)
{
	char text[4096];
	struct utsname name;
	char *at;

	if (!uname(&name)) {
		say(platform->kernel, name.release);
		say(platform->arch, name.machine);
	}
	load(root, "/etc/os-release", text, sizeof(text));
	at = strstr(text, "PRETTY_NAME=");
	if (!at) {
		say(platform->os, "unknown");
		return;
	}
	at += strlen("PRETTY_NAME=");
	at += *at == '"';
	set(platform->os, at, strcspn(at, "\"\n"));
}

/* The groups' types say whether the units translate. */
static void look_at_iommu(const char *root, struct platform *platform)
{
	unsigned int all = 0, identity = 0;
	char name[512], text[64];
	struct dirent *entry;
	DIR *dir;

	snprintf(name, sizeof(name), "%s/sys/kernel/iommu_groups", root);
	dir = opendir(name);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, sizeof(name), "/sys/kernel/iommu_groups/%s/type",
			 entry->d_name);
		all++;
		load(root, name, text, sizeof(text));
		identity += !strncmp(text, "identity", 8);
	}
	if (dir)
		closedir(dir);
	if (!all)
		say(platform->iommu, "off");
	else if (identity == all)
		say(platform->iommu, "on, passthrough");
	else if (identity)
		say(platform->iommu, "on, translates for some devices");
	else
		say(platform->iommu, "on, translates");
}

static void look_at_boot(const char *root, struct platform *platform)
{
	char text[256], *first;

	if (!is_there(root, EFI))
		say(platform->secure_boot, "off (no UEFI)");
	/* Four bytes of attributes before the one that counts. */
	else if (load(root, SECURE_BOOT, text, sizeof(text)) == 5)
		say(platform->secure_boot, text[4] ? "on" : "off");
	else
		say(platform->secure_boot, "unknown");
	load(root, "/sys/kernel/security/lockdown", text, sizeof(text));
	first = strchr(text, '[');
	if (first)
		set(platform->lockdown, first + 1, strcspn(first + 1, "]\n"));
	else
		say(platform->lockdown, "unknown");
}

/* Whole words of /proc/cpuinfo and the command line. */
static bool has_word(const char *text, const char *word)
{
	size_t length = strlen(word);

	for (const char *at = text; (at = strstr(at, word)); at += length) {
		if ((at == text || isspace((unsigned char)at[-1])) &&
		    (!at[length] || isspace((unsigned char)at[length])))
			return true;
	}
	return false;
}

static void look_at_encryption(const char *root, struct platform *platform)
{
	char text[8192];

	load(root, "/proc/cpuinfo", text, sizeof(text));
	if (has_word(text, "tdx_guest")) {
		say(platform->encryption, "TDX guest");
		return;
	}
	load(root, "/proc/cmdline", text, sizeof(text));
	if (is_there(root, "/dev/sev-guest"))
		say(platform->encryption, "SEV guest");
	else if (has_word(text, "mem_encrypt=on"))
		say(platform->encryption, "SME");
	else
		say(platform->encryption, "none seen");
}

static void look_at_container(const char *root, struct platform *platform)
{
	char text[8192];

	if (is_there(root, "/.dockerenv"))
		say(platform->container, "docker");
	else if (is_there(root, "/run/.containerenv"))
		say(platform->container, "podman");
	else if (load(root, "/run/systemd/container", text, sizeof(text)) > 0)
		set(platform->container, text, strcspn(text, "\n"));
	else if (load(root, "/proc/1/cgroup", text, sizeof(text)) > 0 &&
		 (strstr(text, "kubepods") || strstr(text, "/docker/") ||
		  strstr(text, "/lxc/")))
		say(platform->container, "yes");
	else
		say(platform->container, "none seen");
}

/* The first word that looks like a version. */
static void look_at_nvidia(const char *root, struct platform *platform)
{
	char text[512], *at;
	bool open;

	platform->nvidia_fs = is_there(root, "/sys/module/nvidia_fs");
	if (load(root, "/proc/driver/nvidia/version", text, sizeof(text)) <= 0) {
		say(platform->nvidia, "not loaded");
		return;
	}
	open = strstr(text, "Open Kernel Module");
	text[strcspn(text, "\n")] = '\0';
	for (at = text; *at; at++) {
		if (isdigit((unsigned char)*at) && at > text &&
		    isspace((unsigned char)at[-1]) &&
		    at[strspn(at, "0123456789")] == '.')
			break;
	}
	snprintf(platform->nvidia, CHECK_WORD, "%s %.*s",
		 open ? "open" : "closed", (int)strspn(at, "0123456789."), at);
}

/* What libcufile would find; a container's rules are told by trying. */
static void look_at_calls(struct platform *platform)
{
	char *host = aligned_alloc(RING_BYTES, RING_BYTES);
	struct ring *ring = host ? ring_open(host, RING_BYTES) : NULL;
	int error = ring ? 0 : ring_error();

	snprintf(platform->uring, CHECK_WORD, error ? "no (%s)" : "yes",
		 errno_name(error < 0 ? error : -ENOMEM));
	ring_close(ring);
	free(host);
	/* No descriptor: it is known for what it says of that. */
	syscall(SYS_cachestat, -1, NULL, NULL, 0);
	snprintf(platform->cachestat, CHECK_WORD,
		 errno == EBADF ? "yes" : "no (%s)", errno_name(-errno));
}

void platform_look(const char *root, struct platform *platform)
{
	memset(platform, 0, sizeof(*platform));
	look_at_os(root, platform);
	look_at_iommu(root, platform);
	look_at_boot(root, platform);
	look_at_encryption(root, platform);
	look_at_container(root, platform);
	look_at_nvidia(root, platform);
	look_at_calls(platform);
}
