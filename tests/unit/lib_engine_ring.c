// SPDX-License-Identifier: MIT
/*
 * Reads by io_uring.  The mock's files pass for open with O_DIRECT, so that all of
 * this runs on any machine; one test has a real one where there is one.
 */
#include "lib_engine_fix.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define MANY	300U

static _Atomic unsigned int ended;

static void count_end(struct engine_req *req)
{
	(void)req;
	atomic_fetch_add(&ended, 1);
}

static bool no_ring(void)
{
	struct ring *ring;
	void *host;

	ring_refuse(0);
	assert_int_equal(posix_memalign(&host, 4096, 65536), 0);
	ring = ring_open(host, 65536);
	ring_close(ring);
	free(host);
	return !ring;
}

static void open_direct(struct fixture *f, bool ring)
{
	open_fixture(f);
	ring_refuse(ring ? 0 : -EPERM);
	file_direct = f->file.fd;
	assert_int_equal(engine_file_init(&f->file, f->file.fd), 0);
	file_calls = 0;
}

static void assert_read(struct fixture *f, uint64_t offset, uint64_t at,
			uint64_t length)
{
	struct engine_req req = request(f, offset, at, length, false);
	uint64_t have = offset < FILE_BYTES ? FILE_BYTES - offset : 0;
	uint64_t good = length < have ? length : have;

	memset(f->gpu, 0xaa, f->room);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, good);
	assert_memory_equal(f->gpu + at, f->bytes + offset, good);
	for (uint64_t i = 0; i < at; i++)
		assert_int_equal(f->gpu[i], 0xaa);
	for (uint64_t i = at + good; i < f->room; i++)
		assert_int_equal(f->gpu[i], 0xaa);
}

/* Nothing reads from this pipe but the ring, and nobody waits for it. */
static void one_thread_has_many_reads_in_flight(void **state)
{
	struct ring_read reads[RING_DEPTH];
	struct ring *ring;
	char *host, word[RING_DEPTH];
	int fds[2];

	(void)state;
	if (no_ring())
		skip();
	assert_int_equal(posix_memalign((void **)&host, 4096, 65536), 0);
	assert_int_equal(pipe(fds), 0);
	ring = ring_open(host, 65536);
	assert_non_null(ring);
	assert_int_equal(ring_error(), 0);
	for (unsigned int i = 0; i < RING_DEPTH; i++) {
		reads[i] = (struct ring_read){
			.fd = fds[0], .host = host + i, .length = 1,
		};
		ring_add(ring, &reads[i]);
	}
	ring_submit(ring);
	for (unsigned int i = 0; i < RING_DEPTH; i++)
		assert_true(reads[i].busy);
	memset(word, 'x', sizeof(word));
	assert_int_equal(write(fds[1], word, sizeof(word)), sizeof(word));
	for (unsigned int i = RING_DEPTH; i--;) {
		ring_wait(ring, &reads[i]);
		assert_false(reads[i].busy);
		assert_int_equal(reads[i].result, 1);
	}
	assert_memory_equal(host, word, sizeof(word));
	reads[0].fd = -1;
	ring_add(ring, &reads[0]);
	ring_wait(ring, &reads[0]);
	assert_int_equal(reads[0].result, -EBADF);
	ring_close(ring);
	close(fds[0]);
	close(fds[1]);
	free(host);
}

static void large_reads_at_any_size_and_alignment(void **state)
{
	static const uint64_t sizes[] = { 0, 1, 4096, 262144, 300001, MIB + 1,
					  2 * MIB, 3 * MIB + 4321, 4 * MIB };
	struct fixture f;

	(void)state;
	if (no_ring())
		skip();
	open_direct(&f, true);
	for (unsigned int i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		assert_read(&f, 0, 0, sizes[i]);
		if (sizes[i] < 4 * MIB)
			assert_read(&f, 4099, 13, sizes[i]);
		assert_read(&f, 8192, 0, sizes[i]);
	}
	close_fixture(&f);
}

/* The file is read by nothing but the ring. */
static void large_reads_are_the_rings(void **state)
{
	struct fixture f;

	(void)state;
	if (no_ring())
		skip();
	open_direct(&f, true);
	assert_read(&f, 4096, 0, 2 * MIB);
	assert_int_equal(file_calls, 0);
	/* One call is enough for a small one. */
	assert_read(&f, 4096, 0, 4096);
	assert_int_equal(file_calls, 1);
	close_fixture(&f);
	/* Without it somebody else must. */
	open_direct(&f, false);
	assert_read(&f, 4096, 0, 2 * MIB);
	assert_true(file_calls > 0);
	close_fixture(&f);
}

/* How many copies a read takes, of which each is what was read in one go. */
static unsigned int pieces(struct fixture *f, uint64_t length)
{
	fast_copies = 0;
	file_calls = 0;
	assert_read(f, 4096, 0, length);
	return fast_copies;
}

static void open_drive(struct fixture *f, uint64_t slot, bool ring)
{
	mock_open_errno = ENOENT;
	small_pool(slot, 4 * slot, 4);
	open_rest(f);
	ring_refuse(ring ? 0 : -EPERM);
	file_direct = f->file.fd;
	assert_int_equal(engine_file_init(&f->file, f->file.fd), 0);
}

/* Small ones make a drive slow, and threads that wait for it are of no use. */
static void a_drive_is_asked_for_large_pieces(void **state)
{
	struct fixture f;

	(void)state;
	open_drive(&f, 4 * MIB, false);
	/* That there is none is found by trying. */
	assert_int_equal(pieces(&f, 2 * MIB), 2);
	assert_int_equal(pieces(&f, 64 * KIB), 1);
	assert_int_equal(pieces(&f, 256 * KIB), 1);
	assert_int_equal(pieces(&f, MIB), 1);
	assert_int_equal(file_calls, 1);
	assert_int_equal(pieces(&f, 2 * MIB), 2);
	close_fixture(&f);
	/* Of which two are in a buffer. */
	open_drive(&f, 256 * KIB, false);
	pieces(&f, 2 * MIB);
	assert_int_equal(pieces(&f, 2 * MIB), 16);
	assert_int_equal(pieces(&f, MIB), 8);
	close_fixture(&f);
	if (no_ring())
		skip();
	open_drive(&f, 4 * MIB, true);
	assert_int_equal(pieces(&f, 64 * KIB), 1);
	assert_int_equal(pieces(&f, 256 * KIB), 1);
	/* One call is enough. */
	assert_int_equal(file_calls, 1);
	assert_int_equal(pieces(&f, MIB), 2);
	assert_int_equal(pieces(&f, 2 * MIB), 2);
	assert_int_equal(pieces(&f, 3 * MIB), 3);
	assert_int_equal(file_calls, 0);
	close_fixture(&f);
}

static void batch(struct fixture *f, bool aligned)
{
	static struct engine_req reqs[MANY], *all[MANY];

	memset(f->gpu, 0xaa, f->room);
	ended = 0;
	for (unsigned int i = 0; i < MANY; i++) {
		uint64_t odd = aligned ? 0 : i * 37 % 4096;

		reqs[i] = request(f, (uint64_t)i * 9973 % 700 * 4096 + odd,
				  i * 8192, 4096 + odd, false);
		reqs[i].complete = count_end;
		all[i] = &reqs[i];
	}
	assert_int_equal(engine_submit(all, MANY), 0);
	while (ended < MANY)
		sched_yield();
	for (unsigned int i = 0; i < MANY; i++) {
		assert_int_equal(reqs[i].error, 0);
		assert_int_equal(reqs[i].done, reqs[i].length);
		assert_memory_equal(f->gpu + i * 8192,
				    f->bytes + reqs[i].file_offset,
				    reqs[i].length);
		if (reqs[i].length < 8192)
			assert_int_equal(f->gpu[i * 8192 + reqs[i].length],
					 0xaa);
	}
}

static void batches_are_the_rings(void **state)
{
	struct fixture f;

	(void)state;
	if (no_ring())
		skip();
	open_direct(&f, true);
	batch(&f, true);
	assert_int_equal(file_calls, 0);
	batch(&f, false);
	close_fixture(&f);
}

/* What the ring can't read is tried as ever, and says what it then says. */
static void errors_are_those_of_pread(void **state)
{
	struct engine_req req, few[4], *all[4];
	struct engine_file gone;
	struct fixture f;
	int fd;

	(void)state;
	if (no_ring())
		skip();
	open_direct(&f, true);
	fd = f.file.fd;
	f.file.fd = 999;
	req = request(&f, 0, 0, 2 * MIB, false);
	assert_int_equal(engine_run(&req), -EBADF);
	assert_int_equal(req.done, 0);
	f.file.fd = fd;
	/* It ends in the middle of a request. */
	assert_int_equal(ftruncate(fd, MIB + 5), 0);
	file_calls = 0;
	req = request(&f, 0, 0, 2 * MIB, false);
	assert_int_equal(engine_run(&req), 0);
	assert_int_equal(req.done, MIB + 5);
	assert_memory_equal(f.gpu, f.bytes, MIB + 5);
	/* Which is seen at once. */
	assert_int_equal(file_calls, 0);
	/* Small ones, of which some share a buffer. */
	gone = f.file;
	gone.fd = 999;
	ended = 0;
	for (unsigned int i = 0; i < 4; i++) {
		few[i] = request(&f, (255 + i) * 4096, i * 8192, 4096, false);
		few[i].complete = count_end;
		all[i] = &few[i];
	}
	few[3].file = &gone;
	assert_int_equal(engine_submit(all, 4), 0);
	while (ended < 4)
		sched_yield();
	for (unsigned int i = 0; i < 4; i++) {
		assert_int_equal(few[i].error, i == 3 ? -EBADF : 0);
		assert_int_equal(few[i].done, i == 0 ? 4096 : i == 1 ? 5 : 0);
	}
	close_fixture(&f);
}

/* Only the end of a file is not where a block ends. */
static void short_reads_are_read_on(void **state)
{
	struct fixture f;

	(void)state;
	if (no_ring())
		skip();
	open_direct(&f, true);
	ring_shorten(8192);
	assert_read(&f, 0, 0, 2 * MIB);
	assert_read(&f, 4099, 13, MIB);
	ring_shorten(0);
	assert_true(file_calls > 0);
	close_fixture(&f);
}

static void real_o_direct_file_arrives(void **state)
{
	static char bytes[2 * MIB] __attribute__((aligned(4096)));
	struct fixture f;
	int fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_DIRECT, 0600);

	(void)state;
	if (fd < 0 || no_ring()) {
		close(fd);
		skip();
	}
	open_fixture(&f);
	ring_refuse(0);
	close(f.file.fd);
	memcpy(bytes, f.bytes, sizeof(bytes));
	assert_int_equal(syscall(SYS_pwrite64, fd, bytes, sizeof(bytes), 0),
			 sizeof(bytes));
	assert_int_equal(engine_file_init(&f.file, fd), 0);
	/* In memory. */
	if (f.file.align == 1) {
		close_fixture(&f);
		skip();
	}
	file_calls = 0;
	memset(f.gpu, 0xaa, f.room);
	for (unsigned int i = 0; i < 3; i++) {
		struct engine_req req = request(&f, i * 4096, 0, 2 * MIB -
						i * 4096, false);

		assert_int_equal(engine_run(&req), 0);
		assert_int_equal(req.done, req.length);
		assert_memory_equal(f.gpu, bytes + i * 4096, req.length);
	}
	assert_int_equal(file_calls, 0);
	close_fixture(&f);
}

/* As containers do it. */
static void forbid(unsigned int call, int error)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1),
		BPF_STMT(BPF_RET | BPF_K,
			 SECCOMP_RET_ERRNO | (uint32_t)error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(code) / sizeof(*code),
		.filter = code,
	};

	assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	/* For all threads. */
	assert_int_equal(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
				 SECCOMP_FILTER_FLAG_TSYNC, &program), 0);
}

static void where_it_is_forbidden_threads_read(void **state)
{
	static const int errors[] = { EPERM, ENOSYS, ENOMEM };
	int status;
	pid_t pid;

	(void)state;
	for (unsigned int i = 0; i < 3; i++) {
		pid = fork();
		assert_true(pid >= 0);
		if (!pid) {
			struct fixture f;

			forbid(SYS_io_uring_setup, errors[i]);
			open_direct(&f, true);
			assert_int_equal(engine_uring(), 1);
			assert_read(&f, 4096, 0, 2 * MIB);
			batch(&f, true);
			assert_true(file_calls > 0);
			assert_int_equal(engine_uring(), -errors[i]);
			close_fixture(&f);
			_exit(0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

/* As daemons do with files that they do not know. */
static void close_rings(void)
{
	char path[40], to[80];

	for (int fd = 3; fd < 64; fd++) {
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, to, sizeof(to) - 1);
		to[n < 0 ? 0 : n] = '\0';
		if (strstr(to, "io_uring"))
			close(fd);
	}
}

static void break_rings(bool closed)
{
	if (closed)
		close_rings();
	else
		forbid(SYS_io_uring_enter, EPERM);
}

/* One read is under way, another one is not, when it happens. */
static void reads_of_broken_ring(bool closed)
{
	int error = closed ? -EBADF : -EPERM;
	struct ring_read first, second;
	struct ring *ring;
	int fds[2], other;
	void *host;

	assert_int_equal(posix_memalign(&host, 4096, 65536), 0);
	assert_int_equal(pipe(fds), 0);
	ring_refuse(0);
	ring = ring_open(host, 65536);
	assert_non_null(ring);
	first = (struct ring_read){ .fd = fds[0], .host = host, .length = 1 };
	second = first;
	ring_add(ring, &first);
	ring_submit(ring);
	if (closed)	/* which cancels it */
		assert_int_equal(write(fds[1], "x", 1), 1);
	break_rings(closed);
	other = closed ? open("/dev/null", O_RDONLY) : fds[0];
	ring_add(ring, &second);
	ring_wait(ring, &second);
	if (second.result != -EOPNOTSUPP)
		assert_int_equal(second.result, error);
	assert_false(ring_works(ring));
	if (!closed)
		assert_int_equal(write(fds[1], "x", 1), 1);
	ring_wait(ring, &first);
	assert_int_equal(first.result, 1);
	/* A third one is told at once. */
	ring_add(ring, &first);
	ring_submit(ring);
	assert_false(first.busy);
	assert_int_equal(first.result, second.result);
	ring_close(ring);
	assert_true(fcntl(other, F_GETFD) >= 0);
	free(host);
}

static void requests_of_broken_rings(bool closed)
{
	struct fixture f;

	open_direct(&f, true);
	assert_read(&f, 4096, 0, 2 * MIB);
	batch(&f, true);
	assert_int_equal(file_calls, 0);
	break_rings(closed);
	assert_read(&f, 4096, 0, 2 * MIB);
	batch(&f, true);
	assert_true(file_calls > 0);
	close_fixture(&f);
}

static void in_child(void (*test)(bool closed), bool closed)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		/* It would wait for ever. */
		alarm(60);
		test(closed);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void ring_that_breaks_ends_all_reads(void **state)
{
	(void)state;
	if (no_ring())
		skip();
	in_child(reads_of_broken_ring, false);
	in_child(reads_of_broken_ring, true);
	in_child(requests_of_broken_rings, false);
	in_child(requests_of_broken_rings, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		mock_test(one_thread_has_many_reads_in_flight),
		mock_test(large_reads_at_any_size_and_alignment),
		mock_test(large_reads_are_the_rings),
		mock_test(a_drive_is_asked_for_large_pieces),
		mock_test(batches_are_the_rings),
		mock_test(errors_are_those_of_pread),
		mock_test(short_reads_are_read_on),
		mock_test(real_o_direct_file_arrives),
		mock_test(where_it_is_forbidden_threads_read),
		mock_test(ring_that_breaks_ends_all_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
