/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The device ABI, on which drivers and devices of other builds rely: every
 * offset and value of vhost_pci.h as a number. A difference means a new ABI.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "vhost_pci.h"

#define field(type, name, offset, size) \
	do { \
		assert_int_equal(offsetof(struct type, name), offset); \
		assert_int_equal(sizeof(((struct type *)0)->name), size); \
	} while (0)

static void
identity(void **state)
{
	(void)state;
	assert_int_equal(VHOST_PCI_VIRTIO_ID, 55);
	assert_int_equal(VHOST_PCI_VENDOR_ID, 0x1af4);
	assert_int_equal(VHOST_PCI_DEVICE_ID, 0x1077);
	assert_int_equal(VHOST_PCI_GENERIC_DEVICE_ID, 0x1055);
	assert_int_equal(VHOST_PCI_ABI, 2);
	assert_int_equal(VHOST_PCI_MAGIC, 0x63706876);
}

static void
constants(void **state)
{
	(void)state;
	assert_int_equal(VHOST_PCI_AREA_STATE, 0);
	assert_int_equal(VHOST_PCI_AREA_WINDOW, 1);
	assert_int_equal(VHOST_PCI_AREA_DOORBELL, 2);
	assert_int_equal(VHOST_PCI_AREA_NEXT_WINDOW, 16);
	assert_int_equal(VHOST_PCI_AREA_LAST_WINDOW, 31);
	assert_int_equal(VHOST_PCI_DOORBELL_STRIDE, 4);
	assert_int_equal(VHOST_PCI_EVENTQ, 0);
	assert_int_equal(VHOST_PCI_ACKQ, 1);
	assert_int_equal(VHOST_PCI_CTRLQ_SIZE, 16);
	assert_int_equal(VHOST_PCI_ACK_TIMEOUT_MS, 100);
	assert_int_equal(VHOST_PCI_S_CONNECTED, 1);
	assert_int_equal(VHOST_PCI_S_LINK_UP, 2);
	assert_int_equal(VHOST_PCI_S_UNSHARED, 4);
	assert_int_equal(VHOST_PCI_F_REVOKE_HARMLESS, 1);
	assert_int_equal(VHOST_PCI_TYPE_NONE, 0);
	assert_int_equal(VHOST_PCI_TYPE_NET, 1);
	assert_int_equal(VHOST_PCI_RING_RUN, 1);
	assert_int_equal(VHOST_PCI_RING_CALL, 2);
	assert_int_equal(VHOST_PCI_MSG_STATE, 1);
	assert_int_equal(VHOST_PCI_MSG_ACK, 2);
	assert_int_equal(VHOST_PCI_MSG_BROKEN, 3);
}

static void
limits(void **state)
{
	(void)state;
	assert_int_equal(VHOST_PCI_MAX_REGIONS, 32);
	assert_int_equal(VHOST_PCI_MAX_RINGS, 60);
	assert_int_equal(VHOST_PCI_MAX_DEVICE_RINGS, 240);
	assert_int_equal(VHOST_PCI_MAX_FUNCTIONS, 8);
	assert_int_equal(VHOST_PCI_MAX_RING_SIZE, 32768);
	assert_int_equal(VHOST_PCI_MAX_COMMIT, 4096);
	/* All doorbells are in one page. */
	assert_in_range(VHOST_PCI_MAX_DEVICE_RINGS * VHOST_PCI_DOORBELL_STRIDE,
			1, 4096);
	assert_in_range(sizeof(struct vhost_pci_config), 1, 256);
}

static void
configuration_space(void **state)
{
	(void)state;
	field(vhost_pci_config, magic, 0, 4);
	field(vhost_pci_config, abi, 4, 2);
	field(vhost_pci_config, n_functions, 6, 2);
	field(vhost_pci_config, flags, 8, 4);
	field(vhost_pci_config, status, 12, 4);
	field(vhost_pci_config, kick_vector, 16, 2);
	field(vhost_pci_config, n_kick_vectors, 18, 2);
	field(vhost_pci_config, notify_queue, 20, 2);
	field(vhost_pci_config, n_rings, 22, 2);
	field(vhost_pci_config, reserved, 24, 8);
	field(vhost_pci_config, peer_uuid, 32, 16);
	field(vhost_pci_config, peer_name, 48, 64);
	field(vhost_pci_config, functions, 112, 8 * 16);
	assert_int_equal(sizeof(struct vhost_pci_config), 240);

	field(vhost_pci_function_config, type, 0, 2);
	field(vhost_pci_function_config, first_ring, 2, 2);
	field(vhost_pci_function_config, max_rings, 4, 2);
	field(vhost_pci_function_config, offered_features, 8, 8);
	assert_int_equal(sizeof(struct vhost_pci_function_config), 16);
}

static void
messages(void **state)
{
	(void)state;
	field(vhost_pci_hdr, type, 0, 2);
	field(vhost_pci_hdr, len, 4, 4);
	field(vhost_pci_hdr, generation, 8, 8);
	assert_int_equal(sizeof(struct vhost_pci_hdr), 16);

	field(vhost_pci_broken, hdr, 0, 16);
	field(vhost_pci_broken, ring, 16, 2);
	field(vhost_pci_broken, rule, 24, 48);
	assert_int_equal(sizeof(struct vhost_pci_broken), 72);
}

static void
state_message(void **state)
{
	(void)state;
	field(vhost_pci_state, hdr, 0, 16);
	field(vhost_pci_state, status, 16, 4);
	field(vhost_pci_state, n_regions, 20, 2);
	field(vhost_pci_state, n_functions, 22, 2);
	field(vhost_pci_state, n_rings, 24, 2);
	field(vhost_pci_state, reserved, 26, 6);
	field(vhost_pci_state, regions, 32, 32 * 32);
	field(vhost_pci_state, functions, 1056, 8 * 56);
	assert_int_equal(offsetof(struct vhost_pci_state, rings), 1504);
	assert_int_equal(vhost_pci_state_len(0), 1504);
	assert_int_equal(vhost_pci_state_len(60), 1504 + 60 * 48);
}

static void
parts_of_the_state_message(void **state)
{
	(void)state;
	field(vhost_pci_function, type, 0, 2);
	field(vhost_pci_function, first_ring, 2, 2);
	field(vhost_pci_function, max_rings, 4, 2);
	field(vhost_pci_function, n_rings, 6, 2);
	field(vhost_pci_function, status, 8, 4);
	field(vhost_pci_function, features, 16, 8);
	field(vhost_pci_function, space, 24, 2);
	field(vhost_pci_function, mtu, 26, 2);
	field(vhost_pci_function, rarp_count, 28, 2);
	field(vhost_pci_function, rarp_mac, 30, 6);
	field(vhost_pci_function, config_offset, 40, 4);
	field(vhost_pci_function, config_len, 44, 4);
	field(vhost_pci_function, inflight_offset, 48, 4);
	field(vhost_pci_function, inflight_len, 52, 4);
	assert_int_equal(sizeof(struct vhost_pci_function), 56);

	field(vhost_pci_region, gpa, 0, 8);
	field(vhost_pci_region, size, 8, 8);
	field(vhost_pci_region, window_offset, 16, 8);
	field(vhost_pci_region, space, 24, 2);
	field(vhost_pci_region, area, 26, 2);
	assert_int_equal(sizeof(struct vhost_pci_region), 32);

	field(vhost_pci_ring, desc, 0, 8);
	field(vhost_pci_ring, avail, 8, 8);
	field(vhost_pci_ring, used, 16, 8);
	field(vhost_pci_ring, num, 24, 2);
	field(vhost_pci_ring, flags, 26, 2);
	field(vhost_pci_ring, base, 28, 4);
	field(vhost_pci_ring, epoch, 32, 4);
	assert_int_equal(sizeof(struct vhost_pci_ring), 48);
}

static void
state_page(void **state)
{
	(void)state;
	field(vhost_pci_ring_progress, progress, 0, 8);
	assert_int_equal(sizeof(struct vhost_pci_ring_progress), 64);
	field(vhost_pci_state_page, rings, 256, 60 * 64);
	assert_int_equal(sizeof(struct vhost_pci_state_page), 4096);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(identity),
		cmocka_unit_test(constants),
		cmocka_unit_test(limits),
		cmocka_unit_test(configuration_space),
		cmocka_unit_test(messages),
		cmocka_unit_test(state_message),
		cmocka_unit_test(parts_of_the_state_message),
		cmocka_unit_test(state_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
