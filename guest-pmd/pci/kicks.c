/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The peer's kicks as interrupts: MSI-X vector kick_vector + i % n_kick_vectors,
 * which the device raises for each kick of its ring i, signals an eventfd of a
 * receive queue (port/intr.h). The kernel does that; nothing of this driver runs.
 * A vector signals one eventfd: rings with one must not share a vector.
 *
 * In EAL's handle of the device efds[v - 1] belongs to vector v, the last of
 * them is nb_efd, and max_intr counts vector 0 as well, which is all there is
 * otherwise: the control queues and the configuration. vfio leaves a vector
 * without an eventfd (-1) masked.
 */

#include <errno.h>

#include <rte_interrupts.h>

#include "pci/pci.h"

/* As many as a device of ours may use for kicks, and its own. */
#define VHOSTPCI_PCI_VECTORS	(3 + VHOST_PCI_MAX_DEVICE_RINGS)

void
vhostpci_pci_forget_kicks(struct vhostpci_pci *p)
{
	rte_intr_nb_efd_set(p->pci->intr_handle, 0);
	rte_intr_max_intr_set(p->pci->intr_handle, 0);
}

/* Of ring @i of the function. */
static unsigned int
vector_of(const struct vhostpci_pci *p, unsigned int i)
{
	const struct vhost_pci_config *c = &p->config;

	return c->kick_vector +
	       (vhostpci_pci_function(p)->first_ring + i) % c->n_kick_vectors;
}

/* Fill @of, one for each vector of the device; how many are needed, 0: some
 * would signal two. */
static unsigned int
by_vector(const struct vhostpci_pci *p, const int *fds, unsigned int n,
	  int *of)
{
	unsigned int i, v, used = 1;

	for (v = 0; v < VHOSTPCI_PCI_VECTORS; v++)
		of[v] = -1;
	for (i = 0; i < n; i++) {
		if (fds[i] < 0)
			continue;
		v = vector_of(p, i);
		if (v >= VHOSTPCI_PCI_VECTORS || of[v] >= 0)
			return 0;
		of[v] = fds[i];
		used = RTE_MAX(used, v + 1);
	}
	return used;
}

/* NULL: they can be had. @used: as many vectors. */
static const char *
why_not(const struct vhostpci_pci *p, unsigned int used)
{
	if (!p->msix)
		return "they need vfio-pci with MSI-X";
	if (p->config.kick_vector == 0 || used == 0)
		return "the device has too few vectors";
	if (used > (unsigned int)rte_intr_nb_intr_get(p->pci->intr_handle))
		return "the device's vectors are out of range";
	return p->gone ? "the device was removed" : NULL;
}

static int
note_fds(struct vhostpci_pci *p, const int *of, unsigned int used)
{
	struct rte_intr_handle *intr = p->pci->intr_handle;
	unsigned int v;

	for (v = 1; v < used; v++) {
		if (rte_intr_efds_index_set(intr, v - 1, of[v]) != 0)
			return -ERANGE;
	}
	if (rte_intr_max_intr_set(intr, used) != 0)
		return -ERANGE;
	return rte_intr_nb_efd_set(intr, used - 1);
}

/* vfio changes the number of vectors only while there is none. @used 1: that of
 * the device itself. */
static int
enable(struct vhostpci_pci *p, const int *of, unsigned int used)
{
	int ret = 0;

	rte_intr_disable(p->pci->intr_handle);
	vhostpci_pci_forget_kicks(p);
	if (used > 1)
		ret = note_fds(p, of, used);
	return ret == 0 ? rte_intr_enable(p->pci->intr_handle) : ret;
}

int
vhostpci_pci_kick_fds(struct vhostpci_pci *p, const int *fds, unsigned int n)
{
	int of[VHOSTPCI_PCI_VECTORS], ret = 0;
	unsigned int used = p->config.kick_vector != 0 ?
		by_vector(p, fds, n, of) : 0;
	const char *reason = why_not(p, used);

	if (reason == NULL) {
		if (enable(p, of, used) != 0) {
			reason = "the system has too few vectors";
			ret = enable(p, NULL, 1) != 0 ? -EIO : 0;
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
