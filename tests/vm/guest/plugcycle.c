/* SPDX-License-Identifier: Apache-2.0
 *
 * plugcycle COUNT DEVICE ARGS -- EAL OPTIONS
 *
 * Probes and removes a PCI device COUNT times in one process. In each cycle the
 * program starts the device as a port with an rx and a tx queue; in two of four
 * cycles, with receive interrupts if the device has them. It prints, as
 * name=value, how many open files, mappings, memory zones and bytes of DPDK's
 * heap the process had after the first cycles and has at the end. The first
 * cycles fill caches, so the numbers before them are of no use.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_memzone.h>

#define WARM_UP 3

static struct rte_mempool *pool;

static void
count_zone(const struct rte_memzone *mz, void *n)
{
	(void)mz;
	++*(unsigned int *)n;
}

static void
report(const char *when)
{
	struct rte_malloc_socket_stats heap;
	unsigned int files = 0, maps = 0, zones = 0;
	DIR *d = opendir("/proc/self/fd");
	FILE *f = fopen("/proc/self/maps", "r");
	int c;

	while (d && readdir(d))
		files++;
	while (f && (c = getc(f)) != EOF)
		maps += c == '\n';
	rte_memzone_walk(count_zone, &zones);
	rte_malloc_get_socket_stats(rte_socket_id(), &heap);
	printf("%s_files=%u %s_maps=%u %s_zones=%u %s_heap=%zu\n", when, files,
	       when, maps, when, zones, when, heap.heap_allocsz_bytes);
	closedir(d);
	fclose(f);
}

static int
start_port(uint16_t port, int rx_intr)
{
	struct rte_eth_conf conf = { .intr_conf.rxq = rx_intr };
	int rc;

	rc = rte_eth_dev_configure(port, 1, 1, &conf);
	if (rc == 0)
		rc = rte_eth_rx_queue_setup(port, 0, 256, 0, NULL, pool);
	if (rc == 0)
		rc = rte_eth_tx_queue_setup(port, 0, 256, 0, NULL);
	return rc == 0 ? rte_eth_dev_start(port) : rc;
}

static int
cycle(const char *device, const char *args, unsigned int n)
{
	struct rte_mbuf *pkts[32];
	struct rte_eth_dev_info info;
	uint16_t port, got;
	int rc;

	rc = rte_eal_hotplug_add("pci", device, args);
	if (rc != 0)
		return rc;
	rc = rte_eth_dev_get_port_by_name(device, &port);
	if (rc == 0)
		rc = start_port(port, n / 2 % 2);
	if (rc == 0)
		rc = rte_eth_dev_info_get(port, &info);
	if (rc != 0)
		return rc;
	got = rte_eth_rx_burst(port, 0, pkts, 32);
	rte_pktmbuf_free_bulk(pkts, got);
	/* Applications end a device in two ways: they close the port first, or
	 * remove the device at once.
	 */
	if (n % 2 == 0) {
		rte_eth_dev_stop(port);
		rc = rte_eth_dev_close(port);
		return rc != 0 ? rc : rte_dev_remove(info.device);
	}
	return rte_eal_hotplug_remove("pci", device);
}

int
main(int argc, char **argv)
{
	unsigned int n, count;
	int rc;

	if (argc < 4)
		return 2;
	count = strtoul(argv[1], NULL, 10);
	if (rte_eal_init(argc - 3, argv + 3) < 0)
		return 3;
	pool = rte_pktmbuf_pool_create("pool", 1023, 0, 0,
				       RTE_MBUF_DEFAULT_BUF_SIZE, 0);
	if (pool == NULL)
		return 4;
	for (n = 0; n < count; n++) {
		rc = cycle(argv[2], strcmp(argv[3], "-") == 0 ? "" : argv[3],
			   n);
		if (rc != 0) {
			printf("cycle=%u error=%d (%s)\n", n, rc,
			       rte_strerror(-rc));
			return 1;
		}
		if (n + 1 == WARM_UP)
			report("before");
	}
	report("after");
	printf("cycles=%u\n", n);
	return 0;
}
