/* SPDX-License-Identifier: Apache-2.0 */

/*
 * How the driver reads a vhost-pci device's configuration space and STATE, with
 * right and wrong contents: they describe the device and its peer's functions.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pci/pci.h"

#define N_RINGS		20
#define BLOCK		2	/* virtio's id of another type */
#define NETWORK_BIT	(1ull << 5)

/* Stand-ins for the rest of the driver. */
int vhostpci_logtype;
static uint8_t memory[1 << 16];

uint64_t
vhostpci_supported_features(void)
{
	return NETWORK_BIT;
}

const struct vhostpci_pci_area *
vhostpci_pci_window(const struct vhostpci_pci *p, uint16_t id)
{
	return id == VHOST_PCI_AREA_WINDOW ? &p->window_areas[0] :
	       id == VHOST_PCI_AREA_NEXT_WINDOW ? &p->window_areas[1] : NULL;
}

void *
vhostpci_pci_window_map(struct vhostpci_pci *p,
			const struct vhostpci_pci_area *area, uint64_t offset,
			uint64_t len __rte_unused)
{
	return memory + (area - p->window_areas) * 4096 + offset;
}

/* A device with three functions, the second of another type; and the driver's
 * state for it. */
struct device {
	struct rte_pci_device pci;
	struct virtio_pci_common_cfg common;
	struct vhost_pci_config config;
	struct vhostpci_pci p;
	struct vhostpci_pci_port *port;	/* of the function in question */
	struct vhostpci_vring_desc rings[VHOSTPCI_MAX_RINGS];
	struct vhostpci_peer peer;
};

static const struct vhost_pci_function_config functions[] = {
	{ VHOST_PCI_TYPE_NET, 0, 8, 0, NETWORK_BIT },
	{ BLOCK, 8, 4, 0, ~0ull },
	{ VHOST_PCI_TYPE_NET, 12, 2, 0, 0 },
	{ VHOST_PCI_TYPE_NONE, 0, 0, 0, 0 },
};

static int
setup(void **state)
{
	struct device *d = calloc(1, sizeof(*d));
	struct vhost_pci_config *c = &d->config;

	c->magic = VHOST_PCI_MAGIC;
	c->abi = VHOST_PCI_ABI;
	c->n_functions = RTE_DIM(functions);
	c->flags = VHOST_PCI_F_REVOKE_HARMLESS;
	c->kick_vector = 3;
	c->n_kick_vectors = 1;
	c->n_rings = N_RINGS;
	strcpy(c->peer_name, "a");
	memcpy(c->functions, functions, sizeof(functions));
	d->pci.name[0] = 'd';
	d->p.pci = &d->pci;
	d->p.common = &d->common;
	d->p.device_cfg = (uint8_t *)c;
	d->p.window_areas[0].len = d->p.window_areas[1].len = 4096;
	d->p.state_len = vhost_pci_state_len(N_RINGS);
	d->p.state = calloc(1, d->p.state_len);
	d->peer.rings = d->rings;
	*state = d;
	return 0;
}

static int
teardown(void **state)
{
	struct device *d = *state;

	free(d->p.state);
	free(d);
	return 0;
}

static int
check(struct device *d, unsigned int function)
{
	d->port = &d->p.ports[function];
	d->port->p = &d->p;
	d->port->function = function;
	return vhostpci_pci_check_config(d->port, "");
}

static void
only_network_functions_become_ports(void **state)
{
	struct device *d = *state;

	assert_int_equal(check(d, 0), 0);
	assert_int_equal(check(d, 1), -ENODEV);
	assert_int_equal(check(d, 2), 0);
	assert_int_equal(vhostpci_pci_function(d->port)->first_ring, 12);
	assert_int_equal(check(d, 3), -ENODEV);
	assert_int_equal(check(d, 4), -ENODEV);
	d->config.n_functions = 2;
	assert_int_equal(check(d, 2), -ENODEV);
}

static void
the_peer_asked_for(void **state)
{
	struct device *d = *state;

	assert_int_equal(check(d, 0), 0);
	assert_int_equal(vhostpci_pci_check_config(d->port, "a"), 0);
	assert_int_equal(vhostpci_pci_check_config(d->port, "b"), -ENODEV);
	/* A name without an end is cut, not read beyond. */
	memset(d->config.peer_name, 'x', sizeof(d->config.peer_name));
	assert_int_equal(vhostpci_pci_check_config(d->port, ""), 0);
	assert_int_equal(strlen(d->p.config.peer_name),
			 VHOST_PCI_PEER_NAME_LEN - 1);
}

static void
what_is_no_device_of_ours(void **state)
{
	struct device *d = *state;

	d->config.magic++;
	assert_int_equal(check(d, 0), -ENODEV);
	d->config.magic--;
	d->config.abi = 1;
	assert_int_equal(check(d, 0), -EPROTO);
	d->config.abi = VHOST_PCI_ABI;
	d->config.notify_queue = 2;
	assert_int_equal(check(d, 0), -ENOTSUP);
	d->config.notify_queue = 0;
	d->config.functions[0].offered_features |= NETWORK_BIT << 1;
	assert_int_equal(check(d, 0), -ENOTSUP);
	assert_int_equal(check(d, 2), 0);
}

static void
numbers_out_of_range(void **state)
{
	struct device *d = *state;
	struct vhost_pci_config *c = &d->config;
	const struct vhost_pci_config good = *c;
	const struct {
		uint16_t *field;
		uint16_t bad;
	} wrong[] = {
		{ &c->n_functions, 0 },
		{ &c->n_functions, VHOST_PCI_MAX_FUNCTIONS + 1 },
		{ &c->n_rings, 0 },
		{ &c->n_rings, VHOST_PCI_MAX_DEVICE_RINGS + 1 },
		{ &c->n_rings, 7 },
		/* After the first probe it must not grow. */
		{ &c->n_rings, N_RINGS + 1 },
		{ &c->n_kick_vectors, 0 },
		{ &c->functions[0].max_rings, 0 },
		{ &c->functions[0].max_rings, 3 },
		{ &c->functions[0].max_rings, VHOST_PCI_MAX_RINGS + 2 },
		{ &c->functions[0].first_ring, N_RINGS - 7 },
		{ &c->functions[0].first_ring, UINT16_MAX },
	};
	unsigned int i;

	for (i = 0; i < RTE_DIM(wrong); i++) {
		*wrong[i].field = wrong[i].bad;
		assert_int_equal(check(d, 0), -EPROTO);
		*c = good;
	}
	assert_int_equal(check(d, 0), 0);
}

/* A STATE in which function @function of @d runs one pair, in space 1. */
static struct vhost_pci_state *
make_state(struct device *d, unsigned int function)
{
	struct vhost_pci_state *s = d->p.state;
	struct vhost_pci_function *f = &s->functions[function];
	unsigned int i;

	assert_int_equal(check(d, function), 0);
	s->n_functions = RTE_DIM(functions);
	s->n_rings = N_RINGS;
	for (i = 0; i < RTE_DIM(functions); i++) {
		s->functions[i].type = functions[i].type;
		s->functions[i].first_ring = functions[i].first_ring;
		s->functions[i].max_rings = functions[i].max_rings;
	}
	f->n_rings = 2;
	f->status = VHOST_PCI_S_CONNECTED | VHOST_PCI_S_LINK_UP;
	f->features = NETWORK_BIT;
	f->space = 1;
	f->mtu = 1500;
	for (i = 0; i < N_RINGS; i++)
		s->rings[i].epoch = i + 1;
	s->n_regions = 3;
	for (i = 0; i < 3; i++) {
		s->regions[i].gpa = i << 20;
		s->regions[i].size = 1024;
		s->regions[i].window_offset = i * 1024;
		s->regions[i].space = i > 0;
		s->regions[i].area = i < 2 ? VHOST_PCI_AREA_WINDOW :
					     VHOST_PCI_AREA_NEXT_WINDOW;
	}
	return s;
}

static int
convert(struct device *d)
{
	memset(&d->peer, 0, sizeof(d->peer));
	d->peer.rings = d->rings;
	return vhostpci_pci_convert_state(d->port, &d->peer);
}

static void
a_function_has_its_own_rings_and_memory(void **state)
{
	struct device *d = *state;
	struct vhost_pci_state *s = make_state(d, 2);

	assert_int_equal(convert(d), 0);
	assert_true(d->peer.connected);
	assert_int_equal(d->peer.features, NETWORK_BIT);
	assert_int_equal(d->peer.mtu, 1500);
	assert_int_equal(d->peer.n_rings, 2);
	assert_int_equal(d->rings[0].epoch, 13);
	assert_int_equal(d->rings[1].epoch, 14);
	/* Only regions of the function's space, at the window's addresses. */
	assert_int_equal(d->peer.n_regions, 2);
	assert_int_equal(d->peer.regions[0].gpa, 1 << 20);
	assert_ptr_equal(d->peer.regions[0].addr, memory + 1024);
	assert_ptr_equal(d->peer.regions[1].addr, memory + 4096 + 2048);

	/* The peer of function 2 does not connect function 0. */
	assert_int_equal(check(d, 0), 0);
	assert_int_equal(convert(d), 0);
	assert_false(d->peer.connected);
	assert_int_equal(d->peer.n_regions, 0);
	s->functions[2].status = 0;
	assert_int_equal(check(d, 2), 0);
	assert_int_equal(convert(d), 0);
	assert_false(d->peer.connected);
}

static void
states_that_cannot_be(void **state)
{
	struct device *d = *state;
	struct vhost_pci_state *s = make_state(d, 0);

	s->functions[0].n_rings = 9;
	assert_int_equal(convert(d), -EINVAL);
	s->functions[0].n_rings = 2;
	s->n_regions = VHOST_PCI_MAX_REGIONS + 1;
	assert_int_equal(convert(d), -EINVAL);
	s->n_regions = 3;
	s->functions[0].first_ring = 2;
	assert_int_equal(convert(d), -EPROTO);
	s->functions[0].first_ring = 0;
	s->functions[0].type = VHOST_PCI_TYPE_NONE;
	assert_int_equal(convert(d), -EPROTO);
	s->functions[0].type = VHOST_PCI_TYPE_NET;
	s->n_rings = 60;
	assert_int_equal(convert(d), -EPROTO);
	s->n_rings = N_RINGS;
	s->n_functions = 1;
	assert_int_equal(convert(d), -EPROTO);
	s->n_functions = RTE_DIM(functions);
	assert_int_equal(convert(d), 0);
}

static void
regions_that_cannot_be(void **state)
{
	struct device *d = *state;
	struct vhost_pci_state *s = make_state(d, 0);

	s->regions[2].area = VHOST_PCI_AREA_STATE;
	assert_int_equal(convert(d), -ERANGE);
	s->regions[2].area = VHOST_PCI_AREA_WINDOW;
	s->regions[2].window_offset = 4096 - 1023;
	assert_int_equal(convert(d), -ERANGE);
	s->regions[2].window_offset = UINT64_MAX - 511;
	assert_int_equal(convert(d), -ERANGE);
	s->regions[2].window_offset = 4096 - 1024;
	assert_int_equal(convert(d), 0);
	s->regions[2].gpa = UINT64_MAX - 1022;
	assert_int_equal(convert(d), -ERANGE);
	s->regions[2].gpa = 0;
	s->regions[2].size = 0;
	assert_int_equal(convert(d), -ERANGE);
	/* Faults of another space do not concern this function. */
	s->regions[2].space = 0;
	assert_int_equal(convert(d), 0);
	assert_int_equal(d->peer.n_regions, 1);
}

/* STATE, not the configuration space, tells of functions that come later. */
static void
network_functions_are_told_as_they_are_now(void **state)
{
	struct device *d = *state;

	assert_int_equal(check(d, 0), 0);
	assert_int_equal(vhostpci_pci_functions(&d->p), 0x5);
	d->p.has_state = true;
	d->p.state->functions[0].type = VHOST_PCI_TYPE_NET;
	d->p.state->functions[1].type = BLOCK;
	d->p.state->functions[3].type = VHOST_PCI_TYPE_NET;
	/* This function is beyond those in the configuration space: ignored. */
	d->p.state->functions[4].type = VHOST_PCI_TYPE_NET;
	assert_int_equal(vhostpci_pci_functions(&d->p), 0x9);
}

static void
peer_is_known_by_its_name_or_its_uuid(void **state)
{
	static const uint8_t uuid[16] = { 0x2f, 0x1b, 0x7a, 0x0e, 0x5d, 0x34,
		0x4a, 0x59, 0x9c, 0x5c, 0x0f, 0x6d, 0x1f, 0x3b, 0x8a, 0x11 };
	struct device *d = *state;

	assert_int_equal(check(d, 0), 0);
	assert_int_equal(vhostpci_pci_check_config(d->port, "a"), 0);
	assert_int_equal(vhostpci_pci_check_config(d->port, "b"), -ENODEV);
	/* The nil UUID does not find a device whose peer has no UUID. */
	assert_int_equal(vhostpci_pci_check_config(d->port,
			"00000000-0000-0000-0000-000000000000"), -ENODEV);
	memcpy(d->config.peer_uuid, uuid, sizeof(uuid));
	assert_int_equal(vhostpci_pci_check_config(d->port,
			"2F1B7A0E-5d34-4a59-9c5c-0f6d1f3b8a11"), 0);
	assert_int_equal(vhostpci_pci_check_config(d->port,
			"2f1b7a0e-5d34-4a59-9c5c-0f6d1f3b8a12"), -ENODEV);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		test(network_functions_are_told_as_they_are_now),
		test(peer_is_known_by_its_name_or_its_uuid),
		test(only_network_functions_become_ports),
		test(the_peer_asked_for),
		test(what_is_no_device_of_ours),
		test(numbers_out_of_range),
		test(a_function_has_its_own_rings_and_memory),
		test(states_that_cannot_be),
		test(regions_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
