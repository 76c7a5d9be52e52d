// SPDX-License-Identifier: MIT
/* Files and devices that hold known bytes. */
#include "fix.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/fs.h>

#define STATE_DIR	"/run/nvfs-test"
#define CHUNK		(1 * MIB)

const char * const target_names[TARGETS] = {
	[DISK] = "disk", [PART] = "part", [EXT4] = "ext4", [XFS] = "xfs",
};

const char *fix_place(const char *key)
{
	static char line[256];
	size_t len = strlen(key);
	char out[512];
	FILE *f = fopen(STATE_DIR "/env", "re");

	if (!f) {
		if (shell(out, sizeof(out), "sh %s/tests/selftests/setup.sh 2>&1",
			  top_dir()))
			FAIL("setup.sh: %s", out);
		f = fopen(STATE_DIR "/env", "re");
	}
	ASSERT_TRUE(f != NULL);
	while (fgets(line, sizeof(line), f)) {
		if (strncmp(line, key, len) || line[len] != ' ')
			continue;
		line[strcspn(line, "\n")] = '\0';
		fclose(f);
		return line + len + 1;
	}
	fclose(f);
	return "";
}

void fix_path(enum target target, char *path, size_t size)
{
	static int serial;
	const char *place = fix_place(target_names[target]);

	if (target == DISK || target == PART)
		snprintf(path, size, "%s", place);
	else
		snprintf(path, size, "%s/t%d.%d", place, (int)getpid(),
			 serial++);
}

/* The whole disk holds the partitions behind its first MiB. */
uint64_t target_base(enum target target)
{
	return target == DISK ? 1 * MIB : 0;
}

uint64_t random_next(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static uint64_t pattern_word(uint64_t seed, uint64_t word)
{
	uint64_t state = seed * 0x2545f4914f6cdd1dULL + word;

	return random_next(&state);
}

void pattern_fill(void *to, uint64_t length, uint64_t seed, uint64_t offset)
{
	uint8_t *p = to;

	while (length) {
		uint64_t word = pattern_word(seed, offset / 8);
		unsigned int from = offset % 8;
		unsigned int n = 8 - from;

		if (n > length)
			n = (unsigned int)length;
		memcpy(p, (uint8_t *)&word + from, n);
		p += n;
		offset += n;
		length -= n;
	}
}

void file_drop_cache(int fd)
{
	struct stat st;

	ASSERT_EQ(fstat(fd, &st), 0);
	ASSERT_EQ(fsync(fd), 0);
	if (S_ISBLK(st.st_mode))
		ASSERT_EQ(ioctl(fd, BLKFLSBUF, 0), 0);
	ASSERT_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
}

static void write_all(int fd, const uint8_t *data, uint64_t n, uint64_t at)
{
	while (n) {
		ssize_t done = pwrite(fd, data, n, (off_t)at);

		ASSERT_GT(done, 0);
		data += done;
		at += (uint64_t)done;
		n -= (uint64_t)done;
	}
}

int file_make_at(const char *path, uint64_t base, uint64_t length,
		 uint64_t seed, int flags)
{
	int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
	uint8_t *data = xmalloc(CHUNK);
	uint64_t at, n;

	if (fd < 0)
		FAIL("%s: %s", path, strerror(errno));
	for (at = 0; at < length; at += n) {
		n = length - at < CHUNK ? length - at : CHUNK;
		pattern_fill(data, n, seed, at);
		write_all(fd, data, n, base + at);
	}
	free(data);
	file_drop_cache(fd);
	close(fd);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		FAIL("%s: %s", path, strerror(errno));
	return fd;
}

/* On a file system the name goes at once: nothing is left to clean up. */
int file_make(enum target target, uint64_t length, uint64_t seed, int flags)
{
	char path[300];
	int fd;

	fix_path(target, path, sizeof(path));
	fd = file_make_at(path, target_base(target), length, seed, flags);
	if (target == EXT4 || target == XFS)
		ASSERT_EQ(unlink(path), 0);
	return fd;
}

void file_check(int fd, uint64_t base, uint64_t offset, uint64_t length,
		uint64_t seed)
{
	uint8_t *want = xmalloc(CHUNK);
	uint8_t *got = NULL;
	uint64_t at, n;
	char link[64];
	int own;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	own = open(link, O_RDONLY | O_CLOEXEC);
	ASSERT_GE(own, 0);
	file_drop_cache(own);
	ASSERT_EQ(posix_memalign((void **)&got, BLOCK, CHUNK), 0);
	for (at = 0; at < length; at += n) {
		n = length - at < CHUNK ? length - at : CHUNK;
		pattern_fill(want, n, seed, offset + at);
		ASSERT_EQ(pread(own, got, n, (off_t)(base + offset + at)), n);
		if (memcmp(want, got, n))
			FAIL("the file differs within 0x%llx bytes at 0x%llx",
			     (unsigned long long)n,
			     (unsigned long long)(offset + at));
	}
	close(own);
	free(want);
	free(got);
}
