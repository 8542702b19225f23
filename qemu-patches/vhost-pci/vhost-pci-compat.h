/*
 * vhost-pci: the differences between the versions of QEMU in which the device
 * is built (tools/releases.sh). The other files do not ask for the version.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VHOST_PCI_COMPAT_H
#define HW_VHOST_PCI_COMPAT_H

#include "hw/qdev-properties.h"
#include "qapi/error.h"
#include "migration/blocker.h"

/*
 * 10.0 renamed "sysemu" to "system". Since 8.2 every KVM has eventfds, and QEMU
 * counts memory slots.
 */
#if QEMU_VERSION_MAJOR < 10
#include "sysemu/kvm.h"
#else
#include "system/kvm.h"
#define kvm_eventfds_enabled() kvm_enabled()
#define kvm_has_free_slot(machine) (kvm_get_free_memslots() > 0)
#define vhost_has_free_slot() (vhost_get_free_memslots() > 0)
#endif

/* The member of PropertyInfo that names its type. */
#if QEMU_VERSION_MAJOR < 10
#define VHOST_PCI_INFO_TYPE name
#else
#define VHOST_PCI_INFO_TYPE type
#endif

/*
 * Since 10.0 an array of properties has a size instead of an end. The arrays of
 * these files have an end, which the size does not count.
 */
#if QEMU_VERSION_MAJOR >= 10
#define DEFINE_PROP_END_OF_LIST() {}
#undef device_class_set_props
#define device_class_set_props(dc, props) \
    device_class_set_props_n(dc, props, ARRAY_SIZE(props) - 1)
#endif

/* 10.0 moved the headers of QObject. */
#if QEMU_VERSION_MAJOR < 10
#include "qapi/qmp/qdict.h"
#else
#include "qobject/qdict.h"
#endif

/* Since 8.2 the size of a UUID's text counts the NUL that ends it. */
#if QEMU_VERSION_MAJOR < 10
#define UUID_STR_LEN (UUID_FMT_LEN + 1)
#endif

/*
 * The value of a socket's address of type "fd". Since 9.0 it has its own name.
 */
#if QEMU_VERSION_MAJOR < 10
#define VhostPciFdAddress String
#else
#define VhostPciFdAddress FdSocketAddress
#endif

/*
 * An optional member or argument that is a pointer. Since 8.0 NULL says that it
 * is absent; before, a bool said so.
 */
#if QEMU_VERSION_MAJOR < 10
#define VHOST_PCI_SET(object, member, value) \
    ((object)->has_##member = true, (object)->member = (value))
#define vhost_pci_send_refused(server, reason, name, peer) \
    qapi_event_send_vhost_pci_peer_refused(server, reason, (name) != NULL, \
                                           name, (peer) != NULL, peer)
#else
#define VHOST_PCI_SET(object, member, value) ((object)->member = (value))
#define vhost_pci_send_refused qapi_event_send_vhost_pci_peer_refused
#endif

/*
 * The caller owns *@reason, why migration is blocked, and keeps it afterwards.
 * Since 8.2 QEMU's functions free it.
 */
static inline int vhost_pci_block_migration(Error **reason, Error **errp)
{
#if QEMU_VERSION_MAJOR < 10
    return migrate_add_blocker(*reason, errp);
#else
    Error *kept = error_copy(*reason);
    int rc = migrate_add_blocker(reason, errp);

    if (rc < 0) {
        *reason = kept;
    } else {
        error_free(kept);
    }
    return rc;
#endif
}

static inline void vhost_pci_unblock_migration(Error **reason)
{
#if QEMU_VERSION_MAJOR < 10
    migrate_del_blocker(*reason);
#else
    Error *kept = error_copy(*reason);

    migrate_del_blocker(reason);
    *reason = kept;
#endif
}

#endif
