/*
 * vhost-pci-net: where a ring stands, for the front-end and for the driver that
 * comes next; and the end of a commit in which a driver was lost.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A packed ring's place has two halves: the next available index and the next
 * used one. They differ while a driver writes used descriptors, last to first.
 * The next driver ends what was begun, but only if there is one before the
 * front-end stops the ring: a front-end is told one place, since what it gives
 * back in SET_VRING_BASE is not always what it was told, and it may never come
 * back. So when it asks, the device ends the commit, as doc/device-spec.md,
 * section 9, asks of drivers. Left alone, the peer's driver would wait for the
 * first of those used descriptors for ever, and everybody else would go on
 * behind them.
 *
 * The ring is the peer's, the places are the driver's: neither is trusted. The
 * ring is copied once, with pread(), and written with process_vm_writev(): both
 * return an error for a page that the peer has taken out of its file, where an
 * access of our own would be a SIGBUS (and hugetlbfs has no write()).
 */

#include "qemu/osdep.h"
#include <sys/uio.h>
#include "qemu/mmap-alloc.h"
#include "standard-headers/linux/virtio_config.h"
#include "standard-headers/linux/virtio_net.h"
#include "standard-headers/linux/virtio_ring.h"
#include "vhost-pci-net.h"

#define PLACE_AT(_place)    ((_place) & 0x7fff)
#define PLACE_WRAP(_place)  (((_place) & 0x8000) != 0)

#define F_AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define F_USED  (1u << VRING_PACKED_DESC_F_USED)

/* A used descriptor to be written. */
typedef struct Used {
    uint16_t at;
    uint16_t id;
    bool wrap;
} Used;

/* On the way from the next used index to the next available one. */
typedef struct Walk {
    uint32_t at;
    uint32_t left;      /* descriptors up to the end */
    bool wrap;
} Walk;

typedef struct Commit {
    const struct vring_packed_desc *desc;   /* our copy of the ring */
    uint32_t num;
    uint8_t *peer;                          /* the peer's, never accessed */
    Used *used;
    uint32_t n_used;
} Commit;

static bool vhost_pci_read(VhostPciNet *s, uint64_t gpa, void *buf, size_t len)
{
    uint64_t offset;
    int fd = vhost_pci_window_file(s, gpa, len, &offset);

    return fd >= 0 && pread(fd, buf, len, offset) == len;
}

/* Write descriptor @at from byte @from on. */
static bool vhost_pci_put(const Commit *c, uint32_t at, size_t from,
                          const void *buf, size_t len)
{
    struct iovec local = { (void *)buf, len };
    struct iovec remote = {
        c->peer + at * sizeof(struct vring_packed_desc) + from, len
    };

    return process_vm_writev(getpid(), &local, 1, &remote, 1, 0) == len;
}

/*
 * How many descriptors lie between two places. 0: none, or these are no places
 * of one commit.
 */
static uint32_t vhost_pci_distance(uint16_t from, uint16_t to, uint32_t num)
{
    int32_t n = PLACE_AT(to) - PLACE_AT(from);

    if (PLACE_WRAP(to) != PLACE_WRAP(from)) {
        n += num;
    }
    return n > 0 && n <= num ? n : 0;
}

static uint16_t vhost_pci_flags(const Commit *c, uint32_t at)
{
    return le16_to_cpu(c->desc[at].flags);
}

static bool vhost_pci_is_used(const Commit *c, const Walk *w)
{
    return (vhost_pci_flags(c, w->at) & (F_AVAIL | F_USED)) ==
           (w->wrap ? F_AVAIL | F_USED : 0);
}

static void vhost_pci_step(const Commit *c, Walk *w, uint32_t n)
{
    w->left -= n;
    w->at += n;
    if (w->at >= c->num) {
        w->at -= c->num;
        w->wrap = !w->wrap;
    }
}

/* Length of the chain at @w and its buffer id; 0: there is none, or it does not
 * end within the commit. */
static uint32_t vhost_pci_chain(const Commit *c, const Walk *w, uint16_t *id)
{
    uint32_t at = w->at, n = 1;

    if ((vhost_pci_flags(c, at) & (F_AVAIL | F_USED)) !=
        (w->wrap ? F_AVAIL : F_USED)) {
        return 0;
    }
    while (vhost_pci_flags(c, at) & VRING_DESC_F_NEXT) {
        if (n == w->left) {
            return 0;
        }
        n++;
        at = at + 1 == c->num ? 0 : at + 1;
    }
    *id = le16_to_cpu(c->desc[at].id);
    return n;
}

/* Find the chains that were not returned yet; @w ends behind them. */
static void vhost_pci_walk(Commit *c, Walk *w)
{
    while (w->left && !vhost_pci_is_used(c, w)) {
        Used *used = &c->used[c->n_used];
        uint32_t n = vhost_pci_chain(c, w, &used->id);

        if (!n) {
            return;
        }
        used->at = w->at;
        used->wrap = w->wrap;
        c->n_used++;
        vhost_pci_step(c, w, n);
    }
}

/* What was returned, from @w on, is the rest of a packet. */
static bool vhost_pci_forget_lengths(const Commit *c, Walk w)
{
    const uint32_t none = 0;
    bool ok = true;

    for (; ok && w.left; vhost_pci_step(c, &w, 1)) {
        if (vhost_pci_is_used(c, &w)) {
            ok = vhost_pci_put(c, w.at, offsetof(struct vring_packed_desc, len),
                               &none, sizeof(none));
        }
    }
    return ok;
}

/*
 * The copy is not one store. AVAIL stays as it is, so it is the last byte,
 * with USED in it, that makes the descriptor a used one.
 */
static bool vhost_pci_put_used(const Commit *c, const Used *u)
{
    struct vring_packed_desc desc = {
        .id = cpu_to_le16(u->id),
        .flags = cpu_to_le16(u->wrap ? F_AVAIL | F_USED : 0),
    };
    const size_t from = offsetof(struct vring_packed_desc, len);
    const size_t last = sizeof(desc) - 1;
    const uint8_t *bytes = (const uint8_t *)&desc;

    if (!vhost_pci_put(c, u->at, from, bytes + from, last - from)) {
        return false;
    }
    /* Pairs with the peer's driver's barrier behind its look at the flags. */
    smp_wmb();
    return vhost_pci_put(c, u->at, last, bytes + last, 1);
}

static bool vhost_pci_end(Commit *c, unsigned int i, uint64_t features, Walk w)
{
    bool rx = !(i & 1);     /* the peer receives */
    bool ok = true;

    vhost_pci_walk(c, &w);
    if (!c->n_used) {
        return true;
    }
    if (!rx && features & BIT_ULL(VIRTIO_F_IN_ORDER)) {
        /* One for all of them, with the last one's id. */
        c->used[0].id = c->used[c->n_used - 1].id;
        c->n_used = 1;
    }
    if (rx && features & BIT_ULL(VIRTIO_NET_F_MRG_RXBUF)) {
        ok = vhost_pci_forget_lengths(c, w);
    }
    while (ok && c->n_used) {
        ok = vhost_pci_put_used(c, &c->used[--c->n_used]);
    }
    return ok;
}

/* A mapping for vhost_pci_put(): the window's may be revoked. */
static bool vhost_pci_map_ring(Commit *c, int fd, uint64_t offset, size_t len,
                               struct iovec *map)
{
    size_t unit = qemu_fd_getpagesize(fd);
    uint64_t start = QEMU_ALIGN_DOWN(offset, unit);

    map->iov_len = QEMU_ALIGN_UP(offset + len, unit) - start;
    map->iov_base = mmap(NULL, map->iov_len, PROT_READ | PROT_WRITE, MAP_SHARED,
                         fd, start);
    c->peer = (uint8_t *)map->iov_base + (offset - start);
    return map->iov_base != MAP_FAILED;
}

static bool vhost_pci_end_commit(VhostPciNet *s, unsigned int i, uint16_t avail,
                                 uint16_t used)
{
    const VhostPciRingState *r = &s->rings[i];
    const size_t len = r->num * sizeof(struct vring_packed_desc);
    g_autofree struct vring_packed_desc *copy = g_malloc0(len);
    g_autofree Used *list = g_new(Used, r->num);
    Walk w = {
        .at = PLACE_AT(used), .wrap = PLACE_WRAP(used),
        .left = vhost_pci_distance(used, avail, r->num),
    };
    Commit c = { .desc = copy, .num = r->num, .used = list };
    struct iovec map;
    uint64_t offset;
    int fd;
    bool ok;

    if (!w.left) {
        return true;
    }
    fd = vhost_pci_window_file(s, r->desc, len, &offset);
    if (fd < 0 || pread(fd, copy, len, offset) != len ||
        !vhost_pci_map_ring(&c, fd, offset, len, &map)) {
        return false;
    }
    ok = vhost_pci_end(&c, i, s->core.features, w);
    munmap(map.iov_base, map.iov_len);
    return ok;
}

static bool vhost_pci_is_packed(const VhostPciNet *s)
{
    return s->core.features & BIT_ULL(VIRTIO_F_RING_PACKED);
}

/*
 * The driver publishes its progress once a burst, after the used ring: one that
 * died between the two has returned buffers that its progress does not show. In
 * a split ring used->idx tells the truth then, because our rings return buffers
 * in the order in which they take them.
 */
uint32_t vhost_pci_ring_place(VhostPciNet *s, unsigned int i)
{
    const VhostPciRingState *r = &s->rings[i];
    uint64_t progress = le64_to_cpu(
        qatomic_read(&s->state_page->rings[i].progress));
    uint32_t base = r->base;
    uint16_t used;

    if (r->settled) {
        return base;
    }
    if (r->epoch && progress >> 32 == r->epoch &&
        (!vhost_pci_is_packed(s) || (PLACE_AT(progress) < r->num &&
                                     PLACE_AT(progress >> 16) < r->num))) {
        base = progress;
    }
    if (vhost_pci_is_packed(s)) {
        return base;
    }
    base &= UINT16_MAX;
    if (r->used &&
        vhost_pci_read(s, r->used + offsetof(struct vring_used, idx), &used,
                       sizeof(used))) {
        used = le16_to_cpu(used);
        if ((uint16_t)(used - base) <= r->num) {
            base = used;
        }
    }
    return base;
}

uint32_t vhost_pci_ring_base(void *opaque, unsigned int i)
{
    VhostPciNet *s = opaque;
    VhostPciRingState *r = &s->rings[i];
    uint32_t base = vhost_pci_ring_place(s, i);
    uint16_t avail = base, used = base >> 16;

    if (vhost_pci_is_packed(s) && !r->settled) {
        if (avail != used && !vhost_pci_end_commit(s, i, avail, used)) {
            vhost_pci_warn(s, "ring %u: the driver was lost while it returned "
                           "buffers, and its memory cannot be written; the "
                           "peer may wait for them for ever", i);
        }
        base = avail | (uint32_t)avail << 16;
    }
    r->base = base;
    r->settled = true;
    return base;
}

bool vhost_pci_ring_has_place(const VhostPciNet *s, unsigned int i)
{
    const struct vu_ring *v = &s->core.rings[i];
    const VhostPciRingState *r = &s->rings[i];

    return s->core.connected &&
           (r->run || (v->ran && r->epoch && r->core_epoch == v->epoch));
}

void vhost_pci_rings_settle(VhostPciNet *s)
{
    unsigned int i;

    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        if (vhost_pci_ring_has_place(s, i)) {
            vhost_pci_ring_base(s, i);
        }
    }
}
