/* SPDX-License-Identifier: Apache-2.0 */

/* See netdev-vhostpci.h.
 *
 * Threads: callbacks of the class run where lib/netdev-provider.h says.  Those
 * that use the table of ports run in the main thread, but construct() and
 * dealloc() in any thread that drops the last reference.  rxq_recv() runs in
 * the thread that polls.  event() runs in EAL's interrupt thread, possibly
 * under locks of the driver. */

#include <config.h>
#include "netdev-vhostpci.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ethdev.h>

#include "hash.h"
#include "if-notifier.h"
#include "netdev-dpdk.h"
#include "netdev-offload.h"
#include "netdev-provider.h"
#include "netdev-vhostpci-auto.h"
#include "netdev-vhostpci-find.h"
#include "netdev-vhostpci-log.h"
#include "netdev-vhostpci-pmd.h"
#include "netdev-vhostpci-queues.h"
#include "netdev-vhostpci-retry.h"
#include "netdev-vhostpci-show.h"
#include "netdev-vhostpci-sysfs.h"
#include "openvswitch/hmap.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/shash.h"
#include "openvswitch/vlog.h"
#include "ovs-atomic.h"
#include "ovs-thread.h"
#include "seq.h"
#include "smap.h"
#include "svec.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(netdev_vhostpci);

/* How often to look for changes that raise no event. */
#define LOOK_INTERVAL_MS 1000

/* The data that the class adds to a netdev.  struct netdev_dpdk is private to
 * the base class, so these data stand beside it. */
struct vhostpci_port {
    struct hmap_node node;      /* In 'ports', by netdev. */
    const struct netdev *netdev;

    /* All else belongs to the main thread. */
    struct vhostpci_target target; /* The target of 'devargs'. */
    char *devargs;              /* The base class's; NULL: not attached. */
    struct smap args;           /* The last configuration. */
    struct vhostpci_queues queues;
    bool removed;               /* The device was removed. */
    bool is_policed;            /* Ingress policing is on. */
    bool has_qos;               /* Egress QoS is on. */
    bool steering;              /* Last value given to the driver. */
    struct rte_pmd_vhostpci_info info; /* When last looked at. */
};

static struct ovs_mutex ports_mutex = OVS_MUTEX_INITIALIZER;
static struct hmap ports OVS_GUARDED_BY(ports_mutex)
    = HMAP_INITIALIZER(&ports);

static const struct netdev_class *base;
static struct netdev_class vhostpci_class;

/* Events: event() tells run(). */
static struct seq *event_seq;
static uint64_t last_event_seq;
static atomic_bool removed[RTE_MAX_ETHPORTS];
static long long int next_look;

/* The entry lives as long as the netdev, to which the caller has a
 * reference. */
static struct vhostpci_port *
port_find(const struct netdev *netdev)
{
    struct vhostpci_port *port;

    ovs_mutex_lock(&ports_mutex);
    HMAP_FOR_EACH_WITH_HASH (port, node, hash_pointer(netdev, 0), &ports) {
        /* cppcheck-suppress uninitvar; the macro sets it. */
        if (port->netdev == netdev) {
            break;
        }
    }
    ovs_mutex_unlock(&ports_mutex);
    return port;
}

struct vhostpci_queues *
vhostpci_queues_of(const struct netdev *netdev)
{
    return &port_find(netdev)->queues;
}

static bool
have_ports(void)
{
    bool have;

    ovs_mutex_lock(&ports_mutex);
    have = !hmap_is_empty(&ports);
    ovs_mutex_unlock(&ports_mutex);
    return have;
}

static int
netdev_vhostpci_construct(struct netdev *netdev)
{
    struct vhostpci_port *port;
    int error = base->construct(netdev);

    if (error) {
        return error;
    }
    port = xzalloc(sizeof *port);
    port->netdev = netdev;
    smap_init(&port->args);
    vhostpci_queues_init(&port->queues);
    ovs_mutex_lock(&ports_mutex);
    hmap_insert(&ports, &port->node, hash_pointer(netdev, 0));
    ovs_mutex_unlock(&ports_mutex);
    return 0;
}

/* Not destruct(): by that function the base class recognizes its netdevs. */
static void
netdev_vhostpci_dealloc(struct netdev *netdev)
{
    struct vhostpci_port *port = port_find(netdev);

    /* NULL if construct() failed. */
    bool had_memory = port && port->devargs && !port->queues.idle;

    if (port) {
        ovs_mutex_lock(&ports_mutex);
        hmap_remove(&ports, &port->node);
        ovs_mutex_unlock(&ports_mutex);
        vhostpci_target_destroy(&port->target);
        free(port->devargs);
        smap_destroy(&port->args);
        free(port);
    }
    base->dealloc(netdev);
    /* Give back the port's memory, too. */
    netdev_dpdk_free_unused_mempools();
    if (had_memory) {
        vhostpci_retry_memory();
    }
}

/* The base class does policing and QoS.  Packets that the driver itself moves
 * from or to other ports would bypass both. */
static void
port_set_steering(struct vhostpci_port *port, struct netdev *netdev, bool on)
{
    int error = vhostpci_pmd_set_steering(netdev_dpdk_get_port_id(netdev), on);

    port->steering = on;
    if (error && error != EOPNOTSUPP) {
        VLOG_WARN("%s: steering cannot be turned %s: %s",
                  netdev_get_name(netdev), on ? "on" : "off",
                  ovs_strerror(error));
    }
}

/* Tells the driver of changes only, because each call stops the port's bursts
 * for a moment. */
static void
port_update_steering(struct vhostpci_port *port, struct netdev *netdev)
{
    bool on = !port->is_policed && !port->has_qos;

    if (port->devargs && on != port->steering) {
        port_set_steering(port, netdev, on);
    }
}

/* Gives the base class the port's options, and those that follow from the
 * peer. */
static int
port_set_config(struct vhostpci_port *port, struct netdev *netdev, char **errp)
{
    struct smap args;
    int error;

    smap_clone(&args, &port->args);
    vhostpci_queues_set_config(&port->queues, &args);
    error = vhostpci_base_set_config(base, netdev, &args, port->devargs, errp);
    smap_destroy(&args);
    return error;
}

/* Attaches 'port' and keeps 'target', or arranges for another try. */
static int
port_attach(struct vhostpci_port *port, struct netdev *netdev,
            const struct smap *args, struct vhostpci_target *target,
            char **errp)
{
    /* Read this before the attempt, so that no change goes unnoticed. */
    uint32_t devices = vhostpci_retry_devices();
    struct smap all;
    int error;

    smap_clone(&all, args);
    vhostpci_queues_set_config(&port->queues, &all);
    error = vhostpci_target_attach(base, netdev, &all, target, &port->devargs,
                                   errp);
    smap_destroy(&all);
    if (error) {
        vhostpci_retry_failed(devices, error);
        return error;
    }
    vhostpci_target_destroy(&port->target);
    port->target = *target;
    target->devargs = target->peer = NULL;

    /* DPDK reuses port numbers: forget the removal of the last owner. */
    int port_id = netdev_dpdk_get_port_id(netdev);
    if (port_id >= 0 && port_id < RTE_MAX_ETHPORTS) {
        atomic_store(&removed[port_id], false);
    }
    /* The lookup for a mark costs the driver more than the mark saves. */
    vhostpci_pmd_set_marks(port_id, false);
    port_set_steering(port, netdev, !port->is_policed && !port->has_qos);
    return 0;
}

static int
netdev_vhostpci_set_config(struct netdev *netdev, const struct smap *args,
                           char **errp)
{
    struct vhostpci_port *port = port_find(netdev);
    struct vhostpci_target target;
    int error = vhostpci_target_parse(netdev, args, &target, errp);

    if (error) {
        return error;
    }
    smap_destroy(&port->args);
    smap_clone(&port->args, args);
    if (vhostpci_retry_is_starved(netdev_get_name(netdev))) {
        VLOG_WARN_BUF(errp, "%s: no memory for packets: there are too few "
                      "huge pages; the port tries again when there are more",
                      netdev_get_name(netdev));
        error = ENOMEM;
    } else if (!port->devargs) {
        error = port_attach(port, netdev, args, &target, errp);
    } else if (!vhostpci_target_equals(&port->target, &target)) {
        /* Another device: the caller deletes this netdev and makes a new one,
         * as for the base class. */
        error = EAGAIN;
    } else if (port->removed) {
        VLOG_WARN_BUF(errp, "%s: device %s was removed",
                      netdev_get_name(netdev), port->devargs);
        error = ENODEV;
    } else {
        error = port_set_config(port, netdev, errp);
    }
    vhostpci_target_destroy(&target);
    return error;
}

static int
netdev_vhostpci_set_policing(struct netdev *netdev, uint32_t kbits_rate,
                             uint32_t kbits_burst, uint32_t kpkts_rate,
                             uint32_t kpkts_burst)
{
    struct vhostpci_port *port = port_find(netdev);
    bool on = kbits_rate != 0;
    int error;

    /* Off before the first packet is policed, on after the last. */
    port->is_policed |= on;
    port_update_steering(port, netdev);
    error = base->set_policing(netdev, kbits_rate, kbits_burst, kpkts_rate,
                               kpkts_burst);
    port->is_policed = on && !error;
    port_update_steering(port, netdev);
    return error;
}

static int
netdev_vhostpci_set_qos(struct netdev *netdev, const char *type,
                        const struct smap *details)
{
    struct vhostpci_port *port = port_find(netdev);
    bool on = type && type[0];
    int error;

    port->has_qos |= on;
    port_update_steering(port, netdev);
    error = base->set_qos(netdev, type, details);
    /* If a type fails, the port has no QoS. */
    port->has_qos = on && !error;
    port_update_steering(port, netdev);
    return error;
}

/* The driver consumes packets only if the datapath offloads flows. */
static int
netdev_vhostpci_rxq_recv(struct netdev_rxq *rxq, struct dp_packet_batch *batch,
                         int *qfill)
{
    int error = base->rxq_recv(rxq, batch, qfill);

    if (netdev_is_flow_api_enabled()) {
        rxq->n_consumed
            = vhostpci_pmd_rx_consumed(netdev_dpdk_rxq_get_port_id(rxq),
                                       rxq->queue_id);
    }
    return error;
}

static int
netdev_vhostpci_get_status(const struct netdev *netdev_, struct smap *status)
{
    struct netdev *netdev = CONST_CAST(struct netdev *, netdev_);
    struct rte_pmd_vhostpci_info info;
    int error = base->get_status(netdev, status);

    if (!error && !vhostpci_pmd_info(netdev_dpdk_get_port_id(netdev), &info)) {
        vhostpci_show_status(&info, status);
    }
    return error;
}

static int
netdev_vhostpci_get_custom_stats(const struct netdev *netdev_,
                                 struct netdev_custom_stats *stats)
{
    struct netdev *netdev = CONST_CAST(struct netdev *, netdev_);
    const struct vhostpci_queues *queues = &port_find(netdev)->queues;
    int error = base->get_custom_stats(netdev, stats);

    if (!error && !queues->idle) {
        vhostpci_show_custom_stats(netdev_dpdk_get_port_id(netdev),
                                   queues->n_pairs, stats);
    }
    return error;
}

/* Events. */

static int
event(uint16_t port_id, enum rte_eth_event_type type, void *aux OVS_UNUSED,
      void *ret_param OVS_UNUSED)
{
    if (type == RTE_ETH_EVENT_INTR_RMV && port_id < RTE_MAX_ETHPORTS) {
        atomic_store(&removed[port_id], true);
    }
    seq_change(event_seq);
    return 0;
}

/* Brings what OVS knows of 'netdev' up to date. */
static void
port_look(struct netdev *netdev)
{
    struct vhostpci_port *port = port_find(netdev);
    int port_id = netdev_dpdk_get_port_id(netdev);
    struct rte_pmd_vhostpci_info info;
    bool gone = false;

    if (!port->devargs || port_id < 0 || port_id >= RTE_MAX_ETHPORTS) {
        return;
    }
    atomic_read(&removed[port_id], &gone);
    if (gone && !port->removed) {
        VLOG_WARN("%s: device %s was removed", netdev_get_name(netdev),
                  port->devargs);
        port->removed = true;
        if_notifier_manual_report();
    }

    if (vhostpci_queues_look(&port->queues, netdev)) {
        char *err = NULL;

        /* The options were valid once; the log tells if they no longer are. */
        port_set_config(port, netdev, &err);
        free(err);
        base->set_tx_multiq(netdev, vhostpci_queues_n_txq(&port->queues));
    }
    vhostpci_pmd_info(port_id, &info);
    if (memcmp(&info, &port->info, sizeof info)) {
        port->info = info;
        /* The base class notices a change of the link when asked for it. */
        netdev_get_carrier(netdev);
        netdev_change_seq_changed(netdev);
    }
}

static void
look_at_ports(const struct netdev_class *class)
{
    struct shash devices = SHASH_INITIALIZER(&devices);
    struct shash_node *node;

    netdev_get_devices(class, &devices);
    SHASH_FOR_EACH (node, &devices) {
        port_look(node->data);
        netdev_close(node->data);
    }
    shash_destroy(&devices);
}

static void
netdev_vhostpci_run(const struct netdev_class *class)
{
    uint64_t seq = seq_read(event_seq);
    bool look = time_msec() >= next_look;

    if (seq != last_event_seq || (look && have_ports())) {
        last_event_seq = seq;
        look_at_ports(class);
    }
    if (look) {
        next_look = time_msec() + LOOK_INTERVAL_MS;
    }
    vhostpci_retry_run(look);
}

static void
netdev_vhostpci_wait(const struct netdev_class *class OVS_UNUSED)
{
    seq_wait(event_seq, last_event_seq);
    if (vhostpci_retry_wait() || have_ports()) {
        poll_timer_wait_until(next_look);
    }
}

void
netdev_vhostpci_add_eal_args(struct svec *args)
{
    struct svec addresses = SVEC_EMPTY_INITIALIZER;
    const char *text;
    size_t i;

    SVEC_FOR_EACH (i, text, args) {
        if (!strncmp(text, "-a", 2) || !strncmp(text, "--allow", 7)) {
            return;
        }
    }
    vhostpci_sysfs_list(&addresses);
    SVEC_FOR_EACH (i, text, &addresses) {
        svec_add(args, "-b");
        svec_add(args, text);
    }
    svec_destroy(&addresses);
}

static void
register_event(enum rte_eth_event_type type)
{
    int error = rte_eth_dev_callback_register(RTE_ETH_ALL, type, event, NULL);

    if (error) {
        VLOG_ERR("cannot follow Ethernet device events: %s",
                 rte_strerror(-error));
    }
}

void
netdev_vhostpci_register(void)
{
    base = netdev_dpdk_get_class();
    vhostpci_class = *base;
    vhostpci_class.type = "vhostpci";
    vhostpci_class.run = netdev_vhostpci_run;
    vhostpci_class.wait = netdev_vhostpci_wait;
    vhostpci_class.construct = netdev_vhostpci_construct;
    vhostpci_class.dealloc = netdev_vhostpci_dealloc;
    vhostpci_class.set_config = netdev_vhostpci_set_config;
    vhostpci_class.get_status = netdev_vhostpci_get_status;
    vhostpci_class.get_custom_stats = netdev_vhostpci_get_custom_stats;
    vhostpci_class.set_policing = netdev_vhostpci_set_policing;
    vhostpci_class.set_qos = netdev_vhostpci_set_qos;
    vhostpci_class.rxq_recv = netdev_vhostpci_rxq_recv;
    vhostpci_queues_override(&vhostpci_class);

    event_seq = seq_create();
    last_event_seq = seq_read(event_seq);
    vhostpci_log_capture_init();
    register_event(RTE_ETH_EVENT_INTR_LSC);
    register_event(RTE_ETH_EVENT_INTR_RMV);
    register_event(RTE_ETH_EVENT_QUEUE_STATE);
    if (!netdev_register_provider(&vhostpci_class)) {
        vhostpci_auto_enable(base);
        vhostpci_show_register(&vhostpci_class);
    }
}
