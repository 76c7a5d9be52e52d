// SPDX-License-Identifier: MIT
/*
 * The random tester: a long series of random operations on one file and one
 * range of GPU memory, against a model of both in host memory.
 *
 * What operation number N does follows from the seed, N, and the size that the
 * model's file has; so a run can be repeated, and begun in the middle: the
 * operations before FSX_FROM are done in the model alone, and then file and GPU
 * memory are set to what the model holds.
 *
 * Environment: FSX_SEED, FSX_OPS, FSX_FROM, FSX_VERBOSE=1 prints each operation.
 */
#include "fsx_state.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEFAULT_OPS	800
#define CHECK_EVERY	1000
#define LIMIT_S		1200

/* ------------------------------------------------------------- the model */

static uint64_t model_read_len(const struct move *m)
{
	if (m->pos >= f.size)
		return 0;
	return m->len < f.size - m->pos ? m->len : f.size - m->pos;
}

static void model_move(const struct move *m, uint64_t done)
{
	if (!m->write) {
		memcpy(f.gpu + m->off, f.file + m->pos, done);
		return;
	}
	memcpy(f.file + m->pos, f.gpu + m->off, done);
	if (m->pos + done > f.size && done)
		f.size = m->pos + done;
}

/* --------------------------------------------------------- what really is */

static struct xfer to_xfer(const struct move *m)
{
	return (struct xfer){
		.dev = f.dev,
		.region = f.region,
		.file = m->pos & 1 ? f.direct : f.fd,
		.region_offset = m->off,
		.file_offset = f.base + m->pos,
		.length = m->len,
	};
}

static void real_gpu(uint64_t off, void *to, uint64_t len)
{
	gpu_get(&f.buf, f.region_at + off, to, len);
}

static void check_gpu(uint64_t off, uint64_t len)
{
	uint64_t start = off > BESIDE ? off - BESIDE : 0;
	uint64_t end = off + len + BESIDE < GPU_SIZE ? off + len + BESIDE :
						      GPU_SIZE;

	real_gpu(start, f.scratch, end - start);
	need_same("GPU memory", start, f.scratch, f.gpu + start, end - start);
}

static void check_guards(void)
{
	static uint8_t poison[GUARD];

	memset(poison, POISON, GUARD);
	gpu_get(&f.buf, 0, f.scratch, GUARD);
	need_same("GPU memory before the region", 0, f.scratch, poison, GUARD);
	gpu_get(&f.buf, GUARD + GPU_SIZE, f.scratch, GUARD);
	need_same("GPU memory behind the region", 0, f.scratch, poison, GUARD);
}

/* Through the page cache or past it, and its neighbourhood as well. */
static void check_file(uint64_t pos, uint64_t len, bool direct)
{
	uint64_t start = down(pos > BESIDE ? pos - BESIDE : 0, BLOCK);
	uint64_t end = down(pos + len + BESIDE + BLOCK - 1, BLOCK);
	uint64_t want;
	ssize_t got;

	/* On xfs the kernel may say EIO of what lies behind the end: align.c */
	if (direct && !f.block && end > down(f.size + BLOCK - 1, BLOCK))
		end = down(f.size + BLOCK - 1, BLOCK);
	if (end > FILE_MAX)
		end = FILE_MAX;
	if (end <= start)
		return;
	want = start >= f.size ? 0 :
	       (end < f.size ? end : f.size) - start;
	got = pread(direct ? f.direct : f.fd, f.scratch, end - start,
		    (off_t)(f.base + start));
	if (f.block)
		want = end - start;
	if (got < 0 || (uint64_t)got != want)
		broken("pread of 0x%llx bytes at 0x%llx: %zd, not 0x%llx",
		       (unsigned long long)(end - start),
		       (unsigned long long)start, got,
		       (unsigned long long)want);
	need_same(direct ? "the file on the drive" : "the file", start,
		  f.scratch, f.file + start, want);
}

static void check_size(void)
{
	struct stat st;

	NEED(!fstat(f.fd, &st));
	if (!f.block && (uint64_t)st.st_size != f.size)
		broken("the file has 0x%llx bytes, not 0x%llx",
		       (unsigned long long)st.st_size,
		       (unsigned long long)f.size);
}

static void check_all(void)
{
	check_size();
	check_file(0, FILE_MAX, false);
	check_file(0, FILE_MAX, true);
	check_gpu(0, GPU_SIZE);
	check_guards();
}

/*
 * A READ that ends early at the end of the file may have left anything in what
 * it did not move; take that as it is.
 */
static void adopt_tail(const struct move *m, uint64_t done)
{
	if (!m->write && done < m->len)
		real_gpu(m->off + done, f.gpu + m->off + done, m->len - done);
}

/* ------------------------------------------------------- NVFS operations */

static void expect_refusal(const struct move *m, int ret, int error,
			   const struct nvfs_rw *rw)
{
	NEED(ret == -1 && error == EREMOTEIO);
	NEED(rw->done == 0 && rw->route == NVFS_ROUTE_NONE);
	NEED(rw->reason == (f.near || m->flags ? NVFS_REASON_ALIGN :
						 NVFS_REASON_QUEUE));
	check_gpu(m->off, m->len);
	if (m->write)
		check_file(m->pos, m->len, false);
}

static void expect_route(const struct move *m, uint64_t done, uint32_t route,
			 uint32_t reason)
{
	uint32_t want = want_route(m, done);

	if (route != want)
		broken("route %u, not %u (reason %u, 0x%llx done)", route, want,
		       reason, (unsigned long long)done);
	if (want == NVFS_ROUTE_BOUNCE || want == NVFS_ROUTE_MIXED)
		NEED(reason == (f.near ? NVFS_REASON_ALIGN :
					 NVFS_REASON_QUEUE));
}

static void say_move(const char *what, const struct move *m)
{
	say("%s %s gpu 0x%llx file 0x%llx len 0x%llx%s size 0x%llx", what,
	    m->write ? "write" : "read", (unsigned long long)m->off,
	    (unsigned long long)m->pos, (unsigned long long)m->len,
	    m->flags ? " bounce" : "", (unsigned long long)f.size);
}

static void op_move(bool write)
{
	struct nvfs_rw rw;
	struct xfer x;
	struct move m;
	uint64_t done;
	bool refuse;
	int ret;

	m.write = write;
	pick_move(&m, 0, FILE_MAX, 0, GPU_SIZE);
	say_move("nvfs", &m);
	refuse = is_refused(&m);
	done = refuse ? 0 : write ? m.len : model_read_len(&m);
	x = to_xfer(&m);
	if (live()) {
		ret = nv_rw_as(&x, write, m.flags, &rw);
		if (refuse) {
			expect_refusal(&m, ret, errno, &rw);
			return;
		}
		NEED(ret == 0);
		if (rw.done != done)
			broken("0x%llx done, not 0x%llx",
			       (unsigned long long)rw.done,
			       (unsigned long long)done);
		expect_route(&m, done, rw.route, rw.reason);
		adopt_tail(&m, done);
	}
	model_move(&m, done);
	if (!live())
		return;
	check_size();
	check_gpu(m.off, m.len);
	if (write)
		check_file(m.pos, m.len, one_in(2));
}

static void op_read(void)
{
	op_move(false);
}

static void op_write(void)
{
	op_move(true);
}

/* A hole that is reported has to be one; its GPU memory stays. */
static void take_holes(const struct move *m, const struct nvfs_hole *hole,
		       uint32_t nr, uint64_t done)
{
	uint64_t at = m->pos, start, i;

	for (i = 0; i < nr; i++) {
		start = hole[i].file_offset - f.base;
		NEED(start >= at && hole[i].length);
		NEED(i == 0 || start > at);	/* neighbours are merged */
		NEED(start + hole[i].length <= m->pos + done);
		for (; at < start; at++)
			f.gpu[m->off + at - m->pos] = f.file[at];
		for (; at < start + hole[i].length; at++)
			NEED(f.file[at] == 0);
	}
	for (; at < m->pos + done; at++)
		f.gpu[m->off + at - m->pos] = f.file[at];
}

/* One call of a series; how far it got. */
static uint64_t read_holes_once(const struct move *m, uint32_t max)
{
	struct nvfs_hole hole[HOLES_MAX];
	struct xfer x = to_xfer(m);
	struct nvfs_rw rw;
	int ret = nv_read_holes(&x, m->flags, hole, max, &rw);

	if (is_refused(m)) {
		expect_refusal(m, ret, errno, &rw);
		return m->len;
	}
	NEED(ret == 0);
	NEED(rw.nr_holes <= max);
	NEED(rw.done <= model_read_len(m));
	if (rw.done < model_read_len(m) && rw.nr_holes < max)
		broken("ends at 0x%llx of 0x%llx with %u of %u holes",
		       (unsigned long long)rw.done,
		       (unsigned long long)model_read_len(m), rw.nr_holes, max);
	take_holes(m, hole, rw.nr_holes, rw.done);
	adopt_tail(m, rw.done);
	check_gpu(m->off, m->len);
	return rw.done ? rw.done : m->len;
}

static void op_read_holes(void)
{
	uint32_t max = 1 + (uint32_t)below(HOLES_MAX);
	struct move m;
	uint64_t n;

	m.write = false;
	pick_move(&m, 0, FILE_MAX, 0, GPU_SIZE);
	say_move("report", &m);
	if (!live()) {
		if (!is_refused(&m))
			model_move(&m, model_read_len(&m));
		return;
	}
	while (m.len) {
		n = read_holes_once(&m, max);
		m.pos += n;
		m.off += n;
		m.len -= n;
		/* the continuation may begin where a file ends inside a block */
		if (needs_bounce(&m))
			m.flags = NVFS_RW_BOUNCE;
	}
}

/*
 * The requests of a batch may not meddle with each other, because nobody says
 * which comes first: writes are to different parts of the file, reads to
 * different parts of GPU memory, and if there are both, all to different halves.
 */
static void pick_batch(struct move *m, uint32_t nr)
{
	bool mixed = one_in(3), write = one_in(2);
	static const uint64_t units[] = { 1, 512, BLOCK };
	uint64_t unit = units[below(3)], half = FILE_MAX / 2;
	uint64_t top = f.size < half ? down(f.size, BLOCK) : half;
	uint64_t step = down((mixed ? half : FILE_MAX) / nr, unit);
	uint32_t i;

	for (i = 0; i < nr; i++) {
		m[i].write = mixed ? one_in(2) : write;
		if (!mixed && write)
			pick_move(&m[i], i * step, (i + 1) * step, 0, GPU_SIZE);
		else if (!mixed)
			pick_move(&m[i], 0, FILE_MAX, i * step, (i + 1) * step);
		else if (m[i].write)
			pick_move(&m[i], half + i * step, half + (i + 1) * step,
				  0, GPU_SIZE / 2);
		else
			pick_move(&m[i], 0, top, GPU_SIZE / 2 + i * step,
				  GPU_SIZE / 2 + (i + 1) * step);
		if (needs_bounce(&m[i]) && !one_in(100))
			m[i].flags = NVFS_RW_BOUNCE;
	}
}

static void take_event(const struct nvfs_event *e, struct move *m, uint32_t nr,
		       uint64_t *done)
{
	uint64_t i = e->user_data - 1;

	NEED(e->user_data >= 1 && e->user_data <= nr);
	NEED(done[i] == UINT64_MAX);	/* each exactly once */
	if (e->error)
		broken("request %llu (%s gpu 0x%llx file 0x%llx len 0x%llx): %s",
		       (unsigned long long)i, m[i].write ? "write" : "read",
		       (unsigned long long)m[i].off,
		       (unsigned long long)m[i].pos,
		       (unsigned long long)m[i].len, strerror((int)e->error));
	done[i] = e->done;
	expect_route(&m[i], e->done, e->route, e->reason);
}

/* Moves the batch; false when it was, rightly, refused. */
static bool real_batch(struct move *m, uint32_t nr, uint64_t *done)
{
	struct nvfs_request req[BATCH_MAX];
	struct nvfs_event event[BATCH_MAX];
	struct nvfs_batch_submit out;
	uint32_t i, wrong = nr;
	int ret;

	for (i = nr; i--; ) {
		struct xfer x = to_xfer(&m[i]);

		req[i] = nv_request(&x, m[i].write ? NVFS_OP_WRITE :
				    NVFS_OP_READ, m[i].flags, i + 1);
		done[i] = UINT64_MAX;
		if (is_refused(&m[i]))
			wrong = i;
	}
	ret = batch_submit(f.dev, f.batch, req, nr, &out);
	if (wrong < nr) {
		NEED(ret == -1 && errno == EREMOTEIO && out.wrong == wrong);
		return false;
	}
	NEED(ret == 0);
	batch_reap_all(f.dev, f.batch, event, nr, 60);
	for (i = 0; i < nr; i++)
		take_event(&event[i], m, nr, done);
	return true;
}

static bool model_refuses(const struct move *m, uint32_t nr)
{
	uint32_t i;

	for (i = 0; i < nr; i++)
		if (is_refused(&m[i]))
			return true;
	return false;
}

static void say_batch(const struct move *m, uint32_t nr)
{
	char text[1200] = "";
	size_t n = 0;
	uint32_t i;

	say("batch of %u size 0x%llx", nr, (unsigned long long)f.size);
	for (i = 0; i < nr && n < sizeof(text); i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n,
				      " %s(0x%llx 0x%llx 0x%llx)%s",
				      m[i].write ? "write" : "read",
				      (unsigned long long)m[i].off,
				      (unsigned long long)m[i].pos,
				      (unsigned long long)m[i].len,
				      m[i].flags ? "b" : "");
	if (f.verbose && live())
		harness_note("%s", text);
}

static void op_batch(void)
{
	uint32_t nr = 1 + (uint32_t)below(BATCH_MAX), i;
	uint64_t done[BATCH_MAX], want[BATCH_MAX], size = f.size;
	struct move m[BATCH_MAX];

	pick_batch(m, nr);
	say_batch(m, nr);
	if (live() ? !real_batch(m, nr, done) : model_refuses(m, nr))
		return;
	for (i = 0; i < nr; i++)
		want[i] = m[i].write ? m[i].len : model_read_len(&m[i]);
	for (i = 0; i < nr; i++) {
		/* a read sees the size before or after some write */
		if (live() && done[i] != want[i])
			broken("request %u: 0x%llx done, not 0x%llx", i,
			       (unsigned long long)done[i],
			       (unsigned long long)want[i]);
		model_move(&m[i], want[i]);
		if (live())
			adopt_tail(&m[i], want[i]);
	}
	NEED(f.size >= size);
	if (!live())
		return;
	check_size();
	for (i = 0; i < nr; i++) {
		check_gpu(m[i].off, m[i].len);
		if (m[i].write)
			check_file(m[i].pos, m[i].len, one_in(2));
	}
}

/* ----------------------------------------------------- others at the file */

static void fill_random(uint8_t *to, uint64_t n)
{
	pattern_fill(to, n, f.seed + (uint64_t)f.op, 0);
}

static void pick_range(uint64_t *pos, uint64_t *len, uint64_t max,
		       uint64_t align)
{
	*len = pick_len(max);
	*pos = below(max - *len + 1);
	*pos = down(*pos, align);
	*len = *len < align ? align : down(*len, align);
}

static void op_pwrite(void)
{
	bool direct = one_in(2);
	uint64_t pos, len;

	pick_range(&pos, &len, FILE_MAX, direct ? 512 : 1);
	say("%s pwrite 0x%llx len 0x%llx", direct ? "direct" : "buffered",
	    (unsigned long long)pos, (unsigned long long)len);
	fill_random(f.file + pos, len);
	if (pos + len > f.size)
		f.size = pos + len;
	if (!live())
		return;
	memcpy(f.scratch, f.file + pos, len);
	NEED(pwrite(direct ? f.direct : f.fd, f.scratch, len,
		    (off_t)(f.base + pos)) == (ssize_t)len);
}

static void op_store(void)
{
	uint64_t pos, len;

	if (!f.size)
		return;
	pick_range(&pos, &len, f.size, 1);
	say("store 0x%llx len 0x%llx", (unsigned long long)pos,
	    (unsigned long long)len);
	fill_random(f.file + pos, len);
	if (live())
		memcpy(f.map + pos, f.file + pos, len);
}

static void op_load(void)
{
	uint64_t pos, len;

	if (!f.size)
		return;
	pick_range(&pos, &len, f.size, 1);
	say("load 0x%llx len 0x%llx", (unsigned long long)pos,
	    (unsigned long long)len);
	if (live())
		need_same("the mapped file", pos, f.map + pos, f.file + pos,
			  len);
}

static void op_pread(void)
{
	bool direct = one_in(2);
	uint64_t pos, len;

	pick_range(&pos, &len, FILE_MAX, 1);
	say("%s pread 0x%llx len 0x%llx", direct ? "direct" : "buffered",
	    (unsigned long long)pos, (unsigned long long)len);
	if (live())
		check_file(pos, len, direct);
}

static void op_truncate(void)
{
	uint64_t size = below(FILE_MAX + 1);

	if (f.block)
		return;
	if (one_in(3))
		size = down(size, BLOCK);
	say("truncate to 0x%llx from 0x%llx", (unsigned long long)size,
	    (unsigned long long)f.size);
	memset(f.file + size, 0, FILE_MAX - size);
	f.size = size;
	if (live())
		NEED(!ftruncate(f.fd, (off_t)size));
}

static void op_fallocate(void)
{
	static const int modes[] = {
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		FALLOC_FL_ZERO_RANGE, FALLOC_FL_KEEP_SIZE, 0,
		FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
	};
	int mode = modes[below(sizeof(modes) / sizeof(modes[0]))];
	bool zero = mode & (FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE);
	uint64_t pos, len;

	if (f.block)
		return;
	pick_range(&pos, &len, FILE_MAX, one_in(2) ? 1 : BLOCK);
	if (!len)
		return;
	if (pos + len > FILE_MAX)
		pos = FILE_MAX - len;
	say("fallocate 0x%x 0x%llx len 0x%llx size 0x%llx", (unsigned int)mode,
	    (unsigned long long)pos, (unsigned long long)len,
	    (unsigned long long)f.size);
	if (zero)
		memset(f.file + pos, 0, len);
	if (!(mode & FALLOC_FL_KEEP_SIZE) && pos + len > f.size)
		f.size = pos + len;
	if (live())
		NEED(!fallocate(f.fd, mode, (off_t)pos, (off_t)len));
}

static void op_sync(void)
{
	say("fsync");
	if (live())
		NEED(!(one_in(2) ? fsync(f.fd) : fdatasync(f.fd)));
}

static void op_drop(void)
{
	say("drop the cache");
	if (!live())
		return;
	if (one_in(2))
		NEED(!fdatasync(f.fd));
	NEED(!posix_fadvise(f.fd, 0, 0, POSIX_FADV_DONTNEED));
}

/* ------------------------------------------------------- others at the GPU */

static void op_scribble(void)
{
	uint64_t off, len;

	pick_range(&off, &len, GPU_SIZE, 1);
	say("scribble gpu 0x%llx len 0x%llx", (unsigned long long)off,
	    (unsigned long long)len);
	fill_random(f.gpu + off, len);
	if (live())
		gpu_put(&f.buf, f.region_at + off, f.gpu + off, len);
}

static void make_region(void)
{
	struct nvfs_register reg;

	gpu_alloc(&f.buf, 0, GPU_SIZE + 2 * GUARD, f.scatter);
	gpu_fill(&f.buf, POISON);
	f.region_at = GUARD;
	gpu_put(&f.buf, f.region_at, f.gpu, GPU_SIZE);
	NEED(!nv_register(f.dev, f.buf.va + f.region_at, GPU_SIZE, &reg));
	f.region = reg.region;
}

static void op_register(void)
{
	f.scatter = one_in(2);
	say("register again, %s", f.scatter ? "scattered" : "contiguous");
	if (!live())
		return;
	check_guards();
	NEED(!nv_unregister(f.dev, f.region));
	gpu_free(&f.buf);
	make_region();
}

/* ---------------------------------------------------------------- the run */

static const struct {
	unsigned int weight;
	void (*run)(void);
} ops[] = {
	{ 16, op_read }, { 16, op_write }, { 10, op_batch },
	{ 6, op_read_holes }, { 9, op_pwrite }, { 6, op_store }, { 3, op_load },
	{ 4, op_pread }, { 6, op_truncate }, { 9, op_fallocate }, { 2, op_sync },
	{ 4, op_drop }, { 4, op_scribble }, { 1, op_register },
};

#define OPS	(sizeof(ops) / sizeof(ops[0]))

static void run_op(void)
{
	unsigned int total = 0, i, pick;

	f.random = f.seed * 0x9e3779b97f4a7c15ULL + (uint64_t)f.op;
	random_next(&f.random);
	for (i = 0; i < OPS; i++)
		total += ops[i].weight;
	pick = (unsigned int)below(total);
	for (i = 0; pick >= ops[i].weight; i++)
		pick -= ops[i].weight;
	f.text[f.op % LAST_OPS][0] = '\0';
	ops[i].run();
}

static long env_number(const char *name, long otherwise)
{
	const char *text = getenv(name);

	return text && text[0] ? strtol(text, NULL, 0) : otherwise;
}

static void open_file(const char *path)
{
	f.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	f.direct = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
	if (f.fd < 0 || f.direct < 0)
		FAIL("%s: %s", path, strerror(errno));
	if (!f.block)
		ASSERT_EQ(unlink(path), 0);
	f.map = mmap(NULL, FILE_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, f.fd,
		     (off_t)f.base);
	ASSERT_TRUE(f.map != MAP_FAILED);
}

static void open_all(const char *path, uint64_t base, bool block, bool near)
{
	memset(&f, 0, sizeof(f));
	f.block = block;
	f.near = near;
	f.base = base;
	f.size = block ? FILE_MAX : 0;
	f.file = xmalloc(FILE_MAX);
	f.gpu = xmalloc(GPU_SIZE);
	ASSERT_EQ(posix_memalign((void **)&f.scratch, BLOCK,
				 FILE_MAX + BLOCK), 0);
	memset(f.file, 0, FILE_MAX);
	pattern_fill(f.gpu, GPU_SIZE, 77, 0);
	f.dev = nv_open();
	open_file(path);
	f.batch = batch_make(f.dev, BATCH_MAX);
}

/* File and GPU memory become what the model says. */
static void make_real(void)
{
	struct nvfs_query q;

	if (!f.block)
		ASSERT_EQ(ftruncate(f.fd, (off_t)f.size), 0);
	ASSERT_EQ(pwrite(f.fd, f.file, f.size, (off_t)f.base), f.size);
	ASSERT_EQ(fsync(f.fd), 0);
	make_region();
	ASSERT_EQ(nv_query(f.dev, f.region, f.fd, &q), 0);
	ASSERT_EQ(q.route, f.near ? NVFS_ROUTE_DIRECT : NVFS_ROUTE_BOUNCE);
	f.offset_align = q.offset_align;
	/* of xfs QUERY tells what writes need; the lab's drives have 512 */
	f.read_align = q.offset_align < 512 ? q.offset_align : 512;
	f.mem_align = q.mem_align;
}

/* The alignments do not depend on what is in file or region. */
static void ask_alignment(void)
{
	make_real();
	ASSERT_EQ(nv_unregister(f.dev, f.region), 0);
	gpu_free(&f.buf);
}

static void fsx(const char *path, uint64_t base, bool block, bool near)
{
	long nr = env_number("FSX_OPS", DEFAULT_OPS);
	double start;

	open_all(path, base, block, near);
	f.seed = (uint64_t)env_number("FSX_SEED", 1);
	f.from = env_number("FSX_FROM", 0);
	f.verbose = env_number("FSX_VERBOSE", 0);
	ask_alignment();
	for (f.op = 0; f.op < f.from; f.op++)
		run_op();
	make_real();
	check_all();
	start = harness_now();
	for (; f.op < nr; f.op++) {
		run_op();
		if (f.op % CHECK_EVERY == CHECK_EVERY - 1)
			check_all();
	}
	f.op--;
	check_all();
	harness_note("seed %llu: %ld operations, %.0f a second",
		     (unsigned long long)f.seed, nr - f.from,
		     (double)(nr - f.from) / (harness_now() - start));
}

static void fsx_target(enum target target)
{
	bool block = target == DISK || target == PART;
	char path[300];

	fix_path(target, path, sizeof(path));
	fsx(path, target_base(target), block, true);
}

TEST_OF(ext4, LIMIT_S, fsx_target(EXT4))
TEST_OF(xfs, LIMIT_S, fsx_target(XFS))
TEST_OF(raw_nvme, LIMIT_S, fsx_target(PART))
TEST_OF(raw_virtio, LIMIT_S, fsx(vblk_part(), 0, true, false))

TEST_LIMIT(ext4_on_virtio, LIMIT_S)
{
	char path[300];

	snprintf(path, sizeof(path), "%s/fsx", vblk_ext4());
	fsx(path, 0, false, false);
}
