/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Preloaded into ovs-vswitchd: makes this machine look like one with two NUMA
 * nodes. Whoever asks the kernel for the node of a page gets the node
 * $NODESTUB. DPDK knows the real nodes, so its pools take memory of any node.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/mempolicy.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

/* DPDK's own, whose headers are not needed. */
void *rte_pktmbuf_pool_create(const char *name, unsigned int n,
			      unsigned int cache, uint16_t priv, uint16_t room,
			      int node);

void *
rte_pktmbuf_pool_create(const char *name, unsigned int n, unsigned int cache,
			uint16_t priv, uint16_t room, int node)
{
	typeof(rte_pktmbuf_pool_create) *next =
		(typeof(next))dlsym(RTLD_NEXT, "rte_pktmbuf_pool_create");

	(void)node;
	return next(name, n, cache, priv, room, -1);
}

long
syscall(long number, ...)
{
	static long (*next)(long, ...);
	long a[6];
	va_list ap;
	int i;

	va_start(ap, number);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_get_mempolicy &&
	    a[4] == (MPOL_F_NODE | MPOL_F_ADDR)) {
		*(int *)a[0] = atoi(getenv("NODESTUB"));
		return 0;
	}
	if (next == NULL)
		next = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
	return next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
