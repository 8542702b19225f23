/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The pci transport of net_vpci: probe, remove and the operations that
 * rings and ethdev call. Works bound to uio_pci_generic and to vfio-pci.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <bus_pci_driver.h>
#include <ethdev_driver.h>
#include <ethdev_pci.h>
#include <rte_bus_pci.h>
#include <rte_io.h>
#include <rte_kvargs.h>
#include <rte_malloc.h>

#include "pci/pci.h"

#define ARG_PEER	"peer"
#define ARG_FUNCTION	"function"
#define ARG_LEGACY	"legacy-ol-flags"

static_assert(VHOST_PCI_MAX_FUNCTIONS <= 10, "a function's number is a digit");

static struct vhostpci_pci *
to_pci(struct vhostpci_dev *dev)
{
	return vhostpci_dev_transport(dev)->priv;
}

/*
 * datapath. The peer must find the used index in its memory when the call
 * reaches it. On x86 an uncached store waits for the earlier stores of its
 * core whatever their type; elsewhere rte_write32's barrier sees to it.
 */
static bool
pci_call(struct vhostpci_dev *dev, unsigned int i)
{
	struct vhostpci_pci *p = to_pci(dev);

	static_assert(VHOST_PCI_DOORBELL_STRIDE == sizeof(uint32_t), "ABI");
	rte_write32(rte_cpu_to_le_32(1),
		    &p->doorbells[vhostpci_pci_function(p)->first_ring + i]);
	return false;
}

static void
pci_broken(struct vhostpci_dev *dev, unsigned int i, uint32_t epoch,
	   const char *rule)
{
	struct vhostpci_pci *p = to_pci(dev);

	/* States are adopted in this thread: no ring was started meanwhile. */
	RTE_SET_USED(epoch);
	vhostpci_pci_send_broken(p, vhostpci_pci_function(p)->first_ring + i,
				 rule);
}

static void
free_pci(struct vhostpci_pci *p)
{
	rte_free(p->state);
	rte_free(p);
}

/* Undo everything from vhostpci_pci_map() on, as far as it got. */
static void
pci_shutdown(struct vhostpci_pci *p)
{
	if (vhostpci_pci_control_stop(p) != 0) {
		/* Only a close from within our own callback comes here. What
		 * control may still look at is lost. */
		VHOSTPCI_LOG(ERR, "%s: control does not end; leaking",
			     p->pci->name);
		return;
	}
	/* After this the device neither writes our queues nor reads the state
	 * page for a driver that is there. */
	vhostpci_pci_reset(p);
	vhostpci_ctrlq_free(&p->eventq);
	vhostpci_ctrlq_free(&p->ackq);
	vhostpci_pci_unmap(p);
	free_pci(p);
}

static void
pci_close(struct vhostpci_dev *dev)
{
	struct vhostpci_pci *p = to_pci(dev);

	/* priv stays: control uses it until it is stopped in there. */
	if (!vhostpci_dev_is_stuck(dev))
		pci_shutdown(p);
	else if (vhostpci_pci_control_stop(p) == 0)
		vhostpci_pci_reset(p);
}

static int
pci_kick_fds(struct vhostpci_dev *dev, const int *fds, unsigned int n)
{
	struct vhostpci_pci *p = to_pci(dev);
	int ret = vhostpci_pci_kick_fds(p, fds, n);

	/* A message that came while the interrupt was off raised nothing. */
	vhostpci_pci_control_poll_in(p, 1);
	return ret;
}

static const struct vhostpci_transport_ops pci_ops = {
	.name = "pci",
	.call = pci_call,
	.broken = pci_broken,
	.kick_fds = pci_kick_fds,
	.close = pci_close,
};

static int
save_peer(const char *key __rte_unused, const char *value, void *arg)
{
	if (value == NULL || *value == '\0')
		return -EINVAL;
	return strlcpy(arg, value, VHOST_PCI_PEER_NAME_LEN) <
	       VHOST_PCI_PEER_NAME_LEN ? 0 : -ENAMETOOLONG;
}

static int
save_function(const char *key __rte_unused, const char *value, void *arg)
{
	if (value == NULL || value[0] < '0' ||
	    value[0] >= '0' + VHOST_PCI_MAX_FUNCTIONS || value[1] != '\0')
		return -EINVAL;
	*(uint16_t *)arg = value[0] - '0';
	return 0;
}

static int
save_flag(const char *key __rte_unused, const char *value, void *arg)
{
	if (value == NULL || (strcmp(value, "0") != 0 &&
			      strcmp(value, "1") != 0))
		return -EINVAL;
	*(bool *)arg = *value == '1';
	return 0;
}

/* The peer asked for, or "" for any; p->function, p->legacy_ol_flags. 0 or
 * -EINVAL. */
static int
parse_devargs(struct vhostpci_pci *p, char *peer)
{
	static const char *const keys[] = { ARG_PEER, ARG_FUNCTION, ARG_LEGACY,
					     NULL };
	const struct rte_devargs *devargs = p->pci->device.devargs;
	struct rte_kvargs *kv;
	int ret;

	peer[0] = '\0';
	if (devargs == NULL || devargs->args == NULL ||
	    devargs->args[0] == '\0')
		return 0;
	kv = rte_kvargs_parse(devargs->args, keys);
	ret = kv == NULL ? -EINVAL :
		rte_kvargs_process(kv, ARG_PEER, save_peer, peer) |
		rte_kvargs_process(kv, ARG_FUNCTION, save_function,
				   &p->function) |
		rte_kvargs_process(kv, ARG_LEGACY, save_flag,
				   &p->legacy_ol_flags);
	rte_kvargs_free(kv);
	if (ret != 0)
		VHOSTPCI_LOG(ERR,
			     "%s: bad arguments \"%s\": only peer=NAME, function=N and legacy-ol-flags=FLAG are known",
			     p->pci->name, devargs->args);
	return ret != 0 ? -EINVAL : 0;
}

static int
create_ethdev(struct vhostpci_pci *p, struct rte_eth_dev *eth_dev)
{
	struct vhostpci_transport t = {
		.ops = &pci_ops,
		.priv = p,
		.max_queue_pairs = vhostpci_pci_function(p)->max_rings / 2,
		.offered_features = vhostpci_pci_function(p)->offered_features,
		.legacy_ol_flags = p->legacy_ol_flags,
		.progress = &p->state_page->rings[0].progress,
		.progress_stride = sizeof(struct vhost_pci_ring_progress) /
				   sizeof(uint64_t),
		.revoked = &p->state_page->revoked,
	};

	static_assert(VHOSTPCI_NAME_LEN == VHOST_PCI_PEER_NAME_LEN, "name");
	memcpy(t.peer_name, p->config.peer_name, sizeof(t.peer_name));
	t.place = p->pci->name;
	memcpy(t.peer_uuid, p->config.peer_uuid, sizeof(t.peer_uuid));
	p->dev = vhostpci_ethdev_create(eth_dev, &t);
	return p->dev != NULL ? 0 : -rte_errno;
}

/* Bring up @p for @eth_dev, short of DRIVER_OK: no event comes before that.
 * On failure both are gone. */
static int
pci_setup(struct vhostpci_pci *p, struct rte_eth_dev *eth_dev)
{
	int ret;

	ret = vhostpci_pci_init(p);
	if (ret == 0)
		ret = create_ethdev(p, eth_dev);
	if (ret != 0) {
		pci_shutdown(p);
		rte_eth_dev_release_port(eth_dev);
		return ret;
	}
	ret = vhostpci_pci_control_start(p);
	if (ret != 0)
		/* Ends in pci_close(). */
		vhostpci_ethdev_destroy(eth_dev);
	return ret;
}

static int
alloc_state(struct vhostpci_pci *p)
{
	p->state_len = vhost_pci_state_len(p->config.n_rings);
	p->state = rte_zmalloc("vhostpci_state", p->state_len, 0);
	return p->state != NULL ? 0 : -ENOMEM;
}

/* Map the device and see whether it is one for us. Touches nothing else: it
 * may be another's. */
static int
pci_open(struct rte_pci_device *pci, struct vhostpci_pci **opened)
{
	char peer[VHOST_PCI_PEER_NAME_LEN];
	struct vhostpci_pci *p;
	int ret;

	p = rte_zmalloc_socket("vhostpci_pci", sizeof(*p), RTE_CACHE_LINE_SIZE,
			       pci->device.numa_node);
	if (p == NULL)
		return -ENOMEM;
	p->pci = pci;
	ret = parse_devargs(p, peer);
	if (ret == 0)
		ret = vhostpci_pci_map(p);
	if (ret != 0) {
		rte_free(p);
		return ret;
	}
	ret = vhostpci_pci_check_config(p, peer);
	if (ret == 0)
		ret = vhostpci_pci_map_state(p);
	if (ret == 0)
		ret = alloc_state(p);
	if (ret != 0) {
		vhostpci_pci_unmap(p);
		free_pci(p);
		return ret;
	}
	*opened = p;
	return 0;
}

static int
pci_probe(struct rte_pci_driver *driver __rte_unused,
	  struct rte_pci_device *pci)
{
	struct rte_eth_dev *eth_dev;
	struct vhostpci_pci *p;
	int ret;

	if (!vhostpci_is_primary(pci->device.name))
		return 1;
	ret = pci_open(pci, &p);
	if (ret != 0)
		return ret;
	eth_dev = rte_eth_dev_pci_allocate(pci, vhostpci_dev_size());
	if (eth_dev == NULL) {
		vhostpci_pci_unmap(p);
		free_pci(p);
		return -ENOMEM;
	}
	ret = pci_setup(p, eth_dev);
	if (ret != 0)
		return ret;
	rte_eth_dev_probing_finish(eth_dev);
	vhostpci_pci_driver_ok(p);
	vhostpci_ctrlq_kick(&p->eventq);
	vhostpci_pci_control_poll_in(p, 1);
	return 0;
}

static int
pci_remove(struct rte_pci_device *pci)
{
	struct rte_eth_dev *eth_dev = rte_eth_dev_allocated(pci->device.name);

	/* None: rte_eth_dev_close() came before. */
	return eth_dev != NULL ? vhostpci_ethdev_destroy(eth_dev) : 0;
}

static const struct rte_pci_id pci_ids[] = {
	{ RTE_PCI_DEVICE(VHOST_PCI_VENDOR_ID, VHOST_PCI_DEVICE_ID) },
	{ RTE_PCI_DEVICE(VHOST_PCI_VENDOR_ID, VHOST_PCI_GENERIC_DEVICE_ID) },
	{ .vendor_id = 0 },
};

/* Not NEED_MAPPING: see pci/window.h. */
static struct rte_pci_driver vhostpci_pci_driver = {
	.id_table = pci_ids,
	.drv_flags = RTE_PCI_DRV_INTR_LSC | RTE_PCI_DRV_INTR_RMV,
	.probe = pci_probe,
	.remove = pci_remove,
};

RTE_PMD_REGISTER_PCI(net_vpci, vhostpci_pci_driver);
RTE_PMD_REGISTER_PCI_TABLE(net_vpci, pci_ids);
RTE_PMD_REGISTER_KMOD_DEP(net_vpci, "* uio_pci_generic | vfio-pci");
RTE_PMD_REGISTER_PARAM_STRING(net_vpci,
	ARG_PEER "=<name> "
	ARG_FUNCTION "=<number> "
	ARG_LEGACY "=<0|1>");
