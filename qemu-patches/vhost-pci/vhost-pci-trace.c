/*
 * vhost-pci: the end of a traced ring (vring_find.h says what that is).
 *
 * A front-end that asks where a ring stands may go on with another back-end,
 * one that does not mark each descriptor of a chain. So what says that the
 * ring is traced goes with the answer. The driver cannot see that it has to:
 * rings stop for other reasons, too, and then whoever comes after a killed VM
 * needs it. And the driver may be the one that was killed.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <sys/uio.h>
#include "qemu/mmap-alloc.h"
#include "standard-headers/linux/virtio_ring.h"
#include "vhost-pci-base.h"
#include "vring_find.h"

/*
 * The page is the peer's: where it has been taken out of its file, pread() and
 * process_vm_writev() return an error, and a store of ours would be a SIGBUS.
 */
static void vhost_pci_clear(int fd, uint64_t offset)
{
    size_t unit = qemu_fd_getpagesize(fd);
    uint64_t start = QEMU_ALIGN_DOWN(offset, unit);
    uint16_t none = 0;
    uint8_t *page = mmap(NULL, unit, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
                         start);
    struct iovec from = { &none, sizeof(none) };
    struct iovec to = { page + (offset - start), sizeof(none) };

    if (page == MAP_FAILED) {
        return;
    }
    /* It fails where the page is gone, and with it the ring. */
    (void)!process_vm_writev(getpid(), &from, 1, &to, 1, 0);
    munmap(page, unit);
}

void vhost_pci_ring_untrace(VhostPciFunction *f, unsigned int i)
{
    const VhostPciRingState *r = &f->rings[i];
    uint64_t offset;
    uint16_t off_wrap; /* the first member of what is at @used */
    int fd;

    if (!(f->core->features & BIT_ULL(VIRTIO_F_RING_PACKED)) ||
        !r->epoch || !vring_may_trace(i, r->num, f->core->features)) {
        return;
    }
    /* 4-byte aligned, or the driver would not run it: within one page. */
    fd = vhost_pci_window_file(f, r->used, sizeof(off_wrap), &offset);
    if (fd >= 0 && offset % sizeof(off_wrap) == 0 &&
        pread(fd, &off_wrap, sizeof(off_wrap), offset) == sizeof(off_wrap) &&
        le16_to_cpu(off_wrap) == VRING_TRACED) {
        vhost_pci_clear(fd, offset);
    }
}
