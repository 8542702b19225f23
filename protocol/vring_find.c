/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Find the place of a packed ring in the ring itself: see vring_find.h.
 *
 * Step 1: the driver's place. The AVAIL flag of a descriptor is the wrap
 * counter of the lap in which the driver last made the descriptor available; a
 * used descriptor keeps the flag. Let w be the driver's wrap counter.
 * Descriptors before the driver's place have the flag w; the place and all
 * later ones have !w. So the flags change once in the ring. Two things disturb
 * these flags: a chain whose first descriptor the driver has not made available
 * yet, and chains that the driver makes available while the caller reads the
 * ring. Both disturb only descriptors behind the driver's place; the descriptor
 * at the place still has !w. If less than half of the ring is disturbed, at
 * most one place fits:
 *
 *	Assume that two places fit: a, and b = a + n with 0 < n <= num, counted
 *	across laps. The two expect different flags in [a, b). So each
 *	descriptor in [a, b) is disturbed either for a or for b. The descriptor
 *	at a is not disturbed for a, so it is disturbed for b. Thus, one lap
 *	later, it is one of the num / 2 - 1 descriptors behind b: n > num / 2.
 *	But then b - 1 is disturbed neither for a nor for b: b - 1 is not one of
 *	the num / 2 - 1 descriptors behind a, and is the last one behind b.
 *
 * Step 2: the device's place. Go back from the driver's place: the first
 * descriptor that is not available in its lap is the last one of the last
 * commit, and the device's place is right behind this descriptor. If a
 * descriptor before it is available, the device did not finish that commit.
 * This step counts disturbed descriptors as used: the driver reuses a
 * descriptor only after it saw the device's used mark.
 */

#include <endian.h>

#include "vring_find.h"

#define F_AVAIL	(1u << VRING_PACKED_DESC_F_AVAIL)
#define F_USED	(1u << VRING_PACKED_DESC_F_USED)

static bool
avail_bit(const uint16_t *flags, uint32_t i)
{
	return le16toh(flags[i]) & F_AVAIL;
}

/* Do all descriptors of [from, to) have the AVAIL flag @bit? ones[i] is the
 * number of descriptors before i that have the flag set. */
static bool
all_are(const uint16_t *ones, uint32_t from, uint32_t to, bool bit)
{
	return from >= to ||
		(uint32_t)(ones[to] - ones[from]) == (bit ? to - from : 0);
}

/* Can the driver be at descriptor @at with wrap counter @wrap? */
static bool
fits(const uint16_t *ones, uint32_t num, uint32_t at, bool wrap)
{
	/* The first descriptor behind those that may be disturbed. */
	uint32_t rest = at + (num > 1 ? num / 2 : 1);

	if (!all_are(ones, at, at + 1, !wrap))
		return false;
	if (rest >= num)
		return all_are(ones, rest - num, at, wrap);
	return all_are(ones, rest, num, !wrap) && all_are(ones, 0, at, wrap);
}

static bool
find_driver(const uint16_t *flags, uint32_t num, uint16_t *ones,
	    uint16_t *place)
{
	uint32_t i;

	ones[0] = 0;
	for (i = 0; i < num; i++)
		ones[i + 1] = ones[i] + avail_bit(flags, i);
	for (i = 0; i < 2 * num; i++) {
		if (fits(ones, num, i / 2, i % 2)) {
			*place = vring_place(i / 2, i % 2);
			return true;
		}
	}
	return false;
}

static uint16_t
place_before(uint16_t place, uint32_t num)
{
	return vring_place_at(place) > 0 ? place - 1 :
		vring_place(num - 1, !vring_place_wrap(place));
}

static bool
is_avail(const uint16_t *flags, uint16_t place)
{
	return (le16toh(flags[vring_place_at(place)]) & (F_AVAIL | F_USED)) ==
		(vring_place_wrap(place) ? F_AVAIL : F_USED);
}

bool
vring_find_place(const uint16_t *flags, uint32_t num, uint16_t *ones,
		 uint16_t *avail, uint16_t *used)
{
	uint16_t place, before;
	uint32_t left;

	if (num == 0 || num >= VRING_MAX_TRACED ||
	    !find_driver(flags, num, ones, &place))
		return false;
	for (left = num; left > 0; left--, place = before) {
		before = place_before(place, num);
		if (!is_avail(flags, before))
			break;
	}
	*avail = *used = place;
	for (; left > 0; left--, place = before) {
		before = place_before(place, num);
		if (is_avail(flags, before))
			*used = before;
	}
	return true;
}
