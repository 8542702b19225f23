/* SPDX-License-Identifier: BSD-3-Clause */

/* Packets over several descriptors: see net/copy.h. */

#include <linux/virtio_net.h>

#include "net/copy.h"
#include "net/large.h"
#include "net/offload.h"
#include "net/scatter.h"
#include "vring/reader.h"
#include "vring/writer.h"

/*
 * From the peer.
 */

static void
put_scattered(struct vhostpci_reader *reader, const uint8_t *from, uint32_t len)
{
	reader->to = vhostpci_scatter_put(reader->to, from, len);
}

static int
pull_into(struct vhostpci_ring *ring, const struct vhostpci_burst *b,
	  const struct vhostpci_slot *slot, struct rte_mbuf *m,
	  struct vhostpci_reader *reader, struct vhostpci_chain *chain)
{
	*reader = (struct vhostpci_reader) {
		.room = vhostpci_scatter_left(m),
		.data = rte_pktmbuf_mtod(m, uint8_t *),
		.put = m->next == NULL ? NULL : put_scattered,
		.to = m,
	};
	return vhostpci_read_chain(ring, b, slot, reader, chain);
}

int
vhostpci_large_or_scatter(struct vhostpci_ring *ring, struct rte_mbuf *m,
			  uint32_t len, unsigned int flags)
{
	if (flags & F_OFFLOAD && ring->offload & VHOSTPCI_OL_TAKE_TSO &&
	    vhostpci_large_room(m, len) == 0)
		return 0;
	return vhostpci_scatter_room(ring, m, len);
}

int
vhostpci_pull_raw(struct vhostpci_ring *ring, struct vhostpci_burst *b,
		  const struct vhostpci_slot *slot, struct rte_mbuf *m,
		  struct virtio_net_hdr *hdr, unsigned int flags)
{
	struct vhostpci_reader reader;
	struct vhostpci_chain chain;
	int rc = pull_into(ring, b, slot, m, &reader, &chain), fate = 0;

	if (rc == 0 && reader.total > reader.room) {
		fate = vhostpci_large_or_scatter(ring, m, reader.total, flags);
		/* Read the packet again from the start. The peer may have
		 * changed the packet meanwhile, so check again whether it
		 * fits. */
		if (fate == 0)
			rc = pull_into(ring, b, slot, m, &reader, &chain);
		if (rc == 0 && fate == 0 && reader.total > reader.room)
			fate = VHOSTPCI_DROP;
	}
	if (rc == 0)
		vhostpci_give(ring, b, chain.id, chain.n_slots, 0, flags);
	if (rc != 0 || fate != 0) {
		vhostpci_scatter_undo(m);
		return rc != 0 ? rc : fate;
	}
	*hdr = reader.hdr;
	if (m->next != NULL) {
		vhostpci_scatter_end(m);
		return 0;
	}
	m->data_len = reader.total;
	m->pkt_len = reader.total;
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
