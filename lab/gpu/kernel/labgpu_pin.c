// SPDX-License-Identifier: GPL-2.0-only
/*
 * The emulated GPU's pins: page tables that others hold, and how they end.
 *
 * A pin is named by the address of its table.  An address from a caller is
 * looked up before it is followed, so a stale one is refused, not read.
 */

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "labgpu_priv.h"

static LIST_HEAD(labgpu_pins);
static unsigned int labgpu_nr_pins;

/**
 * labgpu_pin_free - free a pin that nobody can find
 * @pin: the pin, may be NULL
 */
void labgpu_pin_free(struct labgpu_pin *pin)
{
	if (!pin)
		return;
	kvfree(pin->mems);
	kvfree(pin->entries);
	kvfree(pin->table.pages);
	kfree(pin);
}

static void labgpu_pin_release(struct kref *ref)
{
	labgpu_pin_free(container_of(ref, struct labgpu_pin, ref));
}

/**
 * labgpu_pin_new - make a pin with an empty table
 * @entries: pages
 * @nmems: memory objects under them
 *
 * Return: the pin, or NULL
 */
struct labgpu_pin *labgpu_pin_new(u32 entries, u32 nmems)
{
	struct labgpu_pin *pin = kzalloc(sizeof(*pin), GFP_KERNEL);

	if (!pin)
		return NULL;
	kref_init(&pin->ref);
	init_completion(&pin->done);
	INIT_LIST_HEAD(&pin->maps);
	pin->table.entries = entries;
	pin->table.gpu_uuid = pin->uuid;
	pin->table.pages = kvcalloc(entries, sizeof(*pin->table.pages), GFP_KERNEL);
	pin->entries = kvcalloc(entries, sizeof(*pin->entries), GFP_KERNEL);
	pin->mems = kvcalloc(nmems, sizeof(*pin->mems), GFP_KERNEL);
	pin->nmems = nmems;
	if (!pin->table.pages || !pin->entries || !pin->mems) {
		labgpu_pin_free(pin);
		return NULL;
	}
	return pin;
}

/**
 * labgpu_pin_add - make a complete pin known
 * @pin: the pin; its memory and this module are held until it is dead
 */
void labgpu_pin_add(struct labgpu_pin *pin)
{
	u32 i;

	for (i = 0; i < pin->nmems; i++)
		kref_get(&pin->mems[i]->ref);
	__module_get(THIS_MODULE);
	list_add(&pin->node, &labgpu_pins);
	labgpu_nr_pins++;
}

/**
 * labgpu_pin_find - find the pin of a page table
 * @table: an address that a caller gave; not followed
 *
 * Return: a pin that is not dead, or NULL
 */
struct labgpu_pin *labgpu_pin_find(const struct nvidia_p2p_page_table *table)
{
	struct labgpu_pin *pin;

	list_for_each_entry(pin, &labgpu_pins, node)
		if (&pin->table == table)
			return pin;
	return NULL;
}

/**
 * labgpu_pin_kill - end a pin
 * @pin: live, or its callback has returned; gone afterwards but for waiters
 */
void labgpu_pin_kill(struct labgpu_pin *pin)
{
	u32 i;

	pin->state = LABGPU_PIN_DEAD;
	list_del(&pin->node);
	labgpu_nr_pins--;
	labgpu_unmap_all(pin);
	for (i = 0; i < pin->nmems; i++)
		labgpu_mem_put(pin->mems[i]);
	complete_all(&pin->done);
	module_put(THIS_MODULE);
	kref_put(&pin->ref, labgpu_pin_release);
}

/**
 * labgpu_pin_wait - wait until a pin that is being revoked is dead
 * @pin: the pin; the lock is dropped meanwhile
 */
void labgpu_pin_wait(struct labgpu_pin *pin)
{
	kref_get(&pin->ref);
	mutex_unlock(&labgpu_lock);
	wait_for_completion(&pin->done);
	mutex_lock(&labgpu_lock);
	kref_put(&pin->ref, labgpu_pin_release);
}

static bool labgpu_pin_uses(const struct labgpu_pin *pin,
			    const struct labgpu_mem *mem,
			    const struct labgpu *gpu)
{
	u32 i;

	for (i = 0; i < pin->nmems; i++)
		if (pin->mems[i] == mem || pin->mems[i]->gpu == gpu)
			return true;
	return false;
}

/* A pin to be revoked, or one that is being revoked by another task. */
static struct labgpu_pin *labgpu_pin_next(const struct labgpu_mem *mem,
					  const struct labgpu *gpu)
{
	struct labgpu_pin *pin;

	list_for_each_entry(pin, &labgpu_pins, node)
		if (pin->free_callback && pin->revoker != current &&
		    labgpu_pin_uses(pin, mem, gpu))
			return pin;
	return NULL;
}

static void labgpu_revoke(const struct labgpu_mem *mem, const struct labgpu *gpu)
{
	struct labgpu_pin *pin;

	while ((pin = labgpu_pin_next(mem, gpu))) {
		if (pin->state == LABGPU_PIN_REVOKING) {
			labgpu_pin_wait(pin);
			continue;
		}
		pin->state = LABGPU_PIN_REVOKING;
		pin->revoker = current;
		mutex_unlock(&labgpu_lock);
		pin->free_callback(pin->data);
		mutex_lock(&labgpu_lock);
		labgpu_pin_kill(pin);
	}
}

/**
 * labgpu_revoke_mem - end all pins of a memory object but the persistent ones
 * @mem: the memory; the caller holds it
 *
 * Drops the lock while callbacks run.  When it returns, no callback runs.
 */
void labgpu_revoke_mem(const struct labgpu_mem *mem)
{
	labgpu_revoke(mem, NULL);
}

/**
 * labgpu_revoke_gpu - end all pins of a GPU but the persistent ones
 * @gpu: the GPU; gone, so that no pin is made meanwhile
 *
 * Drops the lock while callbacks run.  When it returns, no callback runs.
 */
void labgpu_revoke_gpu(const struct labgpu *gpu)
{
	labgpu_revoke(NULL, gpu);
}

/**
 * labgpu_pin_count - how many pins are there?
 *
 * Return: pins that are not dead
 */
unsigned int labgpu_pin_count(void)
{
	return labgpu_nr_pins;
}
