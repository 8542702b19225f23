/* SPDX-License-Identifier: BSD-3-Clause */

/* Between the files that change a table; all with its lock held. */

#ifndef VHOSTPCI_FLOW_SET_H
#define VHOSTPCI_FLOW_SET_H

#include "flow/subtable.h"

/* Keep the list of rules that match the L2 word only. */
void vhostpci_flow_l2_add(struct vhostpci_flow_table *table,
			  struct vhostpci_flow_rule *rule);
/* @rule->died is set. */
void vhostpci_flow_l2_remove(struct vhostpci_flow_table *table,
			     struct vhostpci_flow_rule *rule);
/* Publish a set of what lives. False: no memory, and the old set stays. */
bool vhostpci_flow_renew_set(struct vhostpci_flow_table *table);

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
