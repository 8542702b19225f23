/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * vhost-pci: the contract between the device and its driver.
 *
 * A vhost-pci-net device is a virtio 1.x modern PCI device.  It stands for
 * *another* VM's virtio-net device (the peer): the peer's memory appears in a
 * window BAR, the peer's vrings are described by STATE messages, and the
 * driver plays the device side of those vrings.
 *
 * Everything here is level triggered.  The device tells the driver the whole
 * current state in one STATE message, again whenever any of it changes, and
 * may skip states that were overtaken before the driver had a buffer for
 * them.  The driver moves to that state at a quiescent point and acknowledges
 * its generation.  A driver that starts late, or again, needs no history.
 *
 * Life of a change:
 *   device                                   driver
 *   maps new memory, generation := g+1
 *   STATE(g+1)  ------- eventq ------------> stops bursts on what changed,
 *                                            publishes progress, adopts
 *   unmaps old memory,  <------ ackq ------- ACK(g+1)
 *   answers the front-end
 * The device waits at most VHOST_PCI_ACK_TIMEOUT_MS for the ACK; after that
 * it replaces what must go by anonymous memory and answers the front-end.
 *
 * All fields are little endian.  Addresses of vrings and of regions are the
 * peer's guest-physical addresses, never host addresses.  Everything a
 * message says about the peer's rings comes from the peer in the end, and the
 * contents of the window come from the peer entirely: neither may be trusted.
 */

#ifndef VHOST_PCI_H
#define VHOST_PCI_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Not assigned by the virtio specification, whose list ends at 49 today and
 * grows. Others that are not assigned count down from the last one that a PCI
 * id can tell, 63: crosvm has 60 to 63 (63 is its virtio-wl). This one is as far
 * from either as can be.
 */
#define VHOST_PCI_VIRTIO_ID		55
#define VHOST_PCI_VENDOR_ID		0x1af4
#define VHOST_PCI_DEVICE_ID		(0x1040 + VHOST_PCI_VIRTIO_ID)

/* Value of vhost_pci_net_config.abi; a driver refuses any other. */
#define VHOST_PCI_ABI			1

/*
 * Areas of the device, each announced by a virtio PCI capability of type
 * VIRTIO_PCI_CAP_SHARED_MEMORY_CFG (8; virtio 1.2, 4.1.4.7) with this id and
 * the 64-bit form of offset and length.
 */
enum vhost_pci_area {
	/* RAM: struct vhost_pci_state_page. driver: rw, device: rw while the
	 * ring is stopped. */
	VHOST_PCI_AREA_STATE = 0,
	/* The peer's memory: the regions of the last STATE. Reads outside
	 * any region give all ones, writes there are dropped. */
	VHOST_PCI_AREA_WINDOW = 1,
	/* Doorbells: a 32-bit write of any value at ring * VHOST_PCI_DOORBELL_STRIDE
	 * signals the peer's call eventfd for that ring. Write only. */
	VHOST_PCI_AREA_DOORBELL = 2,
};
#define VHOST_PCI_DOORBELL_STRIDE	4

/* Virtqueues of the device itself (split or packed as negotiated). */
#define VHOST_PCI_EVENTQ		0 /* device writes: STATE */
#define VHOST_PCI_ACKQ			1 /* device reads: ACK, BROKEN */
#define VHOST_PCI_CTRLQ_SIZE		16

#define VHOST_PCI_MAX_REGIONS		32
#define VHOST_PCI_MAX_RINGS		60 /* = 2 per queue pair, 30 pairs */
#define VHOST_PCI_MAX_RING_SIZE		32768 /* entries */
/* Most descriptors of a packed ring that a driver may return in one go, those
 * in between in chains included: between two stores of the ring's progress. */
#define VHOST_PCI_MAX_COMMIT		4096
#define VHOST_PCI_PEER_NAME_LEN		64 /* with the terminating NUL */
#define VHOST_PCI_ACK_TIMEOUT_MS	100

/* vhost_pci_net_config.status */
#define VHOST_PCI_S_CONNECTED	(1u << 0) /* a front-end is on the socket */
#define VHOST_PCI_S_LINK_UP	(1u << 1) /* and at least one ring runs */

/*
 * Device configuration (virtio 1.x, 4.1.4.6). Read only. A change of status
 * raises the configuration interrupt.
 */
struct vhost_pci_net_config {
	uint16_t abi;		/* VHOST_PCI_ABI */
	uint16_t max_queue_pairs; /* 1 .. VHOST_PCI_MAX_RINGS / 2 */
	uint32_t status;	/* VHOST_PCI_S_* */
	/* Virtio feature bits that the device offers to the peer; the driver
	 * must be able to serve them all. */
	uint64_t offered_features;
	uint64_t window_size;	/* bytes */
	/* MSI-X vector that the peer's kick of ring 0 raises; ring i raises
	 * kick_vector + i. 0: the device raises no vector on kicks. */
	uint16_t kick_vector;
	uint16_t reserved[3];
	uint8_t peer_uuid[16];	/* RFC 4122 byte order; all zero: unknown */
	char peer_name[VHOST_PCI_PEER_NAME_LEN]; /* NUL terminated, UTF-8 */
};
static_assert(offsetof(struct vhost_pci_net_config, offered_features) == 8,
	      "ABI");
static_assert(offsetof(struct vhost_pci_net_config, peer_uuid) == 32, "ABI");
static_assert(sizeof(struct vhost_pci_net_config) == 112, "ABI");

/* Every message begins with this. */
struct vhost_pci_hdr {
	uint16_t type;		/* enum vhost_pci_msg */
	uint16_t reserved;
	uint32_t len;		/* bytes, this header included */
	uint64_t generation;
};
static_assert(sizeof(struct vhost_pci_hdr) == 16, "ABI");

enum vhost_pci_msg {
	VHOST_PCI_MSG_STATE = 1,	/* eventq: struct vhost_pci_state */
	VHOST_PCI_MSG_ACK = 2,		/* ackq: struct vhost_pci_hdr */
	VHOST_PCI_MSG_BROKEN = 3,	/* ackq: struct vhost_pci_broken */
};

/* One contiguous piece of the peer's memory. */
struct vhost_pci_region {
	uint64_t gpa;		/* peer guest-physical address of its start */
	uint64_t size;		/* bytes, > 0; gpa + size does not overflow */
	uint64_t window_offset;	/* of its start, from the start of the window */
	uint64_t reserved;
};
static_assert(sizeof(struct vhost_pci_region) == 32, "ABI");

/* vhost_pci_ring.flags */
#define VHOST_PCI_RING_RUN	(1u << 0) /* set up, started and enabled */
#define VHOST_PCI_RING_CALL	(1u << 1) /* the peer listens to its doorbell */

/* One vring of the peer. Even index: its receive queue, odd: its transmit
 * queue, as in vhost-user. Fields other than flags mean something only while
 * RUN is set. */
struct vhost_pci_ring {
	uint64_t desc;		/* gpa of the descriptor table / packed ring */
	uint64_t avail;		/* gpa of avail / driver event suppression */
	uint64_t used;		/* gpa of used / device event suppression */
	uint16_t num;		/* 1 .. VHOST_PCI_MAX_RING_SIZE; split: a power of 2 */
	uint16_t flags;		/* VHOST_PCI_RING_* */
	/* Where to begin, in the form of VHOST_USER_GET_VRING_BASE: split:
	 * next avail index; packed: avail index | wrap << 15 in the low half,
	 * used index | wrap << 15 in the high half. */
	uint32_t base;
	/* Counts the starts of this ring, never 0 while RUN. A driver resumes
	 * from the state page if that holds the same epoch. */
	uint32_t epoch;
	uint32_t reserved[3];
};
static_assert(offsetof(struct vhost_pci_ring, epoch) == 32, "ABI");
static_assert(sizeof(struct vhost_pci_ring) == 48, "ABI");

/* The whole state of the peer. Exactly one eventq buffer. */
struct vhost_pci_state {
	struct vhost_pci_hdr hdr;
	uint64_t features;	/* virtio features that the peer acknowledged */
	uint32_t status;	/* VHOST_PCI_S_* */
	uint16_t n_regions;	/* <= VHOST_PCI_MAX_REGIONS */
	uint16_t n_rings;	/* <= VHOST_PCI_MAX_RINGS */
	uint16_t mtu;		/* bytes, VHOST_USER_NET_SET_MTU; 0: not told */
	/* Counts VHOST_USER_SEND_RARP: a change asks for one announcement. */
	uint16_t rarp_count;
	uint8_t rarp_mac[6];
	uint8_t reserved[86];
	struct vhost_pci_region regions[VHOST_PCI_MAX_REGIONS];
	struct vhost_pci_ring rings[VHOST_PCI_MAX_RINGS];
	uint8_t pad[64];
};
static_assert(offsetof(struct vhost_pci_state, regions) == 128, "ABI");
static_assert(offsetof(struct vhost_pci_state, rings) == 1152, "ABI");
static_assert(sizeof(struct vhost_pci_state) == 4096, "ABI");

/* The driver stopped a ring because the peer broke a rule: the device logs
 * it, shows it, and keeps the ring stopped until the peer restarts it. */
struct vhost_pci_broken {
	struct vhost_pci_hdr hdr; /* generation: of the STATE that ran it */
	uint16_t ring;
	uint16_t reserved[3];
	char rule[48];		/* NUL terminated ASCII, for the log */
};
static_assert(sizeof(struct vhost_pci_broken) == 72, "ABI");

/*
 * The state page: where a ring stands, for whoever comes next. The driver
 * stores `progress` in each burst, as one 64-bit store; the device reads it
 * when the front-end asks for the ring's base, when it revokes, and after a
 * driver is gone.
 */
struct vhost_pci_ring_progress {
	/* epoch << 32 | base, base as in vhost_pci_ring. driver: w (r when it
	 * starts), device: r, and w 0 when the ring is set up anew. */
	uint64_t progress;
	uint64_t reserved[7];
};
static_assert(sizeof(struct vhost_pci_ring_progress) == 64, "ABI");

struct vhost_pci_state_page {
	/* A ring that a STATE of a generation below this one runs has lost its
	 * memory, or is about to. device: w, before it takes the memory away;
	 * driver: r, before it returns buffers and before it blames the peer. */
	uint64_t revoked;
	uint64_t reserved[31];
	struct vhost_pci_ring_progress rings[VHOST_PCI_MAX_RINGS];
};
static_assert(offsetof(struct vhost_pci_state_page, rings) == 256, "ABI");
static_assert(sizeof(struct vhost_pci_state_page) == 4096, "ABI");

#endif
