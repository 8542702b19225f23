/* SPDX-License-Identifier: Apache-2.0 */

/* See netdev-vhostpci-queues.h. */

#include <config.h>
#include "netdev-vhostpci-queues.h"

#include <errno.h>
#include <string.h>

#include <rte_ethdev.h>

#include "netdev-dpdk.h"
#include "netdev-provider.h"
#include "netdev-vhostpci-pmd.h"
#include "netdev-vhostpci-retry.h"
#include "openvswitch/vlog.h"
#include "ovs-atomic.h"
#include "ovs-numa.h"
#include "smap.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(netdev_vhostpci_queues);

/* The number of the driver (max_tx_queues). */
#define MAX_TXQ 64

/* Bit q of entry p: DPDK port p has its rx queue q polled. */
static atomic_uint64_t rx_enabled[RTE_MAX_ETHPORTS];

void
vhostpci_queues_init(struct vhostpci_queues *queues)
{
    queues->idle = true;
    queues->n_rxq = 0;
    queues->n_pairs = 1;
    queues->wanted_txq = 1;
    queues->mtu = RTE_ETHER_MTU;
}

void
vhostpci_queues_set_config(struct vhostpci_queues *queues, struct smap *args)
{
    queues->n_rxq = MAX(smap_get_int(args, "n_rxq", 0), 0);
    if (!queues->n_rxq) {
        smap_remove(args, "n_rxq");
        smap_add_format(args, "n_rxq", "%d", queues->n_pairs);
    }
    /* The driver copies packets and keeps none, so its queues need no memory
     * of their own, unlike those of a NIC. */
    if (!smap_get(args, "n_txq_desc")) {
        smap_add(args, "n_txq_desc", "64");
    }
}

/* The driver sends packets of tx queue q to the peer's receive queue q modulo
 * the number of the peer's queues.  Each PMD thread has a queue of its own, as
 * the datapath wants.  With tx-steering=hash the datapath spreads packets over
 * all tx queues; the peer's queues get equal shares if our number is a
 * multiple of theirs. */
int
vhostpci_queues_n_txq(const struct vhostpci_queues *queues)
{
    int n = ROUND_UP(queues->wanted_txq, queues->n_pairs);

    return n <= MAX_TXQ ? n : MAX(queues->wanted_txq, queues->n_pairs);
}

/* Returns true if the value has changed. */
static bool
set_rx_enabled(int port_id, uint64_t enabled)
{
    uint64_t was;

    atomic_read_relaxed(&rx_enabled[port_id], &was);
    atomic_store_relaxed(&rx_enabled[port_id], enabled);
    return was != enabled;
}

/* Any thread, without locks. */
static bool
netdev_vhostpci_rxq_enabled(struct netdev_rxq *rxq)
{
    int port_id = netdev_dpdk_rxq_get_port_id(rxq);
    uint64_t enabled = 0;

    if (port_id >= 0 && port_id < RTE_MAX_ETHPORTS) {
        atomic_read_relaxed(&rx_enabled[port_id], &enabled);
    }
    return rxq->queue_id < 64 && enabled >> rxq->queue_id & 1;
}

static int
queues_reconfigure(struct vhostpci_queues *queues, struct netdev *netdev)
{
    int port_id = netdev_dpdk_get_port_id(netdev);
    struct rte_pmd_vhostpci_queues now;
    int error;

    if (queues->idle) {
        /* The queues that the port will have, as far as this is known. */
        netdev->n_rxq = queues->n_rxq ? queues->n_rxq : queues->n_pairs;
        netdev->n_txq = vhostpci_queues_n_txq(queues);
        /* DPDK reuses port numbers: forget the queues of the last owner. */
        if (port_id >= 0 && port_id < RTE_MAX_ETHPORTS) {
            set_rx_enabled(port_id, 0);
        }
        netdev_change_seq_changed(netdev);
        return 0;
    }
    error = netdev_dpdk_get_class()->reconfigure(netdev);
    /* DPDK 24.11 returns ENOBUFS if it found memory for a part of the pool. */
    if (error == ENOMEM || error == ENOBUFS) {
        queues->idle = true;
        vhostpci_retry_starved(netdev_get_name(netdev));
    }
    /* Now other queues serve the peer's rings. */
    if (!error && !vhostpci_pmd_queues(port_id, &now)) {
        set_rx_enabled(port_id, now.rx_enabled);
    }
    return error;
}

bool
vhostpci_queues_look(struct vhostpci_queues *queues, struct netdev *netdev)
{
    int port_id = netdev_dpdk_get_port_id(netdev);
    struct rte_pmd_vhostpci_queues now;
    bool changed = false;

    if (vhostpci_pmd_queues(port_id, &now)) {
        return false;
    }
    if (set_rx_enabled(port_id, queues->idle ? 0 : now.rx_enabled)) {
        netdev_change_seq_changed(netdev);
    }
    if (!now.running) {
        return false;
    }
    if (now.pairs > queues->n_pairs) {
        queues->n_pairs = now.pairs;
        changed = true;
    }
    if (now.numa_node >= 0 && ovs_numa_numa_id_is_valid(now.numa_node)) {
        netdev_dpdk_request_numa_id(netdev, now.numa_node);
    }
    if (queues->idle) {
        VLOG_INFO("%s: the peer is there", netdev_get_name(netdev));
        queues->idle = false;
        netdev_request_reconfigure(netdev);
    }
    return changed;
}

/* The class's callbacks. */

static int
netdev_vhostpci_reconfigure(struct netdev *netdev)
{
    return queues_reconfigure(vhostpci_queues_of(netdev), netdev);
}

static int
netdev_vhostpci_set_tx_multiq(struct netdev *netdev, unsigned int n_txq)
{
    struct vhostpci_queues *queues = vhostpci_queues_of(netdev);

    queues->wanted_txq = n_txq;
    return netdev_dpdk_get_class()->set_tx_multiq(
        netdev, vhostpci_queues_n_txq(queues));
}

/* Callbacks of an idle port, which the base class has not configured yet. */

static int
netdev_vhostpci_get_etheraddr(const struct netdev *netdev_,
                              struct eth_addr *mac)
{
    struct netdev *netdev = CONST_CAST(struct netdev *, netdev_);
    struct rte_ether_addr addr;

    if (!vhostpci_queues_of(netdev)->idle
        || rte_eth_macaddr_get(netdev_dpdk_get_port_id(netdev), &addr)) {
        return netdev_dpdk_get_class()->get_etheraddr(netdev_, mac);
    }
    memcpy(mac->ea, addr.addr_bytes, sizeof mac->ea);
    return 0;
}

/* The base class adopts the device's address when it configures the port. */
static int
netdev_vhostpci_set_etheraddr(struct netdev *netdev, const struct eth_addr mac)
{
    struct rte_ether_addr addr;
    int error;

    if (!vhostpci_queues_of(netdev)->idle) {
        return netdev_dpdk_get_class()->set_etheraddr(netdev, mac);
    }
    memcpy(addr.addr_bytes, mac.ea, sizeof mac.ea);
    error = -rte_eth_dev_default_mac_addr_set(netdev_dpdk_get_port_id(netdev),
                                              &addr);
    if (!error) {
        netdev_change_seq_changed(netdev);
    }
    return error;
}

static int
netdev_vhostpci_get_mtu(const struct netdev *netdev, int *mtu)
{
    const struct vhostpci_queues *queues = vhostpci_queues_of(netdev);

    if (!queues->idle) {
        return netdev_dpdk_get_class()->get_mtu(netdev, mtu);
    }
    *mtu = queues->mtu;
    return 0;
}

static int
netdev_vhostpci_set_mtu(struct netdev *netdev, int mtu)
{
    int error = netdev_dpdk_get_class()->set_mtu(netdev, mtu);

    if (!error) {
        vhostpci_queues_of(netdev)->mtu = mtu;
    }
    return error;
}

static int
netdev_vhostpci_get_carrier(const struct netdev *netdev, bool *carrier)
{
    *carrier = false;
    return (vhostpci_queues_of(netdev)->idle ? 0
            : netdev_dpdk_get_class()->get_carrier(netdev, carrier));
}

void
vhostpci_queues_override(struct netdev_class *class)
{
    class->set_tx_multiq = netdev_vhostpci_set_tx_multiq;
    class->get_etheraddr = netdev_vhostpci_get_etheraddr;
    class->set_etheraddr = netdev_vhostpci_set_etheraddr;
    class->get_mtu = netdev_vhostpci_get_mtu;
    class->set_mtu = netdev_vhostpci_set_mtu;
    class->get_carrier = netdev_vhostpci_get_carrier;
    class->reconfigure = netdev_vhostpci_reconfigure;
    class->rxq_enabled = netdev_vhostpci_rxq_enabled;
}
