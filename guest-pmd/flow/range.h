/* SPDX-License-Identifier: BSD-3-Clause */

/* Masks and ranges of rte_flow's items, as bytes. */

#ifndef VHOSTPCI_FLOW_RANGE_H
#define VHOSTPCI_FLOW_RANGE_H

#include "flow/key.h"

static inline bool
vhostpci_flow_all_zero(const void *data, size_t len)
{
	const uint8_t *p = data;
	size_t i;

	for (i = 0; i < len; i++)
		if (p[i] != 0)
			return false;
	return true;
}

/* Does @last add nothing to @spec, so that both name one value? */
static inline bool
vhostpci_flow_is_point(const void *spec, const void *last, size_t len)
{
	const uint8_t *s = spec, *l = last;
	size_t i;

	for (i = 0; i < len; i++)
		if (l[i] != 0 && l[i] != s[i])
			return false;
	return true;
}

/* Only the 16 bits at @at may have a range. Sets *@end to the end of this range, or
 * to 0 if there is none. Returns false if another field has a range. */
static inline bool
vhostpci_flow_get_range(const void *spec, const void *last, size_t len,
			size_t at, uint16_t *end)
{
	const uint8_t *s = spec, *l = last;

	*end = 0;
	if (last == NULL)
		return true;
	*end = vhostpci_flow_get16(l + at);
	if (*end == vhostpci_flow_get16(s + at))
		*end = 0;
	*end = rte_be_to_cpu_16(*end);
	return vhostpci_flow_is_point(s, l, at) &&
		vhostpci_flow_is_point(s + at + 2, l + at + 2, len - at - 2);
}

#endif
