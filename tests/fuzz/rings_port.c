/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The port of the hostile peer: a real ethdev over a transport of the fuzzer.
 * The peer's memory is between guard pages, and each mbuf ends with bytes that
 * a sanitizer watches.
 */

#define _GNU_SOURCE /* MAP_* */

#include <errno.h>
#include <string.h>

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>

#include <ethdev_driver.h>
#include <ethdev_vdev.h>
#include <rte_cycles.h>
#include <rte_errno.h>

#include "peer/fakepeer.h"
#include "rings.h"
#include "rte_pmd_vhostpci.h"
#include "port/port.h"

#define VDEV		"net_fuzzrings0"
#define GUARD		0x10000ull
#define RED_ZONE	64u
#define N_MBUFS		512u

static struct rf_port *opening;

static bool
call(struct vhostpci_dev *dev, unsigned int i)
{
	struct rf_port *p = vhostpci_dev_transport(dev)->priv;

	(void)i;
	p->calls++;
	return false;
}

static void
broken(struct vhostpci_dev *dev, unsigned int i, uint32_t epoch,
       const char *rule)
{
	struct rf_port *p = vhostpci_dev_transport(dev)->priv;

	(void)epoch;
	rf_need(i < RF_RINGS && rule != NULL && rule[0] != '\0',
		"ring %u is reported with no rule", i);
	__atomic_fetch_add(&p->reports[i], 1, __ATOMIC_RELEASE);
}

static void
transport_close(struct vhostpci_dev *dev)
{
	(void)dev;
}

static const struct vhostpci_transport_ops ops = {
	.name = "fuzz", .call = call, .broken = broken,
	.close = transport_close,
};

static int
link_changed(uint16_t port, enum rte_eth_event_type event, void *opaque,
	     void *ret)
{
	struct rf_port *p = opaque;

	(void)port;
	(void)event;
	(void)ret;
	__atomic_fetch_add(&p->link_events, 1, __ATOMIC_RELEASE);
	return 0;
}

static int
probe(struct rte_vdev_device *vdev)
{
	struct vhostpci_transport t = {
		.ops = &ops,
		.priv = opening,
		.peer_name = "hostile",
		.max_queue_pairs = 1,
		.offered_features = vhostpci_supported_features(),
		.progress = opening->progress,
		.progress_stride = 1,
	};

	return fp_probe(vdev, &t, &opening->port, &opening->dev);
}

static struct rte_vdev_driver fuzz_vdev = {
	.probe = probe, .remove = fp_remove,
};
RTE_PMD_REGISTER_VDEV(net_fuzzrings, fuzz_vdev);

/* The regions of @memfd, each between guard pages, not accessible yet. */
static void
reserve(struct rf_memory *mem, int memfd)
{
	uint64_t total = GUARD, offset = 0;
	unsigned int i;
	uint8_t *at;

	for (i = 0; i < RF_REGIONS; i++)
		total += rf_regions[i].size + GUARD;
	at = mmap(NULL, total, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	rf_need(at != MAP_FAILED, "cannot reserve memory");
	for (i = 0; i < RF_REGIONS; i++) {
		uint64_t size = rf_regions[i].size;

		mem->addr[i] = at + GUARD;
		rf_need(mmap(mem->addr[i], size, PROT_NONE, MAP_SHARED |
			     MAP_FIXED, memfd, offset) == mem->addr[i],
			"cannot map region %u", i);
		at += GUARD + size;
		offset += size;
	}
}

static void
protect(const struct rf_memory *mem, int prot)
{
	unsigned int i;

	for (i = 0; i < RF_REGIONS; i++)
		rf_need(mprotect(mem->addr[i], rf_regions[i].size, prot) == 0,
			"mprotect");
}

static void
set_regions(struct rf_port *p)
{
	unsigned int i;

	p->mem = p->maps[p->map];
	p->peer.n_regions = RF_REGIONS;
	p->peer.rings = p->vrings;
	for (i = 0; i < RF_REGIONS; i++)
		p->peer.regions[i] = (struct vhostpci_region) {
			.gpa = rf_regions[i].gpa, .size = rf_regions[i].size,
			.addr = p->mem.addr[i],
		};
}

static void
make_red_zone(struct rte_mempool *mp, void *opaque, void *obj, unsigned int at)
{
	struct rte_mbuf *m = obj;

	(void)mp;
	(void)opaque;
	(void)at;
	m->buf_len -= RED_ZONE;
	ASAN_POISON_MEMORY_REGION((uint8_t *)m->buf_addr + m->buf_len,
				  RED_ZONE);
}

static void
configure(struct rf_port *p)
{
	struct rte_eth_conf conf = { 0 };
	struct rte_eth_dev_info info;

	rf_need(rte_eth_dev_info_get(p->port, &info) == 0, "no device info");
	/* Enable all offloads of the driver, so that all are attacked. */
	conf.rxmode.offloads = info.rx_offload_capa;
	conf.txmode.offloads = info.tx_offload_capa;
	rf_need(rte_eth_dev_configure(p->port, 1, 1, &conf) == 0 &&
		rte_eth_rx_queue_setup(p->port, 0, 512, 0, NULL,
				       p->pool) == 0 &&
		rte_eth_tx_queue_setup(p->port, 0, 512, 0, NULL) == 0 &&
		rte_eth_dev_callback_register(p->port, RTE_ETH_EVENT_INTR_LSC,
					      link_changed, p) == 0 &&
		rte_eth_dev_start(p->port) == 0, "cannot start the port");
}

void
rf_port_open(struct rf_port *p, int memfd)
{
	struct rte_pktmbuf_pool_private *private;

	memset(p, 0, sizeof(*p));
	p->pool = rte_pktmbuf_pool_create("hostile", N_MBUFS, 0, 0,
					  RTE_PKTMBUF_HEADROOM + 2048 +
					  RED_ZONE, SOCKET_ID_ANY);
	rf_need(p->pool != NULL, "cannot make a mempool");
	rte_mempool_obj_iter(p->pool, make_red_zone, NULL);
	private = rte_mempool_get_priv(p->pool);
	private->mbuf_data_room_size -= RED_ZONE;
	reserve(&p->maps[0], memfd);
	reserve(&p->maps[1], memfd);
	protect(&p->maps[0], PROT_READ | PROT_WRITE);
	set_regions(p);
	opening = p;
	rf_need(rte_vdev_init(VDEV, NULL) == 0, "cannot make the port");
	/* Wait for each change of the link: none may come late. */
	vhostpci_limit_init(&p->dev->link_ups, 1000000, 1000000);
	configure(p);
	p->peer.connected = true;
	p->peer.n_rings = RF_RINGS;
}

void
rf_port_close(struct rf_port *p)
{
	rf_doing("close");
	rf_need(rte_eth_dev_stop(p->port) == 0 &&
		rte_eth_dev_close(p->port) == 0 &&
		rte_vdev_uninit(VDEV) == 0, "cannot close the port");
	rf_need(rte_mempool_in_use_count(p->pool) == 0, "mbufs lost: %u",
		rte_mempool_in_use_count(p->pool));
	rf_doing(NULL);
}

static bool
link_is_up(const struct rf_port *p)
{
	struct rte_eth_link link;

	rf_need(rte_eth_link_get_nowait(p->port, &link) == 0, "no link");
	return link.link_status;
}

/* Wait for @count to be @want, and no more than that. */
static void
await(const unsigned int *count, unsigned int want, const char *what)
{
	uint64_t end = rte_get_timer_cycles() +
		RF_SECONDS_TO_REPORT * rte_get_timer_hz();
	unsigned int now;

	while ((now = __atomic_load_n(count, __ATOMIC_ACQUIRE)) != want &&
	       rte_get_timer_cycles() < end)
		rte_delay_us_sleep(10);
	rf_need(now == want, "%u %s, not %u", now, what, want);
}

/* The link is @up, and whoever asked for it has been told of each change. */
static void
check_link(struct rf_port *p, bool up)
{
	rf_need(link_is_up(p) == up, "link is %s", up ? "down" : "up");
	p->link_changes += up != p->link;
	p->link = up;
	await(&p->link_events, p->link_changes, "link events");
}

static void
adopt(struct rf_port *p)
{
	rf_doing("adoption");
	rf_need(vhostpci_peer_adopt(p->dev, &p->peer) == 0,
		"adoption without a burst does not end");
	rf_doing(NULL);
}

/* Ring @i of the peer, as the layout has it, in a new epoch. */
static void
describe(struct rf_port *p, const struct rf_layout *l, unsigned int i)
{
	const struct rf_ring *r = &l->rings[i];
	struct vhostpci_vring_desc *d = &p->peer.rings[i];

	*d = (struct vhostpci_vring_desc) {
		.desc = r->desc, .avail = r->avail, .used = r->used,
		.base = r->base, .epoch = d->epoch + 1, .num = r->num,
		.run = true, .call = l->seed >> i & 1,
	};
}

/* After an adoption: link up, unless a ring was refused. */
static void
check_started(struct rf_port *p)
{
	if (rf_port_broken(p) > 0)
		return; /* with the next rf_port_check_broken() */
	check_link(p, true);
}

void
rf_port_round(struct rf_port *p, struct rf_mutator *m)
{
	unsigned int i;

	for (i = 0; i < RF_RINGS; i++)
		p->peer.rings[i].run = false;
	adopt(p);
	check_link(p, false);
	rf_port_check_mbufs(p);
	m->mem = p->mem;
	for (i = 0; i < RF_REGIONS; i++)
		memset(p->mem.addr[i], 0, rf_regions[i].size);
	p->peer.features = m->l.features;
	for (i = 0; i < RF_RINGS; i++) {
		describe(p, &m->l, i);
		rf_mutator_begin(m, i);
	}
	adopt(p);
	check_started(p);
}

void
rf_port_restart(struct rf_port *p, struct rf_mutator *m, unsigned int i)
{
	p->peer.rings[i].run = false;
	adopt(p);
	check_link(p, false); /* a violation is not forgiven by a stop */
	rf_port_check_mbufs(p);
	describe(p, &m->l, i);
	rf_mutator_begin(m, i);
	adopt(p);
	check_started(p);
	p->restarts++;
}

void
rf_port_move(struct rf_port *p)
{
	const struct rf_memory old = p->mem;

	p->map = !p->map;
	protect(&p->maps[p->map], PROT_READ | PROT_WRITE);
	set_regions(p);
	adopt(p);
	/* An access to an old address faults. */
	protect(&old, PROT_NONE);
}

unsigned int
rf_port_broken(const struct rf_port *p)
{
	struct rte_pmd_vhostpci_info info;

	rf_need(rte_pmd_vhostpci_info_get(p->port, &info) == 0, "no info");
	return info.broken_rings;
}

static uint64_t
xstat(const struct rf_port *p, const char *name)
{
	uint64_t value = 0;

	rf_need(fp_port_xstat(p->port, name, &value), "no statistic %s", name);
	return value;
}

static uint64_t sum;

static void
add(const char *rule, uint64_t count)
{
	(void)rule;
	sum += count;
}

/* The rings with a report that is new, once there are @n of them. */
static unsigned int
await_reports(const struct rf_port *p, unsigned int n)
{
	uint64_t end = rte_get_timer_cycles() +
		RF_SECONDS_TO_REPORT * rte_get_timer_hz();
	unsigned int i, set, found;

	for (;;) {
		for (i = 0, found = 0, set = 0; i < RF_RINGS; i++) {
			if (__atomic_load_n(&p->reports[i], __ATOMIC_ACQUIRE) >
			    p->violations[i]) {
				found++;
				set |= 1u << i;
			}
		}
		if (found >= n || rte_get_timer_cycles() > end)
			break;
		rte_delay_us_sleep(10);
	}
	rf_need(found == n, "%u rings are broken, %u are reported", n, found);
	return set;
}

unsigned int
rf_port_check_broken(struct rf_port *p)
{
	static const char *const names[RF_RINGS] = {
		"tx_ring0_violations", "rx_ring0_violations",
	};
	unsigned int i, n = rf_port_broken(p), set;

	if (n == 0)
		return 0;
	set = await_reports(p, n);
	for (i = 0; i < RF_RINGS; i++) {
		p->violations[i] += set >> i & 1;
		await(&p->reports[i], p->violations[i], "reports");
		rf_need(xstat(p, names[i]) == p->violations[i],
			"%s is %" PRIu64 ", not %" PRIu64, names[i],
			xstat(p, names[i]), p->violations[i]);
	}
	sum = 0;
	rf_port_violations(p, add);
	rf_need(sum == p->violations[RF_TX] + p->violations[RF_RX],
		"%" PRIu64 " violations by rule, but %" PRIu64 " by ring", sum,
		p->violations[RF_TX] + p->violations[RF_RX]);
	check_link(p, false);
	return set;
}

void
rf_port_check_mbufs(const struct rf_port *p)
{
	unsigned int n = rte_mempool_in_use_count(p->pool);

	rf_need(n == 0, "mbufs lost: %u", n);
}

void
rf_port_violations(const struct rf_port *p,
		   void (*show)(const char *rule, uint64_t count))
{
	static struct rte_eth_xstat_name names[256];
	static struct rte_eth_xstat values[256];
	static const char prefix[] = "violation_";
	int i, n;

	n = rte_eth_xstats_get(p->port, values, 256);
	rf_need(n > 0 && n <= 256 &&
		rte_eth_xstats_get_names(p->port, names, 256) == n,
		"no statistics");
	for (i = 0; i < n; i++) {
		if (values[i].value != 0 &&
		    strncmp(names[i].name, prefix, sizeof(prefix) - 1) == 0)
			show(names[i].name + sizeof(prefix) - 1,
			     values[i].value);
	}
}
