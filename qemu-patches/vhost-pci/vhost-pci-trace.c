/*
 * vhost-pci: end the tracing of a ring (vring_find.h explains traced rings).
 *
 * A front-end that asks for the place of a ring may go on with another
 * back-end, which does not mark each descriptor of a chain. So when the device
 * answers, it removes the mark that says that the ring is traced. The driver
 * cannot do this. It does not know why a ring stops: after a VM was killed, the
 * next driver needs the mark. And the driver itself may have been killed.
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
 * The page belongs to the peer. If the peer has removed it from its file,
 * pread() and process_vm_writev() return an error, where a store by this
 * process would raise SIGBUS.
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
    /* If this fails, the page is gone, and the ring with it. */
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
    /*
     * The core runs only rings with 4-byte aligned parts: this is within one
     * page.
     */
    fd = vhost_pci_window_file(f, r->used, sizeof(off_wrap), &offset);
    if (fd >= 0 && offset % sizeof(off_wrap) == 0 &&
        pread(fd, &off_wrap, sizeof(off_wrap), offset) == sizeof(off_wrap) &&
        le16_to_cpu(off_wrap) == VRING_TRACED) {
        vhost_pci_clear(fd, offset);
    }
}
