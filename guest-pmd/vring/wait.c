/* SPDX-License-Identifier: BSD-3-Clause */

/* The waits of "Quiescence" in vring/queue.h. */

#include <rte_cycles.h>
#include <rte_pause.h>

#include "vring/queue.h"

/* The longest time that a thread waits while control replaces the memory table
 * of one peer. Control needs some 20 us, and longer only when it is preempted.
 * This is a tenth of the time that control itself waits for bursts. */
#define MOVE_MS		10

bool
vhostpci_wait_zero(const uint32_t *flag, uint64_t deadline)
{
	unsigned int spins = 0;

	/* acquire: pairs with the release at the end of a burst. */
	while (__atomic_load_n(flag, __ATOMIC_ACQUIRE)) {
		if (rte_get_timer_cycles() > deadline)
			return false;
		/* A burst takes microseconds, unless its thread is preempted:
		 * then give up the processor for that thread. */
		if (++spins < 1000)
			rte_pause();
		else
			rte_delay_us_sleep(20);
	}
	return true;
}

bool
vhostpci_queue_enter_moved(struct vhostpci_queue *queue)
{
	uint64_t deadline;

	if (!__atomic_load_n(&queue->moving, __ATOMIC_RELAXED))
		return false;
	deadline = rte_get_timer_cycles() + rte_get_timer_hz() * MOVE_MS / 1000;
	if (!vhostpci_wait_zero(&queue->moving, deadline)) {
		/* Wait only once: the next burst does not wait again. */
		__atomic_store_n(&queue->moving, 0, __ATOMIC_RELAXED);
		return false;
	}
	return vhostpci_queue_enter(queue);
}
