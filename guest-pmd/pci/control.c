/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The control path of the pci transport: interrupt, STATE, adoption, ACK. All
 * of this runs in the EAL interrupt thread, except control_start() and
 * control_stop() (ethdev).
 */

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include <linux/virtio_config.h>

#include <rte_alarm.h>
#include <rte_bus_pci.h>
#include <rte_byteorder.h>
#include <rte_common.h>
#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_interrupts.h>
#include <rte_io.h>

#include "pci/pci.h"

#define PCI_COMMAND			4
#define PCI_COMMAND_INTX_DISABLE	0x400

/* When the port closes, wait this long for control to leave its callback. */
#define STOP_MS		2000

static void control_alarm(void *arg);

void
vhostpci_pci_control_poll_in(struct vhostpci_pci *p, uint64_t us)
{
	/* Do not cancel an armed alarm: cancelling waits for control, and the
	 * caller may hold a lock for which control waits. */
	if (__atomic_exchange_n(&p->alarm_armed, true, __ATOMIC_RELAXED))
		return;
	if (rte_eal_alarm_set(us, control_alarm, p) != 0) {
		__atomic_store_n(&p->alarm_armed, false, __ATOMIC_RELAXED);
		VHOSTPCI_LOG(ERR, "%s: cannot set an alarm", p->pci->name);
	}
}

void
vhostpci_pci_retry_later(struct vhostpci_pci *p)
{
	vhostpci_pci_control_poll_in(p, VHOSTPCI_PCI_RETRY_US);
}

int
vhostpci_pci_lock(struct vhostpci_pci *p)
{
	struct timespec end;

	clock_gettime(CLOCK_REALTIME, &end);
	end.tv_sec += STOP_MS / 1000;
	return -pthread_mutex_timedlock(&p->lock, &end);
}

void
vhostpci_pci_unlock(struct vhostpci_pci *p)
{
	pthread_mutex_unlock(&p->lock);
}

static void
set_window_type(struct vhostpci_pci *p, enum vhostpci_window_type type)
{
	unsigned int i;

	p->window_type = type;
	for (i = 0; i < RTE_DIM(p->ports); i++) {
		if (p->ports[i].dev != NULL)
			vhostpci_dev_transport(p->ports[i].dev)->window_type =
				type;
	}
}

static void
note_functions(struct vhostpci_pci *p)
{
	uint32_t functions = vhostpci_pci_functions(p);
	unsigned int i;

	for (i = 0; i < RTE_DIM(p->ports); i++) {
		if (p->ports[i].dev != NULL)
			vhostpci_dev_transport(p->ports[i].dev)->functions =
				functions;
	}
}

/*
 * Measure the memory type of the window. Before the first STATE the window and
 * area STATE are empty. So measure memory of the window; or a state page, which
 * always exists, if it shares a BAR with the window.
 */
static void
measure_window(struct vhostpci_pci *p, const struct vhostpci_pci_port *port,
	       const struct vhostpci_peer *peer)
{
	const struct vhostpci_pci_area *area = &p->window_areas[0];
	const volatile void *line = port->state_page;
	enum vhostpci_window_type type;
	unsigned int ratio;

	if (p->window_type != VHOSTPCI_WINDOW_UNKNOWN || p->gone)
		return;
	if (area->bar != p->state_area.bar) {
		if (peer->n_regions == 0)
			return;
		line = peer->regions[0].addr;
	}
	type = vhostpci_window_measure(line, &ratio);
	VHOSTPCI_LOG(INFO,
		     "%s: peer \"%s\", window of %" PRIu64 " MiB through %s, reads take %u.%u times as long as from ordinary memory",
		     p->pci->name, p->config.peer_name, area->len >> 20,
		     p->windows[area->bar].how, ratio / 10, ratio % 10);
	if (type == VHOSTPCI_WINDOW_UC)
		VHOSTPCI_LOG(WARNING,
			     "%s: the window is uncached, which makes the port slow",
			     p->pci->name);
	set_window_type(p, type);
}

/*
 * Move a port to the pending state. If the state is unusable, the peer counts
 * as absent: the port adopts that as a state, because the device must learn
 * that nothing of the old state is in use.
 */
static int
adopt_port(struct vhostpci_pci *p, struct vhostpci_pci_port *port)
{
	struct vhostpci_vring_desc rings[VHOSTPCI_MAX_RINGS];
	const struct vhostpci_peer absent = { .rings = rings };
	struct vhostpci_peer peer = absent;
	const struct vhost_pci_function *f;
	int ret;

	if (p->gone || vhostpci_pci_convert_state(port, &peer) != 0)
		peer = absent;
	measure_window(p, port, &peer);
	ret = vhostpci_peer_adopt(port->dev, &peer);
	f = &p->state->functions[port->function];
	if (ret == 0 && peer.connected &&
	    rte_le_to_cpu_32(f->status) & VHOST_PCI_S_UNSHARED)
		vhostpci_peer_unshared(port->dev);
	return ret;
}

/* Move all ports to the pending state; tell the device when all have moved. */
static void
adopt_pending(struct vhostpci_pci *p)
{
	bool all = true;
	unsigned int i;

	vhostpci_pci_window_begin(p);
	for (i = 0; i < RTE_DIM(p->ports); i++) {
		if (p->ports[i].dev != NULL &&
		    adopt_port(p, &p->ports[i]) == -ETIMEDOUT)
			all = false;
	}
	if (!all) {
		/* One burst still uses the old state while others use the new
		 * state, so everything stays mapped. */
		vhostpci_pci_window_keep(p);
		vhostpci_pci_retry_later(p);
		return;
	}
	p->state_pending = false;
	note_functions(p);
	if (p->stuck)
		vhostpci_pci_window_keep(p);
	else
		vhostpci_pci_window_commit(p);
	p->ack_generation = rte_le_to_cpu_64(p->state->hdr.generation);
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

	/* Bounded: even if the device fills each buffer again at once, this
	 * returns to the loop of the interrupt thread. */
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
		if (len == p->state_len &&
		    rte_le_to_cpu_16(s->hdr.type) == VHOST_PCI_MSG_STATE &&
		    rte_le_to_cpu_32(s->hdr.len) == len) {
			memcpy(p->state, s, len);
			p->state_pending = p->has_state = true;
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
		vhostpci_pci_retry_later(p);
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
}

static void
tell_removed(struct vhostpci_pci *p)
{
	unsigned int i;

	for (i = 0; i < RTE_DIM(p->ports); i++) {
		if (p->ports[i].dev != NULL)
			vhostpci_dev_removed(p->ports[i].dev);
	}
}

/* The caller holds the lock. */
static void
poll_locked(struct vhostpci_pci *p, bool removed)
{
	bool was_gone = p->gone;

	if (removed || (!p->gone && vhostpci_pci_is_gone(p)))
		device_gone(p);
	if (!p->gone)
		drain_eventq(p);
	if (p->state_pending)
		adopt_pending(p);
	if (p->gone && !was_gone)
		tell_removed(p);
	if (!p->gone && !vhostpci_pci_flush_messages(p))
		vhostpci_pci_retry_later(p);
}

static void
control_poll(struct vhostpci_pci *p, bool removed)
{
	pthread_mutex_lock(&p->lock);
	poll_locked(p, removed);
	pthread_mutex_unlock(&p->lock);
}

static void
control_alarm(void *arg)
{
	struct vhostpci_pci *p = arg;

	__atomic_store_n(&p->alarm_armed, false, __ATOMIC_RELAXED);
	control_poll(p, false);
}

/*
 * When INTx fires, the kernel masks it in the command register. rte_intr_ack()
 * clears the mask by a write to the register's high byte only, and QEMU (7.2)
 * looks at the mask only in writes that cover the low byte. So an interrupt
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

	/* Reading the ISR lowers the INTx line. Read it before the queue, so
	 * that later messages raise the line again. */
	if (!p->msix && !p->gone)
		(void)rte_read8(p->isr);
	control_poll(p, false);
	if (!p->gone && unmask(p) != 0)
		VHOSTPCI_LOG(ERR, "%s: cannot unmask the interrupt",
			     p->pci->name);
}

static void
control_dev_event(const char *name __rte_unused,
		  enum rte_dev_event_type type, void *arg)
{
	if (type == RTE_DEV_EVENT_REMOVE)
		control_poll(arg, true);
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
	/* Noticing an unplugged device is best effort: without the monitor the
	 * driver notices at its next look at the device, which then reads as
	 * all ones. */
	p->monitor_started = rte_dev_event_monitor_start() == 0;
	if (rte_dev_event_callback_register(p->pci->name, control_dev_event,
					    p) != 0)
		VHOSTPCI_LOG(WARNING, "%s: cannot watch for unplugging",
			     p->pci->name);
	return 0;
}

/* Repeat @undo while control is inside the callback that @undo removes. */
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
	/* Cancel alarms last, because the callbacks above set alarms. This
	 * waits for an alarm that is running. */
	rte_eal_alarm_cancel(control_alarm, p);
	if (p->monitor_started)
		rte_dev_event_monitor_stop();
	p->monitor_started = false;
	p->intr_registered = ret != 0;
	return ret;
}
