/* SPDX-License-Identifier: BSD-3-Clause */

/* Functions by which a transport asks its port. */

#include "port/port.h"

size_t
vhostpci_dev_size(void)
{
	return sizeof(struct vhostpci_dev);
}

struct vhostpci_transport *
vhostpci_dev_transport(struct vhostpci_dev *dev)
{
	return &dev->transport;
}

const char *
vhostpci_dev_label(const struct vhostpci_dev *dev)
{
	return dev->transport.peer_name[0] != '\0' ?
		dev->transport.peer_name : dev->eth_dev->data->name;
}

bool
vhostpci_dev_is_stuck(const struct vhostpci_dev *dev)
{
	return dev->stuck;
}

bool
vhostpci_dev_may_log(struct vhostpci_dev *dev)
{
	uint64_t refused;

	if (!vhostpci_limit_take(&dev->log_limit, &refused))
		return false;
	if (refused > 0)
		VHOSTPCI_LOG(WARNING, "peer %s: %" PRIu64 " lines left out",
			     vhostpci_dev_label(dev), refused);
	return true;
}

struct rte_eth_dev *
vhostpci_dev_ethdev(const struct vhostpci_dev *dev)
{
	return dev->eth_dev;
}
