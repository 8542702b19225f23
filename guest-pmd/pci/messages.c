/* SPDX-License-Identifier: BSD-3-Clause */

/* The messages of the pci transport to the device: ACK and BROKEN, sent as soon
 * as a buffer is free. */

#include <string.h>

#include <rte_byteorder.h>
#include <rte_string_fns.h>

#include "pci/pci.h"

/* Returns a buffer that the device no longer uses, or -ENOBUFS. */
static int
ack_buffer(struct vhostpci_pci *p)
{
	uint32_t len;
	int i;

	do {
		i = vhostpci_ctrlq_take(&p->ackq, &len);
	} while (i >= 0 || i == -EIO);
	return vhostpci_ctrlq_get(&p->ackq);
}

static bool
post_message(struct vhostpci_pci *p, struct vhost_pci_broken *m, uint16_t type,
	     uint32_t len, uint64_t generation)
{
	int i = ack_buffer(p);

	if (i < 0)
		return false;
	m->hdr.type = rte_cpu_to_le_16(type);
	m->hdr.len = rte_cpu_to_le_32(len);
	m->hdr.generation = rte_cpu_to_le_64(generation);
	memcpy(vhostpci_ctrlq_buf(&p->ackq, i), m, len);
	vhostpci_ctrlq_post(&p->ackq, i, len);
	return true;
}

bool
vhostpci_pci_flush_messages(struct vhostpci_pci *p)
{
	bool posted = false, all = true;
	struct vhost_pci_broken m;
	unsigned int i;

	for (i = 0; i < p->config.n_rings && all; i++) {
		if (p->broken[i].rule == NULL)
			continue;
		memset(&m, 0, sizeof(m));
		m.ring = rte_cpu_to_le_16(i);
		strlcpy(m.rule, p->broken[i].rule, sizeof(m.rule));
		all = post_message(p, &m, VHOST_PCI_MSG_BROKEN, sizeof(m),
				   p->broken[i].generation);
		if (all)
			p->broken[i].rule = NULL;
		posted |= all;
	}
	if (all && p->ack_pending) {
		memset(&m, 0, sizeof(m));
		all = post_message(p, &m, VHOST_PCI_MSG_ACK, sizeof(m.hdr),
				   p->ack_generation);
		p->ack_pending = !all;
		posted |= all;
	}
	if (posted)
		vhostpci_ctrlq_kick(&p->ackq);
	return all;
}

void
vhostpci_pci_send_broken(struct vhostpci_pci *p, unsigned int ring,
			 const char *rule)
{
	if (ring >= p->config.n_rings || p->gone)
		return;
	p->broken[ring].rule = rule;
	p->broken[ring].generation = p->ack_generation;
	if (!vhostpci_pci_flush_messages(p))
		vhostpci_pci_retry_later(p);
}
