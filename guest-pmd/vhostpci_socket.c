/* SPDX-License-Identifier: BSD-3-Clause */

/* The socket transport: from the vhost-user core to the rings. */

#define _GNU_SOURCE /* dup3, preadv2 */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/uio.h>

#include "vhostpci_socket.h"

/* The unit in which @fd can be mapped; 0: error, errno set. */
static uint64_t
map_unit(int fd)
{
	struct statfs fs;

	if (fstatfs(fd, &fs) != 0)
		return 0;
	return fs.f_type == HUGETLBFS_MAGIC ? (uint64_t)fs.f_bsize :
		(uint64_t)sysconf(_SC_PAGESIZE);
}

/*
 * Map without populating, whatever the application asked mlockall() for: under
 * MCL_FUTURE, mmap() of a sparse file would fill it with pages to its end, at
 * the wish of the peer. Of what is not accessible nothing is populated, and
 * what is not locked any more is not populated when it becomes accessible.
 */
static uint8_t *
map_unpopulated(int fd, uint64_t offset, uint64_t len)
{
	void *base = mmap(NULL, len, PROT_NONE, MAP_SHARED, fd, offset);
	int error;

	if (base == MAP_FAILED)
		return NULL;
	if (munlock(base, len) == 0 &&
	    mprotect(base, len, PROT_READ | PROT_WRITE) == 0)
		return base;
	error = errno;
	munmap(base, len);
	errno = error;
	return NULL;
}

static int
map(void *opaque, struct vu_region *r, int fd)
{
	struct vhostpci_socket *s = opaque;
	uint64_t unit = map_unit(fd), offset, len;
	uint8_t *base;
	int error;

	if (unit == 0)
		goto fail;
	/* The core checked that neither sum wraps. */
	offset = RTE_ALIGN_FLOOR(r->fd_offset, unit);
	len = RTE_ALIGN_CEIL(r->fd_offset - offset + r->size, unit);
	base = map_unpopulated(fd, offset, len);
	if (base == NULL)
		goto fail;
	/* A core dump of this process is no place for the peer's data. */
	madvise(base, len, MADV_DONTDUMP);
	r->addr = base + (r->fd_offset - offset);
	/* Both for unmap(): len is a multiple of unit >= 4096. */
	r->cookie = len | (uint64_t)__builtin_ctzll(unit);
	return 0;
fail:
	error = errno;
	vu_core_set_error(&s->core, "cannot map a region: %s", strerror(error));
	return -error;
}

static void
unmap(void *opaque, struct vu_region *r)
{
	uint64_t unit = 1ULL << (r->cookie & 63);
	uint8_t *base = (uint8_t *)((uintptr_t)r->addr & ~(unit - 1));

	RTE_SET_USED(opaque);
	munmap(base, r->cookie & ~63ULL);
}

/*
 * Give ring @i's slot the eventfd @fd. Returns whether the ring may be called:
 * it may not if there is no @fd, or none can be had. A slot keeps what it held
 * then, for a burst that began before and may still write to it; who looks at
 * the ring's call flag from now on does not, and the next eventfd replaces it.
 */
static bool
set_call_fd(struct vhostpci_socket *s, unsigned int i, int fd)
{
	int slot = s->call_fds[i], rc;

	/* The core has checked that it is an eventfd. */
	if (fd < 0)
		return false;
	if (slot >= 0)
		rc = dup3(fd, slot, O_CLOEXEC);
	else
		rc = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (rc < 0) {
		VHOSTPCI_PEER_LOG(s->dev, ERR, "peer %s: ring %u cannot be "
				  "called: %s", vhostpci_dev_label(s->dev), i,
				  strerror(errno));
		return false;
	}
	/* release: pairs with the acquire in call(). */
	__atomic_store_n(&s->call_fds[i], rc, __ATOMIC_RELEASE);
	return true;
}

/* What was adopted has no burst at a ring that does not run: close what those
 * held that are not to be called either. */
static void
drop_call_fds(struct vhostpci_socket *s, const struct vhostpci_peer *peer)
{
	unsigned int i;

	for (i = 0; i < VHOSTPCI_MAX_RINGS; i++) {
		if (s->call_fds[i] < 0 ||
		    (i < peer->n_rings &&
		     (peer->rings[i].run || peer->rings[i].call)))
			continue;
		close(s->call_fds[i]);
		s->call_fds[i] = -1;
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
			.base = r->base, .epoch = r->epoch, .num = r->num,
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
	if (rc == 0)
		drop_call_fds(s, &peer);
	return rc;
}

static int
update(void *opaque, uint32_t changed)
{
	RTE_SET_USED(changed);
	return vhostpci_socket_adopt(opaque);
}

static uint32_t
ring_base(void *opaque, unsigned int i)
{
	const struct vhostpci_socket *s = opaque;
	const struct vu_ring *r = &s->core.rings[i];
	uint64_t progress = __atomic_load_n(&s->progress[i], __ATOMIC_RELAXED);

	return progress >> 32 == r->epoch ? (uint32_t)progress : r->base;
}

/* Replies are small and asked for one at a time: a front-end that does not
 * read them is broken. */
static int
send_reply(void *opaque, const void *buf, size_t len)
{
	struct vhostpci_socket *s = opaque;
	ssize_t n = send(s->conn_fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EAGAIN;
}

const struct vu_ops vhostpci_socket_core_ops = {
	.map = map,
	.unmap = unmap,
	.update = update,
	.ring_base = ring_base,
	.send = send_reply,
};

static void
call(struct vhostpci_dev *dev, unsigned int i)
{
	struct vhostpci_socket *s = vhostpci_dev_transport(dev)->priv;
	/* acquire: pairs with the release in set_call_fd(). */
	int fd = __atomic_load_n(&s->call_fds[i], __ATOMIC_ACQUIRE);

	if (fd >= 0 && vhostpci_signal_send(&s->signal, fd))
		vhostpci_socket_wake(s);
}

static void
broken(struct vhostpci_dev *dev, unsigned int i, uint32_t epoch,
       const char *rule)
{
	struct vhostpci_socket *s = vhostpci_dev_transport(dev)->priv;

	RTE_SET_USED(rule); /* logged by the rings */
	/* relaxed: the wake-up orders. */
	__atomic_store_n(&s->broken[i], epoch, __ATOMIC_RELAXED);
	vhostpci_socket_wake(s);
}

static void
kick_intr(struct vhostpci_dev *dev, unsigned int i, bool on)
{
	struct vhostpci_socket *s = vhostpci_dev_transport(dev)->priv;
	uint64_t bit = 1ULL << i;

	/* Switched off, it is noticed with the next kick. */
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

	/* The peer shares O_NONBLOCK and may empty the counter under our
	 * hands: a plain read() could wait for it. */
	if (preadv2(s->core.rings[i].kick_fd, &iov, 1, -1, RWF_NOWAIT) ==
	    sizeof(count))
		vhostpci_intr_kicked(s->dev, i);
}

static void
transport_close(struct vhostpci_dev *dev)
{
	static const struct vhostpci_peer nobody;
	struct vhostpci_socket *s = vhostpci_dev_transport(dev)->priv;

	vhostpci_socket_stop(s);
	/* A burst that does not end may still call. */
	if (vhostpci_dev_is_stuck(dev))
		return;
	drop_call_fds(s, &nobody);
	vhostpci_signal_fini(&s->signal);
	free(s);
}

const struct vhostpci_transport_ops vhostpci_socket_ops = {
	.name = "socket",
	.call = call,
	.broken = broken,
	.kick_intr = kick_intr,
	.close = transport_close,
};
