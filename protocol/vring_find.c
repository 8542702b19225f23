/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * The place of a packed ring, found in the ring: see vring_find.h.
 *
 * First, the driver's place. The AVAIL flag of a descriptor is the wrap counter
 * of the lap in which it was made available last; the used mark keeps it. So the
 * descriptors before the driver's place have the present wrap counter w and those
 * from it on have !w: one edge in the ring. Only a chain whose first descriptor is
 * not made available yet, and what the driver made available while the ring was
 * being read, disturb that, and only behind the driver's place, which is old
 * itself. With less than half of the ring disturbed one place at most fits:
 *
 *	Say that a and b = a + n fit, 0 < n <= num, counted in laps. The flags
 *	they expect differ in [a, b). So each descriptor there disturbs one of
 *	the two: a itself does not disturb a, thus b, from a - num's lap on: it
 *	is one of the num / 2 - 1 behind b, and n > num / 2. Then b - 1 is none
 *	of the num / 2 - 1 behind a, nor, being the last one before b, of those
 *	behind b.
 *
 * Then the device's: going back from the driver's, the first descriptor that is
 * not available in its lap is the last one of the last commit. What is available
 * before that one was to be written in the same commit. Disturbed descriptors
 * were used and seen so by the driver, and count as used.
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

/* Have all of [from, to) the AVAIL flag @bit? ones[i]: how many before i do. */
static bool
all_are(const uint16_t *ones, uint32_t from, uint32_t to, bool bit)
{
	return from >= to ||
		(uint32_t)(ones[to] - ones[from]) == (bit ? to - from : 0);
}

/* Does the driver's place @at with wrap counter @wrap fit? */
static bool
fits(const uint16_t *ones, uint32_t num, uint32_t at, bool wrap)
{
	/* The first one behind those that may be disturbed. */
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
