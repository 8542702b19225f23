/*
 * vhost-pci: query-vhost-pci of a QEMU without the device.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/qapi-commands-vhost-pci.h"

VhostPciInfo *qmp_query_vhost_pci(Error **errp)
{
    return g_new0(VhostPciInfo, 1);
}
