/*
 * vhost-pci: rations. A peer can cause any number of events. A ration limits
 * what the events cost others: a burst at once, then one event for each
 * interval.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VHOST_PCI_RATION_H
#define HW_VHOST_PCI_RATION_H

typedef struct VhostPciRation {
    int64_t left;               /* below 0: taken in advance */
    int64_t raised;             /* when @left was last raised, ms */
} VhostPciRation;

/*
 * Is something left of the ration? A ration holds at most @burst, and is full
 * at first.
 */
bool vhost_pci_ration_left(VhostPciRation *r, unsigned int burst,
                           unsigned int interval_ms);

/* May take more than is left; later intervals make up for that. */
static inline void vhost_pci_ration_take(VhostPciRation *r, unsigned int n)
{
    r->left -= n;
}

/* Rationed lines in the log. */
typedef struct VhostPciLog {
    VhostPciRation ration;
    uint64_t dropped;           /* lines suppressed since the last one */
} VhostPciLog;

/* Write a line, "@prefix: @text", unless the ration is used up. */
bool vhost_pci_log(VhostPciLog *log, unsigned int burst,
                   unsigned int interval_ms, const char *prefix,
                   const char *text);

#endif
