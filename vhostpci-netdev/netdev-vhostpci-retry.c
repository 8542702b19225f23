/* SPDX-License-Identifier: Apache-2.0 */

/* See netdev-vhostpci-retry.h. */

#include <config.h>
#include "netdev-vhostpci-retry.h"

#include <errno.h>
#include <limits.h>

#include "if-notifier.h"
#include "netdev-vhostpci-pmd.h"
#include "netdev-vhostpci-sysfs.h"
#include "openvswitch/poll-loop.h"
#include "openvswitch/vlog.h"
#include "sset.h"
#include "timeval.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(netdev_vhostpci_retry);

/* Some port lacks its device.  When the devices of this machine change,
 * vswitchd must try again. */
static bool retry_wanted;
static uint32_t retry_fingerprint; /* At the last failure. */
static bool retry_changed;         /* It differed at an earlier one. */

/* Some port cannot listen at its socket: the directory does not exist yet, or
 * somebody else still listens.  Or the peer's device lacks the function, and
 * no other port of the device would report a change.  Nothing reports when
 * that ends, so vswitchd must try again, less and less often: a try reads the
 * whole configuration and logs some lines. */
#define SOCKET_RETRY_MIN_MS 1000
#define SOCKET_RETRY_MAX_MS 32000
static long long int socket_retry_at = LLONG_MAX; /* LLONG_MAX: not wanted */
static long long int socket_retried; /* Time of the last request. */
static int socket_retry_delay;

/* Ports for whose packets memory was lacking.  vswitchd tries them again when
 * there are more huge pages, when another port gives its memory back, or after
 * a while: nothing reports when other processes give memory back. */
#define MEMORY_RETRY_MS 32000
static struct sset starved = SSET_INITIALIZER(&starved);
static long long int starved_pages; /* Huge pages at the last failure. */
static long long int starved_until; /* Time of the next try. */

/* Asks for another try.  A port that fails at once in such a try waits longer
 * for the next one. */
static void
want_socket_retry(void)
{
    long long int now = time_msec();

    if (socket_retry_at != LLONG_MAX) {
        return;
    }
    socket_retry_delay = (now < socket_retried + SOCKET_RETRY_MIN_MS
                          ? MIN(2 * socket_retry_delay, SOCKET_RETRY_MAX_MS)
                          : SOCKET_RETRY_MIN_MS);
    socket_retry_at = now + socket_retry_delay;
}

uint32_t
vhostpci_retry_devices(void)
{
    return vhostpci_pmd_hash_functions(vhostpci_sysfs_fingerprint());
}

void
vhostpci_retry_failed(uint32_t devices, int error)
{
    /* If the devices changed since an earlier port failed, that port has not
     * seen the change. */
    retry_changed |= retry_wanted && devices != retry_fingerprint;
    retry_wanted = true;
    retry_fingerprint = devices;
    if (error == EADDRNOTAVAIL) {
        want_socket_retry();
    }
}

/* Asks for another try if a device came, went, or got another driver: a port
 * that lacks a device may find one now. */
static void
look_for_devices(void)
{
    if (retry_wanted && (retry_changed || vhostpci_retry_devices()
                         != retry_fingerprint)) {
        VLOG_INFO("vhost-pci devices changed: trying again");
        retry_wanted = retry_changed = false;
        if_notifier_manual_report();
    }
}

void
vhostpci_retry_starved(const char *name)
{
    sset_add(&starved, name);
    starved_pages = vhostpci_sysfs_hugepages();
    starved_until = time_msec() + MEMORY_RETRY_MS;
    /* The datapath drops the port.  The next try says why. */
    if_notifier_manual_report();
}

bool
vhostpci_retry_is_starved(const char *name)
{
    return sset_contains(&starved, name);
}

void
vhostpci_retry_memory(void)
{
    if (!sset_is_empty(&starved)) {
        VLOG_INFO("there may be memory for packets: trying again");
        sset_clear(&starved);
        if_notifier_manual_report();
    }
}

static void
look_for_memory(void)
{
    if (!sset_is_empty(&starved)
        && (time_msec() >= starved_until
            || vhostpci_sysfs_hugepages() > starved_pages)) {
        vhostpci_retry_memory();
    }
}

void
vhostpci_retry_run(bool look)
{
    if (look) {
        look_for_devices();
        look_for_memory();
    }
    if (time_msec() >= socket_retry_at) {
        socket_retry_at = LLONG_MAX;
        socket_retried = time_msec();
        if_notifier_manual_report();
    }
}

bool
vhostpci_retry_wait(void)
{
    if (socket_retry_at != LLONG_MAX) {
        poll_timer_wait_until(socket_retry_at);
    }
    return retry_wanted || !sset_is_empty(&starved);
}
