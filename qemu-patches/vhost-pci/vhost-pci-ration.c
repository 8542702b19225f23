/*
 * vhost-pci: rations, and the rationed log.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/timer.h"
#include "vhost-pci-base.h"

/* Limits for lines in the log: a burst at once, then one for each interval. */
#define LOG_BURST       100
#define LOG_INTERVAL_MS 100

bool vhost_pci_ration_left(VhostPciRation *r, unsigned int burst,
                           unsigned int interval_ms)
{
    int64_t now = qemu_clock_get_ms(QEMU_CLOCK_REALTIME);
    int64_t earned = (now - r->raised) / interval_ms;

    if (!r->raised) {
        r->left = burst;
        r->raised = now;
    } else if (earned > 0) {
        r->left = MIN(r->left + earned, burst);
        /* The rest of an interval goes on counting. */
        r->raised += earned * interval_ms;
    }
    return r->left > 0;
}

bool vhost_pci_log(VhostPciLog *log, unsigned int burst,
                   unsigned int interval_ms, const char *prefix,
                   const char *text)
{
    if (!vhost_pci_ration_left(&log->ration, burst, interval_ms)) {
        log->dropped++;
        return false;
    }
    vhost_pci_ration_take(&log->ration, 1);
    if (log->dropped) {
        warn_report("%s: %" PRIu64 " more lines were not written", prefix,
                    log->dropped);
        log->dropped = 0;
    }
    warn_report("%s: %s", prefix, text);
    return true;
}

void vhost_pci_warn(VhostPciBase *s, const char *fmt, ...)
{
    g_autofree char *prefix = g_strdup_printf("%s-pci (peer %s)",
                                              vhost_pci_name(s), s->peer);
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    vhost_pci_log(&s->log, LOG_BURST, LOG_INTERVAL_MS, prefix, text);
}

const char *vhost_pci_which(const VhostPciFunction *f)
{
    static const char *const names[VHOST_PCI_MAX_FUNCTIONS] = {
        "", "function 1: ", "function 2: ", "function 3: ", "function 4: ",
        "function 5: ", "function 6: ", "function 7: ",
    };

    return names[f->index];
}
