/* SPDX-License-Identifier: BSD-3-Clause */

/* The log of the driver. */

#ifndef VHOSTPCI_BASE_LOG_H
#define VHOSTPCI_BASE_LOG_H

#include <rte_log.h>

/* One dynamic log type, "pmd.net.vpci". */
extern int vhostpci_logtype;
#define VHOSTPCI_LOG(level, fmt, ...) \
	rte_log(RTE_LOG_ ## level, vhostpci_logtype, \
		"net_vpci: " fmt "\n", ## __VA_ARGS__)

#endif
