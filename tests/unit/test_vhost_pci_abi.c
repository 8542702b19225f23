/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The device ABI as drivers and devices of other builds know it: every offset
 * and value of vhost_pci.h, written out. A difference here is a new ABI.
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
	assert_int_equal(VHOST_PCI_ABI, 1);
}

static void
constants(void **state)
{
	(void)state;
	assert_int_equal(VHOST_PCI_AREA_STATE, 0);
	assert_int_equal(VHOST_PCI_AREA_WINDOW, 1);
	assert_int_equal(VHOST_PCI_AREA_DOORBELL, 2);
	assert_int_equal(VHOST_PCI_DOORBELL_STRIDE, 4);
	assert_int_equal(VHOST_PCI_EVENTQ, 0);
	assert_int_equal(VHOST_PCI_ACKQ, 1);
	assert_int_equal(VHOST_PCI_CTRLQ_SIZE, 16);
	assert_int_equal(VHOST_PCI_ACK_TIMEOUT_MS, 100);
	assert_int_equal(VHOST_PCI_S_CONNECTED, 1);
	assert_int_equal(VHOST_PCI_S_LINK_UP, 2);
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
	assert_int_equal(VHOST_PCI_MAX_RING_SIZE, 32768);
	assert_int_equal(VHOST_PCI_MAX_COMMIT, 4096);
	/* All doorbells are in one page. */
	assert_in_range(VHOST_PCI_MAX_RINGS * VHOST_PCI_DOORBELL_STRIDE, 1,
			4096);
}

static void
configuration_space(void **state)
{
	(void)state;
	field(vhost_pci_net_config, abi, 0, 2);
	field(vhost_pci_net_config, max_queue_pairs, 2, 2);
	field(vhost_pci_net_config, status, 4, 4);
	field(vhost_pci_net_config, offered_features, 8, 8);
	field(vhost_pci_net_config, window_size, 16, 8);
	field(vhost_pci_net_config, kick_vector, 24, 2);
	field(vhost_pci_net_config, reserved, 26, 6);
	field(vhost_pci_net_config, peer_uuid, 32, 16);
	field(vhost_pci_net_config, peer_name, 48, 64);
	assert_int_equal(sizeof(struct vhost_pci_net_config), 112);
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
	field(vhost_pci_state, features, 16, 8);
	field(vhost_pci_state, status, 24, 4);
	field(vhost_pci_state, n_regions, 28, 2);
	field(vhost_pci_state, n_rings, 30, 2);
	field(vhost_pci_state, mtu, 32, 2);
	field(vhost_pci_state, rarp_count, 34, 2);
	field(vhost_pci_state, rarp_mac, 36, 6);
	field(vhost_pci_state, reserved, 42, 86);
	field(vhost_pci_state, regions, 128, 32 * 32);
	field(vhost_pci_state, rings, 1152, 60 * 48);
	assert_int_equal(sizeof(struct vhost_pci_state), 4096);

	field(vhost_pci_region, gpa, 0, 8);
	field(vhost_pci_region, size, 8, 8);
	field(vhost_pci_region, window_offset, 16, 8);
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
		cmocka_unit_test(state_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
