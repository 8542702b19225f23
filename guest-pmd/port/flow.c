/* SPDX-License-Identifier: BSD-3-Clause */

/* rte_flow: hand ethdev's calls on to the port's table of rules. */

#include <errno.h>
#include <stdio.h>

#include <rte_malloc.h>

#include "flow/inlet.h"
#include "flow/table.h"
#include "net/steer.h"
#include "port/assign.h"
#include "port/flow.h"
#include "port/pause.h"

/*
 * The ports to which rules may lead, by number. While a thread holds the lock,
 * all of these ports stay open. Take this lock before a port's lock; take
 * neither while you hold a table's lock.
 */
static pthread_mutex_t dests_lock = PTHREAD_MUTEX_INITIALIZER;
static struct vhostpci_dev *dests[RTE_MAX_ETHPORTS];

/* Take a reference to the inlet of @dev. With the first reference the bursts of
 * the port @dev begin to take the locks of its lanes. No rule leads to the port
 * before all of its bursts do so. */
static int
refer_to(struct vhostpci_dev *dev)
{
	int rc = 0;
	bool used;

	pthread_mutex_lock(&dev->lock);
	used = vhostpci_inlet_used(dev->inlet);
	vhostpci_inlet_get(dev->inlet);
	if (!used) {
		rc = vhostpci_share_rings(dev);
		if (rc != 0)
			vhostpci_inlet_put(dev->inlet);
	}
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

static int
get_dest(void *ctx __rte_unused, uint16_t port_id, void **dest)
{
	int rc = -ENODEV;

	pthread_mutex_lock(&dests_lock);
	if (port_id < RTE_DIM(dests) && dests[port_id] != NULL) {
		rc = refer_to(dests[port_id]);
		*dest = dests[port_id]->inlet;
	}
	pthread_mutex_unlock(&dests_lock);
	return rc;
}

static void
put_dest(void *ctx __rte_unused, void *dest)
{
	vhostpci_inlet_put(dest);
}

static int
quiesce(void *ctx)
{
	struct vhostpci_dev *dev = ctx;
	int rc;

	pthread_mutex_lock(&dev->lock);
	rc = vhostpci_rx_bursts_end(dev);
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

static void
name_dest(void *ctx __rte_unused, const void *dest, char *buf, size_t size)
{
	const struct vhostpci_inlet *inlet = dest;

	snprintf(buf, size, "%s", inlet->name);
}

struct vhostpci_flow_env
vhostpci_flow_env(struct vhostpci_dev *dev)
{
	return (struct vhostpci_flow_env) {
		.ctx = dev,
		.port_id = dev->eth_dev->data->port_id,
		.get_dest = get_dest,
		.put_dest = put_dest,
		.quiesce = quiesce,
		.name_dest = name_dest,
	};
}

int
vhostpci_flow_attach(struct vhostpci_dev *dev)
{
	struct vhostpci_flow_env env = vhostpci_flow_env(dev);
	const int socket = dev->eth_dev->data->numa_node;
	unsigned int q;

	dev->flows = vhostpci_flow_table_new(&env, socket);
	dev->steering = rte_zmalloc_socket("vhostpci_steering",
			dev->transport.max_queue_pairs *
				sizeof(dev->steering[0]),
			RTE_CACHE_LINE_SIZE, socket);
	if (dev->flows == NULL || dev->steering == NULL)
		return -ENOMEM;
	for (q = 0; q < dev->transport.max_queue_pairs; q++) {
		dev->steering[q].table = dev->flows;
		dev->steering[q].queue = q;
		/* The application may set up this many queues later. */
		dev->steering[q].n_queues = dev->transport.max_queue_pairs;
	}
	return 0;
}

void
vhostpci_flow_list(struct vhostpci_dev *dev)
{
	pthread_mutex_lock(&dests_lock);
	dests[dev->eth_dev->data->port_id] = dev;
	pthread_mutex_unlock(&dests_lock);
}

void
vhostpci_flow_unlist(struct vhostpci_dev *dev)
{
	uint16_t port = dev->eth_dev->data->port_id;

	pthread_mutex_lock(&dests_lock);
	if (dests[port] == dev)
		dests[port] = NULL;
	pthread_mutex_unlock(&dests_lock);
}

void
vhostpci_flow_detach(struct vhostpci_dev *dev)
{
	vhostpci_flow_unlist(dev);
	if (dev->flows != NULL)
		vhostpci_flow_table_free(dev->flows);
	dev->flows = NULL;
	rte_free(dev->steering);
	dev->steering = NULL;
}

/* The port's lock is held. Bursts look for rules only once the port has had a
 * rule. */
static void
set_steering(struct vhostpci_dev *dev)
{
	bool on = dev->has_flows && !dev->no_steering;
	unsigned int q;

	for (q = 0; q < VHOSTPCI_MAX_QUEUES; q++) {
		if (dev->rxq[q] != NULL)
			/* release: pairs with the acquire in a burst. */
			__atomic_store_n(&dev->rxq[q]->steering,
					 on ? &dev->steering[q] : NULL,
					 __ATOMIC_RELEASE);
	}
}

void
vhostpci_flow_queue(struct vhostpci_dev *dev, struct vhostpci_queue *queue)
{
	if (dev->has_flows && !dev->no_steering)
		queue->steering = &dev->steering[queue->id];
}

/* The port has a rule: make bursts look for rules from now on. */
static void
begin_steering(struct vhostpci_dev *dev)
{
	pthread_mutex_lock(&dev->lock);
	if (!dev->has_flows) {
		dev->has_flows = true;
		set_steering(dev);
	}
	pthread_mutex_unlock(&dev->lock);
}

int
vhostpci_flow_allow(struct vhostpci_dev *dev, bool on)
{
	const struct vhostpci_queue_set none = { 0, 0 };
	int rc;

	pthread_mutex_lock(&dev->lock);
	dev->no_steering = !on;
	set_steering(dev);
	/* The pause closes the inlet; the resume opens it again if rules may
	 * send to it. */
	rc = vhostpci_try_pause(dev, none);
	if (rc == 0)
		vhostpci_resume_queues(dev, none);
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

int
vhostpci_flow_negotiate(struct rte_eth_dev *eth_dev, uint64_t *features)
{
	const struct vhostpci_dev *dev = eth_dev->data->dev_private;

	*features &= dev->flows->no_marks ? 0 : RTE_ETH_RX_METADATA_USER_MARK;
	return 0;
}

static struct vhostpci_flow_table *
table_of(const struct rte_eth_dev *eth_dev)
{
	const struct vhostpci_dev *dev = eth_dev->data->dev_private;

	return dev->flows;
}

static int
flow_validate(struct rte_eth_dev *eth_dev, const struct rte_flow_attr *attr,
	      const struct rte_flow_item items[],
	      const struct rte_flow_action actions[],
	      struct rte_flow_error *error)
{
	struct vhostpci_flow_env env = vhostpci_flow_env(eth_dev->data->dev_private);
	struct vhostpci_flow_spec spec;
	int rc;

	rc = vhostpci_flow_translate(&env, attr, items, actions, &spec, error);
	if (rc == 0)
		vhostpci_flow_spec_release(&env, &spec);
	return rc;
}

static struct rte_flow *
flow_create(struct rte_eth_dev *eth_dev, const struct rte_flow_attr *attr,
	    const struct rte_flow_item items[],
	    const struct rte_flow_action actions[],
	    struct rte_flow_error *error)
{
	struct rte_flow *flow;

	flow = vhostpci_flow_create(table_of(eth_dev), attr, items, actions,
				    error);
	if (flow != NULL)
		begin_steering(eth_dev->data->dev_private);
	return flow;
}

static int
flow_destroy(struct rte_eth_dev *eth_dev, struct rte_flow *flow,
	     struct rte_flow_error *error __rte_unused)
{
	vhostpci_flow_destroy(table_of(eth_dev), flow);
	return 0;
}

static int
flow_flush(struct rte_eth_dev *eth_dev,
	   struct rte_flow_error *error __rte_unused)
{
	vhostpci_flow_flush(table_of(eth_dev));
	return 0;
}

static int
flow_query(struct rte_eth_dev *eth_dev __rte_unused, struct rte_flow *flow,
	   const struct rte_flow_action *actions, void *data,
	   struct rte_flow_error *error)
{
	for (; actions->type != RTE_FLOW_ACTION_TYPE_END; actions++) {
		if (actions->type == RTE_FLOW_ACTION_TYPE_VOID)
			continue;
		if (actions->type != RTE_FLOW_ACTION_TYPE_COUNT)
			return rte_flow_error_set(
				error, ENOTSUP, RTE_FLOW_ERROR_TYPE_ACTION,
				actions, "query: only count can be queried");
		vhostpci_flow_query(flow, data);
	}
	return 0;
}

static int
flow_isolate(struct rte_eth_dev *eth_dev, int set,
	     struct rte_flow_error *error __rte_unused)
{
	vhostpci_flow_set_isolated(table_of(eth_dev), set != 0);
	begin_steering(eth_dev->data->dev_private);
	return 0;
}

struct dump {
	FILE *file;
	struct vhostpci_flow_env env;
	const struct rte_flow *only;
};

static void
dump_rule(void *ctx, const struct vhostpci_flow_info *info)
{
	const struct dump *dump = ctx;
	char line[1024];

	if (dump->only != NULL && dump->only->rule != info->rule)
		return;
	vhostpci_flow_format(&dump->env, info, line, sizeof(line));
	fprintf(dump->file, "%s\n", line);
}

static int
flow_dump(struct rte_eth_dev *eth_dev, struct rte_flow *flow, FILE *file,
	  struct rte_flow_error *error __rte_unused)
{
	struct dump dump = {
		.file = file,
		.env = vhostpci_flow_env(eth_dev->data->dev_private),
		.only = flow,
	};

	vhostpci_flow_each(table_of(eth_dev), dump_rule, &dump);
	return 0;
}

static const struct rte_flow_ops flow_ops = {
	.validate = flow_validate,
	.create = flow_create,
	.destroy = flow_destroy,
	.flush = flow_flush,
	.query = flow_query,
	.isolate = flow_isolate,
	.dev_dump = flow_dump,
};

int
vhostpci_flow_ops_get(struct rte_eth_dev *eth_dev __rte_unused,
		      const struct rte_flow_ops **ops)
{
	*ops = &flow_ops;
	return 0;
}
