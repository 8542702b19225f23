/* SPDX-License-Identifier: BSD-3-Clause */

/* Buffers for packets larger than an mbuf. */

#ifndef VHOSTPCI_NET_LARGE_H
#define VHOSTPCI_NET_LARGE_H

#include <rte_mbuf.h>

/*
 * ethdev: make the buffers for packets larger than mbufs, once per process;
 * they are never freed, as packets may be anywhere when a port closes. 0 or
 * -ENOMEM.
 */
int vhostpci_large_init(void);

/*
 * datapath: give the fresh mbuf @m, which holds no packet but says its port,
 * contiguous room for @len bytes and the usual headroom. From a pool of fixed
 * size that ports share: 0, -ENOBUFS when it is empty or the port holds more
 * than its part, -EMSGSIZE when an mbuf cannot describe that much.
 */
int vhostpci_large_room(struct rte_mbuf *m, uint32_t len);

#endif
