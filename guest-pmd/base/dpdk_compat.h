/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHOSTPCI_DPDK_COMPAT_H
#define VHOSTPCI_DPDK_COMPAT_H

/*
 * What differs between the versions of DPDK that the driver is compiled with
 * (tools/releases.sh), by version. Elsewhere the driver does not ask which it
 * is.
 */

#include <pthread.h>

#include <rte_common.h>
#include <rte_kvargs.h>
#include <rte_lcore.h>
#include <rte_thread.h>
#include <rte_version.h>

/*
 * The argument parser hands a key without a value to the handler, which has a
 * sentence for it. From 24.03 on rte_kvargs_process() refuses such a key
 * itself, without a word, and another function behaves as it did before.
 */
#if RTE_VERSION < RTE_VERSION_NUM(24, 3, 0, 0)
#define vhostpci_kvargs_process rte_kvargs_process
#else
#define vhostpci_kvargs_process rte_kvargs_process_opt
#endif

/*
 * A thread on the CPUs that EAL keeps for control threads, with attributes.
 * Returns 0 or a negative errno.
 *
 * From 23.11 on EAL's own function takes no attributes, and the smallest stack
 * is wanted where the process locks its memory: a short control thread tells
 * its CPUs, and the thread proper is made of the C library's. Who calls this defines
 * _GNU_SOURCE: sets of CPUs are an extension of the C library's.
 */
#ifdef RTE_HAS_CPUSET
#if RTE_VERSION < RTE_VERSION_NUM(23, 11, 0, 0)
static inline int
vhostpci_ctrl_thread_create(pthread_t *thread, const char *name,
			    pthread_attr_t *attr, void *(*run)(void *),
			    void *arg)
{
	int rc = rte_ctrl_thread_create(thread, name, attr, run, arg);

	return rc < 0 ? rc : -rc;
}
#else
static inline uint32_t
vhostpci_tell_cpus(void *cpus)
{
	return rte_thread_get_affinity_by_id(rte_thread_self(), cpus);
}

static inline int
vhostpci_ctrl_thread_create(pthread_t *thread, const char *name,
			    pthread_attr_t *attr, void *(*run)(void *),
			    void *arg)
{
	rte_thread_t asked, made;
	uint32_t unknown = 1;
	rte_cpuset_t cpus;
	int rc;

	if (rte_thread_create_internal_control(&asked, "vhostpci",
					       vhostpci_tell_cpus, &cpus) == 0)
		rte_thread_join(asked, &unknown);
	rc = pthread_create(thread, attr, run, arg);
	if (rc != 0)
		return -rc;
	made.opaque_id = (uintptr_t)*thread;
	rte_thread_set_name(made, name);
	/* An error leaves the caller's CPUs. */
	if (unknown == 0)
		rte_thread_set_affinity_by_id(made, &cpus);
	return 0;
}
#endif
#endif

#endif
