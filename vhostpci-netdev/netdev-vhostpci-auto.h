/* SPDX-License-Identifier: Apache-2.0 */

/* Ports by themselves: with other_config:vhostpci-auto=BRIDGE each network
 * device of each peer that a vhost-pci device of this machine has gets a port
 * of BRIDGE, and loses it when the device is gone.
 *
 * Ports are made by clients of the database, not by the switch, whose own
 * connection refuses to write any configuration (verify_write_only in
 * lib/ovsdb-idl.c).  So this is a client like ovs-vsctl, with a connection of
 * its own, as long as the option is set.  That it lives in the switch's
 * process has a reason: which peer a device has is said by the device, to the
 * driver that holds it, and behind VFIO one process holds it.  A daemon would
 * have to be told by the switch what to tell the switch.
 *
 * The main thread only. */

#ifndef NETDEV_VHOSTPCI_AUTO_H
#define NETDEV_VHOSTPCI_AUTO_H 1

struct netdev_class;
struct smap;

#ifdef DPDK_NETDEV
/* Tells where the database is. */
void vhostpci_auto_init(const char *remote);

/* Brings ports up to date.  'other_config' is that of Open_vSwitch, as the
 * switch goes by it.  Called only by a switch that has the database's lock. */
void vhostpci_auto_run(const struct smap *other_config);

/* Has the poll loop wake up in time. */
void vhostpci_auto_wait(void);

/* From now on devices can be looked at, by ports of 'base'. */
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
