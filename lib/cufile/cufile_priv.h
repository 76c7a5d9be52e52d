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
/*
 * Of a request that has ended, as it stands in an event: a system error is its
 * negative errno value.  The second is of one that the engine would not begin.
 */
ssize_t cf_request_result(const struct engine_req *req);
ssize_t cf_refused(int err);
/* Did it fail because it could not go direct, and might not go another way? */
bool cf_is_refusal(const struct engine_req *req);

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

#define CF_MAX_KEYS	48U
#define CF_KEY_SIZE	96U

/**
 * enum cf_key_kind - what does not happen that a file says
 * @CF_KEY_UNKNOWN: nobody knows the key
 * @CF_KEY_UNUSED: a key of NVIDIA's that nothing here looks at
 */
enum cf_key_kind {
	CF_KEY_UNKNOWN, CF_KEY_UNUSED, CF_KEY_KINDS
};

/* How many keys there are of each kind, and the first of them. */
struct cf_keys {
	unsigned int nr[CF_KEY_KINDS];
	char key[CF_KEY_KINDS][CF_MAX_KEYS][CF_KEY_SIZE];
};

#define CF_MAX_DENY	32U
#define CF_DENY_SIZE	256U

enum cf_deny_kind {
	CF_DENY_DRIVERS, CF_DENY_DEVICES, CF_DENY_MOUNTS, CF_DENY_FILESYSTEMS,
	CF_DENY_KINDS
};

/* What shall not go direct. */
struct cf_deny {
	unsigned int nr[CF_DENY_KINDS];
	char entry[CF_DENY_KINDS][CF_MAX_DENY][CF_DENY_SIZE];
};

/* config_table.c: behind "denylist." */
extern const char *const cf_deny_names[CF_DENY_KINDS];

/*
 * deny.c: shall the open file not go direct?  @why, of @size bytes, then says
 * what forbids it.  True also where that can't be told.
 */
bool cf_denied(const struct cf_deny *deny, int fd, char *why, size_t size);

/**
 * enum cf_own - parameters of ours, true or false
 * @CF_GPU_COPIES: may code of ours run on GPUs?
 * @CF_MAPPED_WRITES: may files be written by a mapping?
 * @CF_PINNED_READS: may what the page cache has be registered with a GPU?
 */
enum cf_own {
	CF_GPU_COPIES, CF_MAPPED_WRITES, CF_PINNED_READS, CF_OWN
};

/**
 * struct cf_config - all parameters
 * @slabs: 0: posix pool, 1: GPU bounce buffers; nr 0: default
 * @log_size_mb: most MiB of a log file; -1: any
 * @own: parameters that NVIDIA's library has not, by enum cf_own
 * @called_size, @called_slabs: by bits, which of @size and @slabs a call set
 * @deny: files that shall not go direct
 * @keys: of the file
 */
struct cf_config {
	size_t size[CF_SIZES];
	bool flag[CF_BOOLS];
	char text[CF_STRINGS][CF_MAX_STRING];
	struct cf_slabs slabs[2];
	long log_size_mb;
	bool own[CF_OWN];
	unsigned int called_size, called_slabs;
	struct cf_deny deny;
	struct cf_keys keys;
};

/* config.c: what is in force (open) or staged (closed); driver lock held. */
struct cf_config *cf_config(void);
/*
 * Fills the configuration from defaults, file, environment and what was
 * staged, in this order.  CU_FILE_DRIVER_INVALID_PROPS: the file or a variable
 * can't be understood; CU_FILE_DRIVER_UNSUPPORTED_LIMIT: a number is out of
 * its range.  The log that they name is open on success, and was told of the
 * failure.
 */
CUfileOpError cf_config_load(void);
/* Forgets it: the next load begins anew. */
void cf_config_reset(void);
/* device.c: the same of what was chosen for kinds of storage. */
void cf_p2p_reset(void);

/* config_env.c: what is in the environment; on failure, which variable is wrong. */
struct cf_env_fault {
	const char *name;
	const char *expected;
};

/* Returns 0, -EINVAL or -ERANGE. */
int cf_env_strings(struct cf_config *new, struct cf_env_fault *fault);
int cf_env_rest(struct cf_config *new, struct cf_env_fault *fault);
/* Those that nothing here looks at; the last is NULL. */
extern const char *const cf_unused_env[];

/* config_table.c: default, range and names of each parameter. */
struct cf_size_param {
	const char *key;	/* in cufile.json, with dots */
	const char *alias[2];	/* or NULL; the first that is there counts */
	size_t initial;
	size_t min;
	size_t max;
};

struct cf_bool_param {
	const char *key;
	const char *alias[2];
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
extern const struct cf_bool_param cf_own_params[CF_OWN];
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
/* config_keys.c: fills @keys in from what was parsed, an object. */
struct json_object;
void cf_config_keys(struct cf_keys *keys, struct json_object *root);
/* As cf_config_parse() with a file; -errno of open(2) and read(2), -EFBIG. */
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
/* Requests that outlive their call begin, and end; same effect on close. */
void cf_hold(unsigned int nr);
void cf_let_go(unsigned int nr);

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
/* What @nr times was got. */
void cf_slot_put_some(struct cf_slots *slots, void *name, unsigned int nr);
/*
 * Takes the object back: no one finds it any more, and all who had are gone on
 * return.  One caller wins; NULL for all others.
 */
void *cf_slot_remove(struct cf_slots *slots, void *name);
/* Calls @fn with each name that is there now. */
void cf_slot_each(struct cf_slots *slots, bool (*fn)(void *name));

/* --------------------------------------------------------------- objects */

/**
 * struct cf_handle - an open file
 * @file: the engine's; first, so that who has a request has the handle
 * @told: for which reasons the log has said that requests were not direct
 */
struct cf_handle {
	struct engine_file file;
	_Atomic uint32_t told;
	dev_t dev;
	ino_t ino;
	void *name;
	struct cf_handle *next;		/* of all, by nothing */
};

/* False: there is none behind @name. */
bool cf_handle_end(void *name);
bool cf_batch_end(void *name);

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
/* Tells statistics what is registered, all of it. */
void cf_buffers_tell(void);
void cf_streams_end(void);

/*
 * request.c: fills @req in for a transfer between @handle and memory.  The
 * caller holds the handle, and checks what @req does not say.
 */
void cf_request(struct engine_req *req, struct cf_handle *handle, bool write);
CUfileOpError cf_request_at(struct engine_req *req, const void *base,
			    size_t size, off_t file_offset, off_t mem_offset);

/*
 * tell.c: a request has ended; its handle is still held.  What failed is told
 * as ERROR; what did not go direct as INFO, once for each handle and reason.
 */
void cf_tell_request(const struct engine_req *req);
/* A call was refused for its arguments, which the text names: told as ERROR. */
void cf_tell_call(const char *call, CUfileOpError err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* ----------------------------------------------------------------- stats */

enum cf_op {
	CF_OP_READ, CF_OP_WRITE, CF_OP_HANDLE_ADD, CF_OP_HANDLE_DEL,
	CF_OP_BUF_ADD, CF_OP_BUF_DEL, CF_OP_BATCH_SUBMIT, CF_OP_BATCH_COMPLETE,
	CF_OP_BATCH_SETUP, CF_OP_BATCH_CANCEL, CF_OP_BATCH_DESTROY,
	CF_OP_BATCH_ENQUEUE, CF_OP_BATCH_PROCESS, CF_OP_BATCH_ENQUEUE_HOST,
	CF_OP_BATCH_PROCESS_HOST, CF_OP_BATCH_DIRECT, CF_OPS
};

/* 0 when nothing is counted, else microseconds. */
uint64_t cf_stats_begin(void);
/* @began: of cf_stats_begin(); nothing happens when that was 0. */
void cf_stats_count(uint64_t began, enum cf_op op, bool ok);
/* A request was refused before it began. */
void cf_stats_refused(bool write);
/* A request has ended. */
void cf_stats_request(uint64_t began, const struct engine_req *req);
/* Entries go to the engine together: what cf_stats_batch_entry() wants. */
uint64_t cf_stats_submission(uint64_t began);
/* An entry of a batch has ended. */
void cf_stats_batch_entry(uint64_t began, uint64_t submission,
			  const struct engine_req *req);
/* Memory was registered, or @del: given back. */
void cf_stats_register(uint64_t began, unsigned int gpu, bool del, bool ok);
void cf_stats_open(size_t level);
/* Bytes of a GPU that are registered now; under the lock of who says so. */
void cf_stats_registered(unsigned int gpu, uint64_t bytes);
/* Around fork(2), under the driver's lock. */
void cf_stats_before_fork(void);
void cf_stats_in_parent(void);
void cf_stats_in_child(void);
/* stats_page.c: where others may look, all 0; NULL: there can be none. */
struct cf_stats_page;
struct cf_stats_page *cf_stats_page_make(void);

/* ------------------------------------------------------------------- log */

enum cf_level { CF_LOG_ERROR, CF_LOG_WARN, CF_LOG_INFO, CF_LOG_DEBUG };

/* log.c: a line in the log file, where one is configured. */
void cf_log(enum cf_level level, const char *module, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* Opens it, or another one, where @config says so; else there is none. */
void cf_log_open(const struct cf_config *config);
void cf_log_close(void);

#endif /* CUFILE_PRIV_H */
