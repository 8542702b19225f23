/* SPDX-License-Identifier: Apache-2.0 */

/* The net_vpci driver as ovs-vswitchd sees it: a plugin that EAL loaded.
 *
 * OVS does not link with the driver, and EAL loads plugins without
 * RTLD_GLOBAL, so dlsym(RTLD_DEFAULT) does not find the driver's public
 * functions.  Therefore this code searches the loaded objects one by one for
 * the functions.  That works for any file name of the plugin, and for a static
 * build, too. */

#ifndef NETDEV_VHOSTPCI_PMD_H
#define NETDEV_VHOSTPCI_PMD_H 1

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rte_pmd_vhostpci.h"

#define DRIVER_NAME "net_vpci"

/* Returns true if the driver is loaded, so that probing a device makes
 * sense. */
bool vhostpci_pmd_loaded(void);

/* Fills '*info' for DPDK port 'port_id'.  Padding is zeroed, so that two
 * snapshots may be compared by memcmp().  Returns 0; ENODEV: no such port, or
 * one of another driver. */
int vhostpci_pmd_info(int port_id, struct rte_pmd_vhostpci_info *info);

/* Fills '*queues' for 'port_id'.  If the driver is too old to tell, this sets
 * one pair, and all queues enabled.  Returns 0 or a positive errno value. */
int vhostpci_pmd_queues(int port_id, struct rte_pmd_vhostpci_queues *queues);

/* Returns true if 'port_id' is a port of the driver, having filled '*info' and
 * set '*device' to the name of its device, which other ports may share. */
bool vhostpci_pmd_port_device(int port_id, struct rte_pmd_vhostpci_info *info,
                              const char **device);

/* Names 'function' of 'device' as DPDK's arguments do.  The caller frees the
 * string. */
char *vhostpci_pmd_devargs(const char *device, int function);

/* Returns true if 'peer', a name or a UUID, is the peer in 'info'. */
bool vhostpci_pmd_is_peer(const struct rte_pmd_vhostpci_info *info,
                          const char *peer);

/* A value that changes, all but certainly, when a peer of one of the driver's
 * ports gets another network device, or loses one. */
uint32_t vhostpci_pmd_hash_functions(uint32_t basis);

/* Adds the devargs of all ports of the driver that have this peer and this
 * function. */
struct svec;
void vhostpci_pmd_list_ports(const char *peer, int function,
                             struct svec *devargs);

/* Returns how many packets of queue 'queue_id' of 'port_id', a port of the
 * driver, the driver itself has moved to other ports by offloaded flows since
 * the last call.  Only the thread that polls the queue may call this. */
uint32_t vhostpci_pmd_rx_consumed(int port_id, int queue_id);

/* Sets whether the driver itself may move packets from and to 'port_id'.
 * Returns 0 or a positive errno value; EOPNOTSUPP: the driver cannot move
 * packets. */
int vhostpci_pmd_set_steering(int port_id, bool on);

/* Sets whether the driver looks at packets of 'port_id' only to mark them. */
void vhostpci_pmd_set_marks(int port_id, bool on);

/* Stores the flows that were offloaded to 'port_id' in '*flowsp', which the
 * caller frees, and their number in '*np'.  Returns 0 or a positive errno
 * value, EOPNOTSUPP if nothing can be offloaded to the driver. */
int vhostpci_pmd_flows(int port_id, struct rte_pmd_vhostpci_flow **flowsp,
                       size_t *np);

/* Returns 'devargs' with the arguments that userspace-tso-enable implies for
 * the driver, unless the user has given other values.  This release of OVS
 * expects the flags of received packets as vhost ports set them.  A property
 * of the PCI device decides whether the device offers offloads to its peer.
 * The caller frees the string. */
char *vhostpci_pmd_add_offload_args(const char *devargs);

/* Returns true if 'port_id', a port of the driver, drops the large packets
 * that it allows its peer to send.  That happens if DPDK itself attached the
 * device, because of dpdk-extra, without the arguments of
 * vhostpci_pmd_add_offload_args(): nobody can change the arguments of an
 * attached device. */
bool vhostpci_pmd_drops_large_packets(int port_id);

/* Adds names of virtio feature bits, separated by spaces. */
struct ds;
void vhostpci_pmd_format_features(uint64_t features, struct ds *);

#endif /* netdev-vhostpci-pmd.h */
