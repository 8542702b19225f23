/*
 * vhost-pci: STATE, the message with everything that the driver must know: the
 * memory of the peer, once, its functions and their rings (protocol:
 * vhost_pci.h).
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/range.h"
#include "vhost-pci-base.h"

uint32_t vhost_pci_function_status(const VhostPciFunction *f)
{
    uint32_t status = 0;
    unsigned int i;

    if (!f->core->connected) {
        return 0;
    }
    status = VHOST_PCI_S_CONNECTED;
    for (i = 0; i < f->core->n_rings; i++) {
        if (f->core->rings[i].run && !f->apart) {
            status |= VHOST_PCI_S_LINK_UP;
        }
    }
    if (vhost_pci_unshared_told(f)) {
        status |= VHOST_PCI_S_UNSHARED;
    }
    return status;
}

uint32_t vhost_pci_status(const VhostPciBase *s)
{
    uint32_t status = 0;
    unsigned int n;

    for (n = 0; n < s->n_functions; n++) {
        status |= vhost_pci_function_status(&s->functions[n]);
    }
    return status;
}

static void vhost_pci_build_ring(const VhostPciFunction *f, unsigned int i,
                                 struct vhost_pci_ring *out)
{
    const struct vu_ring *v = &f->core->rings[i];
    const VhostPciRingState *r = &f->rings[i];
    uint16_t flags = 0;

    if (v->call_fd >= 0) {
        flags |= VHOST_PCI_RING_CALL;
    }
    if (v->run && !f->dev->revoked && !f->apart) {
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

/* The index of @r in the @n regions; @n if @r is not there; -1 if @r overlaps
 * one of them. */
static int vhost_pci_find_region(const struct vhost_pci_region *regions,
                                 unsigned int n,
                                 const struct vhost_pci_region *r)
{
    unsigned int i;

    for (i = 0; i < n; i++) {
        if (!memcmp(&regions[i], r, sizeof(*r))) {
            return i;
        }
        if (ranges_overlap(le64_to_cpu(regions[i].gpa),
                           le64_to_cpu(regions[i].size),
                           le64_to_cpu(r->gpa), le64_to_cpu(r->size))) {
            return -1;
        }
    }
    return n;
}

/*
 * Add the regions of @f to the memory of @st. Returns false, and adds none, if
 * they contradict the memory that is there.
 */
static bool vhost_pci_add_regions(const VhostPciFunction *f,
                                  struct vhost_pci_state *st)
{
    unsigned int n = le16_to_cpu(st->n_regions), before = n, i;

    for (i = 0; i < f->core->n_regions; i++) {
        const struct vu_region *c = &f->core->regions[i];
        struct vhost_pci_region r = {
            .gpa = cpu_to_le64(c->gpa),
            .size = cpu_to_le64(c->size),
            .window_offset = cpu_to_le64(vhost_pci_window_offset(c)),
            .area = cpu_to_le16(VHOST_PCI_AREA_WINDOW),
        };
        int at = vhost_pci_find_region(st->regions, n, &r);

        if (at < 0 || at >= VHOST_PCI_MAX_REGIONS) {
            memset(&st->regions[before], 0,
                   (n - before) * sizeof(st->regions[0]));
            return false;
        }
        st->regions[at] = r;
        n = MAX(n, at + 1);
    }
    st->n_regions = cpu_to_le16(n);
    return true;
}

static void vhost_pci_build_function(VhostPciFunction *f,
                                     struct vhost_pci_state *st)
{
    const VhostPciBaseClass *k = VHOST_PCI_BASE_GET_CLASS(f->dev);
    struct vhost_pci_function *out = &st->functions[f->index];
    const struct vu_core *c = f->core;
    unsigned int i;

    f->apart = false;
    if (!f->exists) {
        return;
    }
    out->type = cpu_to_le16(k->type);
    out->first_ring = cpu_to_le16(f->first_ring);
    out->max_rings = cpu_to_le16(vhost_pci_n_rings(f->dev));
    if (!c->connected) {
        return;
    }
    f->apart = !vhost_pci_add_regions(f, st);
    out->n_rings = cpu_to_le16(c->n_rings);
    out->status = cpu_to_le32(vhost_pci_function_status(f));
    out->features = cpu_to_le64(c->features &
                                ~BIT_ULL(VU_F_PROTOCOL_FEATURES));
    if (k->fill_function) {
        k->fill_function(c, out);
    }
    for (i = 0; i < c->n_rings; i++) {
        vhost_pci_build_ring(f, i, &st->rings[f->first_ring + i]);
    }
}

/*
 * The peer's front-ends report a change of its memory one after the other, so
 * they may disagree until the last one has reported it. If a function
 * contradicts the functions before it, it meanwhile stands *apart*: without
 * memory, and with its rings paused.
 */
void vhost_pci_build(VhostPciBase *s, struct vhost_pci_state *st)
{
    unsigned int n;

    memset(st, 0, s->state_len);
    st->hdr.type = cpu_to_le16(VHOST_PCI_MSG_STATE);
    st->hdr.len = cpu_to_le32(s->state_len);
    st->n_functions = cpu_to_le16(s->n_functions);
    st->n_rings = cpu_to_le16(s->n_functions * vhost_pci_n_rings(s));
    for (n = 0; n < s->n_functions; n++) {
        vhost_pci_build_function(&s->functions[n], st);
    }
    st->status = cpu_to_le32(vhost_pci_status(s));
}

static bool vhost_pci_has_region(const struct vhost_pci_state *st,
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

static bool vhost_pci_ring_taken(const struct vhost_pci_ring *a,
                                 const struct vhost_pci_ring *b)
{
    return !(le16_to_cpu(b->flags) & VHOST_PCI_RING_RUN) ||
           a->desc != b->desc || a->avail != b->avail || a->used != b->used ||
           a->num != b->num || a->epoch != b->epoch;
}

/* Does @a have a region that @b lacks? */
static bool vhost_pci_lacks_region(const struct vhost_pci_state *a,
                                   const struct vhost_pci_state *b)
{
    unsigned int i;

    for (i = 0; i < le16_to_cpu(a->n_regions); i++) {
        if (!vhost_pci_has_region(b, &a->regions[i])) {
            return true;
        }
    }
    return false;
}

static bool vhost_pci_runs(const struct vhost_pci_state *st)
{
    unsigned int i;

    for (i = 0; i < le16_to_cpu(st->n_rings); i++) {
        if (le16_to_cpu(st->rings[i].flags) & VHOST_PCI_RING_RUN) {
            return true;
        }
    }
    return false;
}

static bool vhost_pci_function_taken(const struct vhost_pci_state *sent,
                                     const struct vhost_pci_state *now,
                                     unsigned int n)
{
    const struct vhost_pci_function *a = &sent->functions[n];
    unsigned int first = le16_to_cpu(a->first_ring), i;
    bool runs = false;

    for (i = first; i < first + le16_to_cpu(a->n_rings); i++) {
        if (le16_to_cpu(sent->rings[i].flags) & VHOST_PCI_RING_RUN) {
            runs = true;
            if (vhost_pci_ring_taken(&sent->rings[i], &now->rings[i])) {
                return true;
            }
        }
    }
    return runs && a->features != now->functions[n].features;
}

bool vhost_pci_takes_away(const struct vhost_pci_state *sent,
                          const struct vhost_pci_state *now)
{
    unsigned int i;

    for (i = 0; i < le16_to_cpu(sent->n_functions); i++) {
        if (vhost_pci_function_taken(sent, now, i)) {
            return true;
        }
    }
    return vhost_pci_lacks_region(sent, now);
}

bool vhost_pci_grows(const struct vhost_pci_state *sent,
                     const struct vhost_pci_state *now)
{
    return vhost_pci_runs(sent) && vhost_pci_lacks_region(now, sent);
}
