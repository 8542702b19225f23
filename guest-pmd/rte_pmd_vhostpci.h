/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Public interface of net_vpci beyond ethdev: what the port knows of its
 * peer.
 */

#ifndef RTE_PMD_VHOSTPCI_H
#define RTE_PMD_VHOSTPCI_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RTE_PMD_VHOSTPCI_NAME_LEN 64

/* A snapshot; all numbers are in host byte order. */
struct rte_pmd_vhostpci_info {
	char transport[16];	/* "pci" or "socket" */
	char peer_name[RTE_PMD_VHOSTPCI_NAME_LEN]; /* empty: unknown */
	uint8_t peer_uuid[16];	/* RFC 4122 byte order; zero: unknown */
	char window[16];	/* "write-back", "uncached", "shared memory",
				 * "unknown" */
	bool connected;		/* a front-end is there */
	bool link_up;		/* and at least one of its rings runs */
	bool unshared;		/* its guest does not use the memory it sent */
	uint64_t features;	/* virtio bits acknowledged by the peer */
	uint64_t offered_features; /* ... offered to it */
	uint16_t n_regions;	/* of the peer's memory */
	uint64_t mem_size;	/* bytes, sum over regions */
	uint16_t max_queue_pairs;
	uint16_t rx_rings;	/* running rings we receive from */
	uint16_t tx_rings;	/* running rings we send to */
	uint16_t ring_size;	/* entries of the first running ring; 0: none */
	uint16_t peer_mtu;	/* bytes; 0: not told */
	uint64_t violations;	/* rules broken by the peer, since creation */
	uint16_t broken_rings;	/* stopped now because of one */
	char broken_rule[48];	/* the last one; empty: none */
	bool revoked;		/* the peer's memory is taken away now */
	uint64_t revocations;	/* ... times it was, since creation */
	uint16_t function;	/* which of the peer's devices, from 0 */
	uint32_t functions;	/* bit f: the peer has a network device f now */
};

/*
 * Fill @info for @port_id. Any thread. Returns 0; -ENODEV: no such port;
 * -ENOTSUP: not a net_vpci port.
 *
 * This function and those below are all that the driver exports: applications
 * find them in the plugin that EAL loaded, by dlsym().
 */
int rte_pmd_vhostpci_info_get(uint16_t port_id,
			      struct rte_pmd_vhostpci_info *info);

/* What a switch goes by when it sets its own side of a port up. */
struct rte_pmd_vhostpci_queues {
	uint64_t rx_enabled;	/* bit q: a ring that rx queue q serves runs */
	uint16_t pairs;		/* that the peer has, running or not; 0: no peer */
	bool running;		/* a ring runs: there is something to serve */
	int8_t numa_node;	/* of the peer's memory; -1: unknown */
};

/*
 * Fill @queues for @port_id. Any thread. Returns 0 or -errno. When rx_enabled
 * or pairs may have changed, the port raises RTE_ETH_EVENT_QUEUE_STATE.
 */
int rte_pmd_vhostpci_queues_get(uint16_t port_id,
				struct rte_pmd_vhostpci_queues *queues);

/* A rule that moves packets inside the driver. */
struct rte_pmd_vhostpci_flow {
	char match[192];	/* as text */
	char actions[128];	/* ... "output:" before a device's name */
	uint64_t hits, bytes;	/* since it was made */
	uint64_t age_ms;	/* since it was hit, or made */
};

/*
 * Packets that the last rx burst of the queue moved by rules and did not
 * return; reading clears the count. The thread that polls the queue only.
 */
uint32_t rte_pmd_vhostpci_rx_consumed(uint16_t port_id, uint16_t queue_id);

/*
 * Whether rules may move packets from or to @port_id. Any thread. Returns 0 or
 * -errno.
 */
int rte_pmd_vhostpci_steering_set(uint16_t port_id, bool on);

/*
 * Whether the driver looks at packets for the sake of marks alone, which it does
 * unless told otherwise. If not, it accepts rules that mark and do not count, and
 * marks their packets only while the port has rules of other kinds;
 * rte_eth_rx_metadata_negotiate() then promises no marks. Any thread. Returns 0 or
 * -errno.
 */
int rte_pmd_vhostpci_marks_set(uint16_t port_id, bool on);

/*
 * Fill @flows with at most @n rules of @port_id. Any thread. Returns how many
 * rules there are, or -errno.
 */
int rte_pmd_vhostpci_flows_get(uint16_t port_id,
			       struct rte_pmd_vhostpci_flow *flows,
			       unsigned int n);

#ifdef __cplusplus
}
#endif

#endif
