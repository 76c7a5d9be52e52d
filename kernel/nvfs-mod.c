// SPDX-License-Identifier: GPL-2.0-only
/*
 * Other modules: the provider of GPU memory.
 *
 * NVFS loads without one.  The provider's calls are looked up when the first
 * region is registered, which pins its module, and released with the last
 * region, so that the GPU's driver can be unloaded when nobody uses it.
 */
#include <linux/errno.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/string.h>

#include "nvfs-mod.h"
#include "nvfs-stat.h"
#include "nvfs-trace.h"

/* A module that has ended is freed after this at the latest, in jiffies: all that
 * its freeing waits for is RCU and asynchronous work of its own.
 */
#define PROVIDER_FREED	(10 * HZ)

/* The provider's calls.  @users counts regions; the pointers are valid while
 * it is not 0.  @version is the last one seen.  @seen is an address in the
 * provider, 0 when none is loaded; @name is what it was called, and @left when it
 * was unloaded, while @leaving.
 */
static struct {
	struct mutex lock; /* guards all but @version */
	unsigned int users;
	u32 version;
	unsigned long seen;
	bool leaving;
	unsigned long left;
	char name[MODULE_NAME_LEN];
	typeof(nvidia_p2p_get_pages) *get_pages;
	typeof(nvidia_p2p_put_pages) *put_pages;
	typeof(nvidia_p2p_free_page_table) *free_page_table;
	typeof(nvidia_p2p_get_pages_persistent) *get_persistent;
	typeof(nvidia_p2p_put_pages_persistent) *put_persistent;
} provider = {
	.lock = __MUTEX_INITIALIZER(provider.lock),
};

static void provider_release(void)
{
	if (provider.get_pages)
		symbol_put(nvidia_p2p_get_pages);
	if (provider.put_pages)
		symbol_put(nvidia_p2p_put_pages);
	if (provider.free_page_table)
		symbol_put(nvidia_p2p_free_page_table);
	if (provider.get_persistent)
		symbol_put(nvidia_p2p_get_pages_persistent);
	if (provider.put_persistent)
		symbol_put(nvidia_p2p_put_pages_persistent);
	provider.get_pages = NULL;
	provider.put_pages = NULL;
	provider.free_page_table = NULL;
	provider.get_persistent = NULL;
	provider.put_persistent = NULL;
}

/*
 * While a module is being freed it is UNFORMED, and symbol_get() has a BUG_ON() for
 * whoever finds it at that moment.
 */
static bool provider_is_leaving(void)
{
	return provider.leaving &&
	       time_before(jiffies, provider.left + PROVIDER_FREED);
}

static int provider_resolve(void)
{
	if (provider_is_leaving())
		return -ENODEV;
	provider.get_pages = symbol_get(nvidia_p2p_get_pages);
	if (!provider.get_pages)
		return -ENODEV;
	provider.seen = (unsigned long)provider.get_pages;
	provider.leaving = false;
	provider.put_pages = symbol_get(nvidia_p2p_put_pages);
	provider.free_page_table = symbol_get(nvidia_p2p_free_page_table);
	/* Came with driver R535; a provider without them is a good one */
	provider.get_persistent = symbol_get(nvidia_p2p_get_pages_persistent);
	provider.put_persistent = symbol_get(nvidia_p2p_put_pages_persistent);
	if (provider.put_pages && provider.free_page_table)
		return 0;
	provider_release();
	return -ENODEV;
}

/**
 * nvfs_provider_get() - find the provider of GPU memory and keep it loaded
 *
 * Context: may sleep.
 * Return: 0; -ENODEV when no provider is loaded.
 */
int nvfs_provider_get(void)
{
	int ret = 0;

	mutex_lock(&provider.lock);
	if (!provider.users)
		ret = provider_resolve();
	if (!ret)
		provider.users++;
	mutex_unlock(&provider.lock);
	return ret;
}

/**
 * nvfs_provider_put() - undo nvfs_provider_get()
 *
 * Context: may sleep; not from a revocation.
 */
void nvfs_provider_put(void)
{
	mutex_lock(&provider.lock);
	if (!--provider.users)
		provider_release();
	mutex_unlock(&provider.lock);
}

/* A module is going: after this, nobody finds the provider in it. */
static void provider_going(const struct module *mod)
{
	if (!provider.seen || !within_module(provider.seen, mod))
		return;
	provider.seen = 0;
	provider.leaving = true;
	provider.left = jiffies;
	strscpy(provider.name, mod->name, sizeof(provider.name));
}

/* A module is there; one of that name can't be while the former is not freed. */
static void provider_live(const struct module *mod)
{
	if (provider.leaving && !strcmp(provider.name, mod->name))
		provider.leaving = false;
	if (!provider.users && !provider_resolve())
		provider_release();
}

static int provider_event(struct notifier_block *nb, unsigned long state,
			  void *data)
{
	mutex_lock(&provider.lock);
	if (state == MODULE_STATE_GOING)
		provider_going(data);
	else if (state == MODULE_STATE_LIVE)
		provider_live(data);
	mutex_unlock(&provider.lock);
	return NOTIFY_OK;
}

static struct notifier_block provider_watch = {
	.notifier_call = provider_event,
};

/**
 * nvfs_mod_init() - look for the provider, and at what comes and goes
 *
 * Context: may sleep.
 * Return: 0 or a negative errno value.
 */
int nvfs_mod_init(void)
{
	int ret = register_module_notifier(&provider_watch);

	if (ret)
		return ret;
	/* One that was there before; nothing is wrong without. */
	if (!nvfs_provider_get())
		nvfs_provider_put();
	return 0;
}

/**
 * nvfs_mod_exit() - undo nvfs_mod_init()
 *
 * Context: may sleep; no region is left.
 */
void nvfs_mod_exit(void)
{
	unregister_module_notifier(&provider_watch);
}

/**
 * nvfs_provider_version() - version of the provider's page table
 *
 * Context: may sleep.
 * Return: the version; the one NVFS expects when the provider has not made a
 * table yet; 0 when no provider is loaded.
 */
u32 nvfs_provider_version(void)
{
	u32 version;

	if (nvfs_provider_get())
		return 0;
	version = READ_ONCE(provider.version) ?: NVFS_PROVIDER_VERSION;
	nvfs_provider_put();
	return version;
}

/* Majors change layouts, minors only add */
static bool version_known(u32 version)
{
	return version >> 16 == NVFS_PROVIDER_VERSION >> 16 ||
	       version == NVFS_PROVIDER_VERSION_OLD;
}

/**
 * nvfs_mod_page_size() - size of a provider's pages
 * @table: the provider's page table
 *
 * Return: bytes, 0 when the provider announces a size NVFS does not know.
 */
u32 nvfs_mod_page_size(const struct nvidia_p2p_page_table *table)
{
	switch (table->page_size) {
	case NVIDIA_P2P_PAGE_SIZE_4KB:
		return 4 * 1024;
	case NVIDIA_P2P_PAGE_SIZE_64KB:
		return 64 * 1024;
	case NVIDIA_P2P_PAGE_SIZE_128KB:
		return 128 * 1024;
	default:
		return 0;
	}
}

static int provider_pin(struct nvfs_pin *pin)
{
	if (!pin->persistent)
		return provider.get_pages(0, 0, pin->addr, pin->len,
					  &pin->table, pin->revoked, pin->data);
	if (!provider.get_persistent || !provider.put_persistent)
		return -EOPNOTSUPP;
	return provider.get_persistent(pin->addr, pin->len, &pin->table, 0);
}

/**
 * nvfs_mod_pin() - have the provider pin GPU memory of the calling process
 * @pin: addr, len, persistent, revoked and data are set; table is filled in
 *
 * Context: may sleep; the caller holds nvfs_provider_get() and no lock that
 * @pin->revoked takes.  A revocation may come before this returns.
 *
 * Return: 0; -EFAULT when the range is no GPU memory of this process,
 * -EOPNOTSUPP when the provider has no persistent pins, -EPROTO when its page
 * table has a version NVFS does not know, -ENOMEM.  With -EPROTO the memory is
 * still pinned and must be unpinned.
 */
int nvfs_mod_pin(struct nvfs_pin *pin)
{
	int ret;

	pin->free_table = provider.free_page_table;
	ret = provider_pin(pin);
	if (ret)
		return ret == -EOPNOTSUPP || ret == -ENOMEM ? ret : -EFAULT;

	WRITE_ONCE(provider.version, pin->table->version);
	if (version_known(pin->table->version) &&
	    nvfs_mod_page_size(pin->table))
		return 0;
	pr_warn_once("provider's page table %#x is not one I know (%#x)\n",
		     pin->table->version, NVFS_PROVIDER_VERSION);
	return -EPROTO;
}

/**
 * nvfs_mod_unpin() - give pinned memory back to the provider
 * @pin: pinned by nvfs_mod_pin()
 *
 * Context: may sleep; no use of the memory is left.
 * Return: 0 when the memory was given back and @pin->revoked will not be called
 * any more; -EALREADY when the owner freed it first: @pin->revoked has been or
 * is being called and frees the table.
 */
int nvfs_mod_unpin(struct nvfs_pin *pin)
{
	int ret;

	if (pin->persistent)
		ret = provider.put_persistent(pin->addr, pin->table, 0);
	else
		ret = provider.put_pages(0, 0, pin->addr, pin->table);
	trace_nvfs_unpin(pin->addr, pin->len, pin->persistent, ret);
	return ret ? -EALREADY : 0;
}

/**
 * nvfs_mod_revoked() - last step of a revocation: free the page table
 * @pin: the pin that was revoked
 *
 * Context: only from @pin->revoked, when nothing uses the memory any more.
 */
void nvfs_mod_revoked(struct nvfs_pin *pin)
{
	pin->free_table(pin->table);
}
