// SPDX-License-Identifier: MIT
/* What a thread of nvfs bench does. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "bench_run.h"
#include "tool.h"

static const struct bench_opts *opts_of(const struct bench_worker *worker)
{
	return &worker->crew->bench->opts;
}

void bench_fail(struct bench_crew *crew, int error, uint64_t at)
{
	pthread_mutex_lock(&crew->lock);
	if (!crew->failed) {
		crew->failed = true;
		crew->result->error = error;
		crew->result->error_at = at;
	}
	pthread_mutex_unlock(&crew->lock);
	atomic_store(&crew->stop, true);
}

static void tell_difference(struct bench_worker *worker,
			    const struct bench_diff *diff)
{
	struct bench_crew *crew = worker->crew;

	pthread_mutex_lock(&crew->lock);
	if (!crew->failed) {
		crew->failed = true;
		crew->result->differs = true;
		crew->result->diff = *diff;
	}
	pthread_mutex_unlock(&crew->lock);
	atomic_store(&crew->stop, true);
}

static bool is_over(struct bench_worker *worker)
{
	struct bench_crew *crew = worker->crew;
	uint64_t until = atomic_load(&crew->until_ns);

	if (atomic_load(&crew->stop))
		return true;
	if (until)
		return now_ns() >= until;
	if (!worker->left)
		return true;
	worker->left--;
	return false;
}

/* What is to be written is put where it is read from, by the GPU's copy engine. */
static int put_bytes(const struct bench *bench, uint64_t at, const void *from,
		     uint64_t length)
{
	if (!bench->host)
		return nvfs_buf_copy_in(bench->buf, at, from, length);
	memcpy(bench->host + at, from, length);
	return 0;
}

static int get_bytes(const struct bench *bench, uint64_t at, void *to,
		     uint64_t length)
{
	if (!bench->host)
		return nvfs_buf_copy_out(bench->buf, at, to, length);
	memcpy(to, bench->host + at, length);
	return 0;
}

bool bench_prepare(struct bench_worker *worker, struct bench_slot *slot)
{
	struct bench_crew *crew = worker->crew;
	const struct bench_file *file = worker->file;
	struct engine_req *req = &slot->req;
	uint64_t at;
	int ret;

	if (is_over(worker))
		return false;
	at = (worker->first + bench_walk_step(&worker->walk)) * crew->block;
	req->length = file->length - at < crew->block ? file->length - at :
							crew->block;
	req->file_offset = file->offset + at;
	if (!req->write || !opts_of(worker)->verify)
		return true;
	bench_pattern(worker->scratch, req->file_offset, req->length,
		      opts_of(worker)->seed);
	ret = put_bytes(crew->bench, slot->buf_offset, worker->scratch,
			req->length);
	if (ret)
		bench_fail(crew, ret, req->file_offset);
	return !ret;
}

/* The GPU's bytes, fetched by its copy engine. */
static void check_read(struct bench_worker *worker, struct bench_slot *slot)
{
	const struct engine_req *req = &slot->req;
	struct bench_diff diff;
	int ret = get_bytes(worker->crew->bench, slot->buf_offset,
			    worker->scratch, req->done);

	if (ret) {
		bench_fail(worker->crew, ret, req->file_offset);
		return;
	}
	if (!bench_pattern_holds(worker->scratch, req->file_offset, req->done,
				 opts_of(worker)->seed, &diff))
		tell_difference(worker, &diff);
	else
		worker->checked += req->done;
}

void bench_settle(struct bench_worker *worker, struct bench_slot *slot)
{
	const struct engine_req *req = &slot->req;

	worker->bytes += req->done;
	worker->direct += req->direct;
	worker->bounce += req->done - req->direct;
	atomic_fetch_add(&worker->crew->moved, req->done);
	if (req->reason && !worker->reason)
		worker->reason = req->reason;
	if (req->error || req->done < req->length) {
		/* Short without an error: somebody made the file shorter. */
		bench_fail(worker->crew, req->error ? req->error : -ENODATA,
			   req->file_offset + req->done);
		return;
	}
	worker->ops++;
	bench_hist_add(&worker->hist, slot->ended - slot->began);
	/* What was there before must not pass for what is read next time. */
	if (opts_of(worker)->verify && !req->write)
		check_read(worker, slot);
}

static void work_one_by_one(struct bench_worker *worker)
{
	struct bench_slot *slot = &worker->slots[0];

	while (bench_prepare(worker, slot)) {
		slot->began = now_ns();
		engine_run(&slot->req);
		slot->ended = now_ns();
		bench_settle(worker, slot);
	}
}

static void batch_ended(struct engine_req *req)
{
	struct bench_slot *slot = req->user;

	slot->ended = now_ns();
	sem_post(&slot->worker->ended);
}

static void wait_for(sem_t *sem)
{
	while (sem_wait(sem) && errno == EINTR)
		;
}

static void work_in_batches(struct bench_worker *worker)
{
	unsigned int depth = opts_of(worker)->depth, nr;
	struct engine_req *reqs[BENCH_MAX_DEPTH];

	do {
		uint64_t now;
		int ret;

		for (nr = 0; nr < depth; nr++) {
			struct bench_slot *slot = &worker->slots[nr];

			if (!bench_prepare(worker, slot))
				break;
			slot->req.complete = batch_ended;
			slot->req.user = slot;
			reqs[nr] = &slot->req;
		}
		if (!nr)
			return;
		now = now_ns();
		for (unsigned int i = 0; i < nr; i++)
			worker->slots[i].began = now;
		ret = engine_submit(reqs, nr);
		if (ret) {
			bench_fail(worker->crew, ret, reqs[0]->file_offset);
			return;
		}
		for (unsigned int i = 0; i < nr; i++)
			wait_for(&worker->ended);
		for (unsigned int i = 0; i < nr; i++)
			bench_settle(worker, &worker->slots[i]);
	} while (nr == depth);
}

void bench_work(struct bench_worker *worker)
{
	switch (opts_of(worker)->mode) {
	case BENCH_SYNC:
		work_one_by_one(worker);
		break;
	case BENCH_BATCH:
		work_in_batches(worker);
		break;
	case BENCH_STREAM:
		bench_work_in_stream(worker);
		break;
	}
}

static int read_all(int fd, unsigned char *to, uint64_t at, uint64_t length)
{
	while (length) {
		ssize_t n = pread(fd, to, length, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		to += n;
		at += (uint64_t)n;
		length -= (uint64_t)n;
	}
	return 0;
}

void bench_check_written(struct bench_worker *worker)
{
	uint64_t written = worker->ops, block = worker->crew->block;
	const struct bench_file *file = worker->file;
	struct bench_walk walk = worker->walk;

	/* The way that was gone, once more: its first steps met all of them. */
	walk.next = 0;
	if (written > walk.blocks)
		written = walk.blocks;
	while (written-- && !atomic_load(&worker->crew->stop)) {
		uint64_t at = (worker->first + bench_walk_step(&walk)) * block;
		uint64_t n = file->length - at < block ? file->length - at :
							 block;
		struct bench_diff diff;
		int ret = read_all(file->plain, worker->scratch,
				   file->offset + at, n);

		if (ret)
			bench_fail(worker->crew, ret, file->offset + at);
		else if (!bench_pattern_holds(worker->scratch,
					      file->offset + at, n,
					      opts_of(worker)->seed, &diff))
			tell_difference(worker, &diff);
		else
			worker->checked += n;
	}
}
