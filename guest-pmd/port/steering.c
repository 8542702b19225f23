/* SPDX-License-Identifier: BSD-3-Clause */

/* rte_pmd_vhostpci.h: the rules of a port, and what they move. */

#include <errno.h>

#include "flow/table.h"
#include "net/steer.h"
#include "port/ethdev.h"
#include "port/flow.h"
#include "port/port.h"
#include "rte_pmd_vhostpci.h"

uint32_t
rte_pmd_vhostpci_rx_consumed(uint16_t port_id, uint16_t queue_id)
{
	struct vhostpci_steering *steering;
	struct vhostpci_queue *queue;
	struct vhostpci_dev *dev;
	uint32_t consumed;

	if (vhostpci_port_of(port_id, &dev) != 0 ||
	    queue_id >= dev->eth_dev->data->nb_rx_queues)
		return 0;
	queue = dev->eth_dev->data->rx_queues[queue_id];
	if (queue == NULL)
		return 0;
	steering = __atomic_load_n(&queue->steering, __ATOMIC_ACQUIRE);
	if (steering == NULL)
		return 0;
	consumed = steering->consumed;
	steering->consumed = 0;
	return consumed;
}

int
rte_pmd_vhostpci_steering_set(uint16_t port_id, bool on)
{
	struct vhostpci_dev *dev;
	int rc = vhostpci_port_of(port_id, &dev);

	return rc == 0 ? vhostpci_flow_allow(dev, on) : rc;
}

int
rte_pmd_vhostpci_marks_set(uint16_t port_id, bool on)
{
	struct vhostpci_dev *dev;
	int rc = vhostpci_port_of(port_id, &dev);

	if (rc == 0)
		vhostpci_flow_set_marks(dev->flows, on);
	return rc;
}

struct listing {
	struct vhostpci_flow_env env;
	struct rte_pmd_vhostpci_flow *flows;
	unsigned int n, room;
};

static void
list_rule(void *ctx, const struct vhostpci_flow_info *info)
{
	struct listing *list = ctx;
	struct rte_pmd_vhostpci_flow *flow = &list->flows[list->n];

	if (list->n++ >= list->room)
		return;
	vhostpci_flow_format_match(info, flow->match, sizeof(flow->match));
	vhostpci_flow_format_actions(&list->env, info, flow->actions,
				     sizeof(flow->actions));
	flow->hits = info->hits;
	flow->bytes = info->bytes;
	flow->age_ms = vhostpci_flow_age_ms(info);
}

int
rte_pmd_vhostpci_flows_get(uint16_t port_id,
			   struct rte_pmd_vhostpci_flow *flows, unsigned int n)
{
	struct listing list = { .flows = flows, .room = n };
	struct vhostpci_dev *dev;
	int rc = vhostpci_port_of(port_id, &dev);

	if (rc != 0)
		return rc;
	list.env = vhostpci_flow_env(dev);
	vhostpci_flow_each(dev->flows, list_rule, &list);
	return list.n;
}
