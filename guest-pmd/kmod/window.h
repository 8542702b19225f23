/* SPDX-License-Identifier: GPL-2.0 */

/*
 * The windows of vhost-pci devices as files that can be mapped write-back, with
 * huge pages: /dev/vhost-pci/DDDD:BB:DD.F, one for each device that is there.
 *
 * A window is a peer's memory: RAM behind a BAR (doc/device-spec.md of
 * vhost-pci-ovs). vfio-pci and sysfs map a BAR uncached, /dev/mem asks MTRRs and
 * is closed by lockdown. On hosts that honour the guest's page tables (KVM on
 * AMD) such a mapping is slow by one to two orders of magnitude.
 *
 * This module is no driver of the device, which stays with vfio-pci or
 * uio_pci_generic: it looks at the PCI devices there are, and hears of those that
 * come and go.
 *
 * The file, which is all of the interface: mmap() at N << VPW_BAR_SHIFT plus an
 * offset maps BAR N from that offset on. Only BARs that hold nothing but STATE
 * and WINDOW areas can be mapped, shared, and never to be executed.
 */

#ifndef VHOST_PCI_WINDOW_H
#define VHOST_PCI_WINDOW_H

#include <linux/kref.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/pci.h>

/* The file's offset of BAR 1; the other bits of an offset are within the BAR. */
#define VPW_BAR_SHIFT		56
#define VPW_BAR_PAGE_SHIFT	(VPW_BAR_SHIFT - PAGE_SHIFT)

struct vpw_device {
	struct kref ref;		/* of the list, and of each open file */
	struct list_head node;		/* under the list's lock */
	struct pci_dev *pdev;
	struct miscdevice misc;
	char name[32];
	char nodename[32];
	unsigned int bars;		/* bit N: BAR N may be mapped */
	/*
	 * Full of ones, as a bus without the device reads: mapped in place of a
	 * window that is gone, so that a thread that polls goes on.
	 */
	struct page *nothing;
	/*
	 * Taken for each entry that is made: none is made of a device that is
	 * gone, and none twice. Inside mmap_lock, outside i_mmap_rwsem.
	 */
	struct mutex lock;
	bool gone;
	struct list_head files;
	atomic64_t huge_pages;
	atomic64_t small_pages;
};

struct vpw_file {
	struct list_head node;		/* under device->lock */
	struct vpw_device *device;
	struct address_space *mapping;
};

/* map.c: the file's mmap(), and what is mapped. */
int vpw_mmap(struct file *file, struct vm_area_struct *vma);

#endif
