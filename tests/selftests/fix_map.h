/* SPDX-License-Identifier: MIT */
/* Mappings of regions, and touches that may get a signal. */
#ifndef NVFS_TEST_FIX_MAP_H
#define NVFS_TEST_FIX_MAP_H

#include "fix.h"

#include <signal.h>
#include <sys/mman.h>

#define MAP_SEED	91
#define OLD		0x11
#define NEW		0xee
#define SIZE		(1 * MIB)
#define HUGE		(2 * MIB)
#define RW		(PROT_READ | PROT_WRITE)

/* GPU memory, the region of it, and a mapping of the region. */
struct view {
	struct gpu_buf buf;
	struct nvfs_register reg;
	int dev;
	uint8_t *at;
};

/* A region of memory that is full of OLD, without and with a mapping. */
void view_stage(struct view *v, uint64_t size, bool scatter);
void view_map(struct view *v, uint64_t size, bool scatter);
/* Takes all of it away; a buf.va of 0 and an at of NULL are gone already. */
void view_finish(struct view *v);

/* mmap(2) of a part of the region. */
void *try_map(const struct view *v, uint64_t offset, uint64_t length, int prot);
uint8_t *map(const struct view *v, uint64_t offset, uint64_t length);

/* Has touches that fail return; all others end the process. */
void catch_faults(void);

enum touch { LOAD, STORE };

/* Touches a byte: 0, or the signal that it got. A load leaves it at *@byte. */
int touch(enum touch how, uint8_t *at, uint8_t *byte);
int load(uint8_t *at);
/* Stores NEW. */
int store(uint8_t *at);
/* Demands that each page of a range gets @sig, whoever touches it and how. */
void expect_signal(uint8_t *at, uint64_t length, int sig);

/* Demands the pattern MAP_SEED from @offset on. */
void expect_pattern(const uint8_t *at, uint64_t length, uint64_t offset);

/* Does this kernel map 2 MiB at once? */
bool kernel_has_huge(void);

/* A child's part of a test: its verdict is its exit status. */
void expect_child(pid_t pid);

/* One byte through a pipe. */
void tell(int fd);
void hear(int fd);

#endif /* NVFS_TEST_FIX_MAP_H */
