/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A peer in this process: its memory lies between guard pages, and the test
 * acts as the driver of its rings, honest or hostile. The port under test is a
 * real ethdev over a transport of the test.
 *
 * The peer's memory, by guest-physical addresses:
 *
 *	0x100000  LOW    1 MiB   rings and buffers
 *	0x200000  HIGH   1 MiB   adjacent to LOW for the peer, not here
 *	0x40000000 FAR   1 MiB   behind a hole
 */

#ifndef FAKEPEER_H
#define FAKEPEER_H

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

#include <rte_ethdev.h>
#include <rte_mbuf.h>

#include "port/attach.h"

#define FP_LOW		0x100000ull
#define FP_HIGH		0x200000ull
#define FP_FAR		0x40000000ull
#define FP_SIZE		0x100000ull
#define FP_HOLE		0x300000ull	/* not mapped */
#define FP_REGIONS	3

#define FP_RINGS	6	/* three pairs */
#define FP_TO_PEER	0	/* ring 0: we transmit */
#define FP_FROM_PEER	1	/* ring 1: we receive */

/* The driver's view of a ring. */
struct fp_ring {
	struct vring_desc *desc;
	struct vring_avail *avail;
	struct vring_used *used;
	uint16_t num;
	uint16_t avail_idx;	/* published by fp_publish() */
	uint16_t used_idx;	/* seen by the test */
	uint16_t next_desc;	/* descriptors are taken in turn */
};

struct fakepeer {
	unsigned int number;	/* of those at a time: see fp_new_number() */
	uint16_t port;
	struct vhostpci_dev *dev;
	struct vhostpci_peer peer;
	struct vhostpci_vring_desc vrings[FP_RINGS];	/* the peer's */
	struct fp_ring rings[FP_RINGS];
	uint64_t progress[VHOSTPCI_MAX_RINGS];
	uint64_t revoked;	/* as of the state page; see peer.generation */
	uint64_t grown;		/* the same */
	uint64_t base, end;	/* gpa: its rings and buffers */
	uint64_t next_buffer;	/* gpa; see fp_buffer() */
	/* EAL interrupt thread or datapath: w; test: r */
	unsigned int calls[VHOSTPCI_MAX_RINGS];
	unsigned int broken[VHOSTPCI_MAX_RINGS];
	char rule[48];		/* the last one */
	/* ethdev: w, by ops->kick_fds; test: r */
	int kick_fds[VHOSTPCI_MAX_RINGS];
	unsigned int n_kick_fds;
	bool no_kick_fds;	/* test: w: there are none */
	/* test: w, datapath: r: calls of these rings, by bit, and with them
	 * bursts, do not end */
	uint32_t hold;
	/* test: w, datapath: r: if not NULL, each call calls it with the ring */
	void (*called)(struct fakepeer *fp, unsigned int i);
};

#define FP_MODERN	(1ULL << VIRTIO_F_VERSION_1)
#define FP_MRG		(1ULL << VIRTIO_NET_F_MRG_RXBUF)
#define FP_INDIRECT	(1ULL << VIRTIO_RING_F_INDIRECT_DESC)
#define FP_EVENT_IDX	(1ULL << VIRTIO_RING_F_EVENT_IDX)

/* Set up EAL, mempool and memory, once per program. Exits on an error. */
void fp_init(const char *program);
struct rte_mempool *fp_pool(void);

/* Make a started port, whose peer runs rings of @num entries each. */
struct fakepeer *fp_new(uint64_t features, uint16_t num);
/* The same for up to FP_NUMBERS peers at a time, each with its own memory. All
 * but the first have their memory in FP_FAR, at fp->base: first rings, then
 * buffers. */
#define FP_NUMBERS	4
struct fakepeer *fp_new_number(unsigned int number, uint64_t features,
			       uint16_t num);
void fp_free(struct fakepeer *fp);

/* The address of @gpa in this process; exits if @gpa is not mapped. */
void *fp_addr(uint64_t gpa);
/* Allocate @len bytes that no other buffer of this peer uses. */
uint64_t fp_buffer(struct fakepeer *fp, uint32_t len);

/* Stop ring @i and run it with a new epoch, its indices zero. */
void fp_restart(struct fakepeer *fp, unsigned int i);
void fp_adopt(struct fakepeer *fp);

/* Driver: set descriptor @at of @table. */
void fp_desc(struct vring_desc *table, uint16_t at, uint64_t gpa, uint32_t len,
	     uint16_t flags, uint16_t next);
/* Driver: add @head to the avail ring; fp_publish() shows it to the port. */
void fp_avail(struct fp_ring *r, uint16_t head);
void fp_publish(struct fp_ring *r);
/* Driver: one descriptor, one avail entry, published. Returns the head. */
uint16_t fp_post(struct fp_ring *r, uint64_t gpa, uint32_t len, uint16_t flags);
/* Driver: the next used entry, or NULL. */
const struct vring_used_elem *fp_used(struct fp_ring *r);

uint16_t fp_rx(struct fakepeer *fp, struct rte_mbuf **pkts, uint16_t n);
uint16_t fp_tx(struct fakepeer *fp, struct rte_mbuf **pkts, uint16_t n);
/* A burst on ring @i; returns how many packets it moved. */
unsigned int fp_burst(struct fakepeer *fp, unsigned int i);
/* A packet of @len bytes of a pattern that depends on @seed. */
struct rte_mbuf *fp_packet(uint32_t len, uint8_t seed);
uint8_t fp_pattern(uint32_t at, uint8_t seed);
/* Driver: write bytes @at to @at + @len of such a packet to @gpa. The packet
 * has a 12-byte header in front, whose bytes are 0xee. */
void fp_fill(uint64_t gpa, uint32_t at, uint32_t len, uint8_t seed);
unsigned int fp_mbufs_in_use(void);
/* Check that @m, in one piece, is the packet of fp_packet(@len, @seed). */
void fp_check_mbuf(const struct rte_mbuf *m, uint32_t len, uint8_t seed);
/* Check that @byte is the byte @at of such a packet, sent to the peer with its
 * 12-byte header. Sets *@buffers to the number of buffers in the header. Call
 * this for all bytes in turn. */
void fp_check_byte(uint32_t at, uint8_t byte, uint32_t *buffers, uint8_t seed);
/* Driver: take one such packet of @len bytes from the used ring, and check
 * it. */
void fp_check_sent(struct fp_ring *r, uint32_t len, uint8_t seed);

/* For the probe and remove of a vdev driver: a port over transport @t. */
struct rte_vdev_device;
int fp_probe(struct rte_vdev_device *vdev, const struct vhostpci_transport *t,
	     uint16_t *port, struct vhostpci_dev **dev);
int fp_remove(struct rte_vdev_device *vdev);

/* Returns false if there is no xstat of this name. */
bool fp_port_xstat(uint16_t port, const char *name, uint64_t *value);
/* The value of an xstat; fails the test if there is none of this name. */
uint64_t fp_xstat(const struct fakepeer *fp, const char *name);
bool fp_link(const struct fakepeer *fp);
/* Wait until ring @i is reported as broken; returns false after two seconds. */
bool fp_wait_broken(struct fakepeer *fp, unsigned int i);

#endif
