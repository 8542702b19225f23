/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VHOSTPCI_DPDK_COMPAT_H
#define VHOSTPCI_DPDK_COMPAT_H

/*
 * The differences between the versions of DPDK that the driver is compiled with
 * (tools/releases.sh). No other file of the driver asks for the version.
 */

#include <pthread.h>

#include <rte_common.h>
#include <rte_kvargs.h>
#include <rte_lcore.h>
#include <rte_thread.h>
#include <rte_version.h>

/*
 * The argument parser hands a key without a value to the handler, which prints an
 * error message. From 24.03 on rte_kvargs_process() itself refuses such a key,
 * without a message, and rte_kvargs_process_opt() behaves as
 * rte_kvargs_process() did before.
 */
#if RTE_VERSION < RTE_VERSION_NUM(24, 3, 0, 0)
#define vhostpci_kvargs_process rte_kvargs_process
#else
#define vhostpci_kvargs_process rte_kvargs_process_opt
#endif

/*
 * Create a thread with attributes, on the CPUs that EAL keeps for control
 * threads. Returns 0 or a negative errno.
 *
 * The driver wants the smallest stack, because the process may lock its memory.
 * From 23.11 on EAL's own function takes no attributes. Therefore a short-lived
 * control thread of EAL reports its CPUs, and the C library creates the real
 * thread. The caller must define _GNU_SOURCE: sets of CPUs are an extension of
 * the C library.
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
	/* After an error the thread keeps the caller's CPUs. */
	if (unknown == 0)
		rte_thread_set_affinity_by_id(made, &cpus);
	return 0;
}
#endif
#endif

#endif
