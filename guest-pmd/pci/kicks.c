/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The peer's kicks as interrupts: MSI-X vector kick_vector + i, which the
 * device raises for each kick of ring i, signals an eventfd of a receive queue
 * (port/intr.h). The kernel does that; nothing of this driver runs.
 *
 * In EAL's handle of the device efds[v - 1] belongs to vector v, the last of
 * them is nb_efd, and max_intr counts vector 0 as well, which is all there is
 * otherwise: the control queues and the configuration. vfio leaves a vector
 * without an eventfd (-1) masked.
 */

#include <errno.h>

#include <rte_interrupts.h>

#include "pci/pci.h"

void
vhostpci_pci_forget_kicks(struct vhostpci_pci *p)
{
	rte_intr_nb_efd_set(p->pci->intr_handle, 0);
	rte_intr_max_intr_set(p->pci->intr_handle, 0);
}

/* NULL: they can be had. @n: the rings in question. */
static const char *
why_not(const struct vhostpci_pci *p, unsigned int n)
{
	if (!p->msix)
		return "they need vfio-pci with MSI-X";
	if (p->config.kick_vector == 0)
		return "the device has too few vectors";
	if (p->config.kick_vector + n >
	    (unsigned int)rte_intr_nb_intr_get(p->pci->intr_handle))
		return "the device's vectors are out of range";
	return p->gone ? "the device was removed" : NULL;
}

static int
note_fds(struct vhostpci_pci *p, const int *fds, unsigned int n)
{
	struct rte_intr_handle *intr = p->pci->intr_handle;
	unsigned int first = p->config.kick_vector, v;

	for (v = 1; v < first + n; v++) {
		int fd = v < first ? -1 : fds[v - first];

		if (rte_intr_efds_index_set(intr, v - 1, fd) != 0)
			return -ERANGE;
	}
	if (rte_intr_max_intr_set(intr, first + n) != 0)
		return -ERANGE;
	return rte_intr_nb_efd_set(intr, first + n - 1);
}

/* vfio changes the number of vectors only while there is none. @n 0: as
 * before. */
static int
enable(struct vhostpci_pci *p, const int *fds, unsigned int n)
{
	int ret = 0;

	rte_intr_disable(p->pci->intr_handle);
	vhostpci_pci_forget_kicks(p);
	if (n > 0)
		ret = note_fds(p, fds, n);
	return ret == 0 ? rte_intr_enable(p->pci->intr_handle) : ret;
}

int
vhostpci_pci_kick_fds(struct vhostpci_pci *p, const int *fds, unsigned int n)
{
	const char *reason = why_not(p, n);
	int ret = 0;

	if (reason == NULL) {
		if (enable(p, fds, n) != 0) {
			reason = "the system has too few vectors";
			ret = enable(p, NULL, 0) != 0 ? -EIO : 0;
		}
	}
	if (ret != 0)
		VHOSTPCI_LOG(ERR, "%s: cannot enable the interrupt",
			     p->pci->name);
	else if (reason != NULL)
		VHOSTPCI_LOG(WARNING, "%s: no receive interrupts: %s",
			     p->pci->name, reason);
	return ret == 0 && reason != NULL ? -ENOTSUP : ret;
}
