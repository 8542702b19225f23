/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The peer's kicks as interrupts. The device raises MSI-X vector kick_vector +
 * i % n_kick_vectors for each kick of its ring i. The vector signals an eventfd
 * of a receive queue (port/intr.h). The kernel does this; no code of this
 * driver runs. A vector signals one eventfd, so two rings with different
 * eventfds must not share a vector.
 *
 * In EAL's handle of the device, efds[v - 1] belongs to vector v, nb_efd is the
 * last vector, and max_intr counts vector 0, too. Without kicks vector 0 is the
 * only vector: it serves the control queues and the configuration. vfio masks a
 * vector whose eventfd is -1.
 */

#include <errno.h>

#include <rte_interrupts.h>

#include "pci/pci.h"

/* The most vectors of a device: its own, and those for kicks. */
#define VHOSTPCI_PCI_VECTORS	(3 + VHOST_PCI_MAX_DEVICE_RINGS)

void
vhostpci_pci_forget_kicks(struct vhostpci_pci *p)
{
	rte_intr_nb_efd_set(p->pci->intr_handle, 0);
	rte_intr_max_intr_set(p->pci->intr_handle, 0);
}

/* Fill @of with p->kick_fds, one fd for each vector of the device. Returns the
 * number of vectors needed; 0: some vector would have to signal two
 * eventfds. */
static unsigned int
by_vector(const struct vhostpci_pci *p, int *of)
{
	const struct vhost_pci_config *c = &p->config;
	unsigned int i, v, used = 1;

	for (v = 0; v < VHOSTPCI_PCI_VECTORS; v++)
		of[v] = -1;
	for (i = 0; i < c->n_rings; i++) {
		if (p->kick_fds[i] < 0)
			continue;
		v = c->kick_vector;
		if (v == 0)
			return 0;
		v += i % c->n_kick_vectors;
		if (v >= VHOSTPCI_PCI_VECTORS || of[v] >= 0)
			return 0;
		of[v] = p->kick_fds[i];
		used = RTE_MAX(used, v + 1);
	}
	return used;
}

/* Returns why kicks cannot be interrupts, or NULL if they can. @used: the
 * number of vectors needed. */
static const char *
why_not(const struct vhostpci_pci *p, unsigned int used)
{
	if (!p->msix)
		return "they need vfio-pci with MSI-X";
	if (used == 0)
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

/* Enable interrupts with @used vectors; 1: only the vector of the device
 * itself. Disable first: vfio changes the number of vectors only while none is
 * enabled. */
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

/* Set the part of p->kick_fds that belongs to the port. */
static void
set_fds(struct vhostpci_pci_port *port, const int *fds, unsigned int n)
{
	int *to = &port->p->kick_fds[port->first_ring];
	unsigned int i;

	for (i = 0; i < vhostpci_pci_function(port)->max_rings; i++)
		to[i] = fds != NULL && i < n ? fds[i] : -1;
}

/* Enable interrupts with the fds of the port; if that fails, without them.
 * Returns the reason of the failure, or NULL. */
static const char *
try_enable(struct vhostpci_pci_port *port, int *ret)
{
	struct vhostpci_pci *p = port->p;
	int of[VHOSTPCI_PCI_VECTORS];
	unsigned int used = by_vector(p, of);
	const char *reason = why_not(p, used);

	if (reason == NULL && enable(p, of, used) == 0)
		return NULL;
	set_fds(port, NULL, 0);
	if (reason == NULL) {
		reason = "the system has too few vectors";
		used = by_vector(p, of);
		*ret = enable(p, of, used) != 0 ? -EIO : 0;
	}
	return reason;
}

int
vhostpci_pci_kick_fds(struct vhostpci_pci_port *port, const int *fds,
		      unsigned int n)
{
	struct vhostpci_pci *p = port->p;
	const char *reason;
	int ret = 0;

	pthread_mutex_lock(&p->kick_lock);
	set_fds(port, fds, n);
	reason = try_enable(port, &ret);
	pthread_mutex_unlock(&p->kick_lock);
	if (ret != 0)
		VHOSTPCI_LOG(ERR, "%s: cannot enable the interrupt",
			     p->pci->name);
	else if (reason != NULL)
		VHOSTPCI_LOG(WARNING, "%s: no receive interrupts: %s",
			     p->pci->name, reason);
	return ret == 0 && reason != NULL ? -ENOTSUP : ret;
}
