// SPDX-License-Identifier: MIT
/* Small reads of pinned pages, by a model of the code on the GPU. */
#include "lib_pump_model.h"

#include "lib_engine_pin.h"

static void open_warm(struct fixture *f)
{
	model_reset();
	open_pins(f);
	have_it_pinned(f);
	assert_int_equal(engine_warm(0), -ENOSYS);
}

/* Until one was made by the pump alone; turns end and begin. */
static bool comes_by_pump(struct fixture *f, uint64_t offset, uint64_t at,
			  uint64_t length)
{
	uint64_t since = clock_ns();

	while (in_time(since)) {
		unsigned int calls = file_calls, orders = model.orders;

		read_bytes(f, offset, at, length);
		if (file_calls == calls && model.orders > orders)
			return true;
	}
	return false;
}

static void small_reads_are_made_by_the_pump(void **state)
{
	static const uint64_t lengths[] = {
		4096, 4097, 16 * KIB, 30001, 64 * KIB,
	};
	unsigned int copies;
	struct fixture f;

	(void)state;
	open_warm(&f);
	copies = pins.copies;
	for (unsigned int i = 0; i < 5; i++) {
		assert_true(comes_by_pump(&f, 0, 0, lengths[i]));
		assert_true(comes_by_pump(&f, 12345, 9 + i * 16, lengths[i]));
	}
	/* Never by the driver. */
	assert_int_equal(pins.copies, copies);
	end_turns();
	close_pins(&f);
}

/* Which moves 16 bytes at a time. */
static void what_does_not_suit_it_is_read_as_ever(void **state)
{
	unsigned int copies;
	struct fixture f;

	(void)state;
	open_warm(&f);
	assert_true(comes_by_pump(&f, 0, 0, 4096));
	copies = pins.copies;
	for (unsigned int i = 0; i < 50; i++) {
		unsigned int calls = file_calls;

		read_bytes(&f, i * 1000 + 1, 0, 4096 + i * 1000);
		read_bytes(&f, i * 1000, 0, 4095 - i);
		assert_true(file_calls >= calls + 2);
	}
	assert_int_equal(pins.copies, copies);
	end_turns();
	close_pins(&f);
}

static void turns_that_end_early_lose_nothing(void **state)
{
	struct fixture f;

	(void)state;
	open_warm(&f);
	assert_true(comes_by_pump(&f, 0, 0, 4096));
	model.hasty = true;
	for (unsigned int i = 0; i < 200; i++)
		read_bytes(&f, i * 4096, 0, 64 * KIB);
	model.hasty = false;
	end_turns();
	close_pins(&f);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		mock_test(small_reads_are_made_by_the_pump),
		mock_test(what_does_not_suit_it_is_read_as_ever),
		mock_test(turns_that_end_early_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
