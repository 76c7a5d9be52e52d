/* SPDX-License-Identifier: MIT */
/*
 * What the files of libcufile share.  The library is names and translation: it
 * checks arguments, finds objects, and hands requests to the engine.
 *
 * Locks, outermost first: driver, batch, then the others, of which none is held
 * over a call of the engine.
 */
#ifndef CUFILE_PRIV_H
#define CUFILE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cufile.h"
#include "engine.h"
#include "gpu.h"

#define CF_API		__attribute__((visibility("default")))
#define CF_VERSION	1150
#define CF_MAX_BATCH	256
#define CF_MAX_GPUS	16
#define CF_MAX_SLABS	16
#define CF_MAX_STRING	4096
#define KIB		1024ULL

/* ---------------------------------------------------------------- errors */

static inline CUfileError_t cf_error(CUfileOpError err)
{
	return (CUfileError_t){ .err = err };
}

/* error.c: from a negative errno value of the engine; 0 is success. */
CUfileError_t cf_from_errno(int err);
/* As cuFileRead() returns it; sets errno where that is asked for. */
ssize_t cf_result(uint64_t done, int err);
/* As it stands in an event: a system error is its negative errno value. */
ssize_t cf_event_result(uint64_t done, int err);

/* ---------------------------------------------------------------- config */

#define CF_SIZES	12
#define CF_BOOLS	14
#define CF_STRINGS	4

/* One list of buffer sizes (KiB) and how many of each. */
struct cf_slabs {
	int nr;
	size_t size[CF_MAX_SLABS];
	size_t count[CF_MAX_SLABS];
};

/**
 * struct cf_config - all parameters
 * @slabs: 0: posix pool, 1: GPU bounce buffers; nr 0: default
 * @log_size_mb: most MiB of a log file; -1: any
 * @gpu_copies: may code of ours run on GPUs?
 */
struct cf_config {
	size_t size[CF_SIZES];
	bool flag[CF_BOOLS];
	char text[CF_STRINGS][CF_MAX_STRING];
	struct cf_slabs slabs[2];
	long log_size_mb;
	bool gpu_copies;
};

/* config.c: what is in force (open) or staged (closed); driver lock held. */
struct cf_config *cf_config(void);
/*
 * Fills the configuration from defaults, file, environment and what was
 * staged, in this order.  CU_FILE_DRIVER_INVALID_PROPS: the file or a variable
 * can't be understood; CU_FILE_DRIVER_UNSUPPORTED_LIMIT: a number is out of
 * its range.
 */
CUfileOpError cf_config_load(void);
/* Forgets it: the next load begins anew. */
void cf_config_reset(void);

/* config_table.c: default, range and names of each parameter. */
struct cf_size_param {
	const char *key;	/* in cufile.json, with dots */
	const char *alias;	/* or NULL */
	size_t initial;
	size_t min;
	size_t max;
};

struct cf_bool_param {
	const char *key;
	const char *alias;
	const char *env;
	bool initial;
};

struct cf_string_param {
	const char *key;
	const char *env;
	const char *initial;
};

extern const struct cf_size_param cf_size_params[CF_SIZES];
extern const struct cf_bool_param cf_bool_params[CF_BOOLS];
extern const struct cf_string_param cf_string_params[CF_STRINGS];
void cf_config_defaults(struct cf_config *config);
/* config.c: for the posix pool. */
bool cf_slabs_are_default(const struct cf_slabs *slabs);
bool cf_log_level_known(const char *name);

/*
 * config_json.c: apply a text to @config.  0, -EINVAL (no JSON, or a value of
 * the wrong type; @why says which) or -ERANGE.
 */
int cf_config_parse(struct cf_config *config, const char *text, size_t length,
		    char *why, size_t size);
/* The same with a file; -errno of open(2) and read(2), -EFBIG. */
int cf_config_read(struct cf_config *config, const char *path, char *why,
		   size_t size);

/* ---------------------------------------------------------------- driver */

/*
 * driver.c: for the length of a call.  cf_enter() wants an open library;
 * cf_enter_open() opens it.  Success is owed one cf_leave(); meanwhile it
 * can't be closed.  The configuration must not be changed in between.
 */
CUfileOpError cf_enter(void);
CUfileError_t cf_enter_open(void);
void cf_leave(void);
/* Is it a child of a process that had it open? */
bool cf_forked(void);
/* A request that outlives its call begins and ends; same effect on close. */
void cf_hold(void);

/* For calls about the library itself. */
void cf_lock(void);
void cf_unlock(void);
bool cf_is_open(void);	/* locked */
/* May bytes of GPU memory go through host memory? */
bool cf_may_bounce(void);
/* May the module be asked? */
bool cf_may_be_direct(void);
/* Shall files be read with O_DIRECT, however they were opened? */
bool cf_wants_o_direct(void);

/* ----------------------------------------------------------------- slots */

/**
 * struct cf_slots - objects behind opaque pointers
 *
 * A pointer that a caller got is a place and a count of how often the place
 * was used, so that one that is old or made up is found out.  Finding an object
 * takes no lock.
 */
struct cf_slots;
extern struct cf_slots cf_handles;
extern struct cf_slots cf_batches;

/* NULL: no memory, or too many. */
void *cf_slot_add(struct cf_slots *slots, void *object);
/* The object, which stays until cf_slot_put(); NULL: none behind @name. */
void *cf_slot_get(struct cf_slots *slots, void *name);
void cf_slot_put(struct cf_slots *slots, void *name);
/*
 * Takes the object back: no one finds it any more, and all who had are gone on
 * return.  One caller wins; NULL for all others.
 */
void *cf_slot_remove(struct cf_slots *slots, void *name);
/* Calls @fn with each name that is there now. */
void cf_slot_each(struct cf_slots *slots, void (*fn)(void *name));

/* --------------------------------------------------------------- objects */

struct cf_handle {
	struct engine_file file;
	dev_t dev;
	ino_t ino;
	void *name;
	struct cf_handle *next;		/* of all, by nothing */
};

void cf_handle_end(void *name);
void cf_batch_end(void *name);

/**
 * struct cf_mem - where a request's bytes go
 * @gpu: index, or ENGINE_HOST
 * @first: first byte that may be used, if not host memory
 * @end: first byte behind
 */
struct cf_mem {
	unsigned int gpu;
	uint64_t first;
	uint64_t end;
};

/*
 * buffer.c: the address @base + @offset, and the GPU, when the @size bytes from
 * there are within memory of one kind.
 */
CUfileOpError cf_mem_at(const void *base, off_t offset, size_t size,
			unsigned int *gpu, uint64_t *addr);
/* The same in two parts, of which the second doesn't ask the GPU driver. */
CUfileOpError cf_mem_find(const void *base, struct cf_mem *mem);
CUfileOpError cf_mem_range(const struct cf_mem *mem, const void *base,
			   off_t offset, size_t size, uint64_t *addr);
void cf_buffers_end(void);
void cf_streams_end(void);

/*
 * request.c: fills @req in for a transfer between @handle and memory.  The
 * caller holds the handle, and checks what @req does not say.
 */
void cf_request(struct engine_req *req, struct cf_handle *handle, bool write);
CUfileOpError cf_request_at(struct engine_req *req, const void *base,
			    size_t size, off_t file_offset, off_t mem_offset);

/* ----------------------------------------------------------------- stats */

enum cf_op {
	CF_OP_READ, CF_OP_WRITE, CF_OP_HANDLE_ADD, CF_OP_HANDLE_DEL,
	CF_OP_BUF_ADD, CF_OP_BUF_DEL, CF_OP_BATCH_SUBMIT, CF_OP_BATCH_COMPLETE,
	CF_OP_BATCH_SETUP, CF_OP_BATCH_CANCEL, CF_OP_BATCH_DESTROY,
	CF_OP_BATCH_ENQUEUE, CF_OP_BATCH_PROCESS, CF_OPS
};

/* 0 when nothing is counted, else microseconds. */
uint64_t cf_stats_begin(void);
/* @began: of cf_stats_begin(); nothing happens when that was 0. */
void cf_stats_count(uint64_t began, enum cf_op op, bool ok);
/* A request has ended. */
void cf_stats_request(uint64_t began, const struct engine_req *req);
/* @batch: one of a batch. */
void cf_stats_batch_entry(uint64_t began, const struct engine_req *req);
void cf_stats_register(uint64_t began, unsigned int gpu, int64_t bytes,
		       bool ok);
void cf_stats_open(size_t level);

/* ------------------------------------------------------------------- log */

enum cf_level { CF_LOG_ERROR, CF_LOG_WARN, CF_LOG_INFO, CF_LOG_DEBUG };

/* log.c: a line in the log file, where one is configured. */
void cf_log(enum cf_level level, const char *module, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void cf_log_open(const struct cf_config *config);
void cf_log_close(void);

#endif /* CUFILE_PRIV_H */
