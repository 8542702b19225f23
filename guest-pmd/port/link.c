/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The port's link: up while a ring is usable and no ring is broken. Each change
 * wakes the application (Open vSwitch's main thread, which tells controllers
 * and writes to its database), and a peer can cause as many changes as it
 * likes. So the link comes up a few times a second at most. It goes down at
 * once, because it cannot go down more often than it comes up. Packets do not
 * wait for the link. Events about queues have the same limit.
 */

#include <rte_alarm.h>

#include "port/link.h"
#include "port/port.h"

/* A peer comes up a few times when it starts, restarts or is configured
 * anew. */
#define UPS_PER_SECOND	4
#define UPS_AT_ONCE	20

void
vhostpci_link_init(struct vhostpci_dev *dev)
{
	vhostpci_limit_init(&dev->link_ups, UPS_PER_SECOND, UPS_AT_ONCE);
	vhostpci_limit_init(&dev->queue_changes, UPS_PER_SECOND, UPS_AT_ONCE);
}

static bool
is_up(const struct vhostpci_dev *dev)
{
	bool up = false, broken = false;
	unsigned int i;

	for (i = 0; i < dev->n_rings; i++) {
		const struct vhostpci_ring *ring = &dev->rings[i];
		bool sound = ring->broken == VHOSTPCI_RULE_NONE ||
			ring->broken == VHOSTPCI_RULE_GROWN;

		up |= ring->running && sound;
		/* Counts even if the transport has stopped the ring since. */
		broken |= !sound;
	}
	return up && !broken && dev->peer.connected && !dev->admin_down &&
		!dev->removed;
}

/* EAL interrupt thread. */
static void
update_late(void *arg)
{
	struct vhostpci_dev *dev = arg;
	bool changed, queues;

	pthread_mutex_lock(&dev->lock);
	dev->alarm = false;
	queues = dev->queues_late && !dev->closed;
	dev->queues_late = false;
	changed = !dev->closed && vhostpci_update_link(dev);
	pthread_mutex_unlock(&dev->lock);

	/* Raise one event only, as the last use of @dev: the application may
	 * close the port in its callback. A listener to link events looks at
	 * the queues as well. */
	if (changed)
		vhostpci_raise(dev, RTE_ETH_EVENT_INTR_LSC);
	else if (queues)
		vhostpci_raise(dev, RTE_ETH_EVENT_QUEUE_STATE);
}

/* Returns true if the caller may wake the application now; otherwise an alarm
 * does it later. */
static bool
may_wake(struct vhostpci_dev *dev, struct vhostpci_limit *limit)
{
	if (vhostpci_limit_take(limit, NULL))
		return true;
	/* If no alarm can be set, wake: better too often than never. */
	if (!dev->alarm &&
	    rte_eal_alarm_set(US_PER_S / UPS_PER_SECOND, update_late, dev) != 0)
		return true;
	dev->alarm = true;
	return false;
}

bool
vhostpci_queues_changed(struct vhostpci_dev *dev)
{
	if (may_wake(dev, &dev->queue_changes))
		return true;
	dev->queues_late = true;
	return false;
}

bool
vhostpci_update_link(struct vhostpci_dev *dev)
{
	bool was_up = dev->eth_dev->data->dev_link.link_status;
	struct rte_eth_link link = {
		.link_speed = RTE_ETH_SPEED_NUM_10G,
		.link_duplex = RTE_ETH_LINK_FULL_DUPLEX,
		.link_autoneg = RTE_ETH_LINK_FIXED,
	};

	link.link_status = is_up(dev) &&
		(was_up || may_wake(dev, &dev->link_ups));
	return rte_eth_linkstatus_set(dev->eth_dev, &link) == 0;
}

void
vhostpci_raise(struct vhostpci_dev *dev, enum rte_eth_event_type event)
{
	rte_eth_dev_callback_process(dev->eth_dev, event, NULL);
}

void
vhostpci_link_fini(struct vhostpci_dev *dev)
{
	/* Waits for update_late() to end, unless update_late() itself closes
	 * the port. */
	rte_eal_alarm_cancel(update_late, dev);
}
