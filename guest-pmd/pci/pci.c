/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The pci transport of net_vpci: probe, remove, and the operations that rings
 * and ethdev call. Works with uio_pci_generic and with vfio-pci.
 */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bus_pci_driver.h>
#include <ethdev_driver.h>
#include <ethdev_pci.h>
#include <rte_bus_pci.h>
#include <rte_io.h>
#include <rte_malloc.h>

#include "base/dpdk_compat.h"
#include "pci/pci.h"

#define ARG_PEER	"peer"
#define ARG_FUNCTION	"function"
#define ARG_LEGACY	"legacy-ol-flags"

static_assert(VHOST_PCI_MAX_FUNCTIONS <= 10, "a function's number is a digit");

/* Devices that have a port. As everywhere in DPDK, EAL's probing and the
 * closing of ports exclude each other. */
TAILQ_HEAD(pci_list, vhostpci_pci);
static struct pci_list devices = TAILQ_HEAD_INITIALIZER(devices);

static struct vhostpci_pci_port *
to_port(struct vhostpci_dev *dev)
{
	return vhostpci_dev_transport(dev)->priv;
}

/*
 * datapath. The peer must find the used index in its memory when the call
 * arrives. On x86 an uncached store waits for all earlier stores of its core;
 * elsewhere the barrier of rte_write32() does this.
 */
static bool
pci_call(struct vhostpci_dev *dev, unsigned int i)
{
	const struct vhostpci_pci_port *port = to_port(dev);

	static_assert(VHOST_PCI_DOORBELL_STRIDE == sizeof(uint32_t), "ABI");
	rte_write32(rte_cpu_to_le_32(1),
		    &port->p->doorbells[port->first_ring + i]);
	return false;
}

static void
pci_broken(struct vhostpci_dev *dev, unsigned int i, uint32_t epoch,
	   const char *rule)
{
	const struct vhostpci_pci_port *port = to_port(dev);

	/* This thread also adopts states, so no ring has started meanwhile. */
	RTE_SET_USED(epoch);
	vhostpci_pci_send_broken(port->p, port->first_ring + i, rule);
}

static void
free_pci(struct vhostpci_pci *p)
{
	pthread_mutex_destroy(&p->lock);
	pthread_mutex_destroy(&p->kick_lock);
	rte_free(p->state);
	rte_free(p);
}

/* Undo vhostpci_pci_map() and all that followed, as far as it got. */
static void
pci_shutdown(struct vhostpci_pci *p)
{
	if (vhostpci_pci_control_stop(p) != 0) {
		/* This happens only if a callback of this driver closes the
		 * port. Leak the memory that control may still use. */
		VHOSTPCI_LOG(ERR, "%s: a control callback does not end; the memory stays",
			     p->pci->name);
		return;
	}
	/* After the reset the device neither writes to our queues, nor reads
	 * the state page as that of a present driver. */
	vhostpci_pci_reset(p);
	vhostpci_ctrlq_free(&p->eventq);
	vhostpci_ctrlq_free(&p->ackq);
	vhostpci_pci_unmap(p);
	free_pci(p);
}

static bool
has_ports(const struct vhostpci_pci *p)
{
	unsigned int i;

	for (i = 0; i < RTE_DIM(p->ports); i++) {
		if (p->ports[i].dev != NULL)
			return true;
	}
	return false;
}

static bool
has_kick_fds(const struct vhostpci_pci_port *port)
{
	unsigned int i;

	for (i = 0; i < vhostpci_pci_function(port)->max_rings; i++) {
		if (port->p->kick_fds[port->first_ring + i] >= 0)
			return true;
	}
	return false;
}

static void
pci_close(struct vhostpci_dev *dev)
{
	struct vhostpci_pci_port *port = to_port(dev);
	struct vhostpci_pci *p = port->p;
	/* Locking fails only within a callback of control, which goes on with
	 * the next port later. */
	bool locked = vhostpci_pci_lock(p) == 0, more;

	p->stuck |= vhostpci_dev_is_stuck(dev);
	port->dev = NULL;
	more = has_ports(p);
	if (locked)
		vhostpci_pci_unlock(p);
	if (more) {
		if (has_kick_fds(port))
			vhostpci_pci_kick_fds(port, NULL, 0);
		return;
	}
	TAILQ_REMOVE(&devices, p, next);
	/* Keep the memory that control uses until control has stopped. */
	if (!p->stuck)
		pci_shutdown(p);
	else if (vhostpci_pci_control_stop(p) == 0)
		vhostpci_pci_reset(p);
}

static int
pci_kick_fds(struct vhostpci_dev *dev, const int *fds, unsigned int n)
{
	struct vhostpci_pci_port *port = to_port(dev);
	int ret = vhostpci_pci_kick_fds(port, fds, n);

	/* A message that came while interrupts were off has raised none. */
	vhostpci_pci_control_poll_in(port->p, 1);
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

/* The arguments of a port. */
struct args {
	char peer[VHOST_PCI_PEER_NAME_LEN];	/* "": any */
	uint16_t function;
	bool legacy_ol_flags;
};

static int
parse_devargs(const struct rte_pci_device *pci, struct args *args)
{
	static const char *const keys[] = { ARG_PEER, ARG_FUNCTION, ARG_LEGACY,
					    NULL };
	const struct rte_devargs *devargs = pci->device.devargs;
	struct rte_kvargs *kv;
	int ret;

	memset(args, 0, sizeof(*args));
	if (devargs == NULL || devargs->args == NULL ||
	    devargs->args[0] == '\0')
		return 0;
	kv = rte_kvargs_parse(devargs->args, keys);
	ret = kv == NULL ? -EINVAL :
		vhostpci_kvargs_process(kv, ARG_PEER, save_peer, args->peer) |
		vhostpci_kvargs_process(kv, ARG_FUNCTION, save_function,
				   &args->function) |
		vhostpci_kvargs_process(kv, ARG_LEGACY, save_flag,
				   &args->legacy_ol_flags);
	rte_kvargs_free(kv);
	if (ret != 0)
		VHOSTPCI_LOG(ERR,
			     "%s: bad arguments \"%s\": only peer=NAME, function=N and legacy-ol-flags=FLAG are known",
			     pci->name, devargs->args);
	return ret != 0 ? -EINVAL : 0;
}

/* The port of function 0 has the name of the device, so that the address of the
 * device alone finds it. */
static struct rte_eth_dev *
allocate_ethdev(const struct vhostpci_pci_port *port)
{
	struct rte_pci_device *pci = port->p->pci;
	char name[RTE_ETH_NAME_MAX_LEN];
	struct rte_eth_dev *eth_dev;

	if (port->function == 0)
		snprintf(name, sizeof(name), "%s", pci->device.name);
	else
		snprintf(name, sizeof(name), "%s_f%u", pci->device.name,
			 port->function);
	eth_dev = rte_eth_dev_allocate(name);
	if (eth_dev == NULL)
		return NULL;
	eth_dev->data->dev_private = rte_zmalloc_socket(name,
			vhostpci_dev_size(), RTE_CACHE_LINE_SIZE,
			pci->device.numa_node);
	if (eth_dev->data->dev_private == NULL) {
		rte_eth_dev_release_port(eth_dev);
		return NULL;
	}
	eth_dev->device = &pci->device;
	rte_eth_copy_pci_info(eth_dev, pci);
	return eth_dev;
}

static int
create_ethdev(struct vhostpci_pci_port *port)
{
	const struct vhostpci_pci *p = port->p;
	const struct vhost_pci_function_config *f = vhostpci_pci_function(port);
	struct rte_eth_dev *eth_dev = allocate_ethdev(port);
	struct vhostpci_transport t = {
		.ops = &pci_ops,
		.priv = port,
		.function = port->function,
		.functions = vhostpci_pci_functions(p),
		.max_queue_pairs = f->max_rings / 2,
		.offered_features = f->offered_features,
		.window_type = p->window_type,
		.legacy_ol_flags = port->legacy_ol_flags,
		.progress = &port->state_page->rings[0].progress,
		.progress_stride = sizeof(struct vhost_pci_ring_progress) /
				   sizeof(uint64_t),
		.revoked = &port->state_page->revoked,
		.grown = &port->state_page->grown,
	};

	if (eth_dev == NULL)
		return -ENOMEM;
	static_assert(VHOSTPCI_NAME_LEN == VHOST_PCI_PEER_NAME_LEN, "name");
	memcpy(t.peer_name, p->config.peer_name, sizeof(t.peer_name));
	t.place = p->pci->name;
	memcpy(t.peer_uuid, p->config.peer_uuid, sizeof(t.peer_uuid));
	port->dev = vhostpci_ethdev_create(eth_dev, &t);
	if (port->dev != NULL)
		return 0;
	rte_eth_dev_release_port(eth_dev);
	return -rte_errno;
}

/* Make the port that @args asks for, if the driver can serve its function.
 * Otherwise changes nothing, because the device may belong to another
 * driver. */
static int
add_port(struct vhostpci_pci *p, const struct args *args)
{
	struct vhostpci_pci_port *port = &p->ports[args->function];
	int ret;

	if (port->dev != NULL)
		return -EEXIST;
	port->p = p;
	port->function = args->function;
	port->legacy_ol_flags = args->legacy_ol_flags;
	ret = vhostpci_pci_check_config(port, args->peer);
	if (ret != 0)
		return ret;
	port->first_ring = vhostpci_pci_function(port)->first_ring;
	ret = vhostpci_pci_map_state(port);
	return ret == 0 ? create_ethdev(port) : ret;
}

static struct vhostpci_pci *
new_pci(struct rte_pci_device *pci)
{
	pthread_mutexattr_t attr;
	struct vhostpci_pci *p;
	unsigned int i;

	p = rte_zmalloc_socket("vhostpci_pci", sizeof(*p), RTE_CACHE_LINE_SIZE,
			       pci->device.numa_node);
	if (p == NULL)
		return NULL;
	p->pci = pci;
	for (i = 0; i < RTE_DIM(p->kick_fds); i++)
		p->kick_fds[i] = -1;
	pthread_mutex_init(&p->kick_lock, NULL);
	/* ERRORCHECK: locking fails, instead of blocking, if an application
	 * closes a port in a callback. */
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
	pthread_mutex_init(&p->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	return p;
}

static struct rte_eth_dev *
ethdev_of(const struct vhostpci_pci_port *port)
{
	return vhostpci_dev_ethdev(port->dev);
}

/* Bring up the device of the first port, @port, except for DRIVER_OK: no event
 * comes before that. On failure this frees both. */
static int
bring_up(struct vhostpci_pci *p, struct vhostpci_pci_port *port)
{
	int ret;

	p->state_len = vhost_pci_state_len(p->config.n_rings);
	p->state = rte_zmalloc("vhostpci_state", p->state_len, 0);
	ret = p->state != NULL ? vhostpci_pci_init(p) : -ENOMEM;
	if (ret == 0)
		ret = vhostpci_pci_control_start(p);
	if (ret != 0)
		/* This calls pci_close(), which frees both. */
		vhostpci_ethdev_destroy(ethdev_of(port));
	return ret;
}

static int
first_port(struct rte_pci_device *pci, const struct args *args)
{
	struct vhostpci_pci *p = new_pci(pci);
	struct vhostpci_pci_port *port;
	int ret;

	if (p == NULL)
		return -ENOMEM;
	ret = vhostpci_pci_map(p);
	if (ret != 0) {
		free_pci(p);
		return ret;
	}
	ret = add_port(p, args);
	if (ret != 0) {
		vhostpci_pci_unmap(p);
		free_pci(p);
		return ret;
	}
	port = &p->ports[args->function];
	TAILQ_INSERT_TAIL(&devices, p, next);
	ret = bring_up(p, port);
	if (ret != 0)
		return ret;
	rte_eth_dev_probing_finish(ethdev_of(port));
	vhostpci_pci_driver_ok(p);
	vhostpci_ctrlq_kick(&p->eventq);
	vhostpci_pci_control_poll_in(p, 1);
	return 0;
}

static int
another_port(struct vhostpci_pci *p, const struct args *args)
{
	struct rte_eth_dev *eth_dev;
	int ret = vhostpci_pci_lock(p);

	if (ret != 0)
		return ret;
	ret = p->gone ? -ENODEV : add_port(p, args);
	eth_dev = ret == 0 ? ethdev_of(&p->ports[args->function]) : NULL;
	/* The device has sent its state already, to the other ports: adopt it
	 * here, too. */
	p->state_pending |= ret == 0 && p->has_state;
	vhostpci_pci_unlock(p);
	if (ret != 0)
		return ret;
	rte_eth_dev_probing_finish(eth_dev);
	vhostpci_pci_control_poll_in(p, 1);
	return 0;
}

static int
pci_probe(struct rte_pci_driver *driver __rte_unused,
	  struct rte_pci_device *pci)
{
	struct vhostpci_pci *p;
	struct args args;
	int ret;

	if (!vhostpci_is_primary(pci->device.name))
		return 1;
	ret = parse_devargs(pci, &args);
	if (ret != 0)
		return ret;
	TAILQ_FOREACH(p, &devices, next) {
		if (p->pci == pci)
			return another_port(p, &args);
	}
	return first_port(pci, &args);
}

static int
pci_remove(struct rte_pci_device *pci)
{
	uint16_t port_id;
	int ret = 0, rc;

	/* Skips ports that rte_eth_dev_close() has closed already. */
	RTE_ETH_FOREACH_DEV_OF(port_id, &pci->device) {
		rc = vhostpci_ethdev_destroy(&rte_eth_devices[port_id]);
		if (rc != 0)
			ret = rc;
	}
	return ret;
}

static const struct rte_pci_id pci_ids[] = {
	{ RTE_PCI_DEVICE(VHOST_PCI_VENDOR_ID, VHOST_PCI_DEVICE_ID) },
	{ RTE_PCI_DEVICE(VHOST_PCI_VENDOR_ID, VHOST_PCI_GENERIC_DEVICE_ID) },
	{ .vendor_id = 0 },
};

/* No NEED_MAPPING: see pci/window.h. PROBE_AGAIN: a second probe adds a port
 * for another function. */
static struct rte_pci_driver vhostpci_pci_driver = {
	.id_table = pci_ids,
	.drv_flags = RTE_PCI_DRV_INTR_LSC | RTE_PCI_DRV_INTR_RMV |
		     RTE_PCI_DRV_PROBE_AGAIN,
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
