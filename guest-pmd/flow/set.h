/* SPDX-License-Identifier: BSD-3-Clause */

/* The set of a table, for those that change it: with its lock held. */

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
/* Publish a set of what lives, if bursts have to look. False: no memory, and the
 * old set stays. */
bool vhostpci_flow_renew_set(struct vhostpci_flow_table *table);

#endif
