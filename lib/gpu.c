// SPDX-License-Identifier: MIT
/* Which GPU driver is used, and for how long. */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>

#include "gpu.h"

static const struct gpu_driver *const builtin[] = { &gpu_cuda, &gpu_hip };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
/* Under @lock. */
static const struct gpu_driver *forced;
static const struct gpu_driver *current;
static unsigned int nr_users;

void gpu_set_driver(const struct gpu_driver *driver)
{
	pthread_mutex_lock(&lock);
	forced = driver;
	pthread_mutex_unlock(&lock);
}

/* A library without a GPU is no reason not to look at the next. */
static int try(const struct gpu_driver *driver)
{
	int ret = driver->init();

	if (ret)
		return ret;
	ret = driver->count();
	if (ret > 0)
		return 0;
	driver->exit();
	return ret ? ret : -ENODEV;
}

/* The first that has a GPU wins; an error says more than a missing library. */
static int start(const struct gpu_driver **driver)
{
	int ret = -ENOSYS;

	if (forced) {
		*driver = forced;
		return forced->init();
	}
	for (size_t i = 0; i < sizeof(builtin) / sizeof(builtin[0]); i++) {
		int err = try(builtin[i]);

		if (!err) {
			*driver = builtin[i];
			return 0;
		}
		if (ret == -ENOSYS)
			ret = err;
	}
	return ret;
}

int gpu_get(const struct gpu_driver **driver)
{
	int ret = 0;

	pthread_mutex_lock(&lock);
	if (!nr_users)
		ret = start(&current);
	if (!ret) {
		nr_users++;
		*driver = current;
	}
	pthread_mutex_unlock(&lock);
	return ret;
}

void gpu_put(void)
{
	pthread_mutex_lock(&lock);
	if (!--nr_users) {
		current->exit();
		current = NULL;
	}
	pthread_mutex_unlock(&lock);
}

bool gpu_in_use(unsigned int index)
{
	const struct gpu_driver *only;
	bool used = false;

	pthread_mutex_lock(&lock);
	only = forced;
	pthread_mutex_unlock(&lock);
	if (only)
		return only->pumps && only->pumps->in_use(index);
	for (size_t i = 0; i < sizeof(builtin) / sizeof(builtin[0]); i++)
		used |= builtin[i]->pumps && builtin[i]->pumps->in_use(index);
	return used;
}
