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
    unsigned int left;
    int64_t raised;             /* when @left was last raised, ms */
} VhostPciRation;

/* Something left of a ration? It holds at most @burst, from the beginning. */
bool vhost_pci_ration_left(VhostPciRation *r, unsigned int burst,
                           unsigned int interval_ms);

static inline void vhost_pci_ration_take(VhostPciRation *r)
{
    r->left -= r->left > 0;
}

/* Rationed lines in the log. */
typedef struct VhostPciLog {
    VhostPciRation ration;
    uint64_t dropped;           /* lines that were not written since the last */
} VhostPciLog;

#endif
