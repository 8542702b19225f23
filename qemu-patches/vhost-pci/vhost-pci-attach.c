/*
 * vhost-pci: attach a session to a function of a device, and keep the memory
 * that the peer has sent before.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "vhost-pci-base.h"
#include "vhost-pci-mapping.h"

/*
 * The session holds a region that no function shows yet: the region's cookie is
 * a duplicate of the file's descriptor. Such a cookie is odd, unlike the
 * address of a mapping.
 */
static uint64_t vhost_pci_hold(int fd)
{
    return (uint64_t)fd << 1 | 1;
}

static bool vhost_pci_is_held(const struct vu_region *r)
{
    return r->cookie & 1;
}

static int vhost_pci_held_fd(const struct vu_region *r)
{
    return r->cookie >> 1;
}

int vhost_pci_session_file(const struct vu_region *r)
{
    return vhost_pci_is_held(r) ? vhost_pci_held_fd(r) :
           ((VhostPciMapping *)(uintptr_t)r->cookie)->backing->fd;
}

int vhost_pci_session_map(void *opaque, struct vu_region *r, int fd)
{
    VhostPciSession *ss = opaque;

    if (ss->function) {
        return vhost_pci_window_map(ss->function, r, fd);
    }
    fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    r->cookie = vhost_pci_hold(fd);
    return 0;
}

void vhost_pci_session_unmap(void *opaque, struct vu_region *r)
{
    VhostPciSession *ss = opaque;

    if (vhost_pci_is_held(r)) {
        vhost_pci_closer_fd(vhost_pci_session_closer(ss),
                            vhost_pci_held_fd(r));
    } else {
        vhost_pci_window_unmap(ss->function, r);
    }
}

struct vu_core *vhost_pci_no_core(void)
{
    static const struct vu_config config = {
        .max_queue_pairs = VHOST_PCI_MAX_RINGS / 2,
        .max_regions = VHOST_PCI_MAX_REGIONS,
    };
    static const struct vu_ops ops; /* is never called */
    static struct vu_core core;

    if (!core.ops) {
        vu_core_init(&core, &config, &ops, NULL);
    }
    return &core;
}

static void vhost_pci_link(VhostPciSession *ss, VhostPciFunction *f)
{
    unsigned int i;

    f->session = ss;
    f->core = &ss->core;
    /* Another core begins to count epochs anew. */
    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        f->rings[i].core_epoch = 0;
    }
}

static void vhost_pci_unlink(VhostPciFunction *f)
{
    f->session = NULL;
    f->core = vhost_pci_no_core();
}

/* Map all held regions; if one fails, map none. */
static int vhost_pci_session_show(VhostPciSession *ss, VhostPciFunction *f)
{
    struct vu_region held[VU_MAX_REGIONS];
    unsigned int n = ss->core.n_regions, i;
    int err = 0;

    memcpy(held, ss->core.regions, n * sizeof(held[0]));
    for (i = 0; i < n && err == 0; i++) {
        err = vhost_pci_window_map(f, &ss->core.regions[i],
                                   vhost_pci_held_fd(&held[i]));
    }
    if (err == 0) {
        for (i = 0; i < n; i++) {
            vhost_pci_closer_fd(vhost_pci_session_closer(ss),
                                vhost_pci_held_fd(&held[i]));
        }
        return 0;
    }
    for (i--; i-- > 0;) {
        vhost_pci_window_unmap(f, &ss->core.regions[i]);
        ss->core.regions[i] = held[i];
    }
    return err;
}

int vhost_pci_session_attach(VhostPciSession *ss, VhostPciFunction *f)
{
    int err;

    vhost_pci_link(ss, f);
    err = vhost_pci_session_show(ss, f);
    if (err < 0) {
        vhost_pci_unlink(f);
        return err;
    }
    ss->function = f;
    if (!f->exists) {
        f->exists = true;
        virtio_notify_config(VIRTIO_DEVICE(f->dev));
    }
    if (ss->core.waiting && vhost_pci_state_update(f, 0) != VU_WAIT) {
        vhost_pci_session_resume(ss);
    }
    return 0;
}

void vhost_pci_session_detach(VhostPciSession *ss)
{
    if (ss->function) {
        vhost_pci_unlink(ss->function);
        ss->function = NULL;
    }
}
