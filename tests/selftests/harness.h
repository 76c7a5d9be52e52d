/* SPDX-License-Identifier: MIT */
/*
 * A small harness for self-tests that run as root in the guest.
 *
 * A program is a list of TEST()s. Each runs in a child of its own, with its
 * own limit in seconds; what it leaves behind (processes, regions, pinned GPU
 * memory, lines in the kernel log) is looked for when it has ended, and fails
 * it. The report is KTAP on stdout, and "NVFS_TEST: suite.name: verdict" in
 * the kernel log.
 *
 *	program [-l] [-k PART] [NAME...]
 */
#ifndef NVFS_TEST_HARNESS_H
#define NVFS_TEST_HARNESS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define HARNESS_TIMEOUT_S	60

struct test_case {
	const char *name;
	void (*run)(void);
	unsigned int timeout_s;
	struct test_case *next;
};

/* Called by the constructors that TEST() makes. */
void harness_add(struct test_case *test);

/**
 * harness_set_hooks() - what to look at around each test
 * @before: remembers the state of the world
 * @after: compares; returns NULL, or a sentence that fails the test
 *
 * Both run in the parent, outside the test's own process.
 */
void harness_set_hooks(void (*before)(void), const char *(*after)(void));

/*
 * Lines of the kernel log that hold @part do not fail this test. For tests
 * that provoke a message on purpose; each use needs a comment.
 */
void harness_allow_log(const char *part);

/* A line for the reader of the report; shown only there. */
void harness_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Both end the test, from any of its threads and children. */
_Noreturn void harness_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
_Noreturn void harness_skip(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));

#define TEST_LIMIT(test, seconds)					\
	static void test_##test(void);					\
	__attribute__((constructor)) static void add_##test(void)	\
	{								\
		static struct test_case one = {				\
			.name = #test,					\
			.run = test_##test,				\
			.timeout_s = (seconds),				\
		};							\
		harness_add(&one);					\
	}								\
	static void test_##test(void)

#define TEST(test)	TEST_LIMIT(test, HARNESS_TIMEOUT_S)

/* A test that is one call of a function with an argument. */
#define TEST_OF(test, seconds, call)	TEST_LIMIT(test, seconds) { call; }

#define FAIL(...)	harness_fail(__FILE__, __LINE__, __VA_ARGS__)
#define SKIP(...)	harness_skip(__VA_ARGS__)

#define HARNESS_CMP(a, op, b, name) do {				\
	long long _a = (long long)(a);					\
	long long _b = (long long)(b);					\
	int _e = errno;							\
	if (!(_a op _b))						\
		FAIL("%s(%s, %s): %lld and %lld (errno %d, %s)",	\
		     name, #a, #b, _a, _b, _e, strerror(_e));		\
} while (0)

#define ASSERT_EQ(a, b)	HARNESS_CMP(a, ==, b, "ASSERT_EQ")
#define ASSERT_NE(a, b)	HARNESS_CMP(a, !=, b, "ASSERT_NE")
#define ASSERT_LT(a, b)	HARNESS_CMP(a, <, b, "ASSERT_LT")
#define ASSERT_LE(a, b)	HARNESS_CMP(a, <=, b, "ASSERT_LE")
#define ASSERT_GT(a, b)	HARNESS_CMP(a, >, b, "ASSERT_GT")
#define ASSERT_GE(a, b)	HARNESS_CMP(a, >=, b, "ASSERT_GE")

#define ASSERT_TRUE(cond) do {						\
	if (!(cond))							\
		FAIL("ASSERT_TRUE(%s) (errno %d, %s)", #cond, errno,	\
		     strerror(errno));					\
} while (0)

/* A system call that has to fail, with this errno. */
#define ASSERT_ERRNO(call, want) do {					\
	errno = 0;							\
	long long _r = (long long)(call);				\
	int _e = errno;							\
	if (_r != -1 || _e != (want))					\
		FAIL("ASSERT_ERRNO(%s, %s): returned %lld, errno %d (%s)", \
		     #call, #want, _r, _e, strerror(_e));		\
} while (0)

#define ASSERT_MEMEQ(a, b, len)						\
	harness_memeq(__FILE__, __LINE__, #a, #b, a, b, len)

#define ASSERT_CONTAINS(text, part) do {				\
	const char *_s = (text);					\
	const char *_p = (part);					\
	if (!strstr(_s, _p))						\
		FAIL("ASSERT_CONTAINS(%s, %s): \"%s\" is not in \"%.800s\"", \
		     #text, #part, _p, _s);				\
} while (0)

void harness_memeq(const char *file, int line, const char *a_text,
		   const char *b_text, const void *a, const void *b,
		   size_t len);

/* Seconds since the machine started, for pace and limits, never for waiting. */
double harness_now(void);

#endif /* NVFS_TEST_HARNESS_H */
