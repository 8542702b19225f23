/* SPDX-License-Identifier: BSD-3-Clause */

/* Packets over several descriptors: see net/copy.h. */

#include <linux/virtio_net.h>

#include "net/copy.h"
#include "net/large.h"
#include "net/offload.h"
#include "vring/reader.h"
#include "vring/writer.h"

/*
 * From the peer.
 */

static int
pull_into(struct vhostpci_ring *ring, const struct vhostpci_burst *b,
	  const struct vhostpci_slot *slot, const struct rte_mbuf *m,
	  struct vhostpci_reader *reader, struct vhostpci_chain *chain)
{
	*reader = (struct vhostpci_reader) {
		.room = rte_pktmbuf_tailroom(m),
		.data = rte_pktmbuf_mtod(m, uint8_t *),
	};
	return vhostpci_read_chain(ring, b, slot, reader, chain);
}

int
vhostpci_pull_raw(struct vhostpci_ring *ring, struct vhostpci_burst *b,
		  const struct vhostpci_slot *slot, struct rte_mbuf *m,
		  struct virtio_net_hdr *hdr, unsigned int flags)
{
	struct vhostpci_reader reader;
	struct vhostpci_chain chain;
	int rc = pull_into(ring, b, slot, m, &reader, &chain);

	/* Again from the start: the peer may have changed it meanwhile, but
	 * what comes of it is checked anew and fits, or does not. */
	if (flags & F_OFFLOAD && rc == 0 && reader.total > reader.room &&
	    ring->offload & VHOSTPCI_OL_TAKE_TSO &&
	    vhostpci_large_room(m, reader.total) == 0)
		rc = pull_into(ring, b, slot, m, &reader, &chain);
	if (rc < 0)
		return rc;
	vhostpci_give(ring, b, chain.id, chain.n_slots, 0, flags);
	if (reader.total > reader.room)
		return VHOSTPCI_DROP;
	m->data_len = reader.total;
	m->pkt_len = reader.total;
	*hdr = reader.hdr;
	return 0;
}

int
vhostpci_pull_chain(struct vhostpci_ring *ring, struct vhostpci_burst *b,
		    const struct vhostpci_slot *slot, struct rte_mbuf *m,
		    unsigned int flags)
{
	struct virtio_net_hdr hdr;
	int rc = vhostpci_pull_raw(ring, b, slot, m, &hdr, flags);

	if (rc == 0 && flags & F_OFFLOAD)
		return vhostpci_offload_rx(ring, m, &hdr);
	return rc;
}

/*
 * To the peer.
 */

int
vhostpci_push_chain(struct vhostpci_ring *ring, struct vhostpci_burst *b,
		    const struct vhostpci_slot *slot, const struct rte_mbuf *m,
		    const struct virtio_net_hdr_v1 *hdr, unsigned int flags)
{
	struct vhostpci_writer w = vhostpci_writer(ring, b, flags);
	int rc = vhostpci_write_begin(&w, slot, hdr);

	for (; rc == 0 && m != NULL; m = m->next)
		rc = vhostpci_write_bytes(&w, rte_pktmbuf_mtod(m, void *),
					  m->data_len);
	if (rc == 0)
		rc = vhostpci_write_end(&w);
	if (rc == 0)
		*b = w.b;
	return rc;
}
