/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * A limit for events that a peer can cause at will: log lines, messages, kicks.
 * The limit is a token bucket: at_once events at any moment, and per_second
 * events a second in the long run.
 */

#ifndef VHOSTPCI_BASE_LIMIT_H
#define VHOSTPCI_BASE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_spinlock.h>

struct vhostpci_limit {
	uint32_t per_second;	/* constant, > 0 */
	uint32_t at_once;	/* constant, > 0 */
	/* Any thread, under lock. */
	rte_spinlock_t lock;
	uint64_t filled_at;	/* timer cycles: when the bucket was empty */
	uint64_t refused;	/* events since the last allowed event */
};

void vhostpci_limit_init(struct vhostpci_limit *limit, uint32_t per_second,
			 uint32_t at_once);
/* May an event happen now? If yes, *@refused (if not NULL) is the number of events
 * refused since the last allowed event. */
bool vhostpci_limit_take(struct vhostpci_limit *limit, uint64_t *refused);

#endif
