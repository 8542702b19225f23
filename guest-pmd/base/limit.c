/* SPDX-License-Identifier: BSD-3-Clause */

/* See base/limit.h. */

#include <rte_common.h>
#include <rte_cycles.h>

#include "base/limit.h"

void
vhostpci_limit_init(struct vhostpci_limit *limit, uint32_t per_second,
		    uint32_t at_once)
{
	*limit = (struct vhostpci_limit) {
		.per_second = per_second, .at_once = at_once,
	};
	rte_spinlock_init(&limit->lock);
}

/*
 * Counts tokens as time: each token costs an interval. The bucket holds the
 * time since filled_at, at most at_once intervals. So this needs no rounding,
 * and filled_at = 0, long ago, is a full bucket.
 */
bool
vhostpci_limit_take(struct vhostpci_limit *limit, uint64_t *refused)
{
	uint64_t now = rte_get_timer_cycles();
	uint64_t cost = rte_get_timer_hz() / limit->per_second;
	uint64_t most = cost * limit->at_once;
	bool allowed;

	rte_spinlock_lock(&limit->lock);
	/* Another thread may have read a later time than this one. */
	if (now > limit->filled_at && now - limit->filled_at > most)
		limit->filled_at = now - most;
	allowed = now >= limit->filled_at + cost;
	if (allowed) {
		limit->filled_at += cost;
		if (refused != NULL)
			*refused = limit->refused;
		limit->refused = 0;
	} else {
		limit->refused++;
	}
	rte_spinlock_unlock(&limit->lock);
	return allowed;
}
