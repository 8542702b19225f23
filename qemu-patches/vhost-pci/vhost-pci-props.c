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

typedef void VhostPciShow(const VhostPciFunction *f, GString *out);

/* For a device with one function the text of @show; otherwise "0: ..., 1: ..."
 * for the functions whose text is not empty. */
static void vhost_pci_show_functions(const VhostPciBase *s, VhostPciShow *show,
                                     GString *out)
{
    unsigned int n;

    for (n = 0; n < s->n_functions; n++) {
        g_autoptr(GString) one = g_string_new(NULL);

        show(&s->functions[n], one);
        if (s->n_functions == 1) {
            g_string_append(out, one->str);
        } else if (one->len && s->functions[n].exists) {
            g_string_append_printf(out, "%s%u: %s", out->len ? "; " : "", n,
                                   one->str);
        }
    }
}

static void show_connected(const VhostPciFunction *f, GString *out)
{
    g_string_append(out, !f->core->connected ? "no" :
                    vhost_pci_function_status(f) & VHOST_PCI_S_LINK_UP ?
                    "yes, link up" : "yes, link down");
}

static void show_features(const VhostPciFunction *f, GString *out)
{
    g_string_append_printf(out, "0x%" PRIx64 " of 0x%" PRIx64,
                           (uint64_t)(f->core->features &
                                      ~BIT_ULL(VU_F_PROTOCOL_FEATURES)),
                           f->dev->peer_features);
}

static void show_memory(const VhostPciFunction *f, GString *out)
{
    uint64_t bytes = 0;
    unsigned int i;

    for (i = 0; i < f->core->n_regions; i++) {
        bytes += f->core->regions[i].size;
    }
    g_string_append_printf(out, "%" PRIu64 " KiB in %u regions%s", bytes / KiB,
                           f->core->n_regions, f->dev->revoked ?
                           ", taken out of the window" : "");
}

static void show_regions(const VhostPciFunction *f, GString *out)
{
    unsigned int i;

    for (i = 0; i < f->core->n_regions; i++) {
        const struct vu_region *r = &f->core->regions[i];

        g_string_append_printf(out, "%s0x%" PRIx64 "+0x%" PRIx64 "@0x%" PRIx64,
                               i ? " " : "", r->gpa, r->size,
                               vhost_pci_window_offset(r));
    }
}

static void show_rings(const VhostPciFunction *f, GString *out)
{
    unsigned int i;

    for (i = 0; i < f->core->n_rings; i++) {
        const struct vu_ring *r = &f->core->rings[i];

        g_string_append_printf(out, "%s%u:%s", i ? " " : "", i,
                               f->rings[i].broken ? "broken" :
                               r->run ? "run" : "stop");
        if (r->run) {
            g_string_append_printf(out, ",size=%u,epoch=%u", r->num,
                                   f->rings[i].epoch);
        }
        if (r->call_fd >= 0) {
            g_string_append_printf(out, ",call");
        }
    }
}

static void show_broken(const VhostPciFunction *f, GString *out)
{
    unsigned int i;

    for (i = 0; i < VHOST_PCI_MAX_RINGS; i++) {
        if (f->rings[i].broken) {
            g_string_append_printf(out, "%sring %u: %s", out->len ? "; " : "",
                                   i, f->rings[i].rule);
        }
    }
}

static void show_violations(const VhostPciFunction *f, GString *out)
{
    const VhostPciSession *ss = f->session;

    g_string_append_printf(out, "%" PRIu64, ss ? ss->violations : 0);
    if (ss && ss->last_violation) {
        g_string_append_printf(out, ", last: %s", ss->last_violation);
    }
}

static void show_generation(const VhostPciBase *s, GString *out)
{
    g_string_append_printf(out, "%" PRIu64 ", sent %" PRIu64
                           ", acknowledged %" PRIu64, s->generation,
                           s->sent_generation, s->acked_generation);
}

static void show_driver(const VhostPciBase *s, GString *out)
{
    g_string_append(out, !s->driver_on ? "none" :
                    s->revoked ? "does not answer" : "ready");
    if (s->timeouts) {
        g_string_append_printf(out, ", %" PRIu64 " timeouts", s->timeouts);
    }
}

static void show_kicks(const VhostPciBase *s, GString *out)
{
    g_string_append_printf(out, "%" PRIu64 " interrupts raised, %" PRIu64
                           " times held back", s->kicks_raised, s->kicks_held);
}

/* The properties of a function, and those of the device. */
#define SHOW(_what, _description, _call)                                    \
static void get_##_what(Object *obj, Visitor *v, const char *name,          \
                        void *opaque, Error **errp)                         \
{                                                                           \
    const VhostPciBase *s = VHOST_PCI_BASE(obj);                            \
    g_autoptr(GString) out = g_string_new(NULL);                            \
                                                                            \
    _call;                                                                  \
    visit_type_str(v, name, &out->str, errp);                               \
}                                                                           \
const PropertyInfo vhost_pci_prop_##_what = {                               \
    .VHOST_PCI_INFO_TYPE = "str",                                           \
    .description = _description,                                            \
    .get = get_##_what,                                                     \
}
#define SHOW_FUNCTION(_what, _description)                                  \
    SHOW(_what, _description, vhost_pci_show_functions(s, show_##_what, out))
#define SHOW_DEVICE(_what, _description)                                    \
    SHOW(_what, _description, show_##_what(s, out))

SHOW_FUNCTION(connected, "Whether a front-end is connected and drives a ring");
SHOW_FUNCTION(features,
              "Virtio features that the peer acknowledged, and the offer");
SHOW_FUNCTION(memory, "How much of the peer's memory is in the window");
SHOW_FUNCTION(regions, "guest address + size @ window offset of each region");
SHOW_FUNCTION(rings, "The peer's rings; even: it receives, odd: it transmits");
SHOW_DEVICE(generation,
            "Generations: the state's, last sent, last acknowledged");
SHOW_FUNCTION(broken,
              "Rings that the driver stopped because a rule was broken");
SHOW_FUNCTION(violations,
              "Connections that were ended because a rule was broken");
SHOW_DEVICE(kicks, "Interrupts for the peer's kicks");
SHOW_DEVICE(driver, "Whether the guest drives the device");
