/* SPDX-License-Identifier: BSD-3-Clause */

/* Whether the driver can work in this process: see port/attach.h. */

#include <rte_eal.h>
#include <rte_version.h>

#include "base/log.h"
#include "port/attach.h"

bool
vhostpci_is_right_release(void)
{
	if (rte_version_year() == RTE_VER_YEAR &&
	    rte_version_month() == RTE_VER_MONTH)
		return true;
	VHOSTPCI_LOG(ERR, "built for DPDK %d.%d, loaded by %s", RTE_VER_YEAR,
		     RTE_VER_MONTH, rte_version());
	return false;
}

bool
vhostpci_is_primary(const char *name)
{
	if (rte_eal_process_type() == RTE_PROC_PRIMARY)
		return true;
	VHOSTPCI_LOG(ERR, "%s: a secondary process cannot use this port; it goes on in the primary",
		     name);
	return false;
}
