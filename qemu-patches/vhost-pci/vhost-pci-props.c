/*
 * vhost-pci: the state of peer and driver as read-only properties, for
 * qom-get and for `info qtree`.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "hw/qdev-properties.h"
#include "vhost-pci-base.h"

typedef void VhostPciShow(const VhostPciBase *s, GString *out);

static void vhost_pci_show(Object *obj, Visitor *v, const char *name,
                           VhostPciShow *show, Error **errp)
{
    g_autoptr(GString) out = g_string_new(NULL);
    char *text;

    show(VHOST_PCI_BASE(obj), out);
    text = out->str;
    visit_type_str(v, name, &text, errp);
}

static void show_connected(const VhostPciBase *s, GString *out)
{
    g_string_append(out, !s->core.connected ? "no" :
                    vhost_pci_status(s) & VHOST_PCI_S_LINK_UP ?
                    "yes, link up" : "yes, link down");
}

static void show_features(const VhostPciBase *s, GString *out)
{
    g_string_append_printf(out, "0x%" PRIx64 " of 0x%" PRIx64,
                           (uint64_t)(s->core.features &
                                      ~BIT_ULL(VU_F_PROTOCOL_FEATURES)),
                           s->peer_features);
}

static void show_memory(const VhostPciBase *s, GString *out)
{
    uint64_t bytes = 0;
    unsigned int i;

    for (i = 0; i < s->core.n_regions; i++) {
        bytes += s->core.regions[i].size;
    }
    g_string_append_printf(out, "%" PRIu64 " KiB in %u regions%s", bytes / KiB,
                           s->core.n_regions, s->revoked ?
                           ", taken out of the window" : "");
}

static void show_regions(const VhostPciBase *s, GString *out)
{
    unsigned int i;

    for (i = 0; i < s->core.n_regions; i++) {
        const struct vu_region *r = &s->core.regions[i];

        g_string_append_printf(out, "%s0x%" PRIx64 "+0x%" PRIx64 "@0x%" PRIx64,
                               i ? " " : "", r->gpa, r->size,
                               vhost_pci_window_offset(r));
    }
}

static void show_rings(const VhostPciBase *s, GString *out)
{
    unsigned int i;

    for (i = 0; i < s->core.n_rings; i++) {
        const struct vu_ring *r = &s->core.rings[i];

        g_string_append_printf(out, "%s%u:%s", i ? " " : "", i,
                               s->rings[i].broken ? "broken" :
                               r->run ? "run" : "stop");
        if (r->run) {
            g_string_append_printf(out, ",size=%u,epoch=%u", r->num,
                                   s->rings[i].epoch);
        }
        if (r->call_fd >= 0) {
            g_string_append_printf(out, ",call");
        }
    }
}

static void show_generation(const VhostPciBase *s, GString *out)
{
    g_string_append_printf(out, "%" PRIu64 ", sent %" PRIu64
                           ", acknowledged %" PRIu64, s->generation,
                           s->sent_generation, s->acked_generation);
}

static void show_broken(const VhostPciBase *s, GString *out)
{
    unsigned int i;

    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        if (s->rings[i].broken) {
            g_string_append_printf(out, "%sring %u: %s", out->len ? "; " : "",
                                   i, s->rings[i].rule);
        }
    }
}

static void show_violations(const VhostPciBase *s, GString *out)
{
    g_string_append_printf(out, "%" PRIu64, s->violations);
    if (s->last_violation) {
        g_string_append_printf(out, ", last: %s", s->last_violation);
    }
}

static void show_driver(const VhostPciBase *s, GString *out)
{
    g_string_append(out, !s->driver_on ? "none" :
                    s->revoked ? "does not answer" : "ready");
    if (s->timeouts) {
        g_string_append_printf(out, ", %" PRIu64 " timeouts", s->timeouts);
    }
}

#define SHOW(_what, _description)                                           \
static void get_##_what(Object *obj, Visitor *v, const char *name,          \
                        void *opaque, Error **errp)                         \
{                                                                           \
    vhost_pci_show(obj, v, name, show_##_what, errp);                       \
}                                                                           \
const PropertyInfo vhost_pci_prop_##_what = {                               \
    .name = "str",                                                          \
    .description = _description,                                            \
    .get = get_##_what,                                                     \
}

SHOW(connected, "Whether a front-end is connected and drives a ring");
SHOW(features, "Virtio features that the peer acknowledged, and the offer");
SHOW(memory, "How much of the peer's memory is in the window");
SHOW(regions, "guest address + size @ window offset of each region");
SHOW(rings, "The peer's rings; even: it receives, odd: it transmits");
SHOW(generation, "Of the state, of what the driver was sent and acknowledged");
SHOW(broken, "Rings that the driver stopped because a rule was broken");
SHOW(violations, "Connections that were ended because a rule was broken");
SHOW(driver, "Whether the guest drives the device");
