/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * See net/large.h. All buffers have one size and come from a pool, so that a
 * burst allocates no memory. An element of the pool is struct big, then the
 * headroom and the packet. Threads have no cache in the pool: threads that only
 * free buffers, as the receivers of packets do, would soon hold all buffers.
 */

#include <assert.h>
#include <errno.h>
#include <pthread.h>

#include <rte_mempool.h>

#include "net/large.h"

#define BIG_BUFFERS	255
#define BIG_INFO	RTE_CACHE_LINE_SIZE
#define BIG_LEN		UINT16_MAX	/* struct rte_mbuf's buf_len */
/*
 * A port may hold at most this many times the number of free buffers. One port
 * alone gets two thirds. If @n ports hold as many as they may, one part in 2n +
 * 1 stays free, so that no port keeps another from receiving. Several queues of
 * a port may look at once: then each exceeds the limit by one buffer.
 */
#define BIG_SHARE	2

struct big {
	struct rte_mbuf_ext_shared_info info;
	uint16_t port;		/* the receiver; anybody may write m->port */
};
static_assert(sizeof(struct big) <= BIG_INFO, "runs into the headroom");

static struct rte_mempool *big_pool;	/* ethdev: w once; datapath: r */
/* datapath, and any thread that frees: rw. Outlives ports, because packets
 * do. */
static uint32_t big_held[RTE_MAX_ETHPORTS];

int
vhostpci_large_init(void)
{
	/* ethdev operations on different ports may run at the same time. */
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	int rc = 0;

	pthread_mutex_lock(&lock);
	if (big_pool == NULL) {
		struct rte_mempool *pool =
			rte_mempool_create("vhostpci_big", BIG_BUFFERS,
					   BIG_INFO + BIG_LEN, 0, 0, NULL, NULL,
					   NULL, NULL, SOCKET_ID_ANY, 0);

		rc = pool == NULL ? -ENOMEM : 0;
		/* release: pairs with the acquire in vhostpci_large_room(). */
		__atomic_store_n(&big_pool, pool, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&lock);
	return rc;
}

/* Runs on the thread that frees the mbuf, which may be any thread. */
static void
big_free(void *addr __rte_unused, void *element)
{
	struct big *big = element;

	/* relaxed: this number guards nothing. */
	__atomic_fetch_sub(&big_held[big->port], 1, __ATOMIC_RELAXED);
	rte_mempool_put(__atomic_load_n(&big_pool, __ATOMIC_RELAXED), element);
}

/* Returns a buffer for @port, or NULL. */
static struct big *
big_get(struct rte_mempool *pool, uint16_t port)
{
	uint32_t held = __atomic_load_n(&big_held[port], __ATOMIC_RELAXED);
	void *element;

	if (held >= BIG_SHARE * rte_mempool_avail_count(pool) ||
	    rte_mempool_get(pool, &element) != 0)
		return NULL;
	__atomic_fetch_add(&big_held[port], 1, __ATOMIC_RELAXED);
	((struct big *)element)->port = port;
	return element;
}

int
vhostpci_large_room(struct rte_mbuf *m, uint32_t len)
{
	struct rte_mempool *pool = __atomic_load_n(&big_pool, __ATOMIC_ACQUIRE);
	struct big *big;

	/* An mbuf with a pinned external buffer cannot get another buffer. */
	if (len > BIG_LEN - RTE_PKTMBUF_HEADROOM || RTE_MBUF_HAS_EXTBUF(m))
		return -EMSGSIZE;
	big = pool == NULL ? NULL : big_get(pool, m->port);
	if (big == NULL)
		return -ENOBUFS;
	big->info.free_cb = big_free;
	big->info.fcb_opaque = big;
	rte_mbuf_ext_refcnt_set(&big->info, 1);
	rte_pktmbuf_attach_extbuf(m, (uint8_t *)big + BIG_INFO,
				  rte_mempool_virt2iova(big) + BIG_INFO,
				  BIG_LEN, &big->info);
	rte_pktmbuf_reset_headroom(m);
	return 0;
}
