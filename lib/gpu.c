// SPDX-License-Identifier: MIT
/* Which GPU driver is used, and for how long. */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>

#include "gpu.h"
#include "libnvfs.h"

#define BARS		6
#define RESOURCE_MEMORY	0x200U

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

/* The one to a GPU's memory is the largest. */
uint64_t gpu_bar_bytes(uint32_t bdf)
{
	uint64_t first, last, flags, best = 0;
	char name[24], path[64];
	FILE *file;

	if (bdf == NVFS_BDF_NONE || nvfs_bdf_format(bdf, name, sizeof(name)))
		return 0;
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/resource", name);
	file = fopen(path, "re");
	if (!file)
		return 0;
	for (int i = 0; i < BARS; i++) {
		if (fscanf(file, "%" SCNx64 " %" SCNx64 " %" SCNx64, &first,
			   &last, &flags) != 3)
			break;
		if ((flags & RESOURCE_MEMORY) && last - first + 1 > best)
			best = last - first + 1;
	}
	fclose(file);
	return best;
}
