/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The pci transport: drives net functions of vhost-pci devices
 * (protocol/vhost_pci.h).
 *
 *   pci.c       probe, remove, transport operations
 *   areas.c     PCI capabilities, mapping what they name
 *   window.c    mapping the window
 *   config.c    the device's configuration space
 *   virtio.c    virtio initialisation
 *   ctrlq.c     the driver side of a small virtqueue
 *   control.c   interrupts, adopting
 *   convert.c   STATE to struct vhostpci_peer
 *   messages.c  ACK and BROKEN
 *   kicks.c     vectors of the peer's kicks to eventfds
 *
 * Threads: as in base/transport.h; control is the EAL interrupt thread, in which
 * the device's interrupt, our alarms and device events run, one at a time.
 */

#ifndef VHOSTPCI_PCI_PCI_H
#define VHOSTPCI_PCI_PCI_H

#include <stdbool.h>
#include <stdint.h>

#include <pthread.h>
#include <sys/queue.h>

#include <linux/virtio_pci.h>

#include <bus_pci_driver.h>

#include "vhost_pci.h"
#include "port/attach.h"
#include "pci/ctrlq.h"
#include "pci/window.h"

#define VHOSTPCI_PCI_BARS	6
/* How long the device may take to finish a reset. */
#define VHOSTPCI_PCI_RESET_MS	1000
/* How soon adoption is tried again when a burst did not end. */
#define VHOSTPCI_PCI_RETRY_US	5000

/* A device may have this many windows on the peer's memory. */
#define VHOSTPCI_PCI_WINDOWS \
	(1 + VHOST_PCI_AREA_LAST_WINDOW - VHOST_PCI_AREA_NEXT_WINDOW + 1)

/* A piece of a BAR, from a capability, checked against the BAR's size. */
struct vhostpci_pci_area {
	uint8_t bar;
	uint64_t offset;
	uint64_t len;	/* 0: no such capability */
};

struct vhostpci_pci;

/* A port of the device: one net function. probe: w; later read only, unless a
 * field's comment says otherwise. */
struct vhostpci_pci_port {
	struct vhostpci_pci *p;
	/* NULL: there is no port yet, or no longer. Under p->lock. */
	struct vhostpci_dev *dev;
	uint16_t function;
	uint16_t first_ring;
	bool legacy_ol_flags;		/* see struct vhostpci_transport */
	volatile struct vhost_pci_state_page *state_page;
};

/* The device, which its ports share; it is freed with the last port. probe: w;
 * later read only, unless a field's comment says otherwise. */
struct vhostpci_pci {
	TAILQ_ENTRY(vhostpci_pci) next;
	struct rte_pci_device *pci;
	/*
	 * control holds this while it works; it excludes probe and close of
	 * ports. Take it before a port's own lock. vhostpci_pci_lock() waits for
	 * a bounded time.
	 */
	pthread_mutex_t lock;
	struct vhostpci_pci_port ports[VHOST_PCI_MAX_FUNCTIONS];
	/* A port was closed while a burst did not end: unmap nothing. */
	bool stuck;

	struct vhostpci_pci_area common_area, notify_area, isr_area,
		device_area, state_area, doorbell_area;
	struct vhostpci_pci_area window_areas[VHOSTPCI_PCI_WINDOWS];
	uint32_t notify_multiplier;
	uint8_t *bar_addr[VHOSTPCI_PCI_BARS];	/* registers BARs in use */

	volatile struct virtio_pci_common_cfg *common;
	volatile uint8_t *isr;
	volatile uint8_t *device_cfg;
	volatile uint32_t *doorbells;
	/* By BAR: a BAR with STATE or a WINDOW is open. control: rw. */
	struct vhostpci_window windows[VHOSTPCI_PCI_BARS];
	struct vhost_pci_config config;	/* as read at the last probe */

	/* control: rw from DRIVER_OK on. */
	struct vhostpci_ctrlq eventq;
	struct vhostpci_ctrlq ackq;
	struct vhost_pci_state *state;	/* our copy of the last STATE */
	size_t state_len;
	bool state_pending;		/* state is not adopted yet */
	bool has_state;			/* a STATE has come */
	enum vhostpci_window_type window_type; /* valid once measured */
	/* Messages that wait for a free buffer. */
	bool ack_pending;
	uint64_t ack_generation;	/* of the last adopted state */
	struct {
		const char *rule;	/* NULL: nothing to report */
		uint64_t generation;	/* of the state that ran the ring */
	} broken[VHOST_PCI_MAX_DEVICE_RINGS];
	bool alarm_armed;		/* atomic; at most one alarm of ours */

	/* ethdev: rw under kick_lock, which is taken after a port's own lock:
	 * the eventfd that a kick of the device's ring signals, or -1. */
	pthread_mutex_t kick_lock;
	int kick_fds[VHOST_PCI_MAX_DEVICE_RINGS];

	/* control: w; ethdev: r. The device has left or cannot be trusted: do
	 * not touch its registers any more. */
	bool gone;
	bool msix;			/* vfio with MSI-X, else INTx */
	bool intr_registered;
	bool monitor_started;
};

/* pci/areas.c */

/* Map registers and window as the kernel driver allows. Returns 0; or -errno,
 * having undone everything. */
int vhostpci_pci_map(struct vhostpci_pci *p);
void vhostpci_pci_unmap(struct vhostpci_pci *p);
/* After the configuration was read: check that the areas are large enough for it,
 * and map the port's state page. Returns 0; or -errno, having logged why. */
int vhostpci_pci_map_state(struct vhostpci_pci_port *port);
/* The window with the area number @id; NULL: there is none. */
const struct vhostpci_pci_area *
vhostpci_pci_window(const struct vhostpci_pci *p, uint16_t id);
/* control: call the functions vhostpci_window_*() for all windows. */
void vhostpci_pci_window_begin(struct vhostpci_pci *p);
void *vhostpci_pci_window_map(struct vhostpci_pci *p,
			      const struct vhostpci_pci_area *area,
			      uint64_t offset, uint64_t len);
void vhostpci_pci_window_keep(struct vhostpci_pci *p);
void vhostpci_pci_window_commit(struct vhostpci_pci *p);

/* pci/config.c */

/* Read the device's configuration to p->config, and check it: @port's function must
 * be a net function that we can serve, and the peer must be @peer (a name or a UUID;
 * "": any). Returns 0; or -errno, having logged why. */
int vhostpci_pci_check_config(const struct vhostpci_pci_port *port,
			      const char *peer);
/* Bit f: function f is a net function now. */
uint32_t vhostpci_pci_functions(const struct vhostpci_pci *p);
/* The part of the configuration that is about the port's function. */
static inline const struct vhost_pci_function_config *
vhostpci_pci_function(const struct vhostpci_pci_port *port)
{
	return &port->p->config.functions[port->function];
}

/* pci/virtio.c */

/* Reset the device, negotiate, set up both queues: everything before DRIVER_OK.
 * Returns 0 or -errno; in both cases the caller must in the end reset the device and
 * free the queues. */
int vhostpci_pci_init(struct vhostpci_pci *p);
void vhostpci_pci_driver_ok(struct vhostpci_pci *p);
/* Reset the device, and return when the reset is complete. Returns 0 or -errno. */
int vhostpci_pci_reset(struct vhostpci_pci *p);
/* Has the device stopped answering? */
bool vhostpci_pci_is_gone(const struct vhostpci_pci *p);

/* pci/control.c */

/* Fill the event queue and enable interrupts. Returns 0 or -errno. */
int vhostpci_pci_control_start(struct vhostpci_pci *p);
/* Make control look at the queues in at most @us. */
void vhostpci_pci_control_poll_in(struct vhostpci_pci *p, uint64_t us);
/* Stop control. Returns 0 when control does not run any more, or -EBUSY if it does
 * not end: the caller must then keep @p. */
int vhostpci_pci_control_stop(struct vhostpci_pci *p);
/* Take p->lock. Returns 0, or -errno: control does not release the lock, or control
 * itself makes this call. */
int vhostpci_pci_lock(struct vhostpci_pci *p);
void vhostpci_pci_unlock(struct vhostpci_pci *p);
/* Make control look at the queues again soon, to repeat work that failed now. */
void vhostpci_pci_retry_later(struct vhostpci_pci *p);

/* pci/convert.c */

/* control: fill @peer with the state of the port's function in p->state, and map
 * regions of the window. peer->rings has room. Returns 0; or -errno, having logged
 * why. */
int vhostpci_pci_convert_state(struct vhostpci_pci_port *port,
			       struct vhostpci_peer *peer);

/* pci/messages.c */

/* control: post waiting messages. Returns false if some must wait longer. */
bool vhostpci_pci_flush_messages(struct vhostpci_pci *p);
/* control: queue a BROKEN message for the device's ring @ring; @rule is static. */
void vhostpci_pci_send_broken(struct vhostpci_pci *p, unsigned int ring,
			      const char *rule);

/* pci/kicks.c */

/* ethdev: see struct vhostpci_transport_ops. */
int vhostpci_pci_kick_fds(struct vhostpci_pci_port *port, const int *fds,
			  unsigned int n);
/* Call this while the interrupt is disabled: when it is enabled again, it has only
 * one vector, the device's own. */
void vhostpci_pci_forget_kicks(struct vhostpci_pci *p);

#endif
