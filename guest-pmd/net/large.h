/* SPDX-License-Identifier: BSD-3-Clause */

/* Buffers for packets larger than an mbuf. */

#ifndef VHOSTPCI_NET_LARGE_H
#define VHOSTPCI_NET_LARGE_H

#include <rte_mbuf.h>

/*
 * ethdev: make the buffers for packets larger than mbufs, once per process. The
 * process never frees these buffers, because packets may be anywhere when a port
 * closes. Returns 0 or -ENOMEM.
 */
int vhostpci_large_init(void);

/*
 * datapath: give the fresh mbuf @m, which holds no packet but has its port set,
 * contiguous room for @len bytes and the usual headroom. The room comes from a
 * pool of fixed size that all ports share. Returns 0; -ENOBUFS if the pool is
 * empty or the port holds more than its share; -EMSGSIZE if an mbuf cannot
 * describe @len bytes.
 */
int vhostpci_large_room(struct rte_mbuf *m, uint32_t len);

#endif
