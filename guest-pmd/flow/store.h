/* SPDX-License-Identifier: BSD-3-Clause */

/* The rules of a table, which flows share. The caller holds the table's lock. */

#ifndef VHOSTPCI_FLOW_STORE_H
#define VHOSTPCI_FLOW_STORE_H

#include "flow/table.h"

/* Returns the existing rule of @spec, or a new one; NULL: no memory, or too many
 * masks. The rule takes over the destinations of @spec, or they are given back. */
struct vhostpci_flow_rule *
vhostpci_flow_get_rule(struct vhostpci_flow_table *table,
		       struct vhostpci_flow_spec *spec);
/* The last flow of @rule is gone. */
void vhostpci_flow_kill_rule(struct vhostpci_flow_table *table,
			     struct vhostpci_flow_rule *rule);
/* Wait for bursts. Then free what was already in limbo, and move what has died to
 * limbo. Returns 0 or -errno. */
int vhostpci_flow_reap(struct vhostpci_flow_table *table);

#endif
