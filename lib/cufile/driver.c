// SPDX-License-Identifier: MIT
/* The library: opened, counted, closed, and its properties. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cufile_priv.h"
#include "libnvfs.h"

#undef cuFileDriverClose

/*
 * How long an idle helper looks for work in poll mode, in microseconds: five
 * times as long as the engine has it look without being asked.
 */
#define POLL_SPIN_US	1000
/* Of the engine's buffers: the unit of their size, and the size by itself. */
#define SLOT_UNIT_KIB	64U
#define MAX_SLOT_KIB	4096U

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static long references;		/* under @lock */
/* Set while it is being opened. */
static bool may_bounce;
static bool may_be_direct;
static bool wants_o_direct;
/* The engine's own, which it gets back when the library is closed. */
static struct engine_pool own_pool;

/*
 * OPEN, CLOSING, and how many calls and requests are inside.  Calls come and
 * go without a lock.
 */
#define OPEN		(1ULL << 63)
#define CLOSING		(1ULL << 62)
#define INSIDE		(CLOSING - 1)
static _Atomic uint64_t state;
static atomic_bool forked;

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
	cf_stats_before_fork();
}

static void in_parent(void)
{
	cf_stats_in_parent();
	pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
	if (references)
		atomic_store(&forked, true);
	cf_stats_in_child();
	pthread_mutex_unlock(&lock);
}

static void watch_forks(void)
{
	pthread_atfork(before_fork, in_parent, in_child);
}

bool cf_forked(void)
{
	return atomic_load(&forked);
}

void cf_lock(void)
{
	pthread_mutex_lock(&lock);
}

void cf_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

bool cf_is_open(void)
{
	return references > 0;
}

bool cf_may_bounce(void)
{
	return may_bounce;
}

bool cf_wants_o_direct(void)
{
	return wants_o_direct;
}

bool cf_may_be_direct(void)
{
	return may_be_direct;
}

CUfileOpError cf_enter(void)
{
	uint64_t old = atomic_load(&state);

	do {
		if (!(old & OPEN) || cf_forked())
			return CU_FILE_DRIVER_NOT_INITIALIZED;
		if (old & CLOSING)
			return CU_FILE_DRIVER_CLOSING;
	} while (!atomic_compare_exchange_weak(&state, &old, old + 1));
	return CU_FILE_SUCCESS;
}

void cf_hold(unsigned int nr)
{
	atomic_fetch_add(&state, nr);
}

void cf_let_go(unsigned int nr)
{
	atomic_fetch_sub(&state, nr);
}

void cf_leave(void)
{
	cf_let_go(1);
}

/* ------------------------------------------------------------ open, close */

static CUfileOpError module_code(int err)
{
	switch (err) {
	case -EPROTO:
		return CU_FILE_DRIVER_VERSION_MISMATCH;
	case -EACCES:
	case -EPERM:
		return CU_FILE_PERMISSION_DENIED;
	default:
		return CU_FILE_DRIVER_NOT_INITIALIZED;
	}
}

/*
 * Only what somebody chose: the defaults of the interface, which a file of
 * NVIDIA's spells out, leave the choice to the engine.  Nobody calls to set a
 * number without meaning it.
 */
static bool is_chosen(const struct cf_config *config,
		      CUFileSizeTConfigParameter_t param)
{
	return (config->called_size & 1U << param) ||
	       config->size[param] != cf_size_params[param].initial;
}

static uint64_t slab_bytes(const struct cf_slabs *slabs, int i)
{
	uint64_t bytes;

	if (__builtin_mul_overflow(slabs->size[i], KIB, &bytes) ||
	    __builtin_mul_overflow(bytes, slabs->count[i], &bytes))
		return UINT64_MAX;
	return bytes;
}

static void fill_slabs(const struct cf_config *config, struct engine_pool *pool)
{
	const struct cf_slabs *slabs = &config->slabs[0];
	uint64_t largest = 0, total = 0;

	if (!slabs->nr ||
	    (!(config->called_slabs & 1) && cf_slabs_are_default(slabs)))
		return;
	for (int i = 0; i < slabs->nr; i++) {
		if (__builtin_add_overflow(total, slab_bytes(slabs, i), &total))
			total = UINT64_MAX;
		if (slabs->size[i] > largest)
			largest = slabs->size[i];
	}
	/* Larger ones are cut: many in flight beat one of them. */
	if (largest > MAX_SLOT_KIB)
		largest = MAX_SLOT_KIB;
	pool->pinned_bytes = total;
	if (largest >= SLOT_UNIT_KIB)
		pool->slot_bytes = KIB * (largest -
					  largest % SLOT_UNIT_KIB);
}

static void fill_pool(const struct cf_config *config, struct engine_pool *pool)
{
	const size_t *size = config->size;

	if (is_chosen(config, CUFILE_PARAM_EXECUTION_MAX_IO_THREADS))
		pool->threads = (unsigned int)
			size[CUFILE_PARAM_EXECUTION_MAX_IO_THREADS];
	if (is_chosen(config, CUFILE_PARAM_EXECUTION_MAX_REQUEST_PARALLELISM))
		pool->parallel = (unsigned int)
			size[CUFILE_PARAM_EXECUTION_MAX_REQUEST_PARALLELISM];
	if (!config->flag[CUFILE_PARAM_EXECUTION_PARALLEL_IO])
		pool->parallel = 1;
	if (config->flag[CUFILE_PARAM_PROPERTIES_USE_POLL_MODE] &&
	    pool->spin_us < POLL_SPIN_US)
		pool->spin_us = POLL_SPIN_US;
	pool->no_direct = config->flag[CUFILE_PARAM_FORCE_COMPAT_MODE];
	pool->no_pump = !config->own[CF_GPU_COPIES];
	pool->no_map = !config->own[CF_MAPPED_WRITES];
	pool->no_pin = !config->own[CF_PINNED_READS];
	/* All GPUs share it: the default, which is meant for one, would be little. */
	if (is_chosen(config,
		      CUFILE_PARAM_PROPERTIES_MAX_DEVICE_PINNED_MEM_SIZE_KB))
		pool->cache_bytes = KIB * size[
			CUFILE_PARAM_PROPERTIES_MAX_DEVICE_PINNED_MEM_SIZE_KB];
	fill_slabs(config, pool);
}

/* No module is fine where host memory will do, and only there. */
static CUfileOpError check_module(const struct cf_config *config)
{
	int err = nvfs_module_error(engine_nvfs());

	may_bounce = config->flag[CUFILE_PARAM_PROPERTIES_ALLOW_COMPAT_MODE] ||
		     config->flag[CUFILE_PARAM_FORCE_COMPAT_MODE] ||
		     config->flag[CUFILE_PARAM_GDS_FALLBACK_IO];
	may_be_direct = !config->flag[CUFILE_PARAM_FORCE_COMPAT_MODE];
	wants_o_direct = config->flag[CUFILE_PARAM_FORCE_ODIRECT_MODE];
	if (!err)
		return CU_FILE_SUCCESS;
	cf_log(may_bounce ? CF_LOG_INFO : CF_LOG_ERROR, "driver",
	       "the kernel module can't be used: %s; %s", strerror(-err),
	       may_bounce ? "host memory is used" :
			    "and compatibility mode is not allowed");
	return may_bounce ? CU_FILE_SUCCESS : module_code(err);
}

static CUfileError_t open_locked(void)
{
	struct cf_config *config = cf_config();
	struct engine_pool pool;
	CUfileOpError err;
	int ret;

	err = cf_config_load();
	if (err)
		return cf_error(err);
	engine_pool_get(&own_pool);
	pool = own_pool;
	fill_pool(config, &pool);
	ret = engine_pool_set(&pool);
	if (ret && ret != -EBUSY) {
		cf_log(CF_LOG_ERROR, "driver", "the pools can't be made so");
		err = CU_FILE_DRIVER_UNSUPPORTED_LIMIT;
		goto reset_config;
	}
	ret = engine_get();
	if (ret) {
		err = cf_from_errno(ret).err;
		goto reset_pool;
	}
	err = check_module(config);
	if (err)
		goto put_engine;
	/* Here NVIDIA's library waits for all work of the GPU, too. */
	engine_warm_used();
	cf_stats_open(config->size[CUFILE_PARAM_PROFILE_STATS]);
	references = 1;
	atomic_fetch_or(&state, OPEN);
	return cf_error(CU_FILE_SUCCESS);

put_engine:
	engine_put();
reset_pool:
	engine_pool_set(&own_pool);
reset_config:
	cf_config_reset();
	cf_log_close();
	return cf_error(err);
}

CF_API CUfileError_t cuFileDriverOpen(void)
{
	CUfileError_t ret = cf_error(CU_FILE_SUCCESS);

	if (cf_forked())
		return cf_error(CU_FILE_DRIVER_NOT_INITIALIZED);
	pthread_once(&once, watch_forks);
	pthread_mutex_lock(&lock);
	if (references)
		references++;
	else
		ret = open_locked();
	pthread_mutex_unlock(&lock);
	return ret;
}

CUfileError_t cf_enter_open(void)
{
	CUfileError_t ret = cf_error(cf_enter());

	if (ret.err != CU_FILE_DRIVER_NOT_INITIALIZED || cf_forked())
		return ret;
	pthread_once(&once, watch_forks);
	pthread_mutex_lock(&lock);
	ret = references ? cf_error(CU_FILE_SUCCESS) : open_locked();
	if (!ret.err)
		ret.err = cf_enter();
	pthread_mutex_unlock(&lock);
	return ret;
}

/* Known when files with O_DIRECT were read, which it makes slower. */
static void log_uring(void)
{
	int err = engine_uring();

	if (err < 0)
		cf_log(CF_LOG_INFO, "driver", "io_uring can't be used: %s",
		       strerror(-err));
}

/* No call and no request may be inside from here on, or it stays open. */
static CUfileOpError close_locked(void)
{
	uint64_t idle = OPEN;

	/* What is inside may wait for a GPU that the application has reset. */
	if (atomic_load(&state) != OPEN)
		engine_look_after();
	if (!atomic_compare_exchange_strong(&state, &idle, OPEN | CLOSING))
		return CU_FILE_DRIVER_CLOSING;
	cf_slot_each(&cf_batches, cf_batch_end);
	cf_slot_each(&cf_handles, cf_handle_end);
	cf_buffers_end();
	cf_streams_end();
	log_uring();
	engine_put();
	engine_pool_set(&own_pool);
	cf_log_close();
	cf_config_reset();
	references = 0;
	atomic_store(&state, 0);
	return CU_FILE_SUCCESS;
}

CF_API CUfileError_t cuFileDriverClose_v2(void)
{
	CUfileOpError err = CU_FILE_SUCCESS;

	if (cf_forked())
		return cf_error(CU_FILE_DRIVER_NOT_INITIALIZED);
	pthread_mutex_lock(&lock);
	if (!references)
		err = CU_FILE_DRIVER_NOT_INITIALIZED;
	else if (references > 1)
		references--;
	else
		err = close_locked();
	pthread_mutex_unlock(&lock);
	return cf_error(err);
}

/* What programs find that were built before the one above had a name. */
CF_API CUfileError_t cuFileDriverClose(void)
{
	return cuFileDriverClose_v2();
}

CF_API long cuFileUseCount(void)
{
	long count;

	if (cf_forked())
		return 0;
	pthread_mutex_lock(&lock);
	count = references;
	pthread_mutex_unlock(&lock);
	return count;
}

/* ------------------------------------------------------------- properties */

CF_API CUfileError_t cuFileGetVersion(int *version)
{
	if (!version)
		return cf_error(CU_FILE_INVALID_VALUE);
	*version = CF_VERSION;
	return cf_error(CU_FILE_SUCCESS);
}

static unsigned int narrow(size_t value)
{
	return value > UINT32_MAX ? UINT32_MAX : (unsigned int)value;
}

static void fill_flags(const struct cf_config *config, bool module,
		       CUfileDrvProps_t *props)
{
	const bool *flag = config->flag;

	if (module && may_be_direct) {
		props->nvfs.dstatusflags = 1U << CU_FILE_NVME_SUPPORTED;
		props->fflags = 1U << CU_FILE_P2P_SUPPORTED;
	}
	if (flag[CUFILE_PARAM_PROPERTIES_USE_POLL_MODE])
		props->nvfs.dcontrolflags |= 1U << CU_FILE_USE_POLL_MODE;
	if (may_bounce)
		props->nvfs.dcontrolflags |= 1U << CU_FILE_ALLOW_COMPAT_MODE;
	if (flag[CUFILE_PARAM_PROPERTIES_POSIX_IO_MODE])
		props->nvfs.dcontrolflags |=
			1U << CU_FILE_VANILLA_POSIX_IO_MODE;
	if (flag[CUFILE_PARAM_GDS_FALLBACK_IO])
		props->nvfs.dcontrolflags |= 1U << CU_FILE_FALLBACK_IO_MODE;
	props->fflags |= 1U << CU_FILE_BATCH_IO_SUPPORTED |
			 1U << CU_FILE_STREAMS_SUPPORTED |
			 1U << CU_FILE_PARALLEL_IO_SUPPORTED;
}

CF_API CUfileError_t cuFileDriverGetProperties(CUfileDrvProps_t *props)
{
	struct nvfs_info info = { .size = sizeof(info) };
	const struct cf_config *config;
	CUfileError_t ret;
	bool module;

	if (!props)
		return cf_error(CU_FILE_INVALID_VALUE);
	ret = cf_enter_open();
	if (ret.err)
		return ret;
	memset(props, 0, sizeof(*props));
	module = !nvfs_get_info(engine_nvfs(), &info);
	if (module) {
		props->nvfs.major_version = info.version_major;
		props->nvfs.minor_version = info.version_minor;
	}
	pthread_mutex_lock(&lock);
	config = cf_config();
	fill_flags(config, module, props);
	props->nvfs.poll_thresh_size =
		config->size[CUFILE_PARAM_POLLTHRESHOLD_SIZE_KB];
	props->nvfs.max_direct_io_size =
		config->size[CUFILE_PARAM_PROPERTIES_MAX_DIRECT_IO_SIZE_KB];
	props->max_device_cache_size = narrow(config->size[
		CUFILE_PARAM_PROPERTIES_MAX_DEVICE_CACHE_SIZE_KB]);
	props->per_buffer_cache_size = narrow(config->size[
		CUFILE_PARAM_PROPERTIES_PER_BUFFER_CACHE_SIZE_KB]);
	props->max_device_pinned_mem_size = narrow(config->size[
		CUFILE_PARAM_PROPERTIES_MAX_DEVICE_PINNED_MEM_SIZE_KB]);
	props->max_batch_io_size =
		narrow(config->size[CUFILE_PARAM_PROPERTIES_IO_BATCHSIZE]);
	props->max_batch_io_timeout_msecs = narrow(config->size[
		CUFILE_PARAM_PROPERTIES_BATCH_IO_TIMEOUT_MS]);
	pthread_mutex_unlock(&lock);
	cf_leave();
	return cf_error(CU_FILE_SUCCESS);
}

/*
 * Closed: staged, as the parameter of the same meaning.  Open: what is told and
 * what later registrations ask for changes at once; the engine's pool, helpers
 * and cache stay as they were opened.
 */
static CUfileError_t set_size(CUFileSizeTConfigParameter_t param, size_t value)
{
	CUfileError_t ret;

	if (cf_forked())
		return cf_error(CU_FILE_DRIVER_NOT_INITIALIZED);
	if (value < cf_size_params[param].min ||
	    value > cf_size_params[param].max)
		return cf_error(CU_FILE_DRIVER_UNSUPPORTED_LIMIT);
	ret = cuFileSetParameterSizeT(param, value);
	if (ret.err != CU_FILE_DRIVER_ALREADY_OPEN)
		return ret;
	pthread_mutex_lock(&lock);
	cf_config()->size[param] = value;
	pthread_mutex_unlock(&lock);
	return cf_error(CU_FILE_SUCCESS);
}

CF_API CUfileError_t cuFileDriverSetPollMode(bool poll,
					     size_t poll_threshold_size)
{
	CUfileError_t ret = set_size(CUFILE_PARAM_POLLTHRESHOLD_SIZE_KB,
				     poll_threshold_size);

	if (ret.err)
		return ret;
	ret = cuFileSetParameterBool(CUFILE_PARAM_PROPERTIES_USE_POLL_MODE,
				     poll);
	if (ret.err != CU_FILE_DRIVER_ALREADY_OPEN)
		return ret;
	pthread_mutex_lock(&lock);
	cf_config()->flag[CUFILE_PARAM_PROPERTIES_USE_POLL_MODE] = poll;
	pthread_mutex_unlock(&lock);
	return cf_error(CU_FILE_SUCCESS);
}

CF_API CUfileError_t cuFileDriverSetMaxDirectIOSize(size_t max_direct_io_size)
{
	return set_size(CUFILE_PARAM_PROPERTIES_MAX_DIRECT_IO_SIZE_KB,
			max_direct_io_size);
}

CF_API CUfileError_t cuFileDriverSetMaxCacheSize(size_t max_cache_size)
{
	return set_size(CUFILE_PARAM_PROPERTIES_MAX_DEVICE_CACHE_SIZE_KB,
			max_cache_size);
}

CF_API CUfileError_t cuFileDriverSetMaxPinnedMemSize(size_t max_pinned_size)
{
	return set_size(CUFILE_PARAM_PROPERTIES_MAX_DEVICE_PINNED_MEM_SIZE_KB,
			max_pinned_size);
}
