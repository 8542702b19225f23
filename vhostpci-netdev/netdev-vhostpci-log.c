/* SPDX-License-Identifier: Apache-2.0 */

/* See netdev-vhostpci-log.h. */

#include <config.h>
#include "netdev-vhostpci-log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_log.h>

#include "netdev-vhostpci-pmd.h"
#include "openvswitch/vlog.h"
#include "ovs-thread.h"
#include "util.h"

VLOG_DEFINE_THIS_MODULE(netdev_vhostpci_log);

#define DRIVER_LOG_PREFIX DRIVER_NAME": "

/* The stream takes the place of the one that lib/dpdk.c opened, once and for
 * ever: exchanging streams around each capture could take a stream away while
 * another thread writes to it. */
static FILE *dpdk_stream;

struct log_capture {
    char *driver;               /* Its last message of the gravest level. */
    int driver_level;           /* RTE_LOG_*: lower is graver. */
    char *other;                /* The first error of any other part. */
};

/* The unfinished message of this thread. */
struct log_message {
    size_t len;
    char text[1024];
};

DEFINE_STATIC_PER_THREAD_DATA(struct log_message, message, { .len = 0 });

/* The capture of this thread; NULL: none. */
DEFINE_STATIC_PER_THREAD_DATA(struct log_capture *, capture, NULL);

static char *
copy_line(const char *buf, size_t size)
{
    const char *end = memchr(buf, '\n', size);

    return xmemdup0(buf, end ? end - buf : size);
}

static void
capture_message(struct log_capture *c, const char *buf, size_t size)
{
    size_t prefix_len = strlen(DRIVER_LOG_PREFIX);
    int level = rte_log_cur_msg_loglevel();

    if (size > prefix_len && !memcmp(buf, DRIVER_LOG_PREFIX, prefix_len)) {
        if (!c->driver || level <= c->driver_level) {
            free(c->driver);
            c->driver = copy_line(buf + prefix_len, size - prefix_len);
            c->driver_level = level;
        }
    } else if (!c->other && level <= RTE_LOG_ERR) {
        c->other = copy_line(buf, size);
    }
}

static void
tee_message(const char *buf, size_t size)
{
    struct log_capture *c = *capture_get();

    if (c) {
        capture_message(c, buf, size);
    }
    /* lib/dpdk.c's writer uses rte_log_cur_msg_loglevel(), which is per thread
     * and right only now, so nothing may wait in the stream.  (Open vSwitch
     * 3.5 leaves the stream buffered, because DPDK flushes it.) */
    flockfile(dpdk_stream);
    fwrite(buf, 1, size, dpdk_stream);
    fflush(dpdk_stream);
    funlockfile(dpdk_stream);
}

/* The stream is unbuffered, so no call has parts of two messages.  But a
 * message may come in several calls (of 128 bytes, from glibc 2.37 on).  A
 * line feed ends the message. */
static ssize_t
tee_write(void *cookie OVS_UNUSED, const char *buf, size_t size)
{
    struct log_message *m = message_get();
    size_t done, n;

    for (done = 0; done < size; done += n) {
        n = MIN(size - done, sizeof m->text - m->len);
        memcpy(m->text + m->len, buf + done, n);
        m->len += n;
        if (m->text[m->len - 1] == '\n' || m->len == sizeof m->text) {
            tee_message(m->text, m->len);
            m->len = 0;
        }
    }
    return size;
}

void
vhostpci_log_capture_init(void)
{
    static const cookie_io_functions_t functions = { .write = tee_write };
    FILE *tee = fopencookie(NULL, "w", functions);

    if (!tee) {
        VLOG_WARN("cannot follow DPDK's log: %s", ovs_strerror(errno));
        return;
    }
    setbuf(tee, NULL);
    dpdk_stream = rte_log_get_stream();
    rte_openlog_stream(tee);
}

void
vhostpci_log_capture_start(void)
{
    struct log_capture **c = capture_get();

    ovs_assert(!*c);
    *c = xzalloc(sizeof **c);
}

/* The driver gives up after its gravest message, so the last of these tells
 * the cause.  If the driver logged nothing, DPDK did not ask it.  Then the
 * first error that DPDK reported is the cause, and later errors are
 * consequences. */
char *
vhostpci_log_capture_stop(void)
{
    struct log_capture **c = capture_get();
    char *cause = (*c)->driver;

    if (cause) {
        free((*c)->other);
    } else {
        cause = (*c)->other;
    }
    free(*c);
    *c = NULL;
    return cause;
}
