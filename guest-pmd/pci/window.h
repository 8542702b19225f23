/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The window BAR: the peer's memory, and the state page at its start, in this
 * process's address space.
 *
 * The memory type of the mapping decides the speed. A read of an uncached mapping
 * costs hundreds of cycles, and bursts read a lot. KVM on Intel forces write-back
 * for all RAM behind a BAR. KVM on AMD honours the guest's page tables, which
 * depend on the way in which the BAR was mapped:
 *   vhost_pci_window         write-back, with huge pages: guest-pmd/kmod
 *   /dev/mem without O_SYNC  write-back (unless an MTRR says otherwise)
 *   sysfs resourceN          uncached
 *   vfio                     uncached
 *   sysfs resourceN_wc       write-combining: never, DPDK's barriers on x86
 *                            do not order such stores
 * All mappings of a page have one type. If this BAR is mapped elsewhere in the
 * guest, /dev/mem silently gives the type of that other mapping. So nothing else
 * may use a mapping of this BAR.
 * The driver takes the first of these ways that is there: /dev/mem and sysfs with
 * uio_pci_generic only, vfio with vfio-pci only.
 */

#ifndef VHOSTPCI_PCI_WINDOW_H
#define VHOSTPCI_PCI_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/transport.h"

struct rte_pci_device;

/* One mapped piece. vfio maps the BAR as a whole; the pieces are then views of
 * this mapping. */
struct vhostpci_window_map {
	uint64_t offset;	/* from the start of the BAR, page aligned */
	uint64_t len;		/* bytes, a multiple of pages; 0: free slot */
	uint8_t *addr;
	bool adopted;		/* of the state in use */
	bool wanted;		/* of the state being adopted */
};

/* control: rw; probe and close: rw before and after control runs. */
struct vhostpci_window {
	const char *how;	/* "vhost_pci_window", "/dev/mem", "sysfs",
				 * "vfio": for logs */
	uint64_t bar_len;
	uint64_t file_base;	/* of the BAR within fd */
	uint8_t *whole;		/* vfio: the whole BAR; EAL unmaps it */
	int fd;			/* -1: mapped by vfio */
	/* The regions of the last adopted state and of the next state, and the
	 * state pages. */
	struct vhostpci_window_map maps[2 * VHOSTPCI_MAX_REGIONS +
					VHOST_PCI_MAX_FUNCTIONS];
};

/*
 * Find the best way to map @bar of @pci and keep it open. Nothing else may
 * touch a mapping of it. Returns 0 or -errno.
 */
int vhostpci_window_open(struct vhostpci_window *w,
			 const struct rte_pci_device *pci, unsigned int bar);
void vhostpci_window_close(struct vhostpci_window *w);

/*
 * control: move from one set of mappings to the next. begin() undoes the mappings
 * since an earlier begin() without a commit(). map() checks the range, and finds or
 * makes a mapping of [offset, offset + len) of the BAR (or returns NULL with
 * errno). commit() unmaps all mappings that map() did not return since begin().
 * keep() keeps all mappings, also at the next begin(), because both sets are in
 * use.
 */
void vhostpci_window_begin(struct vhostpci_window *w);
void *vhostpci_window_map(struct vhostpci_window *w, uint64_t offset,
			  uint64_t len);
void vhostpci_window_keep(struct vhostpci_window *w);
void vhostpci_window_commit(struct vhostpci_window *w);

/*
 * Compare the time of reads of RAM behind the window at @line (64 bytes, readable)
 * with the time of reads of ordinary memory. Returns VHOSTPCI_WINDOW_WB or
 * VHOSTPCI_WINDOW_UC; *ratio says how many times slower the window is, in tenths.
 */
enum vhostpci_window_type
vhostpci_window_measure(const volatile void *line, unsigned int *ratio);

/*
 * Map a register BAR uncached, through /dev/mem if that is allowed: when the device
 * is unplugged, such a mapping reads as all ones, whereas a sysfs mapping raises
 * SIGBUS. Returns NULL with errno on failure.
 */
void *vhostpci_window_map_registers(const struct rte_pci_device *pci,
				    unsigned int bar);

#endif
