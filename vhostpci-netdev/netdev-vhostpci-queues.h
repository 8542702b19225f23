/* SPDX-License-Identifier: Apache-2.0 */

/* What of a port follows from its peer, as for vhost-user ports: how many
 * queues it has, which of them are polled, where its memory is, and whether
 * it has any.
 *
 * A port is idle until its peer's driver runs for the first time: its device
 * is attached and listens, but is not configured, and takes no packet memory.
 * From then on it stays configured, and its number of queues only grows: each
 * change interrupts it. */

#ifndef NETDEV_VHOSTPCI_QUEUES_H
#define NETDEV_VHOSTPCI_QUEUES_H 1

#include <stdbool.h>

struct netdev;
struct netdev_class;
struct smap;

/* The main thread's, but 'idle', which other threads read. */
struct vhostpci_queues {
    bool idle;                  /* Not configured yet. */
    int n_rxq;                  /* options:n_rxq; 0: as many as 'pairs'. */
    int n_pairs;                /* The most that its peers had; 1 at least. */
    int wanted_txq;             /* What the datapath has asked for. */
    int mtu;                    /* As requested. */
};

void vhostpci_queues_init(struct vhostpci_queues *);

/* Stores what 'args' say of the queues, and adds to 'args' what the base class
 * is to be told instead. */
void vhostpci_queues_set_config(struct vhostpci_queues *, struct smap *args);

/* How many tx queues a port has of which the datapath wants 'wanted_txq'. */
int vhostpci_queues_n_txq(const struct vhostpci_queues *);

/* Looks at what the driver says of the peer.  Returns true if the base class
 * has to be given the port's options, as changed by
 * vhostpci_queues_set_config(), and its number of tx queues again. */
bool vhostpci_queues_look(struct vhostpci_queues *, struct netdev *);

/* Those of a port, by its netdev (netdev-vhostpci.c). */
struct vhostpci_queues *vhostpci_queues_of(const struct netdev *);

/* Sets the callbacks of 'class', which was copied from the base class, that go
 * by a port's queues, and those that an idle port has to answer itself. */
void vhostpci_queues_override(struct netdev_class *class);

#endif /* netdev-vhostpci-queues.h */
