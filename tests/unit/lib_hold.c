// SPDX-License-Identifier: MIT
/* The holder: what it takes from a socket, and a whole one at work. */
#include "lib_mock.h"

#include <dirent.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "hold.h"
#include "transfer.h"

static void only_whole_messages_are_decoded(void **state)
{
	struct hold_msg good, got;
	char large[sizeof(good) + 1] = { 0 };

	(void)state;
	hold_init(&good, HOLD_INFO);
	memcpy(large, &good, sizeof(good));
	assert_int_equal(hold_decode(&good, sizeof(good), &got), 0);
	assert_int_equal(hold_decode(&good, 0, &got), -EPROTO);
	assert_int_equal(hold_decode(&good, sizeof(good) - 1, &got), -EPROTO);
	assert_int_equal(hold_decode(large, sizeof(large), &got), -EPROTO);
}

static void check_bad(struct hold_msg *bad)
{
	struct hold_msg got;

	assert_int_equal(hold_decode(bad, sizeof(*bad), &got), -EPROTO);
	hold_init(bad, HOLD_WRITE);
}

static void hostile_headers_are_refused(void **state)
{
	struct hold_msg bad;

	(void)state;
	hold_init(&bad, HOLD_WRITE);
	bad.magic++;
	check_bad(&bad);
	bad.version++;
	check_bad(&bad);
	bad.op = 0;
	check_bad(&bad);
	bad.op = HOLD_RESULT + 1;
	check_bad(&bad);
	bad.flags = 1U << 31;
	check_bad(&bad);
	bad.reserved = 1;
	check_bad(&bad);
	bad.error = 1;
	check_bad(&bad);
	bad.error = INT32_MIN;
	check_bad(&bad);
	memset(bad.text, 'x', sizeof(bad.text));
	check_bad(&bad);
}

/* Every byte of a message, turned over: nothing may happen but a verdict. */
static void broken_messages_do_no_harm(void **state)
{
	struct hold_msg good, got;
	unsigned char bytes[sizeof(good)];

	(void)state;
	hold_init(&good, HOLD_WRITE);
	good.chunk = 4096;
	good.threads = 1;
	for (size_t i = 0; i < sizeof(bytes); i++) {
		memcpy(bytes, &good, sizeof(bytes));
		bytes[i] ^= 0xff;
		if (hold_decode(bytes, sizeof(bytes), &got))
			continue;
		if (!hold_check_request(&got, 3, 1 << 20)) {
			assert_true(got.size <= 1 << 20);
			assert_true(got.threads && got.threads <= 64);
			assert_true(got.chunk && got.chunk % 4096 == 0);
			assert_true(got.offset <= INT64_MAX);
		}
	}
}

static void requests_are_checked(void **state)
{
	struct hold_msg msg;

	(void)state;
	hold_init(&msg, HOLD_INFO);
	assert_int_equal(hold_check_request(&msg, -1, 100), 0);
	assert_int_equal(hold_check_request(&msg, 3, 100), -EPROTO);
	msg.op = HOLD_RESULT;
	assert_int_equal(hold_check_request(&msg, -1, 100), -EPROTO);
	hold_init(&msg, HOLD_WRITE);
	msg.size = 100;
	msg.chunk = 4096;
	msg.threads = 1;
	assert_int_equal(hold_check_request(&msg, 3, 100), 0);
	assert_int_equal(hold_check_request(&msg, -1, 100), -EPROTO);
	assert_int_equal(hold_check_request(&msg, 3, 99), -ERANGE);
	msg.offset = INT64_MAX - 99;
	assert_int_equal(hold_check_request(&msg, 3, 100), -EPROTO);
	msg.offset = UINT64_MAX;
	assert_int_equal(hold_check_request(&msg, 3, 100), -EPROTO);
	msg.offset = 0;
	msg.threads = 65;
	assert_int_equal(hold_check_request(&msg, 3, 100), -EPROTO);
	msg.threads = 0;
	assert_int_equal(hold_check_request(&msg, 3, 100), -EPROTO);
	msg.threads = 1;
	msg.chunk = 4097;
	assert_int_equal(hold_check_request(&msg, 3, 100), -EPROTO);
	msg.chunk = 0;
	assert_int_equal(hold_check_request(&msg, 3, 100), -EPROTO);
}

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int nr = 0;

	assert_non_null(dir);
	while (readdir(dir))
		nr++;
	closedir(dir);
	return nr;
}

static void send_fds(int sock, const struct hold_msg *msg, int nr)
{
	struct iovec iov = { (void *)(uintptr_t)msg, sizeof(*msg) };
	union {
		struct cmsghdr align;
		char space[CMSG_SPACE(16 * sizeof(int))];
	} control = { 0 };
	struct msghdr header = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control,
		.msg_controllen = CMSG_SPACE((size_t)nr * sizeof(int)),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN((size_t)nr * sizeof(int));
	for (int i = 0; i < nr; i++)
		memcpy(CMSG_DATA(cmsg) + (size_t)i * sizeof(int), &(int){ 0 },
		       sizeof(int));
	assert_int_equal(sendmsg(sock, &header, 0), sizeof(*msg));
}

static void files_are_passed_and_never_leaked(void **state)
{
	struct hold_msg msg, got;
	int pair[2], fd, before;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair), 0);
	before = count_fds();
	hold_init(&msg, HOLD_WRITE);
	assert_int_equal(hold_send(pair[0], &msg, 0), 0);
	assert_int_equal(hold_recv(pair[1], &got, &fd), 0);
	assert_true(fd >= 0);
	close(fd);
	/* Too many, and more than there is room for. */
	for (int nr = 2; nr <= 16; nr += 14) {
		send_fds(pair[0], &msg, nr);
		assert_int_equal(hold_recv(pair[1], &got, &fd), -EPROTO);
		assert_int_equal(fd, -1);
	}
	/* One file, with nonsense. */
	msg.magic = 0;
	assert_int_equal(hold_send(pair[0], &msg, 0), 0);
	assert_int_equal(hold_recv(pair[1], &got, &fd), -EPROTO);
	assert_int_equal(fd, -1);
	/* Too long, too short, gone. */
	assert_int_equal(send(pair[0], &(char[4096]){ 0 }, 4096, 0), 4096);
	assert_int_equal(hold_recv(pair[1], &got, &fd), -EPROTO);
	assert_int_equal(send(pair[0], "x", 1, 0), 1);
	assert_int_equal(hold_recv(pair[1], &got, &fd), -EPROTO);
	assert_int_equal(count_fds(), before);
	close(pair[0]);
	assert_int_equal(hold_recv(pair[1], &got, &fd), -EPIPE);
	assert_int_equal(hold_send(pair[1], &msg, -1), -EPIPE);
	close(pair[1]);
}

static char runtime[] = "/tmp/nvfs-unit-XXXXXX";

static void directories_must_be_private(void **state)
{
	char path[256], good[256];

	(void)state;
	assert_non_null(mkdtemp(runtime));
	assert_int_equal(setenv("XDG_RUNTIME_DIR", runtime, 1), 0);
	snprintf(good, sizeof(good), "%s/nvfs", runtime);
	assert_int_equal(hold_find_dir(0, path, sizeof(path)), -ENOENT);
	assert_int_equal(hold_dir(path, sizeof(path)), 0);
	assert_string_equal(path, good);
	assert_int_equal(hold_find_dir(0, path, sizeof(path)), 0);
	/* Open to others: not used. */
	assert_int_equal(chmod(good, 0750), 0);
	assert_int_equal(hold_find_dir(0, path, sizeof(path)), -EPERM);
	assert_int_equal(rmdir(good), 0);
	/* Somebody else's directory, by a link. */
	assert_int_equal(symlink("/tmp", good), 0);
	assert_int_equal(hold_find_dir(0, path, sizeof(path)), -ENOTDIR);
	assert_int_equal(unlink(good), 0);
	assert_int_equal(hold_find_dir(0, path, 5), -ENAMETOOLONG);
	/* A directory of everybody's is no runtime directory. */
	assert_int_equal(setenv("XDG_RUNTIME_DIR", "/tmp", 1), 0);
	assert_int_equal(hold_find_dir(0, path, sizeof(path)), -ENOENT);
	assert_int_equal(setenv("XDG_RUNTIME_DIR", runtime, 1), 0);
}

/* A whole holder, in a thread, over the model of the module. */
struct server {
	struct holding holding;
	struct session session;
	pthread_t thread;
};

static void *serve(void *arg)
{
	hold_serve(arg);
	return NULL;
}

static void start_server(struct server *server, int fd, uint64_t bytes)
{
	char message[384];
	struct outcome outcome;
	struct transfer transfer = {
		.fd = fd, .chunk = 1 << 20, .threads = 1,
		.length = (bytes + 511) / 512 * 512,
	};

	mock_model();
	memset(server, 0, sizeof(*server));
	assert_int_equal(hold_claim(&server->holding, 3), 0);
	assert_int_equal(session_open(&server->session, 0, bytes, false,
				      message, sizeof(message)), 0);
	transfer.region = server->session.region;
	transfer_run(&transfer, &outcome);
	assert_int_equal(outcome.done, bytes);
	server->holding.session = &server->session;
	server->holding.bytes = bytes;
	strcpy(server->holding.file, "a file");
	assert_int_equal(hold_listen(&server->holding), 0);
	assert_int_equal(pthread_create(&server->thread, NULL, serve,
					&server->holding), 0);
}

static void free_server(struct server *server)
{
	struct hold_msg request, result;
	int sock = hold_connect(3);

	assert_true(sock >= 0);
	hold_init(&request, HOLD_FREE);
	assert_int_equal(hold_ask(sock, &request, -1, NULL, &result), 0);
	assert_int_equal(result.error, 0);
	/* Done means done: nothing is left, not only promised. */
	assert_int_equal(mock_gpu_live, 0);
	assert_int_equal(hold_connect(3), -ENOENT);
	close(sock);
	assert_int_equal(pthread_join(server->thread, NULL), 0);
}

static struct hold_msg ask(enum hold_op op, uint64_t size, uint32_t flags,
			   int fd)
{
	struct hold_msg request, result;
	int sock = hold_connect(3);

	assert_true(sock >= 0);
	hold_init(&request, op);
	request.size = size;
	request.flags = flags;
	if (op == HOLD_WRITE || op == HOLD_VERIFY) {
		request.chunk = 4096;
		request.threads = 2;
	}
	assert_int_equal(hold_ask(sock, &request, fd, NULL, &result), 0);
	close(sock);
	return result;
}

static void a_holder_serves_commands(void **state)
{
	int fd = mock_file(100001), copy = mock_file(200000);
	struct holding second;
	struct hold_msg result;
	struct server server;
	struct stat st;

	(void)state;
	start_server(&server, fd, 100001);
	assert_int_equal(hold_claim(&second, 3), -EBUSY);
	result = ask(HOLD_INFO, 0, 0, -1);
	assert_int_equal(result.held, 100001);
	assert_string_equal(result.text, "a file");
	assert_int_equal(result.addr, nvfs_buf_addr(server.session.buf));
	/* The file was longer; its end is cut at the last byte. */
	result = ask(HOLD_WRITE, 100001, HOLD_TRUNCATE, copy);
	assert_int_equal(result.error, 0);
	assert_int_equal(result.done, 100001);
	assert_int_equal(result.route, NVFS_ROUTE_DIRECT);
	assert_int_equal(fstat(copy, &st), 0);
	assert_int_equal(st.st_size, 100001);
	result = ask(HOLD_VERIFY, 100001, 0, copy);
	assert_int_equal(result.error, 0);
	assert_int_equal(result.flags, 0);
	assert_int_equal(pwrite(copy, "\xee", 1, 77777), 1);
	result = ask(HOLD_VERIFY, 100001, 0, copy);
	assert_int_equal(result.flags, HOLD_DIFFERS);
	assert_int_equal(result.done, 77777);
	assert_int_equal(result.total, 0xee);
	free_server(&server);
	close(fd);
	close(copy);
}

static void a_refused_file_keeps_its_bytes(void **state)
{
	int fd = mock_file(8192), copy = mock_file(200000);
	struct hold_msg result;
	struct server server;
	struct stat st;

	(void)state;
	start_server(&server, fd, 8192);
	model_reason = NVFS_REASON_HOST_BRIDGE;
	result = ask(HOLD_WRITE, 8192, HOLD_TRUNCATE, copy);
	assert_int_equal(result.error, -EREMOTEIO);
	assert_int_equal(result.reason, NVFS_REASON_HOST_BRIDGE);
	assert_non_null(strstr(result.text, "the model says no"));
	assert_non_null(strstr(result.text, "--bounce"));
	assert_int_equal(fstat(copy, &st), 0);
	assert_int_equal(st.st_size, 200000);
	/* Inside a file whole blocks only. */
	model_reason = 0;
	result = ask(HOLD_WRITE, 100, 0, copy);
	assert_int_equal(result.error, -EOVERFLOW);
	model_reason = NVFS_REASON_HOST_BRIDGE;
	result = ask(HOLD_WRITE, 100, HOLD_BOUNCE, copy);
	assert_int_equal(result.error, 0);
	assert_int_equal(result.route, NVFS_ROUTE_BOUNCE);
	assert_int_equal(fstat(copy, &st), 0);
	assert_int_equal(st.st_size, 200000);
	free_server(&server);
	close(fd);
	close(copy);
}

static void a_holder_survives_nonsense(void **state)
{
	int fd = mock_file(4096);
	struct hold_msg msg, result;
	struct server server;
	char byte;
	int sock;

	(void)state;
	start_server(&server, fd, 4096);
	/* Nonsense: the holder hangs up. */
	sock = hold_connect(3);
	assert_int_equal(send(sock, "hello", 5, MSG_NOSIGNAL), 5);
	assert_int_equal(recv(sock, &byte, 1, 0), 0);
	close(sock);
	/* Gone without a word. */
	close(hold_connect(3));
	/* A message that no command sends, with a file. */
	sock = hold_connect(3);
	hold_init(&msg, HOLD_RESULT);
	assert_int_equal(hold_ask(sock, &msg, fd, NULL, &result), 0);
	assert_int_equal(result.error, -EPROTO);
	close(sock);
	/* A command asks twice. */
	sock = hold_connect(3);
	hold_init(&msg, HOLD_INFO);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(hold_ask(sock, &msg, -1, NULL, &result), 0);
		assert_int_equal(result.held, 4096);
	}
	close(sock);
	/* More than is held. */
	result = ask(HOLD_VERIFY, 4097, 0, fd);
	assert_int_equal(result.error, -ERANGE);
	result = ask(HOLD_VERIFY, 4096, 0, fd);
	assert_int_equal(result.error | (int)result.flags, 0);
	free_server(&server);
	close(fd);
}

static int remove_runtime(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", runtime);
	return system(command);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_whole_messages_are_decoded),
		cmocka_unit_test(hostile_headers_are_refused),
		cmocka_unit_test(broken_messages_do_no_harm),
		cmocka_unit_test(requests_are_checked),
		cmocka_unit_test(files_are_passed_and_never_leaked),
		cmocka_unit_test(directories_must_be_private),
		mock_test(a_holder_serves_commands),
		mock_test(a_refused_file_keeps_its_bytes),
		mock_test(a_holder_survives_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, remove_runtime);
}
