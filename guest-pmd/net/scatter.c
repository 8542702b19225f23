/* SPDX-License-Identifier: BSD-3-Clause */

/* See net/scatter.h. */

#include <rte_memcpy.h>

#include "net/scatter.h"

int
vhostpci_scatter_room(struct vhostpci_ring *ring, struct rte_mbuf *m,
		      uint32_t len)
{
	uint32_t most = __atomic_load_n(&ring->scatter, __ATOMIC_RELAXED);
	uint32_t room = rte_pktmbuf_tailroom(m);
	struct rte_mbuf *last = m;

	if (len > most || room == 0)
		return VHOSTPCI_DROP;
	while (room < len) {
		last->next = rte_pktmbuf_alloc(m->pool);
		if (last->next == NULL) {
			vhostpci_scatter_undo(m);
			ring->count.no_mbuf++;
			return VHOSTPCI_DROPPED;
		}
		last = last->next;
		room += rte_pktmbuf_tailroom(last);
	}
	return 0;
}

uint32_t
vhostpci_scatter_left(const struct rte_mbuf *m)
{
	uint32_t room = 0;

	for (; m != NULL; m = m->next)
		room += rte_pktmbuf_tailroom(m);
	return room;
}

struct rte_mbuf *
vhostpci_scatter_put(struct rte_mbuf *m, const uint8_t *from, uint32_t len)
{
	while (len > 0) {
		uint32_t piece = RTE_MIN(len, rte_pktmbuf_tailroom(m));

		rte_memcpy(rte_pktmbuf_mtod_offset(m, uint8_t *, m->data_len),
			   from, piece);
		m->data_len += piece;
		from += piece;
		len -= piece;
		if (len > 0)
			m = m->next;
	}
	return m;
}

void
vhostpci_scatter_end(struct rte_mbuf *m)
{
	struct rte_mbuf *last = m, *empty;

	m->pkt_len = m->data_len;
	m->nb_segs = 1;
	for (; last->next != NULL && last->next->data_len > 0;
	     last = last->next) {
		m->pkt_len += last->next->data_len;
		m->nb_segs++;
	}
	empty = last->next;
	last->next = NULL;
	rte_pktmbuf_free(empty);
}

void
vhostpci_scatter_undo(struct rte_mbuf *m)
{
	struct rte_mbuf *more = m->next;

	m->next = NULL;
	m->nb_segs = 1;
	m->data_len = 0;
	m->pkt_len = 0;
	/* Each mbuf but the first has nb_segs == 1. */
	rte_pktmbuf_free(more);
}
