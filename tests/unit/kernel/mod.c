// SPDX-License-Identifier: MIT
/* When the provider is looked for: not while its module is being freed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "nvfs-mod.h"

unsigned long jiffies;
unsigned int shim_looks;

static struct notifier_block *watch;
static struct module provider = { .name = "provider", .size = 1 };
static struct module other = { .name = "other", .size = 1 };

int nvidia_p2p_get_pages(u64 p2p_token, u32 va_space, u64 virtual_address,
			 u64 length, struct nvidia_p2p_page_table **page_table,
			 void (*free_callback)(void *data), void *data)
{
	(void)p2p_token;
	(void)va_space;
	(void)virtual_address;
	(void)length;
	(void)page_table;
	(void)free_callback;
	(void)data;
	return 0;
}

int nvidia_p2p_put_pages(u64 p2p_token, u32 va_space, u64 virtual_address,
			 struct nvidia_p2p_page_table *page_table)
{
	(void)p2p_token;
	(void)va_space;
	(void)virtual_address;
	(void)page_table;
	return 0;
}

int nvidia_p2p_free_page_table(struct nvidia_p2p_page_table *page_table)
{
	(void)page_table;
	return 0;
}

int register_module_notifier(struct notifier_block *nb)
{
	watch = nb;
	return 0;
}

static void event(unsigned long state, struct module *mod)
{
	watch->notifier_call(watch, state, mod);
}

static bool is_looked_for(void)
{
	unsigned int before = shim_looks;
	int ret = nvfs_provider_get();

	if (!ret)
		nvfs_provider_put();
	assert_true(ret == 0 || ret == -ENODEV);
	assert_int_equal(ret == 0, shim_looks > before);
	return ret == 0;
}

/* Loaded, whatever was before. */
static int setup(void **state)
{
	(void)state;
	provider.start = (unsigned long)nvidia_p2p_get_pages;
	other.start = provider.start + 1;
	if (!watch && nvfs_mod_init())
		return -1;
	event(MODULE_STATE_LIVE, &provider);
	return 0;
}

static void one_that_is_loaded_is_found(void **state)
{
	(void)state;
	assert_true(is_looked_for());
	event(MODULE_STATE_GOING, &other);
	assert_true(is_looked_for());
}

static void one_that_is_going_is_not_looked_for(void **state)
{
	unsigned int before;

	(void)state;
	event(MODULE_STATE_GOING, &provider);
	assert_false(is_looked_for());
	/* Nor by whoever is loaded meanwhile. */
	before = shim_looks;
	event(MODULE_STATE_LIVE, &other);
	event(MODULE_STATE_COMING, &provider);
	assert_int_equal(shim_looks, before);
	assert_false(is_looked_for());
	event(MODULE_STATE_LIVE, &provider);
	assert_true(is_looked_for());
}

static void one_of_another_name_is_found_later(void **state)
{
	(void)state;
	event(MODULE_STATE_GOING, &provider);
	jiffies += 9 * HZ;
	assert_false(is_looked_for());
	jiffies += 2 * HZ;
	assert_true(is_looked_for());
}

/* It was known before it was asked for the first time. */
static void one_that_was_never_used_is_not_looked_for_either(void **state)
{
	(void)state;
	event(MODULE_STATE_GOING, &provider);
	event(MODULE_STATE_LIVE, &provider);
	event(MODULE_STATE_GOING, &provider);
	assert_false(is_looked_for());
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(one_that_is_loaded_is_found, setup),
		cmocka_unit_test_setup(one_that_is_going_is_not_looked_for,
				       setup),
		cmocka_unit_test_setup(one_of_another_name_is_found_later,
				       setup),
		cmocka_unit_test_setup(one_that_was_never_used_is_not_looked_for_either,
				       setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
