/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Buffers for received packets that are larger than an mbuf: how many there
 * are, how many a port may have, and that each comes back.
 */

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "peer/fakepeer.h"
#include "peer/offload_pkt.h"
#include "net/large.h"
#include "net/offload.h"

#define MOST	170	/* two thirds of 255 */

static struct rte_mbuf *
of_port(uint16_t port)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(op_pool);

	assert_non_null(m);
	m->port = port;
	return m;
}

/* Take buffers for @port until there are none for it; returns how many. */
static unsigned int
take_all(uint16_t port, struct rte_mbuf **m)
{
	unsigned int n;

	for (n = 0;; n++) {
		m[n] = of_port(port);
		if (vhostpci_large_room(m[n], 65407) != 0)
			break;
	}
	rte_pktmbuf_free(m[n]);
	return n;
}

static void
large_buffers_are_bounded_and_come_back(void **state)
{
	struct rte_mbuf *m[256], *one;
	unsigned int n, i, round;

	(void)state;
	one = of_port(0);
	assert_int_equal(vhostpci_large_room(one, 100), -ENOBUFS);
	assert_int_equal(vhostpci_large_init(), 0);
	assert_int_equal(vhostpci_large_init(), 0);
	assert_int_equal(vhostpci_large_room(one, 65408), -EMSGSIZE);
	rte_pktmbuf_free(one);

	for (round = 0; round < 2; round++) {
		n = take_all(0, m);
		assert_int_equal(n, MOST);
		for (i = 0; i < n; i++) {
			assert_true(rte_pktmbuf_tailroom(m[i]) >= 65407);
			assert_int_equal(rte_pktmbuf_headroom(m[i]),
					 RTE_PKTMBUF_HEADROOM);
			memset(rte_pktmbuf_append(m[i], 65407), i, 65407);
		}
		rte_pktmbuf_free_bulk(m, n);
	}
}

/* A port that holds many buffers leaves some for the others. */
static void
ports_share_large_buffers(void **state)
{
	struct rte_mbuf *m[4][256];
	unsigned int n[4], port, i;

	(void)state;
	assert_int_equal(vhostpci_large_init(), 0);
	for (port = 0; port < 4; port++)
		n[port] = take_all(port, m[port]);
	assert_int_equal(n[0], MOST);
	assert_in_range(n[1], 50, 60);
	assert_in_range(n[2], 16, 20);
	assert_in_range(n[3], 5, 8);
	/* A buffer counts for the port that received it, even if the mbuf
	 * names another port when it is freed. */
	for (i = 0; i < n[0]; i++)
		m[0][i]->port = 3;
	rte_pktmbuf_free_bulk(m[0], n[0]);
	n[0] = take_all(0, m[0]);
	assert_in_range(n[0], 100, MOST);
	rte_pktmbuf_free_bulk(m[0], n[0]);
	for (port = 1; port < 4; port++)
		rte_pktmbuf_free_bulk(m[port], n[port]);
}

/* A thread of DPDK's that frees packets, as one that sends them does. */
struct freer {
	pthread_t thread;
	struct rte_mbuf **m;
	unsigned int n;
	sem_t freed, end;
};

static void *
free_large(void *opaque)
{
	struct freer *f = opaque;
	unsigned int i;
	int rc = rte_thread_register();

	/* The mbufs themselves are the test's. */
	for (i = 0; i < f->n; i++)
		rte_pktmbuf_detach(f->m[i]);
	sem_post(&f->freed);
	/* Its lcore, and what it may keep for that, are not to be reused. */
	sem_wait(&f->end);
	if (rc == 0)
		rte_thread_unregister();
	return (void *)(intptr_t)rc;
}

static void
large_buffers_come_back_from_any_thread(void **state)
{
	struct freer f[6];
	struct rte_mbuf *m[256];
	unsigned int i;
	void *rc;

	(void)state;
	assert_int_equal(vhostpci_large_init(), 0);
	for (i = 0; i < RTE_DIM(f); i++) {
		f[i].m = m;
		f[i].n = take_all(0, m);
		assert_int_equal(f[i].n, MOST);
		sem_init(&f[i].freed, 0, 0);
		sem_init(&f[i].end, 0, 0);
		assert_int_equal(pthread_create(&f[i].thread, NULL, free_large,
						&f[i]), 0);
		sem_wait(&f[i].freed);
		rte_pktmbuf_free_bulk(m, f[i].n);
	}
	assert_int_equal(take_all(0, m), MOST);
	rte_pktmbuf_free_bulk(m, MOST);
	for (i = 0; i < RTE_DIM(f); i++) {
		sem_post(&f[i].end);
		assert_int_equal(pthread_join(f[i].thread, &rc), 0);
		assert_int_equal((intptr_t)rc, 0);
	}
}

int
main(int argc, char *argv[])
{
#define T(f) cmocka_unit_test_setup_teardown(f, op_setup, op_teardown)
	const struct CMUnitTest tests[] = {
		T(large_buffers_are_bounded_and_come_back),
		T(ports_share_large_buffers),
		T(large_buffers_come_back_from_any_thread),
	};

	(void)argc;
	fp_init(argv[0]);
	op_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
