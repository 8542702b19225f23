/*
 * vhost-pci: the state of the peer that the driver learns, and the effect of
 * the driver's acknowledgements (protocol: vhost_pci.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Level triggered: @state is the present, @sent is the state that the driver
 * may still be using. A change needs nobody's consent if it takes nothing from
 * @sent, and adds no memory while a ring runs. Any other change makes the core
 * wait, until the driver has acknowledged a state with the change, is gone, or
 * has exceeded the time limit. After the time limit, if the change takes
 * something away, anonymous memory replaces the whole window ("revoked"): the
 * peer goes on safely at once, and the driver gets everything back when it
 * answers.
 *
 * Functions share @state, and so the driver's answer. Each function waits for a
 * generation of its own, with a time limit of its own.
 */

#include "qemu/osdep.h"
#include "qemu/iov.h"
#include "qemu/log.h"
#include "vhost-pci-base.h"

/* Give ring @i a new epoch that begins at @base. */
static void vhost_pci_ring_begin(VhostPciFunction *f, unsigned int i,
                                 uint32_t base)
{
    VhostPciRingState *r = &f->rings[i];

    r->epoch = r->epoch == UINT32_MAX ? 1 : r->epoch + 1;
    r->base = base;
    r->settled = false;
    /* The generation of the next STATE. */
    r->generation = f->dev->generation + 1;
    qatomic_set(&f->state_page->rings[i].progress, 0);
}

/* Take over ring starts and stops from the core. */
static void vhost_pci_rings_follow(VhostPciFunction *f)
{
    unsigned int i;

    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        const struct vu_ring *v = &f->core->rings[i];
        VhostPciRingState *r = &f->rings[i];

        r->run = v->run;
        if (!v->run) {
            continue;
        }
        r->desc = v->desc;
        r->avail = v->avail;
        r->used = v->used;
        r->num = v->num;
        if (r->core_epoch != v->epoch || !r->epoch) {
            r->core_epoch = v->epoch;
            r->broken = false;
            vhost_pci_ring_begin(f, i, v->base);
        }
    }
}

/*
 * The driver lost its place, or is new: rings begin anew at the place where the
 * last driver left them. A paused ring begins when it goes on.
 */
static void vhost_pci_rings_renew(VhostPciBase *s)
{
    unsigned int n, i;

    for (n = 0; n < s->n_functions; n++) {
        VhostPciFunction *f = &s->functions[n];

        for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
            if (vhost_pci_ring_has_place(f, i)) {
                vhost_pci_ring_begin(f, i, vhost_pci_ring_place(f, i));
            }
        }
    }
}

/* Log one line for each function that begins to stand apart. */
static void vhost_pci_tell_apart(VhostPciBase *s)
{
    unsigned int n;

    for (n = 0; n < s->n_functions; n++) {
        VhostPciFunction *f = &s->functions[n];

        if (f->apart && !f->told_apart) {
            vhost_pci_warn(s, "%sits memory differs from that of the functions "
                           "before it; its rings are paused until both are "
                           "the same", vhost_pci_which(f));
        }
        f->told_apart = f->apart;
    }
}

/* Update @state to the present. Returns false if nothing has changed. */
static bool vhost_pci_refresh(VhostPciBase *s)
{
    g_autofree struct vhost_pci_state *st = g_malloc(s->state_len);
    bool status_changed;

    vhost_pci_build(s, st);
    st->hdr.generation = s->state->hdr.generation;
    if (!memcmp(st, s->state, s->state_len)) {
        return false;
    }
    status_changed = st->status != s->state->status;
    st->hdr.generation = cpu_to_le64(++s->generation);
    memcpy(s->state, st, s->state_len);
    vhost_pci_tell_apart(s);
    if (status_changed) {
        virtio_notify_config(VIRTIO_DEVICE(s));
    }
    return true;
}

void vhost_pci_state_send(VhostPciBase *s)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    VirtQueueElement *elem;

    if (!s->driver_on || s->sent_generation == s->generation) {
        return;
    }
    elem = virtqueue_pop(s->eventq, sizeof(*elem));
    if (!elem) {
        return; /* comes back when the driver has added a buffer */
    }
    if (iov_size(elem->in_sg, elem->in_num) < s->state_len) {
        virtqueue_detach_element(s->eventq, elem, 0);
        g_free(elem);
        virtio_error(vdev, "%s (peer %s): an eventq buffer is smaller than a "
                     "STATE message", vhost_pci_name(s), s->peer);
        return;
    }
    iov_from_buf(elem->in_sg, elem->in_num, 0, s->state, s->state_len);
    virtqueue_push(s->eventq, elem, s->state_len);
    g_free(elem);
    s->sent_generation = s->generation;
    memcpy(s->sent, s->state, s->state_len);
    virtio_notify(vdev, s->eventq);
}

/* Set the timer for the function that has waited longest. */
static void vhost_pci_arm(VhostPciBase *s)
{
    int64_t until = INT64_MAX;
    unsigned int n;

    for (n = 0; n < s->n_functions; n++) {
        if (s->functions[n].waiting) {
            until = MIN(until, s->functions[n].wait_until);
        }
    }
    if (until < INT64_MAX) {
        timer_mod(s->ack_timer, until);
    } else {
        timer_del(s->ack_timer);
    }
}

void vhost_pci_state_changed(VhostPciBase *s)
{
    vhost_pci_refresh(s);
    vhost_pci_state_send(s);
}

int vhost_pci_state_update(VhostPciFunction *f, uint32_t changed)
{
    VhostPciBase *s = f->dev;
    bool wait, taken;

    vhost_pci_rings_follow(f);
    vhost_pci_notify_sync(f);
    vhost_pci_unshared_follow(f);
    /* The driver learns nothing of a new fd, but the notifiers have work. */
    if (vhost_pci_refresh(s) || changed & VU_CHANGED_FDS) {
        vhost_pci_session_changed(f->session, 1);
    }
    /*
     * Nothing is in use if there is no driver, or if it has no memory. A
     * disconnect may come on top of a change that still waits.
     */
    taken = vhost_pci_takes_away(s->sent, s->state);
    wait = s->driver_on && !s->revoked &&
           (f->waiting || taken || vhost_pci_grows(s->sent, s->state));
    vhost_pci_state_send(s);
    if (!wait) {
        return 0;
    }
    f->wait_taken |= taken;
    if (!f->waiting) {
        f->waiting = true;
        f->wait_until = qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                        s->ack_timeout_ms;
        vhost_pci_arm(s);
    }
    f->wait_generation = s->generation;
    return VU_WAIT;
}

static void vhost_pci_wait_ends(VhostPciFunction *f)
{
    f->waiting = f->wait_taken = false;
    vhost_pci_arm(f->dev);
    vhost_pci_session_resume(f->session);
}

/* End the waits of all cores that wait for @generation or an earlier one. */
static void vhost_pci_waits_end(VhostPciBase *s, uint64_t generation)
{
    unsigned int n;

    for (n = 0; n < s->n_functions; n++) {
        VhostPciFunction *f = &s->functions[n];

        if (f->waiting && f->wait_generation <= generation) {
            vhost_pci_wait_ends(f);
        }
    }
}

/* The driver uses nothing any more: give it its peer back. */
static void vhost_pci_unrevoke(VhostPciBase *s)
{
    unsigned int n;

    s->revoked = false;
    if (!vhost_pci_window_restore(s)) {
        for (n = 0; n < s->n_functions; n++) {
            if (s->functions[n].session) {
                vhost_pci_session_violation(s->functions[n].session,
                                            "the memory of the peer cannot be "
                                            "mapped again");
            }
        }
        return;
    }
    vhost_pci_rings_renew(s);
    vhost_pci_state_changed(s);
}

static bool vhost_pci_is_late(const VhostPciFunction *f)
{
    return f->waiting &&
           f->wait_until <= qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
}

/*
 * Ends waits that only new memory has caused and that exceed the time limit:
 * the driver may use the memory that it had. Returns false, and ends none, if a
 * wait for something that is taken away exceeds the limit.
 */
static bool vhost_pci_grow_anyway(VhostPciBase *s)
{
    unsigned int n;

    for (n = 0; n < s->n_functions; n++) {
        if (s->functions[n].wait_taken && vhost_pci_is_late(&s->functions[n])) {
            return false;
        }
    }
    vhost_pci_warn(s, "the driver did not acknowledge new memory within %"
                   PRIu32 " ms; the peer may use it before the driver knows it",
                   s->ack_timeout_ms);
    for (n = 0; n < s->n_functions; n++) {
        /* Before the peer has its answer: the driver blames nobody then. */
        qatomic_set(&s->functions[n].state_page->grown,
                    cpu_to_le64(s->generation));
        if (!s->functions[n].wait_taken && vhost_pci_is_late(&s->functions[n])) {
            vhost_pci_wait_ends(&s->functions[n]);
        }
    }
    vhost_pci_arm(s);
    return true;
}

static void vhost_pci_ack_timeout(void *opaque)
{
    VhostPciBase *s = opaque;
    unsigned int n;

    s->timeouts++;
    if (vhost_pci_grow_anyway(s)) {
        return;
    }
    vhost_pci_warn(s, "the driver did not acknowledge a change within %" PRIu32
                   " ms; the peer's memory is taken out of the window until "
                   "it does", s->ack_timeout_ms);
    /* In this order: see vhost-pci-place.c. */
    vhost_pci_rings_warn(s);
    for (n = 0; n < s->n_functions; n++) {
        vhost_pci_rings_note_before(&s->functions[n]);
    }
    vhost_pci_window_revoke(s);
    for (n = 0; n < s->n_functions; n++) {
        vhost_pci_rings_note_after(&s->functions[n]);
        vhost_pci_rings_settle(&s->functions[n]);
    }
    s->revoked = true;
    /*
     * The new STATE must have the generation that the state page names, even if
     * nothing else has changed.
     */
    if (!vhost_pci_refresh(s)) {
        s->state->hdr.generation = cpu_to_le64(++s->generation);
    }
    s->revoke_generation = s->generation;
    vhost_pci_state_send(s);
    vhost_pci_waits_end(s, UINT64_MAX);
}

void vhost_pci_state_acked(VhostPciBase *s, uint64_t generation)
{
    if (generation > s->sent_generation || generation < s->acked_generation) {
        qemu_log_mask(LOG_GUEST_ERROR, "%s (peer %s): ACK of generation %"
                      PRIu64 ", which was not sent last\n",
                      vhost_pci_name(s), s->peer, generation);
        return;
    }
    s->acked_generation = generation;
    if (s->revoked && generation >= s->revoke_generation) {
        vhost_pci_unrevoke(s);
    }
    vhost_pci_waits_end(s, generation);
}

void vhost_pci_driver_on(VhostPciBase *s)
{
    unsigned int n;

    s->driver_on = true;
    memset(s->sent, 0, s->state_len);
    s->acked_generation = s->sent_generation;
    vhost_pci_rings_renew(s);
    if (!vhost_pci_refresh(s)) {
        s->state->hdr.generation = cpu_to_le64(++s->generation);
    }
    vhost_pci_notify_driver(s);
    for (n = 0; n < s->n_functions; n++) {
        vhost_pci_notify_sync(&s->functions[n]);
    }
    /*
     * The status register still shows the old value, so send from the main
     * loop.
     */
    qemu_bh_schedule(s->queue_bh);
}

void vhost_pci_driver_off(VhostPciBase *s)
{
    unsigned int n;

    s->driver_on = false;
    memset(s->sent, 0, s->state_len);
    for (n = 0; n < s->n_functions; n++) {
        vhost_pci_notify_sync(&s->functions[n]);
    }
    if (s->revoked) {
        vhost_pci_unrevoke(s);
    }
    vhost_pci_waits_end(s, UINT64_MAX);
}

void vhost_pci_ring_broken(VhostPciBase *s, const struct vhost_pci_broken *msg)
{
    unsigned int i;
    VhostPciFunction *f = vhost_pci_find_ring(s, le16_to_cpu(msg->ring), &i);
    VhostPciRingState *r;
    char *p;

    /*
     * If the ring has stopped or begun anew since the driver looked at it, the
     * driver means another ring.
     */
    if (!f || !f->rings[i].run || s->revoked ||
        le64_to_cpu(msg->hdr.generation) < f->rings[i].generation) {
        return;
    }
    r = &f->rings[i];
    memcpy(r->rule, msg->rule, sizeof(r->rule));
    r->rule[sizeof(r->rule) - 1] = '\0';
    for (p = r->rule; *p; p++) {
        if (!g_ascii_isprint(*p)) {
            *p = '?';
        }
    }
    r->broken = true;
    r->run = false;
    vhost_pci_warn(s, "%sring %u stopped: %s", vhost_pci_which(f), i,
                   *r->rule ? r->rule : "the driver gave no reason");
    vu_core_break_ring(f->core, i);
    vhost_pci_notify_error(f, i);
    vhost_pci_state_changed(s);
}

bool vhost_pci_state_init(VhostPciBase *s, Error **errp)
{
    unsigned int n;

    s->state_len = vhost_pci_state_len(s->n_functions * vhost_pci_n_rings(s));
    s->state = g_malloc0(s->state_len);
    s->sent = g_malloc0(s->state_len);
    vhost_pci_build(s, s->state);
    s->ack_timer = timer_new_ms(QEMU_CLOCK_REALTIME, vhost_pci_ack_timeout, s);
    vhost_pci_place_init();
    for (n = 0; n < s->n_functions; n++) {
        vhost_pci_unshared_init(&s->functions[n]);
    }
    return true;
}

void vhost_pci_state_cleanup(VhostPciBase *s)
{
    unsigned int n;

    for (n = 0; n < s->n_functions; n++) {
        vhost_pci_unshared_cleanup(&s->functions[n]);
    }
    timer_free(s->ack_timer);
    s->ack_timer = NULL;
    g_clear_pointer(&s->state, g_free);
    g_clear_pointer(&s->sent, g_free);
}
