/* SPDX-License-Identifier: Apache-2.0 */

/* A front-end over a real socket: see frontend.h. */

#define _GNU_SOURCE /* memfd_create */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <bus_vdev_driver.h>
#include <ethdev_driver.h>
#include <rte_cycles.h>

#include "frontend.h"

#define RING_ROOM	0x4000u

static void
configure(struct frontend *fe, uint16_t n_rxq, bool rx_intr)
{
	struct rte_eth_conf conf = { .intr_conf.rxq = rx_intr };
	uint16_t q;

	assert_int_equal(rte_eth_dev_configure(fe->port, n_rxq, 1, &conf), 0);
	for (q = 0; q < n_rxq; q++)
		assert_int_equal(rte_eth_rx_queue_setup(fe->port, q, 64, 0,
							NULL, fp_pool()), 0);
	assert_int_equal(rte_eth_tx_queue_setup(fe->port, 0, 64, 0, NULL), 0);
	assert_int_equal(rte_eth_dev_start(fe->port), 0);
}

struct frontend *
fe_new(const char *args, uint16_t n_rxq, bool rx_intr)
{
	struct frontend *fe = calloc(1, sizeof(*fe));
	static unsigned int number;
	char devargs[128];

	assert_non_null(fe);
	snprintf(fe->name, sizeof(fe->name), "net_vpci%u", number++);
	snprintf(fe->dir, sizeof(fe->dir), "/tmp/vp-XXXXXX");
	assert_non_null(mkdtemp(fe->dir));
	snprintf(fe->path, sizeof(fe->path), "%s/s", fe->dir);
	snprintf(devargs, sizeof(devargs), "path=%s%s", fe->path, args);
	assert_int_equal(rte_vdev_init(fe->name, devargs), 0);
	assert_int_equal(rte_eth_dev_get_port_by_name(fe->name, &fe->port), 0);
	fe->socket = vhostpci_dev_transport(
		rte_eth_devices[fe->port].data->dev_private)->priv;
	configure(fe, n_rxq, rx_intr);
	fe->fd = -1;
	memset(fe->kick, -1, sizeof(fe->kick));
	memset(fe->call, -1, sizeof(fe->call));
	fe->mem_fd = memfd_create("frontend", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_int_equal(ftruncate(fe->mem_fd, FE_SIZE), 0);
	fe->mem = mmap(NULL, FE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
		       fe->mem_fd, 0);
	assert_true(fe->mem != MAP_FAILED);
	return fe;
}

void
fe_disconnect(struct frontend *fe)
{
	unsigned int i;

	for (i = 0; i < VHOSTPCI_MAX_RINGS; i++) {
		if (fe->kick[i] >= 0)
			close(fe->kick[i]);
		if (fe->call[i] >= 0)
			close(fe->call[i]);
		fe->kick[i] = fe->call[i] = -1;
	}
	if (fe->fd >= 0)
		close(fe->fd);
	fe->fd = -1;
}

void
fe_free(struct frontend *fe)
{
	fe_disconnect(fe);
	assert_int_equal(rte_eth_dev_stop(fe->port), 0);
	assert_int_equal(rte_eth_dev_close(fe->port), 0);
	fe_free_closed(fe);
}

void
fe_free_closed(struct frontend *fe)
{
	assert_int_equal(rte_vdev_uninit(fe->name), 0);
	assert_int_equal(fp_mbufs_in_use(), 0);
	munmap(fe->mem, FE_SIZE);
	close(fe->mem_fd);
	/* The port has taken its socket away. */
	assert_int_equal(rmdir(fe->dir), 0);
	free(fe);
}

void
fe_send(struct frontend *fe, uint32_t request, uint32_t flags,
	const void *payload, uint32_t size, int fd, unsigned int n_fds)
{
	uint32_t hdr[3] = { request, flags | VU_VERSION, size };
	struct iovec iov[2] = {
		{ .iov_base = hdr, .iov_len = sizeof(hdr) },
		{ .iov_base = (void *)(uintptr_t)payload, .iov_len = size },
	};
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { { 0 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	if (n_fds > 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(fe->fd, &msg, MSG_NOSIGNAL),
			 sizeof(hdr) + size);
}

static void
read_all(int fd, void *buf, size_t len)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t have = 0;
	ssize_t n;

	while (have < len) {
		assert_int_equal(poll(&p, 1, 20000), 1);
		n = recv(fd, (char *)buf + have, len - have, 0);
		assert_true(n > 0);
		have += n;
	}
}

uint64_t
fe_ask(struct frontend *fe, uint32_t request, uint32_t flags,
       const void *payload, uint32_t size)
{
	uint64_t answer;
	uint32_t hdr[3];

	fe_send(fe, request, flags, payload, size, -1, 0);
	read_all(fe->fd, hdr, sizeof(hdr));
	assert_int_equal(hdr[0], request);
	assert_int_equal(hdr[2], sizeof(answer));
	read_all(fe->fd, &answer, sizeof(answer));
	return answer;
}

bool
fe_is_closed(struct frontend *fe)
{
	struct pollfd p = { .fd = fe->fd, .events = POLLIN };
	char buf[64];
	ssize_t n;

	do {
		if (poll(&p, 1, 20000) != 1)
			return false;
		n = recv(fe->fd, buf, sizeof(buf), 0);
	} while (n > 0);
	return n == 0 || errno == ECONNRESET;
}

void
fe_connect(struct frontend *fe, uint64_t features)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct {
		uint32_t n, padding;
		struct vu_wire_region r;
	} mem = {
		.n = 1, .r = { FE_GPA, FE_SIZE, FE_UVA, 0 },
	};
	uint64_t protocol;

	fe->features = features;
	fe->event_idx = features & FP_EVENT_IDX;
	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", fe->path);
	fe->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fe->fd, (struct sockaddr *)&addr,
				 sizeof(addr)), 0);
	assert_true(fe_ask(fe, VU_GET_FEATURES, 0, NULL, 0) &
		    1ULL << VU_F_PROTOCOL_FEATURES);
	protocol = fe_ask(fe, VU_GET_PROTOCOL_FEATURES, 0, NULL, 0);
	fe_send(fe, VU_SET_PROTOCOL_FEATURES, 0, &protocol, 8, -1, 0);
	fe_send(fe, VU_SET_OWNER, 0, NULL, 0, -1, 0);
	fe_send(fe, VU_SET_FEATURES, 0, &features, 8, -1, 0);
	fe_send(fe, VU_SET_MEM_TABLE, 0, &mem, sizeof(mem), fe->mem_fd, 1);
}

static void
send_fd(struct frontend *fe, uint32_t request, uint64_t i, int *slot)
{
	if (*slot >= 0)
		close(*slot);
	*slot = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_true(*slot >= 0);
	fe_send(fe, request, 0, &i, sizeof(i), *slot, 1);
}

void
fe_enable(struct frontend *fe, unsigned int i, bool on)
{
	struct vu_wire_vring_state state = { i, on };

	assert_int_equal(fe_ask(fe, VU_SET_VRING_ENABLE, VU_FLAG_NEED_REPLY,
				&state, sizeof(state)), 0);
}

uint32_t
fe_stop_ring(struct frontend *fe, unsigned int i)
{
	struct vu_wire_vring_state state = { i, 0 };

	return fe_ask(fe, VU_GET_VRING_BASE, 0, &state, sizeof(state)) >> 32;
}

void
fe_place_ring(struct frontend *fe, unsigned int i)
{
	uint64_t at = (uint64_t)i * RING_ROOM;
	struct vu_wire_vring_addr addr = {
		.index = i, .desc = FE_UVA + at, .avail = FE_UVA + at + 0x1000,
		.used = FE_UVA + at + 0x2000,
	};
	struct vu_wire_vring_state num = { i, FE_NUM }, base = { i, 0 };
	struct fp_ring *r = &fe->rings[i];

	memset(fe->mem + at, 0, RING_ROOM);
	*r = (struct fp_ring) {
		.desc = (void *)(fe->mem + at),
		.avail = (void *)(fe->mem + at + 0x1000),
		.used = (void *)(fe->mem + at + 0x2000), .num = FE_NUM,
	};
	fe_send(fe, VU_SET_VRING_NUM, 0, &num, sizeof(num), -1, 0);
	fe_send(fe, VU_SET_VRING_BASE, 0, &base, sizeof(base), -1, 0);
	fe_send(fe, VU_SET_VRING_ADDR, 0, &addr, sizeof(addr), -1, 0);
}

void
fe_run_ring(struct frontend *fe, unsigned int i)
{
	send_fd(fe, VU_SET_VRING_CALL, i, &fe->call[i]);
	send_fd(fe, VU_SET_VRING_KICK, i, &fe->kick[i]);
	fe_enable(fe, i, true);
}

void
fe_start_ring(struct frontend *fe, unsigned int i)
{
	fe_place_ring(fe, i);
	fe_run_ring(fe, i);
}

void
fe_start(struct frontend *fe, uint64_t features, unsigned int n_pairs)
{
	unsigned int i;

	fe_connect(fe, features);
	for (i = 0; i < 2 * n_pairs; i++)
		fe_start_ring(fe, i);
	assert_true(fe_wait_link(fe, true));
}

void
fe_post(struct frontend *fe, unsigned int i)
{
	struct fp_ring *r = &fe->rings[i];

	while (fp_used(r) != NULL)
		;
	fp_post(r, FE_GPA + FE_BUFFERS + 0x1000 * (r->next_desc % FE_NUM),
		FE_HDR + 60, i % 2 ? 0 : VRING_DESC_F_WRITE);
}

bool
fe_kick(struct frontend *fe, unsigned int i)
{
	struct fp_ring *r = &fe->rings[i];
	uint64_t one = 1;
	bool wanted;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (fe->event_idx)
		wanted = vring_need_event(*(volatile uint16_t *)
					  &r->used->ring[FE_NUM],
					  r->avail_idx, r->avail_idx - 1);
	else
		wanted = !(*(volatile uint16_t *)&r->used->flags &
			   VRING_USED_F_NO_NOTIFY);
	if (wanted)
		assert_int_equal(write(fe->kick[i], &one, 8), 8);
	return wanted;
}

unsigned int
fe_receive(const struct frontend *fe, uint16_t q)
{
	struct rte_mbuf *pkts[FE_NUM];
	uint16_t n = rte_eth_rx_burst(fe->port, q, pkts, FE_NUM);

	rte_pktmbuf_free_bulk(pkts, n);
	return n;
}

static void *
receive_forever(void *arg)
{
	struct fe_receiver *r = arg;
	struct rte_mbuf *m;

	while (!__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE)) {
		/* One at a time: each with its call. */
		if (rte_eth_rx_burst(r->fe->port, 0, &m, 1) == 1)
			rte_pktmbuf_free(m);
		__atomic_add_fetch(&r->ended, 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

void
fe_receiver_start(struct fe_receiver *r, const struct frontend *fe)
{
	*r = (struct fe_receiver) { .fe = fe };
	assert_int_equal(pthread_create(&r->thread, NULL, receive_forever, r),
			 0);
}

void
fe_receiver_stop(struct fe_receiver *r)
{
	__atomic_store_n(&r->stop, true, __ATOMIC_RELEASE);
	pthread_join(r->thread, NULL);
}

bool
fe_wait_link(const struct frontend *fe, bool up)
{
	struct rte_eth_link link;

	return fe_wait(rte_eth_link_get_nowait(fe->port, &link) == 0 &&
		       link.link_status == up, 10);
}

uint64_t
fe_xstat(const struct frontend *fe, const char *name)
{
	const struct fakepeer fp = { .port = fe->port };

	return fp_xstat(&fp, name);
}
