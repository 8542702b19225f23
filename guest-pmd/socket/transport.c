/* SPDX-License-Identifier: BSD-3-Clause */

/* The operations that the port and its rings call. */

#define _GNU_SOURCE /* preadv2 */

#include <stdlib.h>

#include <sys/uio.h>

#include "socket/socket.h"

static bool
call(struct vhostpci_dev *dev, unsigned int i)
{
	struct vhostpci_socket *s = vhostpci_dev_transport(dev)->priv;

	return vhostpci_caller_call(s->caller, i);
}

static void
broken(struct vhostpci_dev *dev, unsigned int i, uint32_t epoch,
       const char *rule)
{
	struct vhostpci_socket *s = vhostpci_dev_transport(dev)->priv;

	RTE_SET_USED(rule); /* logged by the rings */
	/* relaxed: the write of the wake-up orders this store. */
	__atomic_store_n(&s->broken[i], epoch, __ATOMIC_RELAXED);
	vhostpci_socket_wake(s);
}

static void
kick_intr(struct vhostpci_dev *dev, unsigned int i, bool on)
{
	struct vhostpci_socket *s = vhostpci_dev_transport(dev)->priv;
	uint64_t bit = 1ULL << i;

	/* When a bit is cleared the thread need not wake: it sees the change at
	 * the next kick. */
	if (!on)
		__atomic_fetch_and(&s->watch, ~bit, __ATOMIC_RELAXED);
	else if (!(__atomic_fetch_or(&s->watch, bit, __ATOMIC_RELAXED) & bit))
		vhostpci_socket_wake(s);
}

void
vhostpci_socket_kicked(struct vhostpci_socket *s, unsigned int i)
{
	uint64_t count;
	struct iovec iov = { .iov_base = &count, .iov_len = sizeof(count) };

	/* The peer shares O_NONBLOCK and may empty the counter first: a plain
	 * read() could wait for the peer. */
	if (preadv2(s->core.rings[i].kick_fd, &iov, 1, -1, RWF_NOWAIT) ==
	    sizeof(count))
		vhostpci_intr_kicked(s->dev, i);
}

static void
transport_close(struct vhostpci_dev *dev)
{
	static const struct vhostpci_peer nobody;
	struct vhostpci_socket *s = vhostpci_dev_transport(dev)->priv;
	bool joined, closed, stuck;

	joined = vhostpci_socket_stop(s);
	/* A burst that does not end may still use the caller, so leak it. */
	stuck = vhostpci_dev_is_stuck(dev);
	if (!stuck) {
		vhostpci_socket_drop_calls(s, &nobody);
		vhostpci_caller_free(s->caller);
	}
	closed = vhostpci_closer_free(s->closer);
	if (!joined || !closed)
		VHOSTPCI_LOG(WARNING, "peer %s: files that it sent are not closed "
			     "yet; a thread stays behind to close them",
			     vhostpci_dev_label(dev));
	if (stuck)
		return;
	vhostpci_socket_put(s);
}

const struct vhostpci_transport_ops vhostpci_socket_ops = {
	.name = "socket",
	.call = call,
	.broken = broken,
	.kick_intr = kick_intr,
	.close = transport_close,
};
