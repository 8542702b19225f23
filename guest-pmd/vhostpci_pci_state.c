/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The control path of the pci transport: interrupt, STATE, adoption, ACK.
 * All of it runs in the EAL interrupt thread except control_start and
 * control_stop (ethdev).
 */

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include <linux/virtio_config.h>

#include <rte_alarm.h>
#include <rte_bus_pci.h>
#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_interrupts.h>
#include <rte_io.h>

#include "vhostpci_pci.h"

#define PCI_COMMAND			4
#define PCI_COMMAND_INTX_DISABLE	0x400

/* How long control may take to leave its callback when we close. */
#define STOP_MS		2000

static void control_alarm(void *arg);

void
vhostpci_pci_control_poll_in(struct vhostpci_pci *p, uint64_t us)
{
	/* Not by cancelling the one that may be armed: that waits for control,
	 * and the caller may hold what control waits for. */
	if (__atomic_exchange_n(&p->alarm_armed, true, __ATOMIC_RELAXED))
		return;
	if (rte_eal_alarm_set(us, control_alarm, p) != 0) {
		__atomic_store_n(&p->alarm_armed, false, __ATOMIC_RELAXED);
		VHOSTPCI_LOG(ERR, "%s: cannot set an alarm", p->pci->name);
	}
}

static void
retry_later(struct vhostpci_pci *p)
{
	vhostpci_pci_control_poll_in(p, VHOSTPCI_PCI_RETRY_US);
}

/* Messages to the device. */

/* A buffer that the device is done with; -ENOBUFS. */
static int
ack_buffer(struct vhostpci_pci *p)
{
	uint32_t len;
	int i;

	do {
		i = vhostpci_ctrlq_take(&p->ackq, &len);
	} while (i >= 0 || i == -EIO);
	return vhostpci_ctrlq_get(&p->ackq);
}

static bool
post_message(struct vhostpci_pci *p, struct vhost_pci_broken *m, uint16_t type,
	     uint32_t len, uint64_t generation)
{
	int i = ack_buffer(p);

	if (i < 0)
		return false;
	m->hdr.type = rte_cpu_to_le_16(type);
	m->hdr.len = rte_cpu_to_le_32(len);
	m->hdr.generation = rte_cpu_to_le_64(generation);
	memcpy(vhostpci_ctrlq_buf(&p->ackq, i), m, len);
	vhostpci_ctrlq_post(&p->ackq, i, len);
	return true;
}

/* Post what waits. False if some of it must still wait. */
static bool
flush_messages(struct vhostpci_pci *p)
{
	bool posted = false, all = true;
	struct vhost_pci_broken m;
	unsigned int i;

	for (i = 0; i < VHOST_PCI_MAX_RINGS && all; i++) {
		if (p->broken[i].rule == NULL)
			continue;
		memset(&m, 0, sizeof(m));
		m.ring = rte_cpu_to_le_16(i);
		strlcpy(m.rule, p->broken[i].rule, sizeof(m.rule));
		all = post_message(p, &m, VHOST_PCI_MSG_BROKEN, sizeof(m),
				   p->broken[i].generation);
		if (all)
			p->broken[i].rule = NULL;
		posted |= all;
	}
	if (all && p->ack_pending) {
		memset(&m, 0, sizeof(m));
		all = post_message(p, &m, VHOST_PCI_MSG_ACK, sizeof(m.hdr),
				   p->ack_generation);
		p->ack_pending = !all;
		posted |= all;
	}
	if (posted)
		vhostpci_ctrlq_kick(&p->ackq);
	return all;
}

void
vhostpci_pci_send_broken(struct vhostpci_pci *p, unsigned int ring,
			 const char *rule)
{
	if (ring >= VHOST_PCI_MAX_RINGS || p->gone)
		return;
	p->broken[ring].rule = rule;
	p->broken[ring].generation = p->ack_generation;
	if (!flush_messages(p))
		retry_later(p);
}

/* STATE to struct vhostpci_peer. */

static int
convert_region(struct vhostpci_pci *p, const struct vhost_pci_region *in,
	       struct vhostpci_region *out)
{
	uint64_t offset = rte_le_to_cpu_64(in->window_offset);

	out->gpa = rte_le_to_cpu_64(in->gpa);
	out->size = rte_le_to_cpu_64(in->size);
	if (out->size == 0 || out->gpa > UINT64_MAX - out->size ||
	    out->size > p->window_area.len ||
	    offset > p->window_area.len - out->size) {
		VHOSTPCI_LOG(ERR,
			     "%s: STATE has a region outside the window: 0x%" PRIx64 " bytes at 0x%" PRIx64,
			     p->pci->name, out->size, offset);
		return -ERANGE;
	}
	out->addr = vhostpci_window_map(&p->window,
					p->window_area.offset + offset,
					out->size);
	if (out->addr == NULL) {
		VHOSTPCI_LOG(ERR,
			     "%s: cannot map 0x%" PRIx64 " bytes of the window: %s",
			     p->pci->name, out->size, strerror(errno));
		return -ENOMEM;
	}
	return 0;
}

static void
convert_ring(const struct vhost_pci_ring *in, struct vhostpci_vring_desc *out)
{
	uint16_t flags = rte_le_to_cpu_16(in->flags);

	out->desc = rte_le_to_cpu_64(in->desc);
	out->avail = rte_le_to_cpu_64(in->avail);
	out->used = rte_le_to_cpu_64(in->used);
	out->base = rte_le_to_cpu_32(in->base);
	out->epoch = rte_le_to_cpu_32(in->epoch);
	out->num = rte_le_to_cpu_16(in->num);
	out->run = (flags & VHOST_PCI_RING_RUN) != 0;
	out->call = (flags & VHOST_PCI_RING_CALL) != 0;
}

static int
convert_state(struct vhostpci_pci *p, struct vhostpci_peer *peer)
{
	const struct vhost_pci_state *s = &p->state;
	uint32_t status = rte_le_to_cpu_32(s->status);
	unsigned int i;
	int ret;

	peer->features = rte_le_to_cpu_64(s->features);
	peer->connected = (status & VHOST_PCI_S_CONNECTED) != 0;
	peer->mtu = rte_le_to_cpu_16(s->mtu);
	peer->rarp_count = rte_le_to_cpu_16(s->rarp_count);
	memcpy(&peer->rarp_mac, s->rarp_mac, sizeof(peer->rarp_mac));
	peer->n_regions = rte_le_to_cpu_16(s->n_regions);
	peer->n_rings = rte_le_to_cpu_16(s->n_rings);
	if (peer->n_regions > VHOSTPCI_MAX_REGIONS ||
	    peer->n_rings > p->config.max_queue_pairs * 2) {
		VHOSTPCI_LOG(ERR, "%s: STATE has %u regions and %u rings",
			     p->pci->name, peer->n_regions, peer->n_rings);
		return -EINVAL;
	}
	for (i = 0; i < peer->n_regions; i++) {
		ret = convert_region(p, &s->regions[i], &peer->regions[i]);
		if (ret != 0)
			return ret;
	}
	for (i = 0; i < peer->n_rings; i++)
		convert_ring(&s->rings[i], &peer->rings[i]);
	return 0;
}

/* The state page stays mapped whatever the peer has. */
static void
begin_mappings(struct vhostpci_pci *p)
{
	vhostpci_window_begin(&p->window);
	vhostpci_window_map(&p->window, p->state_area.offset,
			    sizeof(*p->state_page));
}

/*
 * Move to the pending state. A state that cannot be used makes the peer
 * absent: that is a state too, and the device must learn that nothing of the
 * old one is in use.
 */
static void
adopt_pending(struct vhostpci_pci *p)
{
	struct vhostpci_vring_desc rings[VHOSTPCI_MAX_RINGS];
	const struct vhostpci_peer absent = { .rings = rings };
	struct vhostpci_peer peer = absent;
	int ret;

	begin_mappings(p);
	if (p->gone || convert_state(p, &peer) != 0) {
		begin_mappings(p);
		peer = absent;
	}
	ret = vhostpci_peer_adopt(p->dev, &peer);
	if (ret == -ETIMEDOUT) {
		/* A burst still uses the old state: everything stays mapped. */
		retry_later(p);
		return;
	}
	p->state_pending = false;
	vhostpci_window_commit(&p->window);
	p->ack_generation = rte_le_to_cpu_64(p->state.hdr.generation);
	p->ack_pending = true;
}

/* Take all STATE messages; only the last one matters. */
static void
drain_eventq(struct vhostpci_pci *p)
{
	const struct vhost_pci_state *s;
	unsigned int n = 0;
	uint32_t len;
	int i;

	/* Bounded: a device that answers each buffer at once gets us to
	 * return to the loop of the interrupt thread. */
	for (; n < 4 * VHOST_PCI_CTRLQ_SIZE; n++) {
		i = vhostpci_ctrlq_take(&p->eventq, &len);
		if (i == -EAGAIN)
			break;
		if (i < 0) {
			VHOSTPCI_LOG(ERR, "%s: the device used a buffer that it does not have",
				     p->pci->name);
			continue;
		}
		s = vhostpci_ctrlq_buf(&p->eventq, i);
		if (len == sizeof(*s) &&
		    rte_le_to_cpu_16(s->hdr.type) == VHOST_PCI_MSG_STATE &&
		    rte_le_to_cpu_32(s->hdr.len) == sizeof(*s)) {
			memcpy(&p->state, s, sizeof(p->state));
			p->state_pending = true;
			VHOSTPCI_LOG(DEBUG, "%s: STATE %" PRIu64, p->pci->name,
				     rte_le_to_cpu_64(s->hdr.generation));
		} else {
			VHOSTPCI_LOG(WARNING,
				     "%s: ignoring message type %u, %u bytes",
				     p->pci->name,
				     rte_le_to_cpu_16(s->hdr.type), len);
		}
		vhostpci_ctrlq_post(&p->eventq, i, p->eventq.buf_len);
	}
	if (n > 0)
		vhostpci_ctrlq_kick(&p->eventq);
	if (n == 4 * VHOST_PCI_CTRLQ_SIZE)
		retry_later(p);
}

/* The device left: no burst may touch its BARs any more. */
static void
device_gone(struct vhostpci_pci *p)
{
	if (p->gone)
		return;
	VHOSTPCI_LOG(WARNING, "%s: the device was removed", p->pci->name);
	p->gone = true;
	p->state_pending = true;
	adopt_pending(p);
	vhostpci_dev_removed(p->dev);
}

static void
control_poll(struct vhostpci_pci *p)
{
	if (!p->gone && vhostpci_pci_is_gone(p))
		device_gone(p);
	if (!p->gone)
		drain_eventq(p);
	if (p->state_pending)
		adopt_pending(p);
	if (!p->gone && !flush_messages(p))
		retry_later(p);
}

static void
control_alarm(void *arg)
{
	struct vhostpci_pci *p = arg;

	__atomic_store_n(&p->alarm_armed, false, __ATOMIC_RELAXED);
	control_poll(p);
}

/*
 * The kernel masks INTx in the command register when it fires. rte_intr_ack()
 * clears the mask by a write of that register's high byte alone; QEMU (7.2)
 * looks at the mask only in writes that cover the low byte, so an interrupt
 * that came meanwhile would stay unseen, and with it every later one.
 */
static int
unmask(struct vhostpci_pci *p)
{
	uint16_t command;

	if (rte_intr_type_get(p->pci->intr_handle) !=
	    RTE_INTR_HANDLE_UIO_INTX)
		return rte_intr_ack(p->pci->intr_handle);
	if (rte_pci_read_config(p->pci, &command, 2, PCI_COMMAND) != 2)
		return -EIO;
	command &= rte_cpu_to_le_16(~PCI_COMMAND_INTX_DISABLE);
	return rte_pci_write_config(p->pci, &command, 2, PCI_COMMAND) == 2 ?
		0 : -EIO;
}

static void
control_intr(void *arg)
{
	struct vhostpci_pci *p = arg;

	/* Reading the ISR takes the INTx line back; before the queue is
	 * looked at, so that what comes later raises it again. */
	if (!p->msix && !p->gone)
		(void)rte_read8(p->isr);
	control_poll(p);
	if (!p->gone && unmask(p) != 0)
		VHOSTPCI_LOG(ERR, "%s: cannot unmask the interrupt",
			     p->pci->name);
}

static void
control_dev_event(const char *name __rte_unused,
		  enum rte_dev_event_type type, void *arg)
{
	if (type == RTE_DEV_EVENT_REMOVE)
		device_gone(arg);
}

int
vhostpci_pci_control_start(struct vhostpci_pci *p)
{
	struct rte_intr_handle *intr = p->pci->intr_handle;
	int ret, i;

	while ((i = vhostpci_ctrlq_get(&p->eventq)) >= 0)
		vhostpci_ctrlq_post(&p->eventq, i, p->eventq.buf_len);

	ret = rte_intr_callback_register(intr, control_intr, p);
	if (ret != 0) {
		VHOSTPCI_LOG(ERR, "%s: cannot register for interrupts: %s",
			     p->pci->name, strerror(-ret));
		return ret;
	}
	p->intr_registered = true;
	if (rte_intr_enable(intr) != 0) {
		VHOSTPCI_LOG(ERR, "%s: cannot enable the interrupt",
			     p->pci->name);
		return -EIO;
	}
	/* Unplugging is best effort: without the monitor it shows as all ones
	 * when the device is next looked at. */
	p->monitor_started = rte_dev_event_monitor_start() == 0;
	if (rte_dev_event_callback_register(p->pci->name, control_dev_event,
					    p) != 0)
		VHOSTPCI_LOG(WARNING, "%s: cannot watch for unplugging",
			     p->pci->name);
	return 0;
}

/* Repeat while control is inside the callback that is to go. */
static int
until_not_busy(int (*undo)(struct vhostpci_pci *p), struct vhostpci_pci *p)
{
	unsigned int ms;

	for (ms = 0; ms < STOP_MS; ms++) {
		if (undo(p) != -EAGAIN)
			return 0;
		rte_delay_us_sleep(1000);
	}
	return -EBUSY;
}

static int
undo_intr(struct vhostpci_pci *p)
{
	return rte_intr_callback_unregister(p->pci->intr_handle, control_intr,
					    p);
}

static int
undo_dev_event(struct vhostpci_pci *p)
{
	return rte_dev_event_callback_unregister(p->pci->name,
						 control_dev_event, p);
}

int
vhostpci_pci_control_stop(struct vhostpci_pci *p)
{
	int ret = 0;

	if (!p->intr_registered)
		return 0;
	if (!p->gone)
		rte_intr_disable(p->pci->intr_handle);
	vhostpci_pci_forget_kicks(p);
	if (until_not_busy(undo_intr, p) != 0 ||
	    until_not_busy(undo_dev_event, p) != 0)
		ret = -EBUSY;
	/* Last: the callbacks above set alarms. Waits for one that runs. */
	rte_eal_alarm_cancel(control_alarm, p);
	if (p->monitor_started)
		rte_dev_event_monitor_stop();
	p->monitor_started = false;
	p->intr_registered = ret != 0;
	return ret;
}
