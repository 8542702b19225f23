/*
 * vhost-pci: rations. A peer can cause any number of events; what each of them
 * costs others is rationed: a burst at once, then one every so many
 * milliseconds.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef HW_VHOST_PCI_RATION_H
#define HW_VHOST_PCI_RATION_H

typedef struct VhostPciRation {
    int64_t left;               /* below 0: taken in advance */
    int64_t raised;             /* when @left was last raised, ms */
} VhostPciRation;

/* Something left of a ration? It holds at most @burst, from the beginning. */
bool vhost_pci_ration_left(VhostPciRation *r, unsigned int burst,
                           unsigned int interval_ms);

/* What is more than there is left is made up for later. */
static inline void vhost_pci_ration_take(VhostPciRation *r, unsigned int n)
{
    r->left -= n;
}

/* Rationed lines in the log. */
typedef struct VhostPciLog {
    VhostPciRation ration;
    uint64_t dropped;           /* lines that were not written since the last */
} VhostPciLog;

/* Write a line, "@prefix: @text", unless the ration is used up. */
bool vhost_pci_log(VhostPciLog *log, unsigned int burst,
                   unsigned int interval_ms, const char *prefix,
                   const char *text);

#endif
