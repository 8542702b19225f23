/* SPDX-License-Identifier: BSD-3-Clause */

/* The rules of a table, for flows: with the table's lock held. */

#ifndef VHOSTPCI_FLOW_STORE_H
#define VHOSTPCI_FLOW_STORE_H

#include "flow/table.h"

/* The rule of @spec: that which is there, or a new one. NULL: no memory, or too
 * many masks. The destinations of @spec are the rule's, or given back. */
struct vhostpci_flow_rule *
vhostpci_flow_get_rule(struct vhostpci_flow_table *table,
		       struct vhostpci_flow_spec *spec);
/* The last flow of @rule is gone. */
void vhostpci_flow_kill_rule(struct vhostpci_flow_table *table,
			     struct vhostpci_flow_rule *rule);
/* Wait for bursts. What is in limbo since before goes; what died goes to limbo.
 * 0 or -errno. */
int vhostpci_flow_reap(struct vhostpci_flow_table *table);

#endif
