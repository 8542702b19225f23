/*
 * vhost-pci: what the driver is told of the peer, and what its
 * acknowledgements release (protocol: vhost_pci.h).
 *
 * Level triggered: @state is the present, @sent what the driver may still be
 * using. A change that takes nothing away from @sent needs nobody's consent.
 * Any other makes the core wait, until the driver acknowledged a state
 * without it, is gone, or has let the time limit pass. In the last case the
 * whole window is replaced by anonymous memory ("revoked"): the peer goes on
 * safely at once, and the driver gets everything back when it answers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/iov.h"
#include "qemu/log.h"
#include "vhost-pci-base.h"

uint32_t vhost_pci_status(const VhostPciBase *s)
{
    uint32_t status = 0;
    unsigned int i;

    if (!s->core.connected) {
        return 0;
    }
    status = VHOST_PCI_S_CONNECTED;
    for (i = 0; i < s->core.n_rings; i++) {
        if (s->core.rings[i].run) {
            status |= VHOST_PCI_S_LINK_UP;
        }
    }
    return status;
}

/* Give ring @i a new epoch that begins at @base. */
static void vhost_pci_ring_begin(VhostPciBase *s, unsigned int i, uint32_t base)
{
    VhostPciRingState *r = &s->rings[i];

    r->epoch = r->epoch == UINT32_MAX ? 1 : r->epoch + 1;
    r->base = base;
    r->settled = false;
    /* Of the STATE that is made next. */
    r->generation = s->generation + 1;
    qatomic_set(&s->state_page->rings[i].progress, 0);
}

/* Take over ring starts and stops from the core. */
static void vhost_pci_rings_follow(VhostPciBase *s)
{
    unsigned int i;

    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        const struct vu_ring *v = &s->core.rings[i];
        VhostPciRingState *r = &s->rings[i];

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
            vhost_pci_ring_begin(s, i, v->base);
        }
    }
}

/*
 * The driver lost its place, or there is a new one: let rings begin anew where
 * the last one left them, those that are paused as soon as they go on.
 */
static void vhost_pci_rings_renew(VhostPciBase *s)
{
    unsigned int i;

    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        if (vhost_pci_ring_has_place(s, i)) {
            vhost_pci_ring_begin(s, i, vhost_pci_ring_place(s, i));
        }
    }
}

static void vhost_pci_build_ring(VhostPciBase *s, unsigned int i,
                                 struct vhost_pci_ring *out)
{
    const struct vu_ring *v = &s->core.rings[i];
    const VhostPciRingState *r = &s->rings[i];
    uint16_t flags = 0;

    if (v->call_fd >= 0) {
        flags |= VHOST_PCI_RING_CALL;
    }
    if (v->run && !s->revoked) {
        flags |= VHOST_PCI_RING_RUN;
        out->desc = cpu_to_le64(v->desc);
        out->avail = cpu_to_le64(v->avail);
        out->used = cpu_to_le64(v->used);
        out->num = cpu_to_le16(v->num);
        out->base = cpu_to_le32(r->base);
        out->epoch = cpu_to_le32(r->epoch);
    }
    out->flags = cpu_to_le16(flags);
}

static void vhost_pci_build_function(const VhostPciBase *s,
                                     struct vhost_pci_function *f)
{
    const VhostPciBaseClass *k = VHOST_PCI_BASE_GET_CLASS(s);
    const struct vu_core *c = &s->core;

    f->type = cpu_to_le16(k->type);
    f->max_rings = cpu_to_le16(vhost_pci_n_rings(s));
    if (!c->connected) {
        return;
    }
    f->n_rings = cpu_to_le16(c->n_rings);
    f->status = cpu_to_le32(vhost_pci_status(s));
    f->features = cpu_to_le64(c->features &
                              ~BIT_ULL(VU_F_PROTOCOL_FEATURES));
    if (k->fill_function) {
        k->fill_function(s, f);
    }
}

static void vhost_pci_build(VhostPciBase *s, struct vhost_pci_state *st)
{
    const struct vu_core *c = &s->core;
    unsigned int i;

    memset(st, 0, s->state_len);
    st->hdr.type = cpu_to_le16(VHOST_PCI_MSG_STATE);
    st->hdr.len = cpu_to_le32(s->state_len);
    st->status = cpu_to_le32(vhost_pci_status(s));
    st->n_functions = cpu_to_le16(1);
    st->n_rings = cpu_to_le16(vhost_pci_n_rings(s));
    vhost_pci_build_function(s, &st->functions[0]);
    if (!c->connected) {
        return;
    }
    st->n_regions = cpu_to_le16(c->n_regions);
    for (i = 0; i < c->n_regions; i++) {
        st->regions[i].gpa = cpu_to_le64(c->regions[i].gpa);
        st->regions[i].size = cpu_to_le64(c->regions[i].size);
        st->regions[i].window_offset =
            cpu_to_le64(vhost_pci_window_offset(&c->regions[i]));
        st->regions[i].area = cpu_to_le16(VHOST_PCI_AREA_WINDOW);
    }
    for (i = 0; i < c->n_rings; i++) {
        vhost_pci_build_ring(s, i, &st->rings[i]);
    }
}

static bool has_region(const struct vhost_pci_state *st,
                       const struct vhost_pci_region *r)
{
    unsigned int i;

    for (i = 0; i < le16_to_cpu(st->n_regions); i++) {
        if (!memcmp(&st->regions[i], r, sizeof(*r))) {
            return true;
        }
    }
    return false;
}

/* Does @now lack anything that a driver which knows @sent may be using? */
static bool vhost_pci_takes_away(const struct vhost_pci_state *sent,
                                 const struct vhost_pci_state *now)
{
    bool runs = false;
    unsigned int i;

    for (i = 0; i < le16_to_cpu(now->n_rings); i++) {
        const struct vhost_pci_ring *a = &sent->rings[i];
        const struct vhost_pci_ring *b = &now->rings[i];

        if (!(le16_to_cpu(a->flags) & VHOST_PCI_RING_RUN)) {
            continue;
        }
        runs = true;
        if (!(le16_to_cpu(b->flags) & VHOST_PCI_RING_RUN) ||
            a->desc != b->desc || a->avail != b->avail ||
            a->used != b->used || a->num != b->num || a->epoch != b->epoch) {
            return true;
        }
    }
    for (i = 0; i < le16_to_cpu(sent->n_regions); i++) {
        if (!has_region(now, &sent->regions[i])) {
            return true;
        }
    }
    return runs &&
           sent->functions[0].features != now->functions[0].features;
}

/* Make @state the present. Returns false if it was already. */
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

int vhost_pci_state_update(void *opaque, uint32_t changed)
{
    VhostPciBase *s = opaque;
    bool wait;

    vhost_pci_rings_follow(s);
    vhost_pci_notify_sync(s);
    /* Another fd is no news for the driver, but work for the notifiers. */
    if (vhost_pci_refresh(s) || changed & VU_CHANGED_FDS) {
        vhost_pci_socket_changed(s, 1);
    }
    /*
     * Without a driver, and while it has no memory, nothing is in use. A
     * disconnect may come on top of a change that still waits.
     */
    wait = s->driver_on && !s->revoked &&
           (s->waiting || vhost_pci_takes_away(s->sent, s->state));
    vhost_pci_state_send(s);
    if (!wait) {
        return 0;
    }
    if (!s->waiting) {
        timer_mod(s->ack_timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) +
                  s->ack_timeout_ms);
    }
    s->waiting = true;
    s->wait_generation = s->generation;
    return VU_WAIT;
}

/* What the core waits for has happened. */
static void vhost_pci_wait_ends(VhostPciBase *s)
{
    if (s->waiting) {
        s->waiting = false;
        timer_del(s->ack_timer);
        vhost_pci_socket_resume(s);
    }
}

/* The driver has let go of everything: it may have its peer back. */
static void vhost_pci_unrevoke(VhostPciBase *s)
{
    s->revoked = false;
    if (!vhost_pci_window_restore(s)) {
        vhost_pci_socket_violation(s, "the memory of the peer cannot be "
                                   "mapped again");
        return;
    }
    vhost_pci_rings_renew(s);
    vhost_pci_refresh(s);
    vhost_pci_state_send(s);
}

static void vhost_pci_ack_timeout(void *opaque)
{
    VhostPciBase *s = opaque;

    s->timeouts++;
    vhost_pci_warn(s, "the driver did not acknowledge a change within %" PRIu32
                   " ms; the peer's memory is taken out of the window until "
                   "it does", s->ack_timeout_ms);
    /* In this order: see vhost-pci-place.c. */
    vhost_pci_rings_warn(s);
    vhost_pci_rings_note_before(s);
    vhost_pci_window_revoke(s);
    vhost_pci_rings_note_after(s);
    vhost_pci_rings_settle(s);
    s->revoked = true;
    /* Of the generation that the state page names, whatever it says. */
    if (!vhost_pci_refresh(s)) {
        s->state->hdr.generation = cpu_to_le64(++s->generation);
    }
    s->revoke_generation = s->generation;
    vhost_pci_state_send(s);
    vhost_pci_wait_ends(s);
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
    if (s->waiting && generation >= s->wait_generation) {
        vhost_pci_wait_ends(s);
    }
}

void vhost_pci_driver_on(VhostPciBase *s)
{
    s->driver_on = true;
    memset(s->sent, 0, s->state_len);
    s->acked_generation = s->sent_generation;
    vhost_pci_rings_renew(s);
    if (!vhost_pci_refresh(s)) {
        s->state->hdr.generation = cpu_to_le64(++s->generation);
    }
    vhost_pci_notify_driver(s);
    vhost_pci_notify_sync(s);
    /* The status register still shows the old value: send from the loop. */
    qemu_bh_schedule(s->queue_bh);
}

void vhost_pci_driver_off(VhostPciBase *s)
{
    s->driver_on = false;
    memset(s->sent, 0, s->state_len);
    vhost_pci_notify_sync(s);
    if (s->revoked) {
        vhost_pci_unrevoke(s);
    }
    vhost_pci_wait_ends(s);
}

void vhost_pci_ring_broken(VhostPciBase *s, const struct vhost_pci_broken *msg)
{
    unsigned int i = le16_to_cpu(msg->ring);
    VhostPciRingState *r;
    char *p;

    /*
     * A ring that stopped, or began anew, since the driver looked at it is
     * not the one that the driver means.
     */
    if (i >= VHOST_PCI_MAX_RINGS || !s->rings[i].run || s->revoked ||
        le64_to_cpu(msg->hdr.generation) < s->rings[i].generation) {
        return;
    }
    r = &s->rings[i];
    memcpy(r->rule, msg->rule, sizeof(r->rule));
    r->rule[sizeof(r->rule) - 1] = '\0';
    for (p = r->rule; *p; p++) {
        if (!g_ascii_isprint(*p)) {
            *p = '?';
        }
    }
    r->broken = true;
    r->run = false;
    vhost_pci_warn(s, "ring %u stopped: %s", i,
                   *r->rule ? r->rule : "the driver gave no reason");
    vu_core_break_ring(&s->core, i);
    vhost_pci_notify_error(s, i);
    vhost_pci_refresh(s);
    vhost_pci_state_send(s);
}

bool vhost_pci_state_init(VhostPciBase *s, Error **errp)
{
    s->state_len = vhost_pci_state_len(vhost_pci_n_rings(s));
    s->state = g_malloc0(s->state_len);
    s->sent = g_malloc0(s->state_len);
    vhost_pci_build(s, s->state);
    s->ack_timer = timer_new_ms(QEMU_CLOCK_REALTIME, vhost_pci_ack_timeout, s);
    vhost_pci_place_init();
    return true;
}

void vhost_pci_state_cleanup(VhostPciBase *s)
{
    timer_free(s->ack_timer);
    s->ack_timer = NULL;
    g_clear_pointer(&s->state, g_free);
    g_clear_pointer(&s->sent, g_free);
}
