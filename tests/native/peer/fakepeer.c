/* SPDX-License-Identifier: Apache-2.0 */

/* A peer in this process: see fakepeer.h. */

#define _GNU_SOURCE /* sched_setaffinity */

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <sys/mman.h>

#include <ethdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_errno.h>

#include "fakepeer.h"

#define GUARD		0x10000ull
#define STRIDE		(FP_SIZE + GUARD)
#define RING_ROOM	0x8000ull	/* for one ring, in LOW */
#define N_MBUFS		2047

static const uint64_t gpas[FP_REGIONS] = { FP_LOW, FP_HIGH, FP_FAR };
static uint8_t *memory;		/* guard, region, guard, region, ..., guard */
static struct rte_mempool *pool;
static struct fakepeer *creating;

static bool
call(struct vhostpci_dev *dev, unsigned int i)
{
	struct fakepeer *fp = vhostpci_dev_transport(dev)->priv;

	uint64_t end = rte_get_timer_cycles() + 5 * rte_get_timer_hz();

	__atomic_fetch_add(&fp->calls[i], 1, __ATOMIC_RELEASE);
	if (fp->called != NULL)
		fp->called(fp, i);
	while (__atomic_load_n(&fp->hold, __ATOMIC_ACQUIRE) >> i & 1 &&
	       rte_get_timer_cycles() < end)
		rte_delay_us_sleep(100);
	return false;
}

static void
broken(struct vhostpci_dev *dev, unsigned int i, uint32_t epoch,
       const char *rule)
{
	struct fakepeer *fp = vhostpci_dev_transport(dev)->priv;

	(void)epoch;
	snprintf(fp->rule, sizeof(fp->rule), "%s", rule);
	__atomic_fetch_add(&fp->broken[i], 1, __ATOMIC_RELEASE);
}

static int
kick_fds(struct vhostpci_dev *dev, const int *fds, unsigned int n)
{
	struct fakepeer *fp = vhostpci_dev_transport(dev)->priv;

	if (fp->no_kick_fds)
		return -ENOTSUP;
	memcpy(fp->kick_fds, fds, n * sizeof(*fds));
	fp->n_kick_fds = n;
	return 0;
}

static void
transport_close(struct vhostpci_dev *dev)
{
	(void)dev;
}

static const struct vhostpci_transport_ops ops = {
	.name = "fake", .call = call, .broken = broken,
	.kick_fds = kick_fds, .close = transport_close,
};

int
fp_probe(struct rte_vdev_device *vdev, const struct vhostpci_transport *t,
	 uint16_t *port, struct vhostpci_dev **dev)
{
	struct rte_eth_dev *eth_dev;

	eth_dev = rte_eth_vdev_allocate(vdev, vhostpci_dev_size());
	if (eth_dev == NULL)
		return -ENOMEM;
	*port = eth_dev->data->port_id;
	*dev = vhostpci_ethdev_create(eth_dev, t);
	if (*dev == NULL) {
		rte_eth_dev_release_port(eth_dev);
		return -rte_errno;
	}
	rte_eth_dev_probing_finish(eth_dev);
	return 0;
}

int
fp_remove(struct rte_vdev_device *vdev)
{
	struct rte_eth_dev *eth_dev;

	eth_dev = rte_eth_dev_allocated(rte_vdev_device_name(vdev));
	return eth_dev == NULL ? 0 : vhostpci_ethdev_destroy(eth_dev);
}

static int
probe(struct rte_vdev_device *vdev)
{
	struct vhostpci_transport t = {
		.ops = &ops,
		.priv = creating,
		.peer_name = "fake",
		.max_queue_pairs = FP_RINGS / 2,
		.offered_features = vhostpci_supported_features(),
		.progress = creating->progress,
		.progress_stride = 1,
		.revoked = &creating->revoked,
		.grown = &creating->grown,
	};

	return fp_probe(vdev, &t, &creating->port, &creating->dev);
}

static struct rte_vdev_driver fake_vdev = {
	.probe = probe, .remove = fp_remove,
};
RTE_PMD_REGISTER_VDEV(net_fakepeer, fake_vdev);

static void
need(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fakepeer: %s\n", what);
	exit(2);
}

void
fp_init(const char *program)
{
	char name[64], lcores[32];
	const char *argv[] = {
		name, "--no-huge", "--no-pci", "--no-shconf", "--no-telemetry",
		"-m", "64", "--lcores", lcores, "--log-level", "lib.eal:3", NULL
	};
	cpu_set_t cpus;
	unsigned int i, cpu = 0;

	need(sched_getaffinity(0, sizeof(cpus), &cpus) == 0, "affinity");
	while (!CPU_ISSET(cpu, &cpus))
		cpu++;
	snprintf(lcores, sizeof(lcores), "0@%u", cpu);
	snprintf(name, sizeof(name), "%s", program);
	need(rte_eal_init(RTE_DIM(argv) - 1, (char **)(uintptr_t)argv) >= 0,
	     "cannot initialise EAL");
	/* EAL has pinned this thread; threads of the tests need other CPUs. */
	need(sched_setaffinity(0, sizeof(cpus), &cpus) == 0, "affinity");
	pool = rte_pktmbuf_pool_create("fp", N_MBUFS, 0, 0, 9216 + 128,
				       SOCKET_ID_ANY);
	need(pool != NULL, "cannot make a mempool");
	/* Shared, so that a test and its child process see each other's
	 * writes. */
	memory = mmap(NULL, FP_REGIONS * STRIDE + GUARD, PROT_NONE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	need(memory != MAP_FAILED, "cannot reserve memory");
	for (i = 0; i < FP_REGIONS; i++)
		need(mprotect(memory + GUARD + i * STRIDE, FP_SIZE,
			      PROT_READ | PROT_WRITE) == 0, "mprotect");
}

struct rte_mempool *
fp_pool(void)
{
	return pool;
}

void *
fp_addr(uint64_t gpa)
{
	unsigned int i;

	for (i = 0; i < FP_REGIONS; i++) {
		if (gpa - gpas[i] < FP_SIZE)
			return memory + GUARD + i * STRIDE + (gpa - gpas[i]);
	}
	need(false, "no such address");
	return NULL;
}

uint64_t
fp_buffer(struct fakepeer *fp, uint32_t len)
{
	uint64_t gpa = fp->next_buffer;

	/* For the peer, LOW and HIGH are adjacent: buffers cross the border. */
	if (gpa + len > fp->end)
		gpa = fp->base + FP_RINGS * RING_ROOM;
	fp->next_buffer = gpa + len;
	return gpa;
}

static void
init_ring(struct fakepeer *fp, unsigned int i, uint16_t num)
{
	uint64_t gpa = fp->base + i * RING_ROOM;
	struct fp_ring *r = &fp->rings[i];
	struct vhostpci_vring_desc *d = &fp->peer.rings[i];

	d->desc = gpa;
	d->avail = d->desc + num * sizeof(struct vring_desc);
	d->used = RTE_ALIGN_CEIL(d->avail + 6 + 2 * num, 4);
	d->num = num;
	/* Packed: both wrap counters begin at 1. */
	d->base = fp->peer.features & 1ULL << 34 ? 0x80008000u : 0;
	d->epoch++;
	d->run = true;
	d->call = true;
	memset(r, 0, sizeof(*r));
	r->desc = fp_addr(d->desc);
	r->avail = fp_addr(d->avail);
	r->used = fp_addr(d->used);
	r->num = num;
	memset(r->desc, 0, num * sizeof(struct vring_desc));
	memset(r->avail, 0, 6 + 2 * num);
	memset(r->used, 0, 6 + 8 * num);
}

static void
configure(struct fakepeer *fp)
{
	struct rte_eth_conf conf = { 0 };

	assert_int_equal(rte_eth_dev_configure(fp->port, 1, 1, &conf), 0);
	assert_int_equal(rte_eth_rx_queue_setup(fp->port, 0, 512, 0, NULL,
						pool), 0);
	assert_int_equal(rte_eth_tx_queue_setup(fp->port, 0, 512, 0, NULL), 0);
	assert_int_equal(rte_eth_dev_start(fp->port), 0);
}

static const char *
vdev_name(const struct fakepeer *fp)
{
	static const char *const names[FP_NUMBERS] = {
		"net_fakepeer0", "net_fakepeer1", "net_fakepeer2",
		"net_fakepeer3",
	};

	return names[fp->number];
}

struct fakepeer *
fp_new(uint64_t features, uint16_t num)
{
	return fp_new_number(0, features, num);
}

struct fakepeer *
fp_new_number(unsigned int number, uint64_t features, uint16_t num)
{
	const uint64_t part = FP_SIZE / (FP_NUMBERS - 1) & ~0xfffull;
	struct fakepeer *fp = calloc(1, sizeof(*fp));
	unsigned int i;

	assert_non_null(fp);
	fp->number = number;
	fp->base = number == 0 ? FP_LOW : FP_FAR + (number - 1) * part;
	fp->end = number == 0 ? FP_HIGH + FP_SIZE : fp->base + part;
	creating = fp;
	assert_int_equal(rte_vdev_init(vdev_name(fp), NULL), 0);
	configure(fp);
	fp->peer.connected = true;
	fp->peer.features = features;
	fp->peer.rings = fp->vrings;
	fp->peer.n_rings = 2;
	fp->peer.n_regions = FP_REGIONS;
	for (i = 0; i < FP_REGIONS; i++)
		fp->peer.regions[i] = (struct vhostpci_region) {
			.gpa = gpas[i], .size = FP_SIZE,
			.addr = fp_addr(gpas[i]),
		};
	for (i = 0; i < FP_RINGS; i++)
		init_ring(fp, i, num);
	fp->next_buffer = fp->base + FP_RINGS * RING_ROOM;
	fp_adopt(fp);
	return fp;
}

void
fp_free(struct fakepeer *fp)
{
	assert_int_equal(rte_eth_dev_stop(fp->port), 0);
	assert_int_equal(rte_eth_dev_close(fp->port), 0);
	assert_int_equal(rte_vdev_uninit(vdev_name(fp)), 0);
	/* Others may be at work. */
	if (rte_eth_dev_count_avail() == 0)
		assert_int_equal(fp_mbufs_in_use(), 0);
	free(fp);
}

void
fp_adopt(struct fakepeer *fp)
{
	uint64_t end = rte_get_timer_cycles() + 5 * rte_get_timer_hz();
	int rc;

	/* A burst that is preempted on a busy machine may take its time. */
	do {
		rc = vhostpci_peer_adopt(fp->dev, &fp->peer);
	} while (rc == -ETIMEDOUT && rte_get_timer_cycles() < end);
	assert_int_equal(rc, 0);
}

void
fp_restart(struct fakepeer *fp, unsigned int i)
{
	fp->peer.rings[i].run = false;
	fp_adopt(fp);
	init_ring(fp, i, fp->rings[i].num);
	fp_adopt(fp);
}

void
fp_desc(struct vring_desc *table, uint16_t at, uint64_t gpa, uint32_t len,
	uint16_t flags, uint16_t next)
{
	table[at] = (struct vring_desc) {
		.addr = gpa, .len = len, .flags = flags, .next = next,
	};
}

void
fp_avail(struct fp_ring *r, uint16_t head)
{
	r->avail->ring[r->avail_idx++ % r->num] = head;
}

void
fp_publish(struct fp_ring *r)
{
	__atomic_store_n(&r->avail->idx, r->avail_idx, __ATOMIC_RELEASE);
}

uint16_t
fp_post(struct fp_ring *r, uint64_t gpa, uint32_t len, uint16_t flags)
{
	uint16_t head = r->next_desc++ % r->num;

	fp_desc(r->desc, head, gpa, len, flags, 0);
	fp_avail(r, head);
	fp_publish(r);
	return head;
}

const struct vring_used_elem *
fp_used(struct fp_ring *r)
{
	if (__atomic_load_n(&r->used->idx, __ATOMIC_ACQUIRE) == r->used_idx)
		return NULL;
	return &r->used->ring[r->used_idx++ % r->num];
}

uint16_t
fp_rx(struct fakepeer *fp, struct rte_mbuf **pkts, uint16_t n)
{
	return rte_eth_rx_burst(fp->port, 0, pkts, n);
}

uint16_t
fp_tx(struct fakepeer *fp, struct rte_mbuf **pkts, uint16_t n)
{
	return rte_eth_tx_burst(fp->port, 0, pkts, n);
}

unsigned int
fp_burst(struct fakepeer *fp, unsigned int i)
{
	struct rte_mbuf *pkts[32];
	unsigned int n;

	if (i == FP_FROM_PEER) {
		n = fp_rx(fp, pkts, 32);
		rte_pktmbuf_free_bulk(pkts, n);
		return n;
	}
	pkts[0] = fp_packet(100, 1);
	n = fp_tx(fp, pkts, 1);
	rte_pktmbuf_free_bulk(pkts + n, 1 - n);
	return n;
}

unsigned int
fp_mbufs_in_use(void)
{
	return rte_mempool_in_use_count(pool);
}

bool
fp_port_xstat(uint16_t port, const char *name, uint64_t *value)
{
	uint64_t id;

	return rte_eth_xstats_get_id_by_name(port, name, &id) == 0 &&
		rte_eth_xstats_get_by_id(port, &id, value, 1) == 1;
}

uint64_t
fp_xstat(const struct fakepeer *fp, const char *name)
{
	uint64_t value = 0;

	if (!fp_port_xstat(fp->port, name, &value))
		fail_msg("no xstat %s", name);
	return value;
}

bool
fp_link(const struct fakepeer *fp)
{
	struct rte_eth_link link;

	assert_int_equal(rte_eth_link_get_nowait(fp->port, &link), 0);
	return link.link_status;
}

bool
fp_wait_broken(struct fakepeer *fp, unsigned int i)
{
	uint64_t end = rte_get_timer_cycles() + 2 * rte_get_timer_hz();

	while (!__atomic_load_n(&fp->broken[i], __ATOMIC_ACQUIRE)) {
		if (rte_get_timer_cycles() > end)
			return false;
		rte_delay_us_sleep(100);
	}
	return true;
}
