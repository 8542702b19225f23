/*
 * vhost-pci: the connection to the peer's front-end. Bytes and file
 * descriptors go from the chardev into the vhost-user core, replies back.
 *
 * The core is not re-entrant, but the chardev can report the end of a
 * connection from inside a write, and the end of a wait can come from the
 * driver: in_core tells whether the core is on the stack, and what happened
 * meanwhile is made up for when it is not any more (vhost_pci_settle()).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "chardev/char.h"
#include "chardev/char-socket.h"
#include "vhost-pci-base.h"

/*
 * The chardev's own limit (TCP_MAX_FDS), which a patch of ours raises to the
 * kernel's (SCM_MAX_FD): the kernel closes in place what a receiver has no room
 * for, and this thread would wait for that.
 */
#define MAX_FDS 253
QEMU_BUILD_BUG_ON(TCP_MAX_FDS != MAX_FDS);

/*
 * Changes of the peer's state and fds: at once, and then one in so many
 * milliseconds; a table of memory is as many as it has new regions. Each costs
 * the driver an interrupt and a look at the whole
 * state, in a thread that may serve other devices too, whose time limits go on
 * running, or this loop new notifiers. A start takes a few for each of at most
 * 60 rings: fds to kick, to call and for errors, and enabling.
 */
#define CHANGES_BURST       512
#define CHANGES_INTERVAL_MS 10

/* How often to look whether what the peer sent has closed. */
#define CLOSER_INTERVAL_MS  100

static int vhost_pci_send(void *opaque, const void *buf, size_t len)
{
    VhostPciBase *s = opaque;

    if (!s->open) {
        return -EPIPE;
    }
    /*
     * Replies are short and one at a time: a peer whose socket has no room
     * for one does not read, and is not waited for.
     */
    if (qemu_chr_fe_write(&s->chr, buf, len) != len) {
        vu_core_set_error(&s->core, "the peer does not read its replies");
        return -EPIPE;
    }
    return 0;
}

static void vhost_pci_settle(VhostPciBase *s);

static void vhost_pci_ration_timeout(void *opaque)
{
    /* Has the chardev ask vhost_pci_can_read() again, too. */
    vhost_pci_settle(opaque);
}

static void vhost_pci_close_fd(void *opaque, int fd)
{
    VhostPciBase *s = opaque;

    vhost_pci_closer_fd(s->closer, fd);
}

static const struct vu_ops vhost_pci_vu_ops = {
    .map = vhost_pci_window_map,
    .unmap = vhost_pci_window_unmap,
    .update = vhost_pci_state_update,
    .ring_base = vhost_pci_ring_base,
    .send = vhost_pci_send,
    .close_fd = vhost_pci_close_fd,
};

void vhost_pci_socket_changed(VhostPciBase *s, unsigned int cost)
{
    vhost_pci_ration_take(&s->changes, cost);
}

/* May the peer change anything? If not, there will be another call for it. */
static bool vhost_pci_may_change(VhostPciBase *s)
{
    unsigned int wait_ms = CHANGES_INTERVAL_MS;

    if (vhost_pci_closer_busy(s->closer)) {
        wait_ms = CLOSER_INTERVAL_MS;
    } else if (vhost_pci_ration_left(&s->changes, CHANGES_BURST,
                                     CHANGES_INTERVAL_MS)) {
        return true;
    }
    if (!timer_pending(s->ration_timer)) {
        timer_mod(s->ration_timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  wait_ms);
    }
    return false;
}

/*
 * The chardev closes its connection in this thread, and with it whatever the
 * peer has sent that nobody has read. A reference to the channel keeps the
 * socket open until it is taken out of the channel; at CLOSED the chardev has
 * let go of both.
 */
static void vhost_pci_keep_connection(VhostPciBase *s)
{
    SocketChardev *chr = SOCKET_CHARDEV(qemu_chr_fe_get_driver(&s->chr));

    s->channel = chr->sioc;
    object_ref(OBJECT(s->channel));
}

static void vhost_pci_drop_connection(VhostPciBase *s)
{
    if (!s->channel) {
        return;
    }
    /* The peer knows at once. */
    qio_channel_shutdown(QIO_CHANNEL(s->channel), QIO_CHANNEL_SHUTDOWN_BOTH,
                         NULL);
    vhost_pci_closer_fd(s->closer, s->channel->fd);
    s->channel->fd = -1;
    object_unref(OBJECT(s->channel));
    s->channel = NULL;
}

/* Bring the core in line with the chardev, unless it is at work or waits. */
static void vhost_pci_settle(VhostPciBase *s)
{
    int ret = 0;

    if (s->in_core) {
        return;
    }
    if (s->core.connected && !s->open) {
        s->in_core++;
        vu_core_disconnect(&s->core);
        s->in_core--;
    }
    if (!s->core.connected && !s->waiting && s->open &&
        vhost_pci_may_change(s)) {
        s->in_core++;
        ret = vu_core_connect(&s->core);
        s->in_core--;
    }
    if (ret < 0) {
        /* A core that failed reads nothing: do not leave the peer waiting.
         * Comes back here when the chardev has closed. */
        vhost_pci_socket_violation(s, vu_core_error(&s->core));
    } else if (s->open && s->core.connected) {
        qemu_chr_fe_accept_input(&s->chr);
    }
}

void vhost_pci_socket_violation(VhostPciBase *s, const char *reason)
{
    g_free(s->last_violation);
    s->last_violation = g_strdup(reason);
    s->violations++;
    vhost_pci_warn(s, "%s; closing the connection", reason);
    /* Reports CHR_EVENT_CLOSED, which clears s->open. */
    qemu_chr_fe_disconnect(&s->chr);
}

/* After a call of the core that returned @ret. */
static void vhost_pci_core_returned(VhostPciBase *s, int ret)
{
    s->in_core--;
    if (ret < 0 && s->open) {
        vhost_pci_socket_violation(s, vu_core_error(&s->core));
    }
    vhost_pci_settle(s);
    if (s->open && vu_core_holds(&s->core)) {
        timer_mod(s->quiet_timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  VU_QUIET_MS);
    }
}

/* If there is something to read that we may not, it is not quiet. */
static void vhost_pci_quiet(void *opaque)
{
    VhostPciBase *s = opaque;
    int ret = 0;

    if (s->in_core) {
        return; /* comes back with its end */
    }
    s->in_core++;
    if (s->open && !timer_pending(s->ration_timer)) {
        ret = vu_core_quiet(&s->core);
    }
    vhost_pci_core_returned(s, ret);
}

void vhost_pci_socket_resume(VhostPciBase *s)
{
    int ret;

    s->in_core++;
    ret = vu_core_resume(&s->core);
    vhost_pci_core_returned(s, ret);
}

static int vhost_pci_can_read(void *opaque)
{
    VhostPciBase *s = opaque;

    if (!s->open || !s->core.connected || s->in_core ||
        !vhost_pci_may_change(s)) {
        return 0;
    }
    return MIN(vu_core_want(&s->core), INT_MAX);
}

static void vhost_pci_read(void *opaque, const uint8_t *buf, int size)
{
    VhostPciBase *s = opaque;
    int fds[MAX_FDS];
    int n, ret;

    /*
     * The chardev has cleared their O_NONBLOCK, which the peer shares; the
     * core sets it again on those that are eventfds.
     */
    n = qemu_chr_fe_get_msgfds(&s->chr, fds, MAX_FDS);
    s->in_core++;
    ret = vu_core_input(&s->core, buf, size, fds, MAX(n, 0));
    vhost_pci_core_returned(s, ret);
}

static void vhost_pci_event(void *opaque, QEMUChrEvent event)
{
    VhostPciBase *s = opaque;

    switch (event) {
    case CHR_EVENT_OPENED:
        s->open = true;
        vhost_pci_drop_connection(s);
        vhost_pci_keep_connection(s);
        break;
    case CHR_EVENT_CLOSED:
        s->open = false;
        vhost_pci_drop_connection(s);
        break;
    default:
        return;
    }
    vhost_pci_settle(s);
}

bool vhost_pci_socket_init(VhostPciBase *s, Error **errp)
{
    const VhostPciBaseClass *k = VHOST_PCI_BASE_GET_CLASS(s);
    struct vu_config config = {
        .features = s->peer_features,
        .protocol_features = BIT_ULL(VU_PROTOCOL_F_MQ) |
                             BIT_ULL(VU_PROTOCOL_F_REPLY_ACK) |
                             BIT_ULL(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) |
                             k->protocol_features,
        .max_queue_pairs = vhost_pci_n_rings(s) / 2,
        .max_regions = s->max_regions,
        .require_seals = !s->unsealed,
    };
    Chardev *chr = qemu_chr_fe_get_driver(&s->chr);

    if (!chr) {
        error_setg(errp, "%s: property 'chardev' must name a socket chardev",
                   k->name);
        return false;
    }
    if (!qemu_chr_has_feature(chr, QEMU_CHAR_FEATURE_FD_PASS)) {
        error_setg(errp, "%s: chardev '%s' cannot pass file descriptors; it "
                   "must be a UNIX socket", k->name, chr->label);
        return false;
    }
    if (vu_core_init(&s->core, &config, &vhost_pci_vu_ops, s) < 0) {
        error_setg(errp, "%s: %s", k->name, vu_core_error(&s->core));
        return false;
    }
    s->ration_timer = timer_new_ms(QEMU_CLOCK_REALTIME,
                                   vhost_pci_ration_timeout, s);
    s->quiet_timer = timer_new_ms(QEMU_CLOCK_REALTIME, vhost_pci_quiet, s);
    qemu_chr_fe_set_handlers(&s->chr, vhost_pci_can_read, vhost_pci_read,
                             vhost_pci_event, NULL, s, NULL, true);
    return true;
}

void vhost_pci_socket_cleanup(VhostPciBase *s)
{
    qemu_chr_fe_set_handlers(&s->chr, NULL, NULL, NULL, NULL, NULL, NULL,
                             false);
    qemu_chr_fe_disconnect(&s->chr);
    vhost_pci_drop_connection(s);
    s->open = false;
    vhost_pci_settle(s);
    timer_free(s->ration_timer);
    s->ration_timer = NULL;
    timer_free(s->quiet_timer);
    s->quiet_timer = NULL;
    g_clear_pointer(&s->last_violation, g_free);
}
