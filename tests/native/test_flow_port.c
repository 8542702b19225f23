/* SPDX-License-Identifier: Apache-2.0 */

/* rte_flow of a port, as Open vSwitch calls it. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_flow.h>

#include "flow/inlet.h"
#include "flow/table.h"
#include "peer/fakepeer.h"
#include "port/port.h"

static struct fakepeer *fp;

static int
setup(void **state)
{
	fp = fp_new(FP_MODERN, 64);
	return 0;
}

static int
teardown(void **state)
{
	fp_free(fp);
	return 0;
}

static const struct rte_flow_attr transfer = { .transfer = 1 };
static const struct rte_flow_item eth[] = {
	{ .type = RTE_FLOW_ITEM_TYPE_ETH }, { .type = RTE_FLOW_ITEM_TYPE_END }
};

static struct rte_flow *
create(uint16_t port_id, struct rte_flow_error *error)
{
	struct rte_flow_action_port_id id = { .id = port_id };
	const struct rte_flow_action actions[] = {
		{ RTE_FLOW_ACTION_TYPE_COUNT, NULL },
		{ RTE_FLOW_ACTION_TYPE_PORT_ID, &id },
		{ RTE_FLOW_ACTION_TYPE_END, NULL },
	};

	memset(error, 0, sizeof(*error));
	if (rte_flow_validate(fp->port, &transfer, eth, actions, error) != 0)
		return NULL;
	memset(error, 0, sizeof(*error));
	return rte_flow_create(fp->port, &transfer, eth, actions, error);
}

static const struct rte_flow_action count_action[] = {
	{ RTE_FLOW_ACTION_TYPE_COUNT, NULL }, { RTE_FLOW_ACTION_TYPE_END, NULL }
};

static void
counts_are_queried_and_reset(void **state)
{
	struct rte_flow_query_count count = { .reset = 1 };
	struct rte_flow_error error;
	struct rte_flow *flow = create(fp->port, &error);

	assert_non_null(flow);
	vhostpci_flow_count(flow->rule, vhostpci_flow_slot(0, 1), 3, 180, 1);
	assert_int_equal(rte_flow_query(fp->port, flow, count_action, &count,
					&error), 0);
	assert_int_equal(count.hits, 3);
	assert_int_equal(count.bytes, 180);
	assert_true(count.hits_set && count.bytes_set);
	assert_int_equal(rte_flow_query(fp->port, flow, count_action, &count,
					&error), 0);
	assert_int_equal(count.hits, 0);
	assert_int_equal(rte_flow_destroy(fp->port, flow, &error), 0);
	assert_false(vhostpci_flow_view_open(fp->dev->flows,
					     &(struct vhostpci_flow_view) { 0 }));
}

/* Open vSwitch 3.1 warns of any other type of error. */
static void
refuses_a_port_of_another_driver_as_an_action(void **state)
{
	struct rte_flow_error error;

	assert_null(create(fp->port + 1, &error));
	assert_int_equal(error.type, RTE_FLOW_ERROR_TYPE_ACTION);
	assert_non_null(strstr(error.message, "not of this driver"));
	assert_null(create(RTE_MAX_ETHPORTS, &error));
	assert_int_equal(error.type, RTE_FLOW_ERROR_TYPE_ACTION);
}

static void
flows_survive_a_stop_a_start_and_a_reset(void **state)
{
	struct rte_flow_query_count count = { .reset = 0 };
	struct rte_eth_conf conf = { 0 };
	struct rte_flow_error error;
	struct rte_flow *flow = create(fp->port, &error);

	assert_non_null(flow);
	vhostpci_flow_count(flow->rule, vhostpci_flow_slot(0, 1), 3, 180, 1);
	assert_int_equal(rte_eth_dev_stop(fp->port), 0);
	assert_int_equal(rte_eth_dev_reset(fp->port), 0);
	assert_int_equal(rte_flow_query(fp->port, flow, count_action, &count,
					&error), 0);
	assert_int_equal(count.hits, 3);
	assert_true(vhostpci_flow_view_open(fp->dev->flows,
					    &(struct vhostpci_flow_view) { 0 }));
	assert_int_equal(rte_eth_dev_configure(fp->port, 0, 0, &conf), 0);
	assert_int_equal(rte_flow_flush(fp->port, &error), 0);
	assert_int_equal(fp->dev->flows->n_flows, 0);
}

static void
destinations_are_given_back(void **state)
{
	struct rte_flow_error error;
	unsigned int i;

	for (i = 0; i < 200; i++)
		assert_non_null(create(fp->port, &error));
	/* One rule, and the port itself. */
	assert_int_equal(fp->dev->inlet->refs, 2);
	assert_int_equal(rte_flow_flush(fp->port, &error), 0);
	assert_int_equal(vhostpci_flow_settle(fp->dev->flows), 0);
	assert_int_equal(fp->dev->inlet->refs, 1);
}

static void
a_stuck_burst_keeps_memory_of_rules(void **state)
{
	struct rte_flow_error error;
	struct rte_flow *flow = create(fp->port, &error);

	assert_non_null(flow);
	assert_int_equal(rte_flow_destroy(fp->port, flow, &error), 0);
	fp->dev->rxq[0]->in_burst = 1;
	assert_int_equal(vhostpci_flow_settle(fp->dev->flows), -ETIMEDOUT);
	assert_int_equal(fp->dev->inlet->refs, 2);
	fp->dev->rxq[0]->in_burst = 0;
	assert_int_equal(vhostpci_flow_settle(fp->dev->flows), 0);
	assert_int_equal(fp->dev->inlet->refs, 1);
}

static void
dumps_its_rules(void **state)
{
	char *text = NULL;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);
	struct rte_flow_error error;

	assert_non_null(file);
	assert_non_null(create(fp->port, &error));
	assert_int_equal(rte_flow_dev_dump(fp->port, NULL, file, &error), 0);
	fclose(file);
	assert_non_null(strstr(text, "actions=output:"));
	assert_ptr_equal(strchr(text, '\n'), text + size - 1);
	free(text);
}

int
main(int argc, char **argv)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(counts_are_queried_and_reset),
		TEST(refuses_a_port_of_another_driver_as_an_action),
		TEST(flows_survive_a_stop_a_start_and_a_reset),
		TEST(destinations_are_given_back),
		TEST(a_stuck_burst_keeps_memory_of_rules),
		TEST(dumps_its_rules),
	};

	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
