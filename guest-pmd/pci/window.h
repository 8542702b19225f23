/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The window BAR: the peer's memory, and the state page at its start, in this
 * process's address space.
 *
 * What matters is the memory type. Reads of an uncached mapping cost hundreds
 * of cycles each, and the burst functions read a lot. KVM on Intel forces
 * write-back for whatever is RAM behind a BAR; KVM on AMD honours the guest's
 * page tables, and those follow from how the BAR was mapped:
 *   vhost_pci_window         write-back, with huge pages: guest-pmd/kmod
 *   /dev/mem without O_SYNC  write-back (unless an MTRR says otherwise)
 *   sysfs resourceN          uncached
 *   vfio                     uncached
 *   sysfs resourceN_wc       write-combining: never, DPDK's barriers on x86
 *                            do not order such stores
 * Two mappings of one page must agree, so this BAR may be mapped nowhere else
 * in the guest; otherwise /dev/mem silently gives the other mapping's type. The
 * first of these that is there is used; the one of /dev/mem and sysfs with
 * uio_pci_generic only, that of vfio with vfio-pci only.
 */

#ifndef VHOSTPCI_PCI_WINDOW_H
#define VHOSTPCI_PCI_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/transport.h"

struct rte_pci_device;

/* One mapped piece. By vfio the BAR is mapped as a whole and these are views of
 * it. */
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
	uint8_t *whole;		/* vfio: the whole BAR, not ours to unmap */
	int fd;			/* -1: mapped by vfio */
	/* The last adopted state's regions and the next one's, and the state
	 * pages. */
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
 * control: moving from one set of mappings to the next. begin() forgets what an
 * earlier begin() led to without a commit(); map() finds or makes a mapping of
 * [offset, offset + len) of the BAR, checking the range (NULL with errno);
 * commit() unmaps what was not asked for since begin(); keep() unmaps nothing,
 * neither now nor at the next begin(): both sets are in use.
 */
void vhostpci_window_begin(struct vhostpci_window *w);
void *vhostpci_window_map(struct vhostpci_window *w, uint64_t offset,
			  uint64_t len);
void vhostpci_window_keep(struct vhostpci_window *w);
void vhostpci_window_commit(struct vhostpci_window *w);

/*
 * Time reads of RAM behind the window at @line (64 bytes, readable) against
 * reads of ordinary memory. VHOSTPCI_WINDOW_WB or VHOSTPCI_WINDOW_UC; *ratio
 * is how many times slower the window is, in tenths.
 */
enum vhostpci_window_type
vhostpci_window_measure(const volatile void *line, unsigned int *ratio);

/*
 * Map a register BAR uncached. Through /dev/mem where that is allowed: unlike
 * a sysfs mapping it does not raise SIGBUS when the device is unplugged, it
 * then reads as all ones. NULL with errno.
 */
void *vhostpci_window_map_registers(const struct rte_pci_device *pci,
				    unsigned int bar);

#endif
