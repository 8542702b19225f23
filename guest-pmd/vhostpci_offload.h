/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHOSTPCI_OFFLOAD_H
#define VHOSTPCI_OFFLOAD_H

#include "vhostpci_ring.h"

#define VHOSTPCI_OFFLOAD_FEATURES	0

static inline int
vhostpci_offload_rx(const struct vhostpci_ring *ring, struct rte_mbuf *m,
		    const struct virtio_net_hdr *hdr)
{
	RTE_SET_USED(ring); RTE_SET_USED(m); RTE_SET_USED(hdr);
	return 0;
}

static inline int
vhostpci_offload_tx(const struct vhostpci_ring *ring, struct rte_mbuf *m,
		    struct virtio_net_hdr *hdr)
{
	RTE_SET_USED(ring); RTE_SET_USED(m); RTE_SET_USED(hdr);
	return 0;
}
#endif
