/* SPDX-License-Identifier: BSD-3-Clause */

/* The callbacks of the vhost-user core: hand its state on to the port. */

#include <errno.h>
#include <string.h>

#include <sys/socket.h>

#include <linux/virtio_config.h>

#include "socket/socket.h"
#include "vring_find.h"

/*
 * Use the eventfd @fd for calls of ring @i. Returns whether bursts may call the
 * ring: not if @fd is -1, or if duplicating it failed. In these cases the old
 * duplicate stays open, because a burst that began earlier may still write to
 * it. Later bursts see the ring's call flag, and do not write. The next eventfd
 * replaces the duplicate.
 */
static bool
set_call_fd(struct vhostpci_socket *s, unsigned int i, int fd)
{
	int rc;

	/* The core has checked that @fd is an eventfd. */
	if (fd < 0) {
		s->caller->given[i] = -1;
		return false;
	}
	rc = vhostpci_caller_give(s->caller, i, fd);
	if (rc < 0)
		VHOSTPCI_PEER_LOG(s->dev, ERR, "peer %s: ring %u cannot be "
				  "called: %s", vhostpci_dev_label(s->dev), i,
				  strerror(-rc));
	return rc == 0;
}

void
vhostpci_socket_drop_calls(struct vhostpci_socket *s, const struct vhostpci_peer *peer)
{
	unsigned int i;

	for (i = 0; i < VHOSTPCI_MAX_RINGS; i++) {
		if (i >= peer->n_rings ||
		    (!peer->rings[i].run && !peer->rings[i].call))
			vhostpci_caller_take(s->caller, i);
	}
}

static void
fill_rings(struct vhostpci_socket *s, struct vhostpci_peer *peer)
{
	unsigned int i;

	peer->n_rings = s->core.n_rings;
	for (i = 0; i < peer->n_rings; i++) {
		const struct vu_ring *r = &s->core.rings[i];

		peer->rings[i] = (struct vhostpci_vring_desc) {
			.desc = r->desc, .avail = r->avail, .used = r->used,
			.base = vhostpci_inflight_base(s, i),
			.epoch = r->epoch, .num = r->num,
			.run = r->run,
			.call = set_call_fd(s, i, r->call_fd),
		};
	}
}

int
vhostpci_socket_adopt(struct vhostpci_socket *s)
{
	const struct vu_core *core = &s->core;
	struct vhostpci_vring_desc rings[VHOSTPCI_MAX_RINGS];
	struct vhostpci_peer peer = {
		.features = core->features,
		.connected = core->connected,
		.mtu = core->mtu,
		.rarp_count = core->rarp_count,
		.n_regions = core->n_regions,
		.numa_node = vhostpci_socket_node(core),
		.rings = rings,
	};
	unsigned int i;
	int rc;

	memcpy(peer.rarp_mac.addr_bytes, core->rarp_mac, RTE_ETHER_ADDR_LEN);
	for (i = 0; i < core->n_regions; i++) {
		peer.regions[i] = (struct vhostpci_region) {
			.gpa = core->regions[i].gpa,
			.size = core->regions[i].size,
			.addr = core->regions[i].addr,
		};
	}
	fill_rings(s, &peer);
	rc = vhostpci_peer_adopt(s->dev, &peer);
	s->waiting = rc == -ETIMEDOUT;
	if (s->waiting)
		return VU_WAIT;
	if (rc != 0)
		return rc;
	vhostpci_socket_drop_calls(s, &peer);
	vhostpci_inflight_adopted(s);
	s->unproven = peer.connected;
	s->kicked = 0;
	return 0;
}

static int
update(void *opaque, uint32_t changed)
{
	RTE_SET_USED(changed);
	return vhostpci_socket_adopt(opaque);
}

/* The front-end learns the place of ring @i, and may hand the ring to a
 * back-end that does not trace it. So stop declaring the ring as traced. */
static void
untrace(const struct vhostpci_socket *s, unsigned int i)
{
	struct vring_packed_desc_event *event;

	if (!vring_may_trace(i, s->core.rings[i].num, s->core.features) ||
	    !(s->core.features & 1ULL << VIRTIO_F_RING_PACKED))
		return;
	event = vu_core_translate(&s->core, s->core.rings[i].used,
				  sizeof(*event));
	if (event != NULL)
		__atomic_store_n(&event->off_wrap, 0, __ATOMIC_RELAXED);
}

static uint32_t
ring_base(void *opaque, unsigned int i)
{
	struct vhostpci_socket *s = opaque;
	const struct vu_ring *r = &s->core.rings[i];
	uint64_t progress = __atomic_load_n(&s->progress[i], __ATOMIC_RELAXED);

	untrace(s, i);
	vhostpci_inflight_forget(s, i);
	return progress >> 32 == r->epoch ? (uint32_t)progress : r->base;
}

/* A reply is small, and a front-end asks for one at a time. So a front-end that
 * lets the socket fill up is broken. */
static int
send_reply(void *opaque, const void *buf, size_t len)
{
	struct vhostpci_socket *s = opaque;
	ssize_t n = send(s->conn_fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EAGAIN;
}

static int
send_with_fd(void *opaque, const void *buf, size_t len, int fd)
{
	struct vhostpci_socket *s = opaque;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf,
			     .iov_len = len };
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .align = { .cmsg_level = SOL_SOCKET,
				 .cmsg_type = SCM_RIGHTS,
				 .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t n;

	memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	n = sendmsg(s->conn_fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EAGAIN;
}

static void
close_fd(void *opaque, int fd)
{
	struct vhostpci_socket *s = opaque;

	vhostpci_closer_fd(s->closer, fd);
}

const struct vu_ops vhostpci_socket_core_ops = {
	.map = vhostpci_socket_map,
	.unmap = vhostpci_socket_unmap,
	.update = update,
	.ring_base = ring_base,
	.send = send_reply,
	.close_fd = close_fd,
	.inflight_new = vhostpci_inflight_file,
	.inflight = vhostpci_inflight_adopt,
	.send_fd = send_with_fd,
};
