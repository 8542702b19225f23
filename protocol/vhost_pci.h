/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * vhost-pci: the contract between the device and its driver.
 *
 * A vhost-pci device is a virtio 1.x modern PCI device. It stands for *another*
 * VM (the peer): the peer's memory appears in a window, once, and each virtio
 * device of the peer is a *function* with a virtio type, features and vrings,
 * which STATE messages describe. The driver plays the device side of the vrings
 * of those functions whose type it knows.
 *
 * The protocol is level triggered.  One STATE message holds the whole current
 * state.  The device sends a new STATE whenever any part of the state changes,
 * and may skip a state if a newer one comes before the driver has a buffer for
 * the message.  The driver moves to the new state at a quiescent point and
 * acknowledges the generation of that state.  A driver that starts late, or
 * again, needs no history.
 *
 * Life of a change:
 *   device                                   driver
 *   maps new memory, generation := g+1
 *   STATE(g+1)  ------- eventq ------------> stops bursts on what changed,
 *                                            publishes progress, adopts
 *   unmaps old memory,  <------ ackq ------- ACK(g+1)
 *   answers the front-end
 * The device waits at most VHOST_PCI_ACK_TIMEOUT_MS for the ACK.  After that
 * time the device replaces the old memory by anonymous memory and answers the
 * front-end.
 *
 * All fields are little endian.  Addresses of vrings and of regions are the
 * peer's guest-physical addresses, never host addresses.  The driver must
 * trust neither the messages nor the window: the peer chooses all that a
 * message says about its rings, and writes the contents of the window.
 */

#ifndef VHOST_PCI_H
#define VHOST_PCI_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The virtio specification does not assign this id: its list ends at 49 today
 * and grows. Other unassigned ids count down from 63, the last id that a PCI id
 * can express: crosvm uses 60 to 63 (63 is its virtio-wl). 55 is as far as
 * possible from both ends.
 */
#define VHOST_PCI_VIRTIO_ID		55
#define VHOST_PCI_VENDOR_ID		0x1af4
#define VHOST_PCI_DEVICE_ID		(0x1040 + VHOST_PCI_VIRTIO_ID)
/*
 * A device may have this other PCI device id, for hosts whose generic vhost-user
 * device accepts only the ids in virtio's list. It is the id of the signal
 * distribution device (21), which virtio never specified. An id only makes a
 * device a candidate: the magic in the configuration space proves that the
 * device is a vhost-pci device.
 */
#define VHOST_PCI_GENERIC_DEVICE_ID	(0x1040 + 21)

/* vhost_pci_config.magic and .abi; a driver refuses any other. */
#define VHOST_PCI_MAGIC			0x63706876 /* "vhpc" in memory */
#define VHOST_PCI_ABI			2

/*
 * Areas of the device, each announced by a virtio PCI capability of type
 * VIRTIO_PCI_CAP_SHARED_MEMORY_CFG (8; virtio 1.2, 4.1.4.7) with this id and
 * the 64-bit form of offset and length.
 */
enum vhost_pci_area {
	/* RAM: a struct vhost_pci_state_page for each function, one after the
	 * other. driver: rw, device: rw while the ring is stopped. This area and
	 * the windows are empty before the first STATE after DRIVER_OK. */
	VHOST_PCI_AREA_STATE = 0,
	/* The peer's memory: the regions of the last STATE. Outside all
	 * regions, the device answers reads with all ones and drops writes. */
	VHOST_PCI_AREA_WINDOW = 1,
	/* Doorbells: a 32-bit write of any value at ring * VHOST_PCI_DOORBELL_STRIDE
	 * signals the peer's call eventfd for that ring of the device. Write
	 * only. Absent where vhost_pci_config.notify_queue is not 0. */
	VHOST_PCI_AREA_DOORBELL = 2,
	/* More windows, up to VHOST_PCI_AREA_LAST_WINDOW. */
	VHOST_PCI_AREA_NEXT_WINDOW = 16,
	VHOST_PCI_AREA_LAST_WINDOW = 31,
};
#define VHOST_PCI_DOORBELL_STRIDE	4

/* Virtqueues of the device itself (split or packed as negotiated). */
#define VHOST_PCI_EVENTQ		0 /* device writes: STATE */
#define VHOST_PCI_ACKQ			1 /* device reads: ACK, BROKEN */
#define VHOST_PCI_CTRLQ_SIZE		16

#define VHOST_PCI_MAX_REGIONS		32
#define VHOST_PCI_MAX_FUNCTIONS		8
/* Of one function: 2 per queue pair, 30 pairs. */
#define VHOST_PCI_MAX_RINGS		60
#define VHOST_PCI_MAX_DEVICE_RINGS	240 /* of all functions */
#define VHOST_PCI_MAX_RING_SIZE		32768 /* entries */
/* A driver may return at most this many descriptors of a packed ring in one
 * commit, that is between two stores of the ring's progress. All descriptors of
 * a chain count. */
#define VHOST_PCI_MAX_COMMIT		4096
#define VHOST_PCI_PEER_NAME_LEN		64 /* with the terminating NUL */
#define VHOST_PCI_ACK_TIMEOUT_MS	100

/* Types of functions are virtio device ids: */
#define VHOST_PCI_TYPE_NONE	0 /* no function (yet) */
#define VHOST_PCI_TYPE_NET	1

/* In vhost_pci_config.status and vhost_pci_state.status a bit is set if it is true
 * of any function; in vhost_pci_function.status, if it is true of that function. */
#define VHOST_PCI_S_CONNECTED	(1u << 0) /* a front-end is connected */
#define VHOST_PCI_S_LINK_UP	(1u << 1) /* and at least one ring runs */
/* The peer kicks, but its rings never change: the peer's guest seems to use a
 * private copy of the memory that the front-end sent. */
#define VHOST_PCI_S_UNSHARED	(1u << 2)

/* vhost_pci_config.flags */
/* If the device takes memory back without the driver's consent, the addresses stay
 * readable and writable. Without this flag the device leaves holes. */
#define VHOST_PCI_F_REVOKE_HARMLESS	(1u << 0)

/* The properties of a function that are fixed before a driver starts. */
struct vhost_pci_function_config {
	uint16_t type;		/* VHOST_PCI_TYPE_*, or another virtio id */
	uint16_t first_ring;	/* the device's number of the function's ring 0 */
	uint16_t max_rings;	/* 1 .. VHOST_PCI_MAX_RINGS */
	uint16_t reserved;
	/* Virtio feature bits that the device offers to the peer; the driver of
	 * the function must support them all. */
	uint64_t offered_features;
};
static_assert(sizeof(struct vhost_pci_function_config) == 16, "ABI");

/*
 * Device configuration (virtio 1.x, 4.1.4.6). Read only. A change of status
 * raises the configuration interrupt. At most 256 bytes: vhost-user's limit.
 */
struct vhost_pci_config {
	uint32_t magic;		/* VHOST_PCI_MAGIC */
	uint16_t abi;		/* VHOST_PCI_ABI */
	uint16_t n_functions;	/* 1 .. VHOST_PCI_MAX_FUNCTIONS */
	uint32_t flags;		/* VHOST_PCI_F_* */
	uint32_t status;	/* VHOST_PCI_S_* */
	/* The peer's kick of ring i of the device raises MSI-X vector
	 * kick_vector + i % n_kick_vectors. Both 0: none. */
	uint16_t kick_vector;
	uint16_t n_kick_vectors;
	/* Not 0: a notification of virtqueue notify_queue + i is the doorbell
	 * of ring i. */
	uint16_t notify_queue;
	uint16_t n_rings;	/* 1 .. VHOST_PCI_MAX_DEVICE_RINGS */
	uint64_t reserved;
	uint8_t peer_uuid[16];	/* RFC 4122 byte order; all zero: unknown */
	char peer_name[VHOST_PCI_PEER_NAME_LEN]; /* NUL terminated, UTF-8 */
	struct vhost_pci_function_config functions[VHOST_PCI_MAX_FUNCTIONS];
};
static_assert(offsetof(struct vhost_pci_config, peer_uuid) == 32, "ABI");
static_assert(offsetof(struct vhost_pci_config, functions) == 112, "ABI");
static_assert(sizeof(struct vhost_pci_config) == 240, "ABI");

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
	uint64_t window_offset;	/* of its start, from the start of @area */
	/* The memory space that gpa belongs to. A function's addresses refer to
	 * the regions whose space equals the function's space. */
	uint16_t space;
	uint16_t area;		/* VHOST_PCI_AREA_WINDOW, or a further window */
	uint32_t reserved;
};
static_assert(sizeof(struct vhost_pci_region) == 32, "ABI");

/* vhost_pci_ring.flags */
#define VHOST_PCI_RING_RUN	(1u << 0) /* set up, started and enabled */
#define VHOST_PCI_RING_CALL	(1u << 1) /* the peer listens to its doorbell */

/* One vring of a function. The virtio type defines the order of the rings; net:
 * rings with even numbers are the peer's receive queues, rings with odd numbers its
 * transmit queues. Fields other than flags are valid only while RUN is set. */
struct vhost_pci_ring {
	uint64_t desc;		/* gpa of the descriptor table / packed ring */
	uint64_t avail;		/* gpa of avail / driver event suppression */
	uint64_t used;		/* gpa of used / device event suppression */
	uint16_t num;		/* 1 .. VHOST_PCI_MAX_RING_SIZE; split: a power of 2 */
	uint16_t flags;		/* VHOST_PCI_RING_* */
	/* Where the driver begins, as VHOST_USER_GET_VRING_BASE has it: split:
	 * next avail index; packed: avail index | wrap << 15 in the low half,
	 * used index | wrap << 15 in the high half. */
	uint32_t base;
	/* Counts the starts of this ring; never 0 while RUN. A driver resumes
	 * from the state page if the page holds the same epoch. */
	uint32_t epoch;
	uint32_t reserved[3];
};
static_assert(offsetof(struct vhost_pci_ring, epoch) == 32, "ABI");
static_assert(sizeof(struct vhost_pci_ring) == 48, "ABI");

/* One virtio device of the peer. Without a front-end (no CONNECTED) all fields
 * after max_rings are 0. */
struct vhost_pci_function {
	/* type, first_ring and max_rings are as in the configuration. */
	uint16_t type;
	uint16_t first_ring;
	uint16_t max_rings;
	uint16_t n_rings;	/* <= max_rings; from first_ring on */
	uint32_t status;	/* VHOST_PCI_S_* */
	uint32_t reserved;
	uint64_t features;	/* virtio features that the peer acknowledged */
	uint16_t space;		/* of its addresses: see vhost_pci_region */
	/* mtu, rarp_count and rarp_mac are for net only. mtu is in bytes, from
	 * VHOST_USER_NET_SET_MTU; 0: the front-end sent none. */
	uint16_t mtu;
	/* Counts VHOST_USER_SEND_RARP: a new value asks for one announcement. */
	uint16_t rarp_count;
	uint8_t rarp_mac[6];
	uint32_t reserved2;
	/* Two ranges of area STATE: the function's virtio configuration space,
	 * which the driver fills, and memory in which the driver keeps requests
	 * in flight, if the type needs that. 0, 0: there is no such range. */
	uint32_t config_offset, config_len;
	uint32_t inflight_offset, inflight_len;
};
static_assert(offsetof(struct vhost_pci_function, features) == 16, "ABI");
static_assert(offsetof(struct vhost_pci_function, config_offset) == 40, "ABI");
static_assert(sizeof(struct vhost_pci_function) == 56, "ABI");

/* The whole state of the peer. The message fills exactly one eventq buffer, of
 * vhost_pci_state_len() bytes. */
struct vhost_pci_state {
	struct vhost_pci_hdr hdr;
	uint32_t status;	/* VHOST_PCI_S_* */
	uint16_t n_regions;	/* <= VHOST_PCI_MAX_REGIONS */
	uint16_t n_functions;	/* as in the configuration */
	uint16_t n_rings;	/* as in the configuration */
	uint16_t reserved[3];
	struct vhost_pci_region regions[VHOST_PCI_MAX_REGIONS];
	struct vhost_pci_function functions[VHOST_PCI_MAX_FUNCTIONS];
	struct vhost_pci_ring rings[];	/* of all functions */
};
static_assert(offsetof(struct vhost_pci_state, regions) == 32, "ABI");
static_assert(offsetof(struct vhost_pci_state, functions) == 1056, "ABI");
static_assert(offsetof(struct vhost_pci_state, rings) == 1504, "ABI");
static_assert(sizeof(struct vhost_pci_state) == 1504, "ABI");

/* Bytes of a STATE message of a device with @n_rings rings. */
static inline size_t
vhost_pci_state_len(unsigned int n_rings)
{
	return sizeof(struct vhost_pci_state) +
	       n_rings * sizeof(struct vhost_pci_ring);
}

/* The driver stopped a ring because the peer broke a rule. The device logs and
 * shows the rule, and keeps the ring stopped until the peer restarts the ring. */
struct vhost_pci_broken {
	struct vhost_pci_hdr hdr; /* generation: of the STATE that ran the ring */
	uint16_t ring;		/* the device's number of the ring */
	uint16_t reserved[3];
	char rule[48];		/* NUL terminated ASCII, for the log */
};
static_assert(sizeof(struct vhost_pci_broken) == 72, "ABI");

/*
 * The state page tells the next driver, and the device, where each ring stands.
 * The driver stores `progress` in each burst, as one 64-bit store. The device
 * reads `progress` when the front-end asks for the ring's base, when the device
 * revokes memory, and after a driver is gone.
 */
struct vhost_pci_ring_progress {
	/* epoch << 32 | base, with base as in vhost_pci_ring. driver: w (r when
	 * it starts), device: r, and w 0 when the peer sets the ring up anew. */
	uint64_t progress;
	uint64_t reserved[7];
};
static_assert(sizeof(struct vhost_pci_ring_progress) == 64, "ABI");

struct vhost_pci_state_page {
	/* A ring that runs by a STATE with a generation below this number has
	 * lost its memory, or is about to lose it. device: w, before it takes the
	 * memory away; driver: r, before it returns buffers and before it blames
	 * the peer. */
	uint64_t revoked;
	/* A STATE of this generation, or an older one, adds memory that the peer
	 * uses although the driver has not acknowledged the STATE. device: w,
	 * before it answers the peer; driver: r, before it blames the peer. */
	uint64_t grown;
	uint64_t reserved[30];
	struct vhost_pci_ring_progress rings[VHOST_PCI_MAX_RINGS];
};
static_assert(offsetof(struct vhost_pci_state_page, rings) == 256, "ABI");
static_assert(sizeof(struct vhost_pci_state_page) == 4096, "ABI");

#endif
