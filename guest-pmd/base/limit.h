/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * How often something may happen that a peer can cause at will: log lines,
 * messages, kicks. A token bucket: so many at once, so many a second for ever.
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
	uint64_t filled_at;	/* timer cycles: "empty" as of then */
	uint64_t refused;	/* since the last one that was allowed */
};

void vhostpci_limit_init(struct vhostpci_limit *limit, uint32_t per_second,
			 uint32_t at_once);
/* May it happen now? If so, *@refused (if not NULL) is how many times it was
 * refused before. */
bool vhostpci_limit_take(struct vhostpci_limit *limit, uint64_t *refused);

#endif
