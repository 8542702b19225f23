/* SPDX-License-Identifier: Apache-2.0 */

/* The net_vpci driver as ovs-vswitchd sees it: a plugin that EAL loaded.
 *
 * OVS does not link with the driver, and EAL loads plugins without
 * RTLD_GLOBAL, so dlsym(RTLD_DEFAULT) does not find the driver's public
 * functions.  They are looked up in the loaded objects one by one instead:
 * that works whatever the plugin's file name, and for a static build too. */

#ifndef NETDEV_VHOSTPCI_PMD_H
#define NETDEV_VHOSTPCI_PMD_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rte_pmd_vhostpci.h"

#define DRIVER_NAME "net_vpci"

/* Whether the driver is there, so that probing a device makes sense. */
bool vhostpci_pmd_loaded(void);

/* Fills '*info' for DPDK port 'port_id'.  Padding is zeroed, so that two
 * snapshots may be compared by memcmp().  Returns 0; ENODEV: no such port, or
 * one of another driver. */
int vhostpci_pmd_info(int port_id, struct rte_pmd_vhostpci_info *info);

/* Fills '*queues' for 'port_id'.  Of a driver that is too old to tell, all
 * queues are enabled and of one pair.  Returns 0 or a positive errno value. */
int vhostpci_pmd_queues(int port_id, struct rte_pmd_vhostpci_queues *queues);

/* Returns true if 'port_id' is a port of the driver, having filled '*info' and
 * set '*device' to the name of its device, which other ports may share. */
bool vhostpci_pmd_port_device(int port_id, struct rte_pmd_vhostpci_info *info,
                              const char **device);

/* Names 'function' of 'device' as DPDK's arguments do.  The caller frees the
 * string. */
char *vhostpci_pmd_devargs(const char *device, int function);

/* Whether 'peer', a name or a UUID, is the one that 'info' tells of. */
bool vhostpci_pmd_is_peer(const struct rte_pmd_vhostpci_info *info,
                          const char *peer);

/* A value that changes, all but certainly, when a peer of one of the driver's
 * ports gets another network device, or loses one. */
uint32_t vhostpci_pmd_hash_functions(uint32_t basis);

/* Adds those of all ports of the driver whose peer and function are these. */
struct svec;
void vhostpci_pmd_list_ports(const char *peer, int function,
                             struct svec *devargs);

/* How many packets of queue 'queue_id' of 'port_id', one of the driver's, the
 * driver itself has moved to other ports since it was asked last, according to
 * flows that were offloaded to it.  For the thread that polls the queue. */
uint32_t vhostpci_pmd_rx_consumed(int port_id, int queue_id);

/* Says whether the driver may move packets from and to 'port_id' by itself.
 * Returns 0 or a positive errno value, EOPNOTSUPP if the driver never does. */
int vhostpci_pmd_set_steering(int port_id, bool on);

/* Says whether the driver looks at packets of 'port_id' for marks alone. */
void vhostpci_pmd_set_marks(int port_id, bool on);

/* Stores the flows that were offloaded to 'port_id' in '*flowsp', which the
 * caller frees, and their number in '*np'.  Returns 0 or a positive errno
 * value, EOPNOTSUPP if nothing can be offloaded to the driver. */
int vhostpci_pmd_flows(int port_id, struct rte_pmd_vhostpci_flow **flowsp,
                       size_t *np);

/* Returns 'devargs' with what userspace-tso-enable means for the driver, where
 * the user has not said otherwise.  This release of OVS understands the flags
 * of received packets as vhost ports give them; whether a PCI device's peer is
 * offered offloads is that device's own property.  The caller frees the
 * string. */
char *vhostpci_pmd_add_offload_args(const char *devargs);

/* Whether 'port_id', one of the driver's, drops the large packets that its
 * peer is invited to send, because somebody else attached it, without the
 * above: DPDK itself, told so by dpdk-extra.  Arguments of a device that is
 * attached cannot be changed. */
bool vhostpci_pmd_drops_large_packets(int port_id);

/* Adds names of virtio feature bits, separated by spaces. */
struct ds;
void vhostpci_pmd_format_features(uint64_t features, struct ds *);

#endif /* netdev-vhostpci-pmd.h */
