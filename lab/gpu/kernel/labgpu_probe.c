// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls the emulated GPU's peer interface on behalf of a test program.
 *
 * debugfs labgpu_probe/cmd takes one command per write(2), which returns what
 * the interface returned; SLOT is 0 to 7:
 *	get SLOT VA LENGTH	nvidia_p2p_get_pages
 *	getp SLOT VA LENGTH	nvidia_p2p_get_pages_persistent
 *	getnocb SLOT VA LENGTH	nvidia_p2p_get_pages without a callback
 *	put SLOT, putp SLOT	put; with the address that the slot got last
 *	map SLOT BDF, unmap SLOT	DMA addresses for a device, BDF in one word
 *	hold SLOT		the slot's callback waits, once it comes ...
 *	let SLOT		... for this
 *	freetable SLOT		the slot's callback frees the table itself
 *	latefree SLOT		nvidia_p2p_free_page_table outside of a callback
 *	clear SLOT		forget all about a slot
 *	buf SLOT FD BDF		map a dma-buf for a device, as one that can do
 *				peer to peer; nobuf: as one that can't
 *	unbuf SLOT		undo it
 *
 * debugfs labgpu_probe/slots has a line for each slot that has a table or had
 * one: SLOT callbacks=N waiting=0|1 live=0|1 version=V page_size=N entries=N
 * pages=ADDRESS,... dma=ADDRESS,...; debugfs labgpu_probe/bufs one for each that
 * has a dma-buf: SLOT entries=N dma=ADDRESS,... bytes=LENGTH,...
 */

#include <linux/completion.h>
#include <linux/debugfs.h>
#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "labgpu_compat.h"
#include "nv-p2p.h"

#define PROBE_SLOTS	8

/**
 * struct probe_slot - one page table
 * @lock: protects the rest
 * @table: as it was handed out; stays after its end, to be put again
 * @map: DMA mapping
 * @peer: device of @map, held
 * @va: address
 * @live: @table may be followed
 * @hold: the callback shall wait
 * @waiting: it does
 * @free_table: the callback shall free the table
 * @callbacks: how often it came
 * @go: ends the wait
 */
struct probe_slot {
	spinlock_t lock; /* all below */
	struct nvidia_p2p_page_table *table;
	struct nvidia_p2p_dma_mapping *map;
	struct pci_dev *peer;
	u64 va;
	bool live;
	bool hold;
	bool waiting;
	bool free_table;
	unsigned int callbacks;
	struct completion go;
};

static struct probe_slot probe_slots[PROBE_SLOTS];
static struct dentry *probe_dir;

/**
 * struct probe_buf - a dma-buf that is mapped for a device
 * @attach: NULL: none
 * @sgt: where it is for the device
 * @peer: the device, held
 */
struct probe_buf {
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;
	struct pci_dev *peer;
};

static struct probe_buf probe_bufs[PROBE_SLOTS];
static DEFINE_MUTEX(probe_buf_lock);	/* probe_bufs */

static void probe_callback(void *data)
{
	struct probe_slot *slot = data;
	bool hold;

	spin_lock(&slot->lock);
	slot->callbacks++;
	slot->live = false;
	slot->map = NULL;
	hold = slot->hold;
	slot->waiting = hold;
	spin_unlock(&slot->lock);
	if (hold)
		wait_for_completion(&slot->go);
	if (slot->free_table)
		WARN_ON(nvidia_p2p_free_page_table(slot->table));
	slot->waiting = false;
}

static void probe_no_callback(void *data)
{
	WARN(1, "callback of a table that was not handed out\n");
}

static int probe_call_get(struct probe_slot *slot, const char *how, u64 va,
			  u64 len, struct nvidia_p2p_page_table **table)
{
	if (!strcmp(how, "getp"))
		return nvidia_p2p_get_pages_persistent(va, len, table, 0);
	return nvidia_p2p_get_pages(0, 0, va, len, table,
				    strcmp(how, "getnocb") ? probe_callback : NULL,
				    slot);
}

static int probe_get(struct probe_slot *slot, const char *how, u64 va, u64 len)
{
	struct nvidia_p2p_page_table *table = NULL;
	unsigned int callbacks = slot->callbacks;
	int ret;

	if (slot->live)
		return -EBUSY;
	ret = probe_call_get(slot, how, va, len, &table);
	if (ret)
		return ret;
	spin_lock(&slot->lock);
	slot->table = table;
	slot->va = va;
	/* The callback may have come already. */
	slot->live = slot->callbacks == callbacks;
	spin_unlock(&slot->lock);
	return 0;
}

static int probe_call_put(struct probe_slot *slot, bool persistent)
{
	if (persistent)
		return nvidia_p2p_put_pages_persistent(slot->va, slot->table, 0);
	return nvidia_p2p_put_pages(0, 0, slot->va, slot->table);
}

static int probe_put(struct probe_slot *slot, bool persistent)
{
	unsigned int callbacks;
	bool live;
	int ret;

	/* Nobody may look at the table while it is put. */
	spin_lock(&slot->lock);
	callbacks = slot->callbacks;
	live = slot->live;
	slot->live = false;
	spin_unlock(&slot->lock);
	ret = probe_call_put(slot, persistent);
	spin_lock(&slot->lock);
	if (ret)
		slot->live = live && slot->callbacks == callbacks;
	else
		slot->map = NULL;
	spin_unlock(&slot->lock);
	return ret;
}

static int probe_map(struct probe_slot *slot, u64 bdf)
{
	if (slot->map)
		return -EBUSY;
	pci_dev_put(slot->peer);
	slot->peer = pci_get_domain_bus_and_slot(bdf >> 16, bdf >> 8 & 0xff,
						 bdf & 0xff);
	if (!slot->peer)
		return -ENODEV;
	return nvidia_p2p_dma_map_pages(slot->peer, slot->table, &slot->map);
}

static int probe_unmap(struct probe_slot *slot)
{
	int ret = nvidia_p2p_dma_unmap_pages(slot->peer, slot->table, slot->map);

	if (!ret)
		slot->map = NULL;
	return ret;
}

/* Nothing moves here: what is exported is static. */
static void probe_moved(struct dma_buf_attachment *attach)
{
}

static const struct dma_buf_attach_ops probe_peer_ops = {
	.allow_peer2peer = true,
	.move_notify = probe_moved,
};

static const struct dma_buf_attach_ops probe_plain_ops = {
	.move_notify = probe_moved,
};

static void probe_unbuf(struct probe_buf *buf)
{
	struct dma_buf *dmabuf;

	if (!buf->attach)
		return;
	dmabuf = buf->attach->dmabuf;
	dma_resv_lock(dmabuf->resv, NULL);
	if (buf->sgt)
		dma_buf_unmap_attachment(buf->attach, buf->sgt,
					 DMA_BIDIRECTIONAL);
	dma_resv_unlock(dmabuf->resv);
	dma_buf_detach(dmabuf, buf->attach);
	dma_buf_put(dmabuf);
	pci_dev_put(buf->peer);
	memset(buf, 0, sizeof(*buf));
}

static int probe_map_buf(struct probe_buf *buf)
{
	struct dma_buf *dmabuf = buf->attach->dmabuf;
	struct sg_table *sgt;

	dma_resv_lock(dmabuf->resv, NULL);
	sgt = dma_buf_map_attachment(buf->attach, DMA_BIDIRECTIONAL);
	dma_resv_unlock(dmabuf->resv);
	if (IS_ERR(sgt))
		return PTR_ERR(sgt);
	buf->sgt = sgt;
	return 0;
}

static int probe_attach_buf(struct probe_buf *buf, int fd, u64 bdf, bool peer)
{
	struct dma_buf *dmabuf;
	int ret;

	if (buf->attach)
		return -EBUSY;
	dmabuf = dma_buf_get(fd);
	if (IS_ERR(dmabuf))
		return PTR_ERR(dmabuf);
	buf->peer = pci_get_domain_bus_and_slot(bdf >> 16, bdf >> 8 & 0xff,
						bdf & 0xff);
	if (!buf->peer) {
		dma_buf_put(dmabuf);
		return -ENODEV;
	}
	buf->attach = dma_buf_dynamic_attach(dmabuf, &buf->peer->dev,
					     peer ? &probe_peer_ops :
						    &probe_plain_ops, buf);
	if (IS_ERR(buf->attach)) {
		ret = PTR_ERR(buf->attach);
		pci_dev_put(buf->peer);
		dma_buf_put(dmabuf);
		memset(buf, 0, sizeof(*buf));
		return ret;
	}
	ret = probe_map_buf(buf);
	if (ret)
		probe_unbuf(buf);
	return ret;
}

static int probe_run_buf(const char *how, unsigned int index, u64 fd, u64 bdf)
{
	int ret = 0;

	mutex_lock(&probe_buf_lock);
	if (!strcmp(how, "unbuf"))
		probe_unbuf(&probe_bufs[index]);
	else
		ret = probe_attach_buf(&probe_bufs[index], fd, bdf,
				       !strcmp(how, "buf"));
	mutex_unlock(&probe_buf_lock);
	return ret;
}

static void probe_show_buf(struct seq_file *seq, int index)
{
	struct sg_table *sgt = probe_bufs[index].sgt;
	struct scatterlist *sg;
	int i;

	seq_printf(seq, "%d entries=%u dma=", index, sgt->nents);
	for_each_sgtable_dma_sg(sgt, sg, i)
		seq_printf(seq, "%s0x%llx", i ? "," : "",
			   (u64)sg_dma_address(sg));
	seq_puts(seq, " bytes=");
	for_each_sgtable_dma_sg(sgt, sg, i)
		seq_printf(seq, "%s0x%x", i ? "," : "", sg_dma_len(sg));
	seq_putc(seq, '\n');
}

static int probe_bufs_show(struct seq_file *seq, void *unused)
{
	int i;

	mutex_lock(&probe_buf_lock);
	for (i = 0; i < PROBE_SLOTS; i++)
		if (probe_bufs[i].sgt)
			probe_show_buf(seq, i);
	mutex_unlock(&probe_buf_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(probe_bufs);

static int probe_clear(struct probe_slot *slot)
{
	if (slot->live)
		return -EBUSY;
	pci_dev_put(slot->peer);
	slot->peer = NULL;
	slot->table = NULL;
	slot->hold = false;
	slot->free_table = false;
	slot->callbacks = 0;
	reinit_completion(&slot->go);
	return 0;
}

static int probe_run(char *line)
{
	struct probe_slot *slot;
	unsigned int index;
	u64 a = 0, b = 0;
	char how[16];

	if (sscanf(line, "%15s %u %lli %lli", how, &index, &a, &b) < 2 ||
	    index >= PROBE_SLOTS)
		return -EDOM;
	slot = &probe_slots[index];
	if (strstr(how, "buf"))
		return probe_run_buf(how, index, a, b);
	if (!strncmp(how, "get", 3))
		return probe_get(slot, how, a, b);
	if (!strcmp(how, "put") || !strcmp(how, "putp"))
		return probe_put(slot, how[3]);
	if (!strcmp(how, "map"))
		return probe_map(slot, a);
	if (!strcmp(how, "unmap"))
		return probe_unmap(slot);
	if (!strcmp(how, "latefree"))
		return nvidia_p2p_free_page_table(slot->table);
	if (!strcmp(how, "clear"))
		return probe_clear(slot);
	if (!strcmp(how, "hold"))
		slot->hold = true;
	else if (!strcmp(how, "freetable"))
		slot->free_table = true;
	else if (!strcmp(how, "let"))
		complete(&slot->go);
	else
		return -EDOM;
	return 0;
}

static ssize_t probe_write(struct file *file, const char __user *ubuf,
			   size_t count, loff_t *ppos)
{
	char *line = memdup_user_nul(ubuf, min_t(size_t, count, 128));
	int ret;

	if (IS_ERR(line))
		return PTR_ERR(line);
	ret = probe_run(line);
	kfree(line);
	return ret ? ret : count;
}

static const struct file_operations probe_cmd_fops = {
	.owner	= THIS_MODULE,
	.open	= simple_open,
	.write	= probe_write,
};

/* The lock keeps a callback, and so the end of the table, waiting. */
static void probe_show_slot(struct seq_file *seq, struct probe_slot *slot)
{
	u32 i;

	spin_lock(&slot->lock);
	seq_printf(seq, "%td callbacks=%u waiting=%d live=%d", slot - probe_slots,
		   slot->callbacks, slot->waiting, slot->live);
	if (slot->live) {
		seq_printf(seq, " version=0x%x page_size=%u entries=%u pages=",
			   slot->table->version, slot->table->page_size,
			   slot->table->entries);
		for (i = 0; i < slot->table->entries; i++)
			seq_printf(seq, "%s0x%llx", i ? "," : "",
				   slot->table->pages[i]->physical_address);
	}
	if (slot->live && slot->map) {
		seq_puts(seq, " dma=");
		for (i = 0; i < slot->map->entries; i++)
			seq_printf(seq, "%s0x%llx", i ? "," : "",
				   slot->map->dma_addresses[i]);
	}
	seq_putc(seq, '\n');
	spin_unlock(&slot->lock);
}

static int probe_slots_show(struct seq_file *seq, void *unused)
{
	int i;

	for (i = 0; i < PROBE_SLOTS; i++)
		if (probe_slots[i].table)
			probe_show_slot(seq, &probe_slots[i]);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(probe_slots);

/* What no call from user space can ask: wrong arguments and stale pointers. */
static int __init probe_misuse(void)
{
	struct nvidia_p2p_page_table *table = NULL;
	void *stale = &table;

	if (nvidia_p2p_get_pages(1, 0, 0, 65536, &table, probe_no_callback, NULL) != -EINVAL ||
	    nvidia_p2p_get_pages(0, 0, 0, 65536, NULL, probe_no_callback, NULL) != -EINVAL ||
	    nvidia_p2p_get_pages(0, 0, 0, 65536, &table, probe_no_callback, NULL) != -EINVAL ||
	    nvidia_p2p_put_pages(0, 0, 0, NULL) != -EINVAL ||
	    nvidia_p2p_put_pages(0, 0, 0, stale) != -EINVAL ||
	    nvidia_p2p_put_pages_persistent(0, stale, 0) != -EINVAL ||
	    nvidia_p2p_free_page_table(stale) != -EINVAL ||
	    nvidia_p2p_dma_unmap_pages(NULL, stale, NULL) != -EINVAL || table) {
		pr_err("labgpu_probe: a wrong call was not refused\n");
		return -EPROTO;
	}
	return 0;
}

static int __init probe_init(void)
{
	int i, ret = probe_misuse();

	if (ret)
		return ret;
	for (i = 0; i < PROBE_SLOTS; i++) {
		spin_lock_init(&probe_slots[i].lock);
		init_completion(&probe_slots[i].go);
	}
	probe_dir = debugfs_create_dir("labgpu_probe", NULL);
	debugfs_create_file("cmd", 0200, probe_dir, NULL, &probe_cmd_fops);
	debugfs_create_file("slots", 0400, probe_dir, NULL, &probe_slots_fops);
	debugfs_create_file("bufs", 0400, probe_dir, NULL, &probe_bufs_fops);
	return 0;
}
module_init(probe_init);

/* A callback may still come for what a test left behind: let none be live. */
static void __exit probe_exit(void)
{
	int i;

	debugfs_remove_recursive(probe_dir);
	for (i = 0; i < PROBE_SLOTS; i++) {
		complete(&probe_slots[i].go);
		if (probe_slots[i].live && probe_put(&probe_slots[i], false))
			probe_put(&probe_slots[i], true);
		pci_dev_put(probe_slots[i].peer);
		probe_unbuf(&probe_bufs[i]);
	}
}
module_exit(probe_exit);

MODULE_DESCRIPTION("Test of the emulated GPU's peer interface");
MODULE_LICENSE("GPL");
LABGPU_IMPORT_DMA_BUF;
