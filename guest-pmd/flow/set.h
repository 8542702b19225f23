/* SPDX-License-Identifier: BSD-3-Clause */

/* Functions that change the set of a table. The caller holds the table's lock. */

#ifndef VHOSTPCI_FLOW_SET_H
#define VHOSTPCI_FLOW_SET_H

#include "flow/subtable.h"

/* Keep the list of rules that match the L2 word only. */
void vhostpci_flow_l2_add(struct vhostpci_flow_table *table,
			  struct vhostpci_flow_rule *rule);
/* @rule->died is set. */
void vhostpci_flow_l2_remove(struct vhostpci_flow_table *table,
			     struct vhostpci_flow_rule *rule);
/* Do bursts have to look at packets? */
bool vhostpci_flow_must_look(const struct vhostpci_flow_table *table);
/* Publish a set of the live rules, if bursts have to look at packets. Returns false
 * if memory is lacking; the old set then stays. */
bool vhostpci_flow_renew_set(struct vhostpci_flow_table *table);

#endif
