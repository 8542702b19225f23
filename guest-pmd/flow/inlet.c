/* SPDX-License-Identifier: BSD-3-Clause */

/* See flow/inlet.h. */

#include <rte_malloc.h>
#include <rte_string_fns.h>

#include "flow/inlet.h"
#include "vring/queue.h"

struct vhostpci_inlet *
vhostpci_inlet_new(const char *name, uint16_t n_lanes, int socket)
{
	struct vhostpci_inlet *inlet;
	uint16_t i;

	inlet = rte_zmalloc_socket("vhostpci_inlet", sizeof(*inlet) +
				   n_lanes * sizeof(inlet->lanes[0]),
				   RTE_CACHE_LINE_SIZE, socket);
	if (inlet == NULL)
		return NULL;
	inlet->refs = 1;
	strlcpy(inlet->name, name, sizeof(inlet->name));
	inlet->n_lanes = n_lanes;
	for (i = 0; i < n_lanes; i++)
		rte_spinlock_init(&inlet->lanes[i].lock);
	return inlet;
}

void
vhostpci_inlet_get(struct vhostpci_inlet *inlet)
{
	/* relaxed: the caller has a reference, or the port's lock. */
	__atomic_fetch_add(&inlet->refs, 1, __ATOMIC_RELAXED);
}

void
vhostpci_inlet_put(struct vhostpci_inlet *inlet)
{
	/* acq_rel: the last user sees all that other users did before they
	 * dropped their references. */
	if (__atomic_sub_fetch(&inlet->refs, 1, __ATOMIC_ACQ_REL) == 0)
		rte_free(inlet);
}

bool
vhostpci_inlet_close(struct vhostpci_inlet *inlet)
{
	bool was_open = inlet->open;

	__atomic_store_n(&inlet->open, false, __ATOMIC_RELAXED);
	return was_open && vhostpci_inlet_used(inlet);
}

bool
vhostpci_inlet_wait(const struct vhostpci_inlet *inlet, uint64_t deadline)
{
	uint16_t i;

	for (i = 0; i < inlet->n_lanes; i++) {
		if (!vhostpci_wait_zero(&inlet->lanes[i].inside, deadline))
			return false;
	}
	return true;
}

void
vhostpci_inlet_open(struct vhostpci_inlet *inlet)
{
	/* release: pairs with the acquire in vhostpci_lane_enter(). */
	__atomic_store_n(&inlet->open, true, __ATOMIC_RELEASE);
}
