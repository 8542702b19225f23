/* SPDX-License-Identifier: Apache-2.0 */

/* The properties of a port that follow from its peer, as with vhost-user
 * ports: the number of queues, the polled queues, the node of the port's
 * memory, and whether the port has memory.
 *
 * A port is idle until its peer's driver runs for the first time: the port's
 * device is attached and listens, but is not configured, and takes no packet
 * memory.  Then the port stays configured, and its number of queues only
 * grows, because each change interrupts the port. */

#ifndef NETDEV_VHOSTPCI_QUEUES_H
#define NETDEV_VHOSTPCI_QUEUES_H 1

#include <stdbool.h>

struct netdev;
struct netdev_class;
struct smap;

/* Only the main thread uses these, except for 'idle', which other threads
 * read. */
struct vhostpci_queues {
    bool idle;                  /* Not configured yet. */
    int n_rxq;                  /* options:n_rxq; 0: as many as 'n_pairs'. */
    int n_pairs;                /* Most pairs of all its peers; at least 1. */
    int wanted_txq;             /* Tx queues that the datapath requested. */
    int mtu;                    /* As requested. */
};

void vhostpci_queues_init(struct vhostpci_queues *);

/* Stores the options of 'args' that are about queues, and replaces them in
 * 'args' by the options for the base class. */
void vhostpci_queues_set_config(struct vhostpci_queues *, struct smap *args);

/* Returns the number of tx queues that a port needs, given 'wanted_txq'. */
int vhostpci_queues_n_txq(const struct vhostpci_queues *);

/* Asks the driver about the peer.  Returns true if the caller must give the
 * base class the port's options, as vhostpci_queues_set_config() changes them,
 * and the number of tx queues again. */
bool vhostpci_queues_look(struct vhostpci_queues *, struct netdev *);

/* Returns the queues of a port, by its netdev (netdev-vhostpci.c). */
struct vhostpci_queues *vhostpci_queues_of(const struct netdev *);

/* Replaces callbacks of 'class', a copy of the base class: those that depend
 * on a port's queues, and those that an idle port must answer itself. */
void vhostpci_queues_override(struct netdev_class *class);

#endif /* netdev-vhostpci-queues.h */
