/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Several ports of one vhost-pci device: before the driver's control
 * acknowledges a STATE, it makes each port adopt the STATE; memory that a port
 * may still use stays mapped.
 */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_alarm.h>

static unsigned int alarms;
#define rte_eal_alarm_set(us, cb, arg) \
	((void)(us), (void)(cb), (void)(arg), alarms++, 0)
/* The object under test: what it calls of the driver is below. */
#include "pci/control.c"

/* A port: only its address means something to control. */
struct vhostpci_dev {
	struct vhostpci_transport transport;
	int adopt;		/* what vhostpci_peer_adopt() returns */
	unsigned int adopted, removed;
	struct vhostpci_pci_port *closes; /* this one, when told */
};

static struct vhostpci_pci *p;
static struct vhostpci_dev devs[2];
static unsigned int begun, kept, committed, flushed;
static bool new_state;
#define FUNCTIONS	9u

int vhostpci_logtype;

int
rte_pci_read_config(const struct rte_pci_device *pci __rte_unused,
		    void *buf __rte_unused, size_t len __rte_unused,
		    off_t offset __rte_unused)
{
	return -1;
}

int
rte_pci_write_config(const struct rte_pci_device *pci __rte_unused,
		     const void *buf __rte_unused, size_t len __rte_unused,
		     off_t offset __rte_unused)
{
	return -1;
}

bool
vhostpci_pci_is_gone(const struct vhostpci_pci *pci)
{
	return pci->gone;
}

void
vhostpci_pci_window_begin(struct vhostpci_pci *pci __rte_unused)
{
	begun++;
}

void
vhostpci_pci_window_keep(struct vhostpci_pci *pci __rte_unused)
{
	kept++;
}

void
vhostpci_pci_window_commit(struct vhostpci_pci *pci __rte_unused)
{
	committed++;
}

int
vhostpci_pci_convert_state(struct vhostpci_pci_port *port __rte_unused,
			   struct vhostpci_peer *peer)
{
	peer->connected = true;
	return 0;
}

void
vhostpci_peer_unshared(struct vhostpci_dev *dev)
{
	fail_msg("this peer's memory is shared");
}

int
vhostpci_peer_adopt(struct vhostpci_dev *dev, const struct vhostpci_peer *peer)
{
	assert_int_equal(peer->connected, !p->gone);
	dev->adopted++;
	if (dev->closes != NULL)
		dev->closes->dev = NULL;
	return dev->adopt;
}

uint32_t
vhostpci_pci_functions(const struct vhostpci_pci *pci __rte_unused)
{
	return FUNCTIONS;
}

struct vhostpci_transport *
vhostpci_dev_transport(struct vhostpci_dev *dev)
{
	return &dev->transport;
}

void
vhostpci_dev_removed(struct vhostpci_dev *dev)
{
	dev->removed++;
}

enum vhostpci_window_type
vhostpci_window_measure(const volatile void *line __rte_unused,
			unsigned int *ratio)
{
	*ratio = 10;
	return VHOSTPCI_WINDOW_WB;
}

bool
vhostpci_pci_flush_messages(struct vhostpci_pci *pci)
{
	flushed += pci->ack_pending;
	pci->ack_pending = false;
	return true;
}

void
vhostpci_pci_forget_kicks(struct vhostpci_pci *pci __rte_unused)
{
}

int
vhostpci_ctrlq_get(const struct vhostpci_ctrlq *q __rte_unused)
{
	return -ENOBUFS;
}

void *
vhostpci_ctrlq_buf(const struct vhostpci_ctrlq *q, unsigned int i __rte_unused)
{
	return q->bufs;
}

void
vhostpci_ctrlq_post(struct vhostpci_ctrlq *q __rte_unused,
		    unsigned int i __rte_unused, uint32_t len __rte_unused)
{
}

void
vhostpci_ctrlq_kick(struct vhostpci_ctrlq *q __rte_unused)
{
}

int
vhostpci_ctrlq_take(struct vhostpci_ctrlq *q __rte_unused, uint32_t *len)
{
	if (!new_state)
		return -EAGAIN;
	new_state = false;
	*len = p->state_len;
	return 0;
}

static int
setup(void **state)
{
	static struct vhost_pci_state message;
	static struct rte_pci_device pci;
	unsigned int i;

	p = calloc(1, sizeof(*p));
	p->pci = &pci;
	p->state = calloc(1, sizeof(*p->state));
	p->state_len = sizeof(message);
	message.hdr.type = VHOST_PCI_MSG_STATE;
	message.hdr.len = sizeof(message);
	p->eventq.bufs = (uint8_t *)&message;
	pthread_mutex_init(&p->lock, NULL);
	memset(devs, 0, sizeof(devs));
	for (i = 0; i < RTE_DIM(devs); i++) {
		p->ports[3 * i].p = p;
		p->ports[3 * i].dev = &devs[i];
	}
	begun = kept = committed = flushed = alarms = 0;
	new_state = true;
	*state = p;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	free(p->state);
	free(p);
	return 0;
}

static void
the_device_is_told_when_all_ports_have_moved(void **state)
{
	(void)state;
	devs[1].adopt = -ETIMEDOUT;
	control_poll(p, false);
	assert_int_equal(devs[0].adopted, 1);
	assert_int_equal(devs[1].adopted, 1);
	assert_int_equal(devs[1].transport.window_type, VHOSTPCI_WINDOW_WB);
	/* The first is in the new memory, the second in the old. */
	assert_int_equal(kept, 1);
	assert_int_equal(committed, 0);
	assert_int_equal(flushed, 0);
	assert_int_equal(alarms, 1);

	devs[1].adopt = 0;
	control_poll(p, false);
	assert_int_equal(devs[1].adopted, 2);
	assert_int_equal(devs[0].transport.functions, FUNCTIONS);
	assert_int_equal(devs[1].transport.functions, FUNCTIONS);
	assert_int_equal(committed, 1);
	assert_int_equal(flushed, 1);
	/* Nothing is new. */
	control_poll(p, false);
	assert_int_equal(devs[0].adopted, 2);
	assert_int_equal(flushed, 1);
}

static void
a_port_that_is_stuck_keeps_the_memory(void **state)
{
	(void)state;
	p->ports[3].dev = NULL;
	p->stuck = true;
	control_poll(p, false);
	assert_int_equal(devs[0].adopted, 1);
	assert_int_equal(devs[1].adopted, 0);
	assert_int_equal(kept, 1);
	assert_int_equal(committed, 0);
	assert_int_equal(flushed, 1);
}

static void
a_port_closed_within_a_call_is_left_alone(void **state)
{
	(void)state;
	devs[0].closes = &p->ports[3];
	control_poll(p, false);
	assert_int_equal(devs[1].adopted, 0);
	assert_int_equal(flushed, 1);
}

static void
each_port_learns_that_the_device_left(void **state)
{
	(void)state;
	new_state = false;
	control_poll(p, true);
	assert_int_equal(devs[0].adopted, 1);
	assert_int_equal(devs[1].adopted, 1);
	assert_int_equal(devs[0].removed, 1);
	assert_int_equal(devs[1].removed, 1);
	assert_int_equal(flushed, 0);
	control_poll(p, true);
	assert_int_equal(devs[1].removed, 1);
}

#define test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		test(the_device_is_told_when_all_ports_have_moved),
		test(a_port_that_is_stuck_keeps_the_memory),
		test(a_port_closed_within_a_call_is_left_alone),
		test(each_port_learns_that_the_device_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
