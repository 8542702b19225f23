/*
 * vhost-pci: the place of each ring, for the front-end and for the next driver;
 * and the end of a commit in which a driver was lost.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The place of a packed ring has two halves: the next available index and the
 * next used index. They differ while a driver writes used descriptors, from the
 * last to the first. The next driver ends such a commit, but only if that
 * driver comes before the front-end stops the ring. A front-end learns one
 * place only: it may give another one back in SET_VRING_BASE, and it may never
 * come back. So when the front-end asks, the device itself ends the commit, as
 * doc/device-spec.md, section 9, requires of drivers (vring_commit.c computes
 * the stores for both). Otherwise the peer's driver would wait for the first of
 * those used descriptors for ever, and everybody else would go on behind them.
 *
 * A driver whose memory is replaced ("revoked") is not lost: its bursts go on,
 * and do not notice at which of their stores the memory changed. The device
 * must know two things: which used descriptors may have reached the peer, and
 * which never will. So the device reads the state page twice.
 *
 *   device                                driver, in each commit
 *   1 page.revoked = next generation      a progress = its end | its begin
 *   2 barrier on all processors           b page.revoked? then give up
 *   3 note progress: "before"             c used descriptors, last to first
 *   4 replace the memory                  d progress = its end | its end
 *   5 note progress: "after"
 *
 * If a commit passed b before 2, "before" has its store at a. Any other commit
 * finds page.revoked at b and writes nothing. So one commit at most writes
 * after 3, the one that "before" shows, and:
 *   - all up to the used half of "before" has reached the peer: d follows c;
 *   - the available half of "before" ends what may have reached the peer.
 *     "After" proves nothing about that commit: from some descriptor on, its c
 *     may have gone to unused memory. Only the ring tells, at rest since 4;
 *   - the available half of "after" ends a second commit: of a driver that
 *     ignores page.revoked, or that gave up. Ending it is right for both.
 * So the device ends the commit of "before" by the ring, then what "after"
 * adds.
 *
 * The device trusts neither the ring (the peer's) nor the places (the
 * driver's). It copies descriptors once, with pread(), and writes by
 * process_vm_writev(): for a page that the peer removed from its file both
 * return an error; an access would raise SIGBUS (and hugetlbfs has no write()).
 */

#include "qemu/osdep.h"
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include "qemu/iov.h"
#include "qemu/mmap-alloc.h"
#include "standard-headers/linux/virtio_ring.h"
#include "vhost-pci-base.h"
#include "vring_commit.h"

/* The part of a used descriptor that is stored, behind its address. */
typedef struct Used {
    uint32_t len;
    uint16_t id;
    uint16_t flags;
} QEMU_PACKED Used;
QEMU_BUILD_BUG_ON(offsetof(struct vring_packed_desc, len) + sizeof(Used) !=
                  sizeof(struct vring_packed_desc));

/*
 * Limits for ending commits, in units of COMMIT_UNIT descriptors: 32768
 * descriptors at once, in all rings together, and then so many a second. (60
 * rings of 4096 in one go took 90 ms on a busy machine; this is an eighth of
 * that.) When a driver is lost, it has one commit for each thread that polls,
 * each of the length of a burst. A driver with more commits colludes with the
 * peer, to keep this thread at work.
 */
#define COMMIT_UNIT         512
#define COMMITS_BURST       64
#define COMMITS_INTERVAL_MS 5

/* Stores in pieces: from here, to the peer's ring. */
typedef struct Pieces {
    struct iovec *from;
    struct iovec *to;
    unsigned int n;
} Pieces;

bool vhost_pci_peer_read(VhostPciFunction *f, uint64_t gpa, void *buf,
                         size_t len)
{
    uint64_t offset;
    int fd = vhost_pci_window_file(f, gpa, len, &offset);

    return fd >= 0 && pread(fd, buf, len, offset) == len;
}

/* Copy @n descriptors from place @used on; the ring is at @offset of @fd. */
static bool vhost_pci_copy(struct vring_packed_desc *desc, int fd,
                           uint64_t offset, uint32_t num, uint16_t used,
                           uint32_t n)
{
    const uint64_t from = vring_place_at(used) * sizeof(*desc);
    const size_t size = n * sizeof(*desc);
    const size_t first = MIN(size, num * sizeof(*desc) - from);

    return pread(fd, desc, first, offset + from) == first &&
           pread(fd, (uint8_t *)desc + first, size - first, offset) ==
           size - first;
}

/* Each call copies as many pieces as the kernel allows. */
static bool vhost_pci_put(Pieces p)
{
    while (p.n) {
        unsigned int run = MIN(p.n, IOV_MAX);

        if (process_vm_writev(getpid(), p.from, run, p.to, run, 0) !=
            iov_size(p.from, run)) {
            return false;
        }
        p.from += run;
        p.to += run;
        p.n -= run;
    }
    return true;
}

static void vhost_pci_piece(Pieces *p, const struct vring_commit_store *store,
                            Used *used, uint8_t *ring)
{
    size_t at = store->at * sizeof(struct vring_packed_desc) +
                offsetof(struct vring_packed_desc, len);
    uint16_t flags = 1 << VRING_PACKED_DESC_F_AVAIL |
                     1 << VRING_PACKED_DESC_F_USED;
    size_t len = store->whole ? sizeof(*used) : sizeof(used->len);

    *used = (Used) {
        .id = cpu_to_le16(store->id),
        .flags = cpu_to_le16(store->wrap ? flags : 0),
    };
    p->from[p->n] = (struct iovec) { used, len };
    p->to[p->n] = (struct iovec) { ring + at, len };
    p->n++;
}

/*
 * The peer's driver waits for the last store, that of the first descriptor, and
 * reads no other descriptor before. So the order of all other stores does not
 * matter, nor whether a copy is one store: as few calls as possible copy them.
 * The last store leaves AVAIL as it is, so its last byte, which holds USED,
 * makes the descriptor a used one: this byte gets a call of its own.
 */
static bool vhost_pci_execute(const struct vring_commit_store *stores,
                              unsigned int n, uint8_t *ring)
{
    g_autofree Used *used = g_new(Used, n);
    g_autofree struct iovec *from = g_new(struct iovec, n);
    g_autofree struct iovec *to = g_new(struct iovec, n);
    const size_t but_one = sizeof(Used) - 1;
    Pieces all = { .from = from, .to = to };
    struct iovec last_from, last_to;
    unsigned int i;

    for (i = 0; i < n; i++) {
        vhost_pci_piece(&all, &stores[i], &used[i], ring);
    }
    last_from = (struct iovec) { (uint8_t *)&used[n - 1] + but_one, 1 };
    last_to = (struct iovec) { (uint8_t *)to[n - 1].iov_base + but_one, 1 };
    from[n - 1].iov_len = to[n - 1].iov_len = but_one;
    if (!vhost_pci_put(all)) {
        return false;
    }
    /* Pairs with the peer driver's barrier after reading the flags. */
    smp_wmb();
    return vhost_pci_put((Pieces) { &last_from, &last_to, 1 });
}

/* A mapping for vhost_pci_put(): the window's mapping may be revoked. */
static uint8_t *vhost_pci_map_ring(int fd, uint64_t offset, size_t len,
                                   struct iovec *map)
{
    size_t unit = qemu_fd_getpagesize(fd);
    uint64_t start = QEMU_ALIGN_DOWN(offset, unit);

    map->iov_len = QEMU_ALIGN_UP(offset + len, unit) - start;
    map->iov_base = mmap(NULL, map->iov_len, PROT_READ | PROT_WRITE, MAP_SHARED,
                         fd, start);
    return map->iov_base == MAP_FAILED ? NULL :
           (uint8_t *)map->iov_base + (offset - start);
}

static bool vhost_pci_end_commit(VhostPciFunction *f, unsigned int i,
                                 uint16_t avail, uint16_t used)
{
    const VhostPciRingState *r = &f->rings[i];
    const size_t len = r->num * sizeof(struct vring_packed_desc);
    const uint32_t length = vring_commit_length(avail, used, r->num);
    g_autofree struct vring_packed_desc *copy = g_new(struct vring_packed_desc,
                                                      length);
    g_autofree struct vring_commit_store *stores =
        g_new(struct vring_commit_store, length);
    struct iovec map;
    uint64_t offset;
    uint8_t *ring;
    int fd, n;
    bool ok;

    if (!length) {
        return true;
    }
    if (!vhost_pci_ration_left(&f->dev->commits, COMMITS_BURST,
                               COMMITS_INTERVAL_MS)) {
        vhost_pci_warn(f->dev, "%sring %u: the driver was lost in more "
                       "commits than an honest one makes", vhost_pci_which(f), i);
        return false;
    }
    vhost_pci_ration_take(&f->dev->commits, DIV_ROUND_UP(length, COMMIT_UNIT));
    fd = vhost_pci_window_file(f, r->desc, len, &offset);
    if (fd < 0 || !vhost_pci_copy(copy, fd, offset, r->num, used, length)) {
        return false;
    }
    n = vring_commit_end(copy, r->num, avail, used,
                         vring_commit_flags(i, f->core->features), stores,
                         length);
    if (n <= 0) {
        return n == 0;
    }
    ring = vhost_pci_map_ring(fd, offset, len, &map);
    if (!ring) {
        return false;
    }
    ok = vhost_pci_execute(stores, n, ring);
    munmap(map.iov_base, map.iov_len);
    return ok;
}

static bool vhost_pci_is_packed(const VhostPciFunction *f)
{
    return f->core->features & BIT_ULL(VIRTIO_F_RING_PACKED);
}

static uint64_t vhost_pci_progress(const VhostPciFunction *f, unsigned int i)
{
    /* acquire: also see what the driver stored before. */
    return le64_to_cpu(
        qatomic_load_acquire(&f->state_page->rings[i].progress));
}

/* The place in @progress if of this start of the ring, else @base. */
static uint32_t vhost_pci_page_place(const VhostPciFunction *f,
                                     const VhostPciRingState *r,
                                     uint64_t progress, uint32_t base)
{
    if (progress >> 32 == r->epoch &&
        (!vhost_pci_is_packed(f) ||
         (vring_place_is_valid(progress, r->num) &&
          vring_place_is_valid(progress >> 16, r->num)))) {
        return progress;
    }
    return base;
}

/* Read the used index first, so that the other one is not behind it. */
static uint16_t vhost_pci_split_place(VhostPciFunction *f,
                                      const VhostPciRingState *r, uint16_t base)
{
    uint16_t used, avail;

    if (!vhost_pci_peer_read(f, r->used + offsetof(struct vring_used, idx),
                             &used, sizeof(used)) ||
        !vhost_pci_peer_read(f, r->avail + offsetof(struct vring_avail, idx),
                             &avail, sizeof(avail))) {
        return base;
    }
    return vring_split_place(le16_to_cpu(avail), le16_to_cpu(used), r->num,
                             base);
}

/*
 * The driver publishes its progress once for each burst, after the used ring. A
 * driver that died between the two has returned buffers that its progress does
 * not show. In a split ring used->idx then tells the truth, because our rings
 * return buffers in the order in which they take them.
 */
uint32_t vhost_pci_ring_place(VhostPciFunction *f, unsigned int i)
{
    const VhostPciRingState *r = &f->rings[i];
    uint32_t base;

    if (r->settled || !r->epoch) {
        return r->base;
    }
    base = vhost_pci_page_place(f, r, vhost_pci_progress(f, i), r->base);
    return vhost_pci_is_packed(f) ? base : vhost_pci_split_place(f, r, base);
}

static void vhost_pci_end_or_warn(VhostPciFunction *f, unsigned int i,
                                  uint16_t avail, uint16_t used)
{
    if (avail != used && !vhost_pci_end_commit(f, i, avail, used)) {
        vhost_pci_warn(f->dev, "%sring %u: the driver was lost while it "
                       "returned buffers, and its memory cannot be written; "
                       "the peer may wait for the buffers for ever",
                       vhost_pci_which(f), i);
    }
}

static uint32_t vhost_pci_both(uint16_t place)
{
    return place | (uint32_t)place << 16;
}

uint32_t vhost_pci_ring_base(VhostPciFunction *f, unsigned int i)
{
    VhostPciRingState *r = &f->rings[i];
    uint32_t base = vhost_pci_ring_place(f, i);

    vhost_pci_ring_untrace(f, i);
    if (vhost_pci_is_packed(f) && !r->settled) {
        vhost_pci_end_or_warn(f, i, base, base >> 16);
        base = vhost_pci_both(base);
    }
    r->base = base;
    r->settled = true;
    return base;
}

bool vhost_pci_ring_has_place(const VhostPciFunction *f, unsigned int i)
{
    const struct vu_ring *v = &f->core->rings[i];
    const VhostPciRingState *r = &f->rings[i];

    return f->core->connected &&
           (r->run || (v->ran && r->epoch && r->core_epoch == v->epoch));
}

/*
 * Add @n to the used index, in the upper half of *@word. The peer's driver
 * polls the index, so no wrong value may show. The kernel's futex operation is
 * one atomic instruction, and returns an error where an access would raise
 * SIGBUS. It adds powers of two; values in between belong to the same burst.
 */
static bool vhost_pci_add_used(uint32_t *word, uint16_t n)
{
    uint32_t unused = 0;
    int bit;

    for (bit = 0; bit < 16; bit++) {
        if (n & 1 << bit &&
            syscall(__NR_futex, &unused, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0,
                    NULL, word,
                    FUTEX_OP((FUTEX_OP_OPARG_SHIFT | FUTEX_OP_ADD),
                             (16 + bit), FUTEX_OP_CMP_EQ, 0)) < 0) {
            return false;
        }
    }
    return true;
}

/* Return @n buffers of a split ring from @used on, in the order in which they
 * became available, with length 0. */
static bool vhost_pci_split_return(VhostPciFunction *f,
                                   const VhostPciRingState *r, uint16_t used,
                                   uint16_t n)
{
    const size_t len = offsetof(struct vring_used, ring) +
                       r->num * sizeof(struct vring_used_elem);
    g_autofree struct vring_used_elem *elems = g_new(struct vring_used_elem, n);
    g_autofree struct iovec *from = g_new(struct iovec, n);
    g_autofree struct iovec *to = g_new(struct iovec, n);
    struct vring_used *ring;
    struct iovec map;
    uint64_t offset;
    uint16_t i, head;
    bool ok;
    int fd = vhost_pci_window_file(f, r->used, len, &offset);

    ring = fd < 0 ? NULL : (void *)vhost_pci_map_ring(fd, offset, len, &map);
    if (!ring) {
        return false;
    }
    ok = true;
    for (i = 0; i < n && ok; i++) {
        uint16_t at = (uint16_t)(used + i) % r->num;

        ok = vhost_pci_peer_read(f, r->avail +
                                 offsetof(struct vring_avail, ring) +
                                 at * sizeof(head), &head, sizeof(head));
        elems[i] = (struct vring_used_elem) {
            .id = cpu_to_le32(le16_to_cpu(head)),
        };
        from[i] = (struct iovec) { &elems[i], sizeof(elems[i]) };
        to[i] = (struct iovec) { &ring->ring[at], sizeof(elems[i]) };
    }
    ok = ok && vhost_pci_put((Pieces) { from, to, n });
    /* Pairs with the peer driver's barrier after reading the index. */
    smp_wmb();
    ok = ok && vhost_pci_add_used((uint32_t *)ring, n);
    munmap(map.iov_base, map.iov_len);
    return ok;
}

/*
 * A split ring stands at its used index. A burst that read page.revoked early
 * has received the buffers from there to the place in "after", and may have
 * returned them into memory that nobody uses. Return them here, or the next
 * driver would receive them again. Buffers to the peer stay available.
 */
static uint32_t vhost_pci_settle_split(VhostPciFunction *f, unsigned int i)
{
    const VhostPciRingState *r = &f->rings[i];
    uint16_t used = vhost_pci_split_place(f, r, r->base);
    uint16_t after = vhost_pci_page_place(f, r, r->page_after, used);
    uint16_t n = after - used;
    uint16_t avail;

    if (!(i & 1) || n == 0 || n > MIN(r->num, VHOST_PCI_MAX_COMMIT) ||
        !vhost_pci_peer_read(f, r->avail + offsetof(struct vring_avail, idx),
                             &avail, sizeof(avail)) ||
        n > (uint16_t)(le16_to_cpu(avail) - used) ||
        !vhost_pci_split_return(f, r, used, n)) {
        return used;
    }
    return after;
}

void vhost_pci_place_init(void)
{
    /* Register early: this takes long once there are threads. */
    syscall(__NR_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0);
}

/* Warn for all functions, which share the window. The membarrier interrupts
 * processors that run the guest; Linux before 4.14 has none. */
void vhost_pci_rings_warn(VhostPciBase *s)
{
    unsigned int n;

    for (n = 0; n < s->n_functions; n++) {
        qatomic_set(&s->functions[n].state_page->revoked,
                    cpu_to_le64(s->generation + 1));
    }
    /* Pairs with the driver's order of stores and loads in a commit. */
    smp_mb();
    syscall(__NR_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
}

void vhost_pci_rings_note_before(VhostPciFunction *f)
{
    unsigned int i;

    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        f->rings[i].page_before = vhost_pci_progress(f, i);
    }
    /* Replace the memory only after these loads. */
    smp_mb();
}

void vhost_pci_rings_note_after(VhostPciFunction *f)
{
    unsigned int i;

    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        f->rings[i].page_after = vhost_pci_progress(f, i);
    }
}

static uint32_t vhost_pci_settle_packed(VhostPciFunction *f, unsigned int i)
{
    const VhostPciRingState *r = &f->rings[i];
    uint32_t before = vhost_pci_page_place(f, r, r->page_before, r->base);
    uint32_t after = vhost_pci_page_place(f, r, r->page_after, before);
    uint16_t place = before;

    vhost_pci_end_or_warn(f, i, place, before >> 16);
    /*
     * Skip the place to which a driver goes back when it gives up: if it gave
     * up the whole ring, that place looks like one more ring ahead.
     */
    if (after != vhost_pci_both(before >> 16) &&
        vring_commit_length(after, place, r->num)) {
        vhost_pci_end_or_warn(f, i, after, place);
        place = after;
    }
    return vhost_pci_both(place);
}

void vhost_pci_rings_settle(VhostPciFunction *f)
{
    unsigned int i;

    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        VhostPciRingState *r = &f->rings[i];

        if (vhost_pci_ring_has_place(f, i) && !r->settled) {
            r->base = !r->epoch ? r->base :
                      vhost_pci_is_packed(f) ? vhost_pci_settle_packed(f, i) :
                      vhost_pci_settle_split(f, i);
            r->settled = true;
        }
    }
}
