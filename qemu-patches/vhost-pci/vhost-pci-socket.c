/*
 * vhost-pci: a session with a front-end of the peer (vhost-pci-session.h). It
 * hands bytes and file descriptors from the chardev to the vhost-user core, and
 * replies back.
 *
 * The core is not re-entrant. But the chardev can report the end of a
 * connection from inside a write, and the driver can end a wait at any time.
 * in_core tells whether the core is on the stack; vhost_pci_settle() catches up
 * afterwards with all that happened meanwhile.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "chardev/char.h"
#include "chardev/char-socket.h"
#include "vhost-pci-base.h"

/*
 * The limit of the chardev (TCP_MAX_FDS), which a patch of ours raises to the
 * limit of the kernel (SCM_MAX_FD): the kernel closes at once the fds for which
 * a receiver has no room, and this thread would wait for that.
 */
#define MAX_FDS 253
QEMU_BUILD_BUG_ON(TCP_MAX_FDS != MAX_FDS);

/*
 * Limits for changes of the peer's state and fds: a burst at once, then one for
 * each interval. A memory table counts as one change for each new region. Each
 * change costs the driver an interrupt and a look at the whole state, in a
 * thread that may serve other devices, too, whose time limits go on running; or
 * it costs this loop new notifiers. A start takes a few changes for each of at
 * most 60 rings: fds for kicks, calls and errors, and enabling.
 */
#define CHANGES_BURST       512
#define CHANGES_INTERVAL_MS 10

/*
 * A message that takes this loop longer counts as one change for each
 * millisecond, so a peer gets a tenth of the time. With KVM a table of 8
 * regions took 80 ms on a busy machine.
 */
#define LONG_MS             10

/* How often to check whether the closer has closed the peer's fds. */
#define CLOSER_INTERVAL_MS  100

static int vhost_pci_send(void *opaque, const void *buf, size_t len)
{
    VhostPciSession *ss = opaque;

    if (!ss->open) {
        return -EPIPE;
    }
    /*
     * Replies are short, and come one at a time. If the socket has no room for
     * a reply, the peer does not read, and this does not wait for it.
     */
    if (qemu_chr_fe_write(ss->chr, buf, len) != len) {
        vu_core_set_error(&ss->core, "the peer does not read its replies");
        return -EPIPE;
    }
    return 0;
}

static void vhost_pci_settle(VhostPciSession *ss);

static void vhost_pci_ration_timeout(void *opaque)
{
    /* Also makes the chardev call vhost_pci_can_read() again. */
    vhost_pci_settle(opaque);
}

static void vhost_pci_close_fd(void *opaque, int fd)
{
    vhost_pci_closer_fd(vhost_pci_session_closer(opaque), fd);
}

static int vhost_pci_session_update(void *opaque, uint32_t changed)
{
    VhostPciSession *ss = opaque;
    int ret = ss->ops ? ss->ops->update(ss->opaque, changed) : 0;

    return ret == 0 && ss->function ?
           vhost_pci_state_update(ss->function, changed) : ret;
}

/* Without a function nobody has learned of a ring, so none has begun. */
static uint32_t vhost_pci_session_ring_base(void *opaque, unsigned int i)
{
    VhostPciSession *ss = opaque;

    return ss->function ? vhost_pci_ring_base(ss->function, i) :
           ss->core.rings[i].base;
}

static const struct vu_ops vhost_pci_vu_ops = {
    .map = vhost_pci_session_map,
    .unmap = vhost_pci_session_unmap,
    .update = vhost_pci_session_update,
    .ring_base = vhost_pci_session_ring_base,
    .send = vhost_pci_send,
    .close_fd = vhost_pci_close_fd,
};

VhostPciCloser *vhost_pci_session_closer(VhostPciSession *ss)
{
    if (!ss->closer) {
        ss->closer = ss->ops ? ss->ops->closer(ss->opaque) :
                     vhost_pci_closer_new();
    }
    return ss->closer;
}

/* The sessions of a device share its driver, and so its ration. */
static VhostPciRation *vhost_pci_session_ration(VhostPciSession *ss)
{
    return ss->function ? &ss->function->dev->changes : &ss->changes;
}

void vhost_pci_session_changed(VhostPciSession *ss, unsigned int cost)
{
    vhost_pci_ration_take(vhost_pci_session_ration(ss), cost);
}

/* May the peer change something now? If not, a timer tries again. */
static bool vhost_pci_may_change(VhostPciSession *ss)
{
    unsigned int wait_ms = CHANGES_INTERVAL_MS;

    if (ss->closer && vhost_pci_closer_busy(ss->closer)) {
        wait_ms = CLOSER_INTERVAL_MS;
    } else if (vhost_pci_ration_left(vhost_pci_session_ration(ss),
                                     CHANGES_BURST, CHANGES_INTERVAL_MS)) {
        return true;
    }
    if (!timer_pending(ss->ration_timer)) {
        timer_mod(ss->ration_timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  wait_ms);
    }
    return false;
}

/*
 * The chardev closes its connection in this thread, and with it the fds that
 * the peer has sent and nobody has read. This code must prevent that. QEMU 7.2
 * closes with the last reference to the channel, which an event under way may
 * hold: so take the socket out of the channel before. QEMU 10.0 closes the
 * channel itself: so a second descriptor keeps the socket open.
 */
static void vhost_pci_keep_connection(VhostPciSession *ss)
{
    SocketChardev *chr = SOCKET_CHARDEV(qemu_chr_fe_get_driver(ss->chr));

    ss->channel = chr->sioc;
    object_ref(OBJECT(ss->channel));
    ss->connection = qemu_dup(ss->channel->fd);
}

static void vhost_pci_drop_connection(VhostPciSession *ss)
{
    if (!ss->channel) {
        return;
    }
    /* The peer learns this at once. */
    shutdown(ss->connection, SHUT_RDWR);
    vhost_pci_close_fd(ss, ss->channel->fd);
    vhost_pci_close_fd(ss, ss->connection);
    ss->channel->fd = ss->connection = -1;
    object_unref(OBJECT(ss->channel));
    ss->channel = NULL;
}

static bool vhost_pci_session_waits(const VhostPciSession *ss)
{
    return ss->function && ss->function->waiting;
}

/*
 * Bring the core in line with the chardev, unless the core is at work or waits.
 */
static void vhost_pci_settle(VhostPciSession *ss)
{
    int ret = 0;

    if (ss->in_core) {
        return;
    }
    if (ss->core.connected && !ss->open) {
        ss->in_core++;
        vu_core_disconnect(&ss->core);
        ss->in_core--;
    }
    if (!ss->core.connected && !vhost_pci_session_waits(ss) && ss->open &&
        vhost_pci_may_change(ss)) {
        ss->in_core++;
        ret = vu_core_connect(&ss->core);
        ss->in_core--;
    }
    if (ret < 0) {
        /* A core that failed reads nothing: do not leave the peer waiting. The
         * chardev calls this function again when it has closed. */
        vhost_pci_session_violation(ss, vu_core_error(&ss->core));
    } else if (ss->open && ss->core.connected) {
        qemu_chr_fe_accept_input(ss->chr);
    } else if (ss->ops && !ss->open && !ss->core.connected &&
               !vhost_pci_session_waits(ss)) {
        ss->ops->over(ss->opaque);
    }
}

void vhost_pci_session_violation(VhostPciSession *ss, const char *reason)
{
    g_free(ss->last_violation);
    ss->last_violation = g_strdup(reason);
    ss->violations++;
    if (ss->ops) {
        ss->ops->violation(ss->opaque, reason);
    } else {
        vhost_pci_warn(ss->function->dev, "%s; closing the connection",
                       reason);
    }
    /* Reports CHR_EVENT_CLOSED, which clears ss->open. */
    qemu_chr_fe_disconnect(ss->chr);
}

/* Finish a call of the core that returned @ret. */
static void vhost_pci_core_returned(VhostPciSession *ss, int ret)
{
    ss->in_core--;
    if (ret < 0 && ss->open) {
        vhost_pci_session_violation(ss, vu_core_error(&ss->core));
    }
    vhost_pci_settle(ss);
    if (ss->open && vu_core_holds(&ss->core)) {
        timer_mod(ss->quiet_timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  VU_QUIET_MS);
    }
}

/* A peer is not silent while the ration keeps this from reading its input. */
static void vhost_pci_quiet(void *opaque)
{
    VhostPciSession *ss = opaque;
    int ret = 0;

    if (ss->in_core) {
        return; /* comes back with its end */
    }
    ss->in_core++;
    if (ss->open && !timer_pending(ss->ration_timer)) {
        ret = vu_core_quiet(&ss->core);
    }
    vhost_pci_core_returned(ss, ret);
}

void vhost_pci_session_resume(VhostPciSession *ss)
{
    int ret;

    ss->in_core++;
    ret = vu_core_resume(&ss->core);
    vhost_pci_core_returned(ss, ret);
}

static int vhost_pci_can_read(void *opaque)
{
    VhostPciSession *ss = opaque;

    if (!ss->open || !ss->core.connected || ss->in_core ||
        !vhost_pci_may_change(ss)) {
        return 0;
    }
    return MIN(vu_core_want(&ss->core), INT_MAX);
}

static void vhost_pci_read(void *opaque, const uint8_t *buf, int size)
{
    VhostPciSession *ss = opaque;
    int64_t begin = qemu_clock_get_ms(QEMU_CLOCK_REALTIME), took;
    int fds[MAX_FDS];
    int n, ret;

    /*
     * The chardev has cleared O_NONBLOCK of the fds, which the peer shares; the
     * core sets the flag again on eventfds.
     */
    n = qemu_chr_fe_get_msgfds(ss->chr, fds, MAX_FDS);
    if (ss->ops) {
        ss->ops->spoke(ss->opaque);
    }
    ss->in_core++;
    ret = vu_core_input(&ss->core, buf, size, fds, MAX(n, 0));
    took = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) - begin;
    if (took > LONG_MS) {
        vhost_pci_session_changed(ss, took);
    }
    vhost_pci_core_returned(ss, ret);
}

static void vhost_pci_event(void *opaque, QEMUChrEvent event)
{
    VhostPciSession *ss = opaque;

    switch (event) {
    case CHR_EVENT_OPENED:
        ss->open = true;
        vhost_pci_drop_connection(ss);
        vhost_pci_keep_connection(ss);
        if (ss->connection < 0) {
            vhost_pci_session_violation(ss, "no file descriptor is left");
        }
        break;
    case CHR_EVENT_CLOSED:
        ss->open = false;
        vhost_pci_drop_connection(ss);
        if (ss->ops) {
            ss->ops->closed(ss->opaque);
        }
        break;
    default:
        return;
    }
    vhost_pci_settle(ss);
}

static int vhost_pci_session_core(VhostPciSession *ss, VhostPciBase *like)
{
    const VhostPciBaseClass *k = VHOST_PCI_BASE_GET_CLASS(like);
    struct vu_config config = {
        .features = like->peer_features,
        .protocol_features = BIT_ULL(VU_PROTOCOL_F_MQ) |
                             BIT_ULL(VU_PROTOCOL_F_REPLY_ACK) |
                             BIT_ULL(VU_PROTOCOL_F_CONFIGURE_MEM_SLOTS) |
                             k->protocol_features,
        .max_queue_pairs = vhost_pci_n_rings(like) / 2,
        .max_regions = like->max_regions,
        .require_seals = !like->unsealed,
    };

    if (ss->ops) {
        config.protocol_features |= BIT_ULL(VU_PROTOCOL_F_IDENTITY);
    }
    return vu_core_init(&ss->core, &config, &vhost_pci_vu_ops, ss);
}

bool vhost_pci_session_init(VhostPciSession *ss, VhostPciBase *like,
                            CharBackend *chr, const VhostPciSessionOps *ops,
                            void *opaque, Error **errp)
{
    const char *who = vhost_pci_name(like);
    Chardev *chardev = qemu_chr_fe_get_driver(chr);

    ss->chr = chr;
    ss->ops = ops;
    ss->opaque = opaque;
    ss->connection = -1;
    if (!chardev) {
        error_setg(errp, "%s: property 'chardev' must name a socket chardev",
                   who);
        return false;
    }
    if (!qemu_chr_has_feature(chardev, QEMU_CHAR_FEATURE_FD_PASS)) {
        error_setg(errp, "%s: chardev '%s' cannot pass file descriptors; it "
                   "must be a UNIX socket", who, chardev->label);
        return false;
    }
    if (vhost_pci_session_core(ss, like) < 0) {
        error_setg(errp, "%s: %s", who, vu_core_error(&ss->core));
        return false;
    }
    ss->ration_timer = timer_new_ms(QEMU_CLOCK_REALTIME,
                                    vhost_pci_ration_timeout, ss);
    ss->quiet_timer = timer_new_ms(QEMU_CLOCK_REALTIME, vhost_pci_quiet, ss);
    if (!ops) {
        /* Create the thread before a peer comes: see vhost-pci-closer.c. */
        vhost_pci_session_closer(ss);
        vhost_pci_session_attach(ss, &like->functions[0]);
    }
    qemu_chr_fe_set_handlers(ss->chr, vhost_pci_can_read, vhost_pci_read,
                             vhost_pci_event, NULL, ss, NULL, true);
    return true;
}

void vhost_pci_session_cleanup(VhostPciSession *ss)
{
    qemu_chr_fe_set_handlers(ss->chr, NULL, NULL, NULL, NULL, NULL, NULL,
                             false);
    qemu_chr_fe_disconnect(ss->chr);
    vhost_pci_drop_connection(ss);
    ss->open = false;
    vhost_pci_settle(ss);
    vhost_pci_session_detach(ss);
    timer_free(ss->ration_timer);
    ss->ration_timer = NULL;
    timer_free(ss->quiet_timer);
    ss->quiet_timer = NULL;
    g_clear_pointer(&ss->last_violation, g_free);
    g_clear_pointer(&ss->closer, vhost_pci_closer_unref);
}
