/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Detect a front-end that sends memory which its guest does not use, because
 * the guest runs on a private copy of the file (QEMU's memory-backend-* without
 * share=on). Kicks of such a guest arrive, but no index in the mapped memory
 * moves. An honest driver moves an index before it kicks.
 *
 * The first kick of a ring may come from the front-end: QEMU creates eventfds
 * with a count of 1. So that kick does not count.
 */

#define _GNU_SOURCE /* preadv2 */

#include <sys/uio.h>

#include <rte_cycles.h>

#include "socket/socket.h"

#define ENOUGH_KICKS	UINT64_C(2)

void
vhostpci_socket_count_kicks(struct vhostpci_socket *s, unsigned int i,
			    uint64_t count)
{
	const uint32_t epoch = s->core.rings[i].epoch;

	if (s->kicked_epoch[i] != epoch) {
		s->kicked_epoch[i] = epoch;
		count--;
	}
	s->kicked += RTE_MIN(count, ENOUGH_KICKS);
}

/* Count the kicks of rings that nobody waits for; their kicks stay in the fd.
 * The kicks that wake somebody are counted in io.c. */
static void
take_kicks(struct vhostpci_socket *s)
{
	uint64_t watch = __atomic_load_n(&s->watch, __ATOMIC_RELAXED);
	uint64_t count = 0;
	struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };
	unsigned int i;

	for (i = 0; i < VHOSTPCI_MAX_RINGS; i++) {
		const struct vu_ring *r = &s->core.rings[i];

		/* RWF_NOWAIT, because the peer shares O_NONBLOCK and may clear
		 * the flag. */
		if (r->run && r->kick_fd >= 0 && !(watch >> i & 1) &&
		    preadv2(r->kick_fd, &iov, 1, -1, RWF_NOWAIT) ==
		    sizeof(count))
			vhostpci_socket_count_kicks(s, i, count);
	}
}

void
vhostpci_socket_look_shared(struct vhostpci_socket *s)
{
	uint64_t now = rte_get_timer_cycles();

	if (!s->unproven || s->conn_fd < 0 || s->waiting || now < s->look_at)
		return;
	s->look_at = now + rte_get_timer_hz() / 1000 * VHOSTPCI_LOOK_MS;
	/* Read the kicks before the indices: a driver moves the index before it
	 * kicks. */
	take_kicks(s);
	if (vhostpci_peer_moved(s->dev)) {
		s->unproven = false;
	} else if (s->kicked >= ENOUGH_KICKS) {
		s->kicked = 0;
		vhostpci_peer_unshared(s->dev);
	}
}
