/* SPDX-License-Identifier: Apache-2.0 */

/* Adds and removes ports automatically.  With
 * other_config:vhostpci-auto=BRIDGE the vhost-pci devices of this machine are
 * watched: each network device of each of their peers gets a port of BRIDGE,
 * and the port is removed when the network device is gone.
 *
 * Clients of the database make ports.  The switch cannot: its own connection
 * refuses to write any configuration (verify_write_only in lib/ovsdb-idl.c).
 * So this code is a client like ovs-vsctl, with a connection of its own, while
 * the option is set.  The client lives in the switch's process, because only
 * the driver that holds a device learns the device's peer, and behind VFIO
 * only one process holds a device.  A separate daemon would first have to ask
 * the switch what to tell the switch.
 *
 * The main thread only. */

#ifndef NETDEV_VHOSTPCI_AUTO_H
#define NETDEV_VHOSTPCI_AUTO_H 1

struct netdev_class;
struct smap;

#ifdef DPDK_NETDEV
/* Sets the database's address to 'remote'. */
void vhostpci_auto_init(const char *remote);

/* Brings ports up to date.  'other_config' is the column of Open_vSwitch, as
 * the switch uses it.  Only a switch that has the database's lock calls
 * this. */
void vhostpci_auto_run(const struct smap *other_config);

/* Makes the poll loop wake up in time. */
void vhostpci_auto_wait(void);

/* DPDK is initialized: from now on ports of 'base' can look at devices. */
void vhostpci_auto_enable(const struct netdev_class *base);
#else
static inline void
vhostpci_auto_init(const char *remote OVS_UNUSED)
{
}

static inline void
vhostpci_auto_run(const struct smap *other_config OVS_UNUSED)
{
}

static inline void
vhostpci_auto_wait(void)
{
}
#endif

#endif /* netdev-vhostpci-auto.h */
