/* SPDX-License-Identifier: BSD-3-Clause */

/* Control's half of "Quiescence" in vring/queue.h. */

#include <rte_cycles.h>
#include <rte_pause.h>

#include "vring/queue.h"

bool
vhostpci_wait_zero(const uint32_t *flag, uint64_t deadline)
{
	unsigned int spins = 0;

	/* acquire: pairs with the release at the end of a burst. */
	while (__atomic_load_n(flag, __ATOMIC_ACQUIRE)) {
		if (rte_get_timer_cycles() > deadline)
			return false;
		/* A burst takes microseconds, unless its thread is preempted:
		 * then leave it the processor. */
		if (++spins < 1000)
			rte_pause();
		else
			rte_delay_us_sleep(20);
	}
	return true;
}
