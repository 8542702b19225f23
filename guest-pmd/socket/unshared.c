/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A front-end sends memory that its guest does not use: the guest runs on a
 * private copy of the file (QEMU's memory-backend-* without share=on). Its kicks
 * come, and no index moves in what we map. An honest driver's index moves before
 * it kicks; one that has not begun does not kick. What a ring begins with is its
 * front-end's own: QEMU makes eventfds with a count of 1.
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

/* Kicks for who polls are left in the fd. One that wakes somebody is counted
 * where it does. */
static void
take_kicks(struct vhostpci_socket *s)
{
	uint64_t watch = __atomic_load_n(&s->watch, __ATOMIC_RELAXED);
	uint64_t count = 0;
	struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };
	unsigned int i;

	for (i = 0; i < VHOSTPCI_MAX_RINGS; i++) {
		const struct vu_ring *r = &s->core.rings[i];

		/* The peer shares O_NONBLOCK: never wait. */
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
	/* Kicks first: what they tell of is there then. */
	take_kicks(s);
	if (vhostpci_peer_moved(s->dev)) {
		s->unproven = false;
	} else if (s->kicked >= ENOUGH_KICKS) {
		s->kicked = 0;
		vhostpci_peer_unshared(s->dev);
	}
}
