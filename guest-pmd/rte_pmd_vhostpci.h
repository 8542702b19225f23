/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Public interface of net_vpci beyond ethdev: functions that tell what a port
 * knows of its peer, and functions that set up rules.
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
	bool connected;		/* a front-end is connected */
	bool link_up;		/* and at least one of its rings runs */
	bool unshared;		/* the peer's guest does not use the memory
				 * that the front-end sent */
	uint64_t features;	/* virtio bits acknowledged by the peer */
	uint64_t offered_features; /* virtio bits offered to the peer */
	uint16_t n_regions;	/* of the peer's memory */
	uint64_t mem_size;	/* bytes, sum over regions */
	uint16_t max_queue_pairs;
	uint16_t rx_rings;	/* running rings we receive from */
	uint16_t tx_rings;	/* running rings we send to */
	uint16_t ring_size;	/* entries of the first running ring; 0: none */
	uint16_t peer_mtu;	/* bytes; 0: not told */
	uint64_t violations;	/* times the peer broke a rule, since creation */
	uint16_t broken_rings;	/* rings now stopped by a violation */
	char broken_rule[48];	/* last broken rule; empty: none */
	bool revoked;		/* the device has taken the memory away */
	uint64_t revocations;	/* times it did so, since creation */
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

/* What a switch needs to know when it sets up its own side of a port. */
struct rte_pmd_vhostpci_queues {
	uint64_t rx_enabled;	/* bit q: a ring that rx queue q serves runs */
	uint16_t pairs;		/* the peer's, running or not; 0: no peer */
	bool running;		/* a ring runs, so the switch must poll */
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
	char actions[128];	/* as text; "output:" precedes a device's name */
	uint64_t hits, bytes;	/* since the rule was made */
	uint64_t age_ms;	/* since the last hit, or since it was made */
};

/*
 * Returns the number of packets that the last rx burst of the queue moved by
 * rules and did not return. The call clears the number. Only the thread that
 * polls the queue may call this.
 */
uint32_t rte_pmd_vhostpci_rx_consumed(uint16_t port_id, uint16_t queue_id);

/*
 * Set whether rules may move packets from or to @port_id. Any thread. Returns 0
 * or -errno.
 */
int rte_pmd_vhostpci_steering_set(uint16_t port_id, bool on);

/*
 * Set whether the driver looks at packets only to mark them; the default is on.
 * With off, the driver still accepts rules that mark and do not count, but marks
 * their packets only while the port has rules of other kinds, and
 * rte_eth_rx_metadata_negotiate() promises no marks. Any thread. Returns 0 or
 * -errno.
 */
int rte_pmd_vhostpci_marks_set(uint16_t port_id, bool on);

/*
 * Fill @flows with at most @n rules of @port_id. Any thread. Returns the number
 * of the port's rules, or -errno.
 */
int rte_pmd_vhostpci_flows_get(uint16_t port_id,
			       struct rte_pmd_vhostpci_flow *flows,
			       unsigned int n);

#ifdef __cplusplus
}
#endif

#endif
