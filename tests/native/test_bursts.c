/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Duties of bursts that others depend on: calls that a burst leaves to the next
 * burst, mbufs of small or unusual pools, and statistics.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sys/mman.h>

#include "peer/fakepacked.h"
#include "peer/fakepeer.h"

#define NUM 64
#define HDR 12u
#define GOOD (FP_LOW + 0x40000)
#define PARTS 6

/*
 * Calls.
 */

/* Driver: @n packets of PARTS descriptors each. */
static void post_packed(struct fp_packed *p, unsigned int n) {
  struct fp_packed_buf bufs[PARTS];
  unsigned int i;

  for (i = 0; i < PARTS; i++)
    bufs[i] = (struct fp_packed_buf){
        .gpa = GOOD + 64 * i,
        .len = 64,
    };
  while (n-- > 0)
    assert_true(fp_packed_post(p, bufs, PARTS) >= 0);
}

/* One burst, which finds all @n packets. */
static void receive(struct fakepeer *fp, unsigned int n) {
  struct rte_mbuf *pkts[32];

  assert_int_equal(fp_rx(fp, pkts, 32), n);
  rte_pktmbuf_free_bulk(pkts, n);
}

static void take_back(struct fp_packed *p, unsigned int n) {
  uint32_t len;
  uint16_t id;

  while (n-- > 0)
    assert_true(fp_packed_used(p, &id, &len));
}

/* The place in the ring that a driver asks about is told from one that is a
 * whole ring away, however many descriptors the packets have. */
static void driver_of_long_chains_is_called(void **state) {
  struct fakepeer *fp = fp_new(FP_MODERN | FP_PACKED | FP_EVENT_IDX, NUM);
  struct rte_mbuf *pkts[32];
  struct fp_packed p;
  unsigned int i, calls;

  (void)state;
  fp_packed_of(&p, fp, FP_FROM_PEER);
  /* A driver that looks for itself while it is busy ... */
  fp_packed_want(&p, VRING_PACKED_EVENT_FLAG_DISABLE, 0, true);
  for (i = 0; i < 2; i++) {
    post_packed(&p, 8);
    receive(fp, 8);
    take_back(&p, 8);
  }
  /* ... and wants to be called when it waits. */
  post_packed(&p, 10);
  fp_packed_want(&p, VRING_PACKED_EVENT_FLAG_DESC, p.used, p.used_wrap);
  calls = fp->calls[FP_FROM_PEER];
  receive(fp, 10);
  assert_int_equal(fp_rx(fp, pkts, 32), 0);
  assert_int_equal(fp->calls[FP_FROM_PEER], calls + 1);
  fp_free(fp);
}

/* Nobody comes to make the call later. */
static void driver_is_called_when_its_ring_stops(void **state) {
  struct fakepeer *fp = fp_new(FP_MODERN, NUM);
  unsigned int calls = fp->calls[FP_FROM_PEER];

  (void)state;
  fp_post(&fp->rings[FP_FROM_PEER], GOOD, HDR + 60, 0);
  receive(fp, 1);
  assert_int_equal(fp->calls[FP_FROM_PEER], calls);
  fp->peer.rings[FP_FROM_PEER].run = false;
  fp_adopt(fp);
  assert_int_equal(fp->calls[FP_FROM_PEER], calls + 1);
  fp_free(fp);
}

/*
 * Mbufs.
 */

static void receive_into(struct fakepeer *fp, struct rte_mempool *mp) {
  assert_int_equal(rte_eth_dev_stop(fp->port), 0);
  assert_int_equal(rte_eth_rx_queue_setup(fp->port, 0, 512, 0, NULL, mp), 0);
  assert_int_equal(rte_eth_dev_start(fp->port), 0);
}

/* Fewer mbufs than packets: as many as there are. */
static void small_pool_is_used_up(void **state) {
  struct fakepeer *fp = fp_new(FP_MODERN, NUM);
  struct rte_mempool *mp = rte_pktmbuf_pool_create(
      "small", 15, 0, 0, 2048 + RTE_PKTMBUF_HEADROOM, SOCKET_ID_ANY);
  unsigned int i, got = 0, bursts;
  struct rte_mbuf *pkts[64];

  (void)state;
  assert_non_null(mp);
  receive_into(fp, mp);
  for (i = 0; i < 32; i++)
    fp_post(&fp->rings[FP_FROM_PEER], GOOD, HDR + 60, 0);
  for (bursts = 0; bursts < 8; bursts++)
    got += fp_rx(fp, pkts + got, 32);
  assert_int_equal(got, 15);
  assert_true(fp_xstat(fp, "rx_ring0_no_mbuf") > 0);
  rte_pktmbuf_free_bulk(pkts, got);
  assert_int_equal(rte_mempool_in_use_count(mp), 0);
  fp_free(fp);
  rte_mempool_free(mp);
}

/* Mbufs whose data is elsewhere for ever say so, or whoever clones them takes
 * what lies before the data for the mbuf. */
static void pinned_buffers_stay_external(void **state) {
  enum { N = 31, ROOM = 2048 + RTE_PKTMBUF_HEADROOM, LEN = N * ROOM };
  struct fakepeer *fp = fp_new(FP_MODERN, NUM);
  struct rte_pktmbuf_extmem ext = {
      .buf_iova = RTE_BAD_IOVA,
      .buf_len = LEN,
      .elt_size = ROOM,
  };
  struct rte_mbuf *m, *clone;
  struct rte_mempool *mp;

  (void)state;
  ext.buf_ptr = mmap(NULL, LEN, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  assert_true(ext.buf_ptr != MAP_FAILED);
  mp = rte_pktmbuf_pool_create_extbuf("pinned", N, 0, 0, ROOM, SOCKET_ID_ANY,
                                      &ext, 1);
  assert_non_null(mp);
  receive_into(fp, mp);
  fp_post(&fp->rings[FP_FROM_PEER], GOOD, HDR + 60, 0);
  assert_int_equal(fp_rx(fp, &m, 1), 1);
  assert_true(RTE_MBUF_HAS_EXTBUF(m));
  clone = rte_pktmbuf_clone(m, fp_pool());
  assert_non_null(clone);
  rte_pktmbuf_free(m);
  assert_int_equal(rte_mempool_in_use_count(mp), 1);
  rte_pktmbuf_free(clone);
  assert_int_equal(rte_mempool_in_use_count(mp), 0);
  fp_free(fp);
  rte_mempool_free(mp);
  munmap(ext.buf_ptr, LEN);
}

/*
 * Statistics.
 */

static void announcements_count_on_in_a_new_queue(void **state) {
  struct fakepeer *fp = fp_new(FP_MODERN, NUM);

  (void)state;
  fp->peer.rarp_count++;
  fp_adopt(fp);
  receive(fp, 1);
  assert_int_equal(rte_eth_xstats_reset(fp->port), 0);
  receive_into(fp, fp_pool());
  assert_int_equal(fp_xstat(fp, "rx_announcements"), 0);
  fp_free(fp);
}

/* Packets over nine mergeable buffers each, more than a burst hands over at
 * once: that is no lack of buffers. */
static void packets_over_several_buffers_use_all_there_are(void **state) {
  const struct fp_packed_buf buf = {
      .gpa = GOOD, .len = 128, .flags = VRING_DESC_F_WRITE};
  struct rte_mbuf *pkts[7];
  unsigned int i, packed;

  (void)state;
  for (packed = 0; packed < 2; packed++) {
    struct fakepeer *fp =
        fp_new(FP_MODERN | FP_MRG | (packed ? FP_PACKED : 0), NUM);
    struct fp_packed p;

    if (packed)
      fp_packed_of(&p, fp, FP_TO_PEER);
    for (i = 0; i < 7 * 9; i++) {
      if (packed)
        assert_true(fp_packed_post(&p, &buf, 1) >= 0);
      else
        fp_post(&fp->rings[FP_TO_PEER], GOOD, 128, VRING_DESC_F_WRITE);
    }
    for (i = 0; i < 7; i++)
      pkts[i] = fp_packet(1000, i);
    assert_int_equal(fp_tx(fp, pkts, 7), 7);
    assert_int_equal(fp_xstat(fp, "tx_ring0_full"), 0);
    assert_int_equal(fp_xstat(fp, "tx_ring0_retries"), 0);
    fp_free(fp);
  }
}

int main(int argc, char *argv[]) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(driver_of_long_chains_is_called),
      cmocka_unit_test(driver_is_called_when_its_ring_stops),
      cmocka_unit_test(packets_over_several_buffers_use_all_there_are),
      cmocka_unit_test(small_pool_is_used_up),
      cmocka_unit_test(pinned_buffers_stay_external),
      cmocka_unit_test(announcements_count_on_in_a_new_queue),
  };

  (void)argc;
  fp_init(argv[0]);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
