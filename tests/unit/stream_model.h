/* SPDX-License-Identifier: MIT */
/*
 * A GPU driver with streams, for libcufile over the real engine: a thread for
 * each stream, which does what was put into it, and one lock that every function
 * of the driver takes, so that whoever waits for a stream in there keeps all
 * others out.
 */
#ifndef STREAM_MODEL_H
#define STREAM_MODEL_H

#include "lib_engine_fix.h"

#include <sched.h>
#include <time.h>

#include "cufile.h"
#include "pump.h"

#define MODEL_OPS	2048U
#define MODEL_STREAMS	4U

enum model_kind { OP_CALL = 'c', OP_WAIT = 'w', OP_CARRY = 'k' };

struct model_op {
	enum model_kind kind;
	void (*fn)(void *arg);
	void *arg;
	uint32_t *word;
	uint32_t value;
	struct gpu_board *board;
	unsigned int nr;
	uint64_t most;
};

/* @held: it does not come to what is in it; @stalled: not to what it carries */
struct model_stream {
	pthread_t thread;
	bool runs;
	_Atomic unsigned int put, done;
	_Atomic bool held, stalled, over;
	struct model_op ops[MODEL_OPS];
};

static struct {
	pthread_mutex_t lock;
	struct model_stream streams[MODEL_STREAMS];
	struct gpu_board *boards;
	/* How often the GPU was reset: whose code is that? */
	_Atomic unsigned int resets;
	/* Its contexts have numbers. */
	_Atomic bool numbered;
	_Atomic unsigned int syncs;
	/* The n-th wait or carry from now on fails; 0: none. */
	unsigned int fail_wait, fail_carry;
	/* After the n-th from now on somebody waits inside for the stream. */
	unsigned int intrude;
	_Atomic(struct model_stream *) intruded;
	_Atomic bool intruding;
	/* By who puts in a call, before it is in. */
	void (*_Atomic on_call)(void);
	/* By who asks whether a stream suits. */
	void (*_Atomic on_suits)(void);
	_Atomic bool capturing, unsuited, unreachable, lost, no_code, no_words;
	/* What was looked at: how often, and the last time. */
	unsigned int looks;
	uint64_t looked_addr, looked_length;
	/* The context of all streams. */
	uint64_t home;
	bool closed, closed_over;
} model = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ------------------------------------------------------------ the streams */

static void model_nap(void)
{
	const struct timespec nap = { .tv_nsec = 20000 };

	nanosleep(&nap, NULL);
}

static void model_carry_out(const struct model_op *op)
{
	struct gpu_board *board = op->board;
	struct gpu_order *order = &board->orders[op->nr][GPU_COPIES - 1];
	uint64_t length = atomic_load(&order->length);

	/* More than was said would be read by too few threads. */
	if (length > op->most)
		abort();
	if (length)
		memcpy((void *)(uintptr_t)atomic_load(&order->to),
		       (void *)(uintptr_t)atomic_load(&order->from), length);
	atomic_store_explicit(&board->done, op->value, memory_order_release);
}

static void model_do(struct model_stream *stream, const struct model_op *op)
{
	switch (op->kind) {
	case OP_CALL:
		op->fn(op->arg);
		break;
	case OP_WAIT:
		while ((int32_t)(__atomic_load_n(op->word, __ATOMIC_ACQUIRE) -
				 op->value) < 0 && !stream->over)
			model_nap();
		break;
	case OP_CARRY:
		while (stream->stalled)
			model_nap();
		if (!stream->over)
			model_carry_out(op);
		break;
	}
}

static void *model_run(void *arg)
{
	struct model_stream *stream = arg;

	while (!stream->over) {
		unsigned int next = atomic_load(&stream->done);

		if (stream->held || next == atomic_load(&stream->put)) {
			model_nap();
			continue;
		}
		model_do(stream, &stream->ops[next % MODEL_OPS]);
		atomic_store(&stream->done, next + 1);
	}
	return NULL;
}

static int model_put(struct model_stream *stream, struct model_op op)
{
	unsigned int at = atomic_load(&stream->put);

	assert_true(at - atomic_load(&stream->done) < MODEL_OPS);
	stream->ops[at % MODEL_OPS] = op;
	atomic_store(&stream->put, at + 1);
	if (model.intrude && !--model.intrude) {
		model.intruded = stream;
		while (!model.intruding)
			model_nap();
	}
	return 0;
}

static bool model_is_idle(struct model_stream *stream)
{
	return atomic_load(&stream->done) == atomic_load(&stream->put);
}

/* What cudaFree() does: nobody else gets in meanwhile. */
static void model_wait_inside(struct model_stream *stream)
{
	pthread_mutex_lock(&model.lock);
	while (!model_is_idle(stream))
		model_nap();
	pthread_mutex_unlock(&model.lock);
}

static inline void *model_go_inside(void *stream)
{
	model_wait_inside(stream);
	return NULL;
}

/* One who waits inside, and has the lock when this returns. */
static inline pthread_t model_send_inside(struct model_stream *stream)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, model_go_inside, stream),
			 0);
	while (!pthread_mutex_trylock(&model.lock)) {
		pthread_mutex_unlock(&model.lock);
		sched_yield();
	}
	return thread;
}

static inline void *model_intrude(void *unused)
{
	struct model_stream *stream;

	(void)unused;
	while (!(stream = model.intruded))
		model_nap();
	pthread_mutex_lock(&model.lock);
	model.intruding = true;
	while (!model_is_idle(stream))
		model_nap();
	pthread_mutex_unlock(&model.lock);
	return NULL;
}

/* ------------------------------------------------------------- the driver */

static void model_visit(void)
{
	pthread_mutex_lock(&model.lock);
	pthread_mutex_unlock(&model.lock);
}

static int model_key(void *stream, uint64_t key[2])
{
	key[0] = 0;
	key[1] = (uintptr_t)stream;
	return 0;
}

static int model_enter(void *stream)
{
	(void)stream;
	model_visit();
	return 0;
}

static int model_call_in(void *stream, void (*fn)(void *arg), void *arg)
{
	void (*hook)(void) = model.on_call;

	if (hook)
		hook();
	model_visit();
	if (model.capturing)
		return -EOPNOTSUPP;
	return model_put(stream, (struct model_op){ .kind = OP_CALL, .fn = fn,
						    .arg = arg });
}

static int model_wait(void *stream, uint32_t *word, uint32_t value)
{
	model_visit();
	if (model.fail_wait && !--model.fail_wait)
		return -EIO;
	return model_put(stream, (struct model_op){ .kind = OP_WAIT,
						    .word = word,
						    .value = value });
}

static int model_sync(void *stream)
{
	atomic_fetch_add(&model.syncs, 1);
	if (model.capturing)
		return -EOPNOTSUPP;
	model_wait_inside(stream);
	return 0;
}

static uint64_t model_word_home(void)
{
	model_visit();
	return model.home;
}

static int model_word_get(uint32_t **word)
{
	model_visit();
	*word = malloc(sizeof(**word));
	if (!*word)
		return -ENOMEM;
	/* As others left it. */
	**word = UINT32_MAX - 3;
	return 0;
}

static int model_word_show(void *stream, uint32_t *word)
{
	(void)stream;
	assert_non_null(word);
	model_visit();
	if (model.capturing)
		return -EOPNOTSUPP;
	return model.no_words ? -ENOMEM : 0;
}

static void model_word_put(uint32_t *word)
{
	model_visit();
	free(word);
}

static int model_error(void)
{
	return 1;
}

static char model_carriers[8];

/* Of the GPU as it was before it was reset, or as it is now. */
static bool model_is_now(const void *carrier)
{
	ptrdiff_t made = (const char *)carrier - model_carriers;

	assert_in_range(made, 0, sizeof(model_carriers) - 1);
	return made == model.resets;
}

/* Boards are as they were left. */
static int model_open_code(unsigned int index, unsigned int nr, void **carrier,
			   struct gpu_board **boards)
{
	model_visit();
	if (model.no_code || index)
		return -ENOSYS;
	assert_int_equal(nr, GPU_BOARDS);
	if (!model.boards) {
		model.boards = aligned_alloc(128, nr * sizeof(**boards));
		assert_non_null(model.boards);
		memset(model.boards, 0, nr * sizeof(**boards));
	}
	*carrier = &model_carriers[model.resets];
	*boards = model.boards;
	return 0;
}

static void model_close_code(void *carrier, bool over)
{
	model_visit();
	model.closed = true;
	model.closed_over = over;
	/* The dock remembers them. */
	if (!over && model_is_now(carrier))
		model.boards = NULL;
}

static inline void model_reset(void)
{
	model.boards = NULL;
	model.resets++;
}

static int model_suits(void *carrier, void *stream, uint64_t *id)
{
	void (*hook)(void) = model.on_suits;

	if (hook)
		hook();
	*id = (uintptr_t)stream;
	assert_true(model_is_now(carrier));
	model_visit();
	return model.unsuited || model.capturing ? -EOPNOTSUPP : 0;
}

static struct fixture fix;

static bool model_reaches(void *carrier, uint64_t addr, uint64_t length)
{
	assert_true(model_is_now(carrier));
	pthread_mutex_lock(&model.lock);
	model.looks++;
	model.looked_addr = addr;
	model.looked_length = length;
	pthread_mutex_unlock(&model.lock);
	return !model.unreachable && addr >= (uintptr_t)fix.gpu &&
	       addr + length <= (uintptr_t)fix.gpu + fix.room;
}

static int model_carry(void *carrier, void *stream, unsigned int board,
		       unsigned int nr, uint32_t value, uint64_t most)
{
	assert_true(model_is_now(carrier));
	model_visit();
	if (model.fail_carry && !--model.fail_carry)
		return -EIO;
	return model_put(stream, (struct model_op){
		.kind = OP_CARRY,
		.board = &model.boards[board],
		.nr = nr,
		.value = value,
		.most = most,
	});
}

static bool model_lost(void *carrier)
{
	model_visit();
	return model.lost || !model_is_now(carrier);
}

static const struct gpu_streams model_table = {
	.key = model_key,
	.enter = model_enter,
	.leave = model_visit,
	.call = model_call_in,
	.wait = model_wait,
	.sync = model_sync,
	.word_home = model_word_home,
	.word_get = model_word_get,
	.word_put = model_word_put,
	.word_show = model_word_show,
	.error = model_error,
	.open = model_open_code,
	.close = model_close_code,
	.suits = model_suits,
	.reaches = model_reaches,
	.carry = model_carry,
	.lost = model_lost,
};

/* The pump is there, and never gets to work. */

static bool model_in_use(unsigned int index)
{
	return !index;
}

static int model_prepare(void)
{
	return 0;
}

static int model_pumps_open(unsigned int index, unsigned int nr, void **pumps)
{
	(void)index;
	(void)nr;
	*pumps = &model;
	return 0;
}

static void model_pumps_close(void *pumps, bool over)
{
	(void)pumps;
	(void)over;
}

static bool model_alive(void *pumps)
{
	(void)pumps;
	return true;
}

static int model_pumps_start(void *pumps, unsigned int pump,
			     struct pump_board *board, uint32_t turn,
			     uint32_t linger_ns, uint32_t life_ns)
{
	(void)pumps;
	(void)pump;
	(void)board;
	(void)turn;
	(void)linger_ns;
	(void)life_ns;
	return -EIO;
}

static const struct gpu_pumps model_pumps = {
	.in_use = model_in_use,
	.prepare = model_prepare,
	.open = model_pumps_open,
	.close = model_pumps_close,
	.start = model_pumps_start,
	.alive = model_alive,
};

/* As lib_fast.h has them, but inside. */

static int model_host_get(unsigned int index, uint64_t length, void **host)
{
	model_visit();
	return fast_host_get(index, length, host);
}

static void model_host_put(unsigned int index, void *host)
{
	model_visit();
	fast_host_put(index, host);
}

static void model_host_lost(void *host)
{
	fast_host_put(0, host);
}

static uint64_t model_context(unsigned int index)
{
	assert_int_equal(index, 0);
	model_visit();
	return model.numbered ? model.resets + 1 : 0;
}

static int model_copies_open(unsigned int index, void **queue)
{
	model_visit();
	return fast_open(index, queue);
}

static int model_copies_start(void *queue, const struct gpu_copy *copies,
			      unsigned int nr, bool out, unsigned int mark)
{
	model_visit();
	return fast_start(queue, copies, nr, out, mark);
}

static int model_copies_poll(void *queue, unsigned int mark)
{
	model_visit();
	return fast_poll(queue, mark);
}

static const struct gpu_copies model_copies = {
	.host_get = model_host_get,
	.host_put = model_host_put,
	.host_lost = model_host_lost,
	.context = model_context,
	.open = model_copies_open,
	.close = fast_close,
	.start = model_copies_start,
	.poll = model_copies_poll,
};

static int model_classify(uint64_t addr, struct gpu_mem *mem)
{
	model_visit();
	memset(mem, 0, sizeof(*mem));
	if (addr - (uintptr_t)fix.gpu >= fix.room)
		return 0;
	mem->kind = GPU_MEM_DEVICE;
	mem->base = (uintptr_t)fix.gpu;
	mem->length = fix.room;
	mem->piece = mem->base;
	mem->piece_length = mem->length;
	mem->id = 1;
	return 0;
}

/* -------------------------------------------------------------- for tests */

static void model_start_streams(void)
{
	for (unsigned int i = 0; i < MODEL_STREAMS; i++) {
		struct model_stream *stream = &model.streams[i];

		stream->put = 0;
		stream->done = 0;
		stream->held = false;
		stream->stalled = false;
		stream->over = false;
		stream->runs = !pthread_create(&stream->thread, NULL,
					       model_run, stream);
		assert_true(stream->runs);
	}
}

static void model_end_streams(void)
{
	for (unsigned int i = 0; i < MODEL_STREAMS; i++) {
		model.streams[i].stalled = false;
		model.streams[i].over = true;
		pthread_join(model.streams[i].thread, NULL);
	}
}

static inline void model_finish(struct model_stream *stream)
{
	stream->held = false;
	while (!model_is_idle(stream))
		model_nap();
}

/* What is in the stream, one letter each. */
static inline const char *model_text(const struct model_stream *stream)
{
	static char text[MODEL_OPS + 1];
	unsigned int i;

	for (i = 0; i < stream->put; i++)
		text[i] = (char)stream->ops[i].kind;
	text[i] = '\0';
	return text;
}

/* ------------------------------------------- the library, a file, memory */

static struct gpu_driver driver;
static CUfileHandle_t fh;
/* That of lib_mock.h; otherwise there is none. */
static bool with_module;

struct args {
	size_t size;
	off_t offset, at;
	ssize_t bytes;
};

static void *give_up(void *unused)
{
	const struct timespec limit = { .tv_sec = 120 };

	(void)unused;
	nanosleep(&limit, NULL);
	fprintf(stderr, "a test hangs\n");
	abort();
}

static CUfileHandle_t handle_of(int fd)
{
	CUfileDescr_t descr = { .type = CU_FILE_HANDLE_TYPE_OPAQUE_FD };
	CUfileHandle_t handle = NULL;

	descr.handle.fd = fd;
	assert_int_equal(cuFileHandleRegister(&handle, &descr).err, 0);
	return handle;
}

static void open_all(uint64_t pinned)
{
	struct engine_pool pool;

	model_start_streams();
	driver = fast_gpu;
	driver.classify = model_classify;
	driver.copies = &model_copies;
	driver.streams = &model_table;
	driver.pumps = &model_pumps;
	gpu_set_driver(&driver);
	mock_open_errno = with_module ? 0 : ENOENT;
	if (with_module)
		mock_model();
	small_pool(256 * KIB, pinned, 4);
	engine_pool_get(&pool);
	assert_int_equal(cuFileDriverOpen().err, 0);
	open_rest(&fix);
	gpu_set_driver(&driver);
	fh = handle_of(fix.file.fd);
}

static int setup(void **state)
{
	mock_setup(state);
	model.capturing = false;
	model.unsuited = false;
	model.unreachable = false;
	model.lost = false;
	model.no_code = false;
	model.no_words = false;
	model.resets = 0;
	model.numbered = false;
	model.fail_wait = 0;
	model.fail_carry = 0;
	model.closed = false;
	model.syncs = 0;
	model.on_call = NULL;
	model.on_suits = NULL;
	model.home = 0;
	open_all(16 * MIB);
	return 0;
}

/* A file and memory of @length bytes in place of those of the fixture. */
static inline void enlarge(uint64_t length)
{
	int fd = mock_file(length);
	uint64_t addr = 0;

	cuFileHandleDeregister(fh);
	engine_file_fini(&fix.file);
	close(fix.file.fd);
	free(fix.bytes);
	mock_gpu_free(0, (uintptr_t)fix.gpu);
	assert_int_equal(mock_gpu_alloc(0, length, &addr), 0);
	fix.gpu = (unsigned char *)(uintptr_t)addr;
	fix.room = length;
	fix.bytes = malloc(length);
	assert_non_null(fix.bytes);
	assert_int_equal(pread(fd, fix.bytes, length, 0), length);
	assert_int_equal(engine_file_init(&fix.file, fd), 0);
	fh = handle_of(fd);
}

static int teardown(void **state)
{
	(void)state;
	while (cuFileUseCount() > 0)
		assert_int_equal(cuFileDriverClose().err, 0);
	model_end_streams();
	close_fixture(&fix);
	free(model.boards);
	model.boards = NULL;
	assert_int_equal(mock_gpu_live, 0);
	gpu_set_driver(NULL);
	return 0;
}

static CUfileError_t submit_of(void *base, struct args *args,
			       struct model_stream *stream, bool write)
{
	args->bytes = -77;
	return write ? cuFileWriteAsync(fh, base, &args->size, &args->offset,
					&args->at, &args->bytes,
					(CUstream)stream) :
		       cuFileReadAsync(fh, base, &args->size, &args->offset,
				       &args->at, &args->bytes,
				       (CUstream)stream);
}

static inline CUfileError_t submit(struct args *args,
				   struct model_stream *stream, bool write)
{
	return submit_of(fix.gpu, args, stream, write);
}

/* Eight MiB of GPU memory, from the file's ninth on. */
static inline CUfileBatchHandle_t submit_batch(void)
{
	CUfileBatchHandle_t batch;
	CUfileIOParams_t io[8];

	memset(io, 0, sizeof(io));
	for (unsigned int i = 0; i < 8; i++) {
		io[i].mode = CUFILE_BATCH;
		io[i].fh = fh;
		io[i].u.batch.devPtr_base = fix.gpu;
		io[i].u.batch.devPtr_offset = (off_t)(i * MIB);
		io[i].u.batch.file_offset = (off_t)((8 + i) * MIB);
		io[i].u.batch.size = MIB;
	}
	assert_int_equal(cuFileBatchIOSetUp(&batch, 8).err, 0);
	assert_int_equal(cuFileBatchIOSubmit(batch, 8, io, 0).err, 0);
	return batch;
}

/* A hang is a failure, too. */
static int run_with_limit(const struct CMUnitTest *tests, size_t nr)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, give_up, NULL))
		return 1;
	pthread_detach(thread);
	return _cmocka_run_group_tests("streams", tests, nr, NULL, NULL);
}

#endif /* STREAM_MODEL_H */
