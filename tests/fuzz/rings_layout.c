/* SPDX-License-Identifier: Apache-2.0 */

/* The features that the peer negotiates in a round, and the addresses of its
 * rings. */

#include "rings.h"

#define RING_BITS	(1ULL << VIRTIO_F_VERSION_1 | \
			 1ULL << VIRTIO_NET_F_MRG_RXBUF | \
			 1ULL << VIRTIO_RING_F_INDIRECT_DESC | \
			 1ULL << VIRTIO_RING_F_EVENT_IDX | \
			 RF_PACKED | RF_IN_ORDER | \
			 1ULL << VIRTIO_NET_F_CSUM | \
			 1ULL << VIRTIO_NET_F_GUEST_CSUM | \
			 1ULL << VIRTIO_NET_F_GUEST_TSO4 | \
			 1ULL << VIRTIO_NET_F_GUEST_TSO6 | \
			 1ULL << VIRTIO_NET_F_HOST_TSO4 | \
			 1ULL << VIRTIO_NET_F_HOST_TSO6)

#define ROOM		0x10000u	/* of a ring in LOW */
#define MAX_NUM		1024u

const struct rf_region rf_regions[RF_REGIONS] = {
	{ RF_LOW, RF_LOW_SIZE },
	{ RF_HIGH, RF_HIGH_SIZE },
	{ RF_FAR, RF_FAR_SIZE },
};

void *
rf_addr(const struct rf_memory *mem, uint64_t gpa, uint64_t len)
{
	unsigned int i;

	for (i = 0; i < RF_REGIONS; i++) {
		uint64_t offset = gpa - rf_regions[i].gpa;

		if (offset < rf_regions[i].size &&
		    len <= rf_regions[i].size - offset)
			return mem->addr[i] + offset;
	}
	return NULL;
}

void
rf_layout_features(struct rf_layout *l, uint64_t *rand)
{
	const uint64_t modern = 1ULL << VIRTIO_F_VERSION_1;
	uint64_t bits = (uint64_t)rf_rand(rand) << 32 | rf_rand(rand);

	/* A bit that the driver does not know yet is not negotiated. */
	bits &= RING_BITS & vhostpci_supported_features();
	if (bits & RF_PACKED || !rf_once_in(rand, 8))
		bits |= modern;
	l->features = bits;
	l->heat = 6 + rf_rand(rand) % 10;
	l->seed = (uint64_t)rf_rand(rand) << 32 | rf_rand(rand);
}

static uint16_t
ring_size(bool packed, uint64_t *rand)
{
	static const uint16_t split_sizes[] = {
		1, 2, 4, 8, 16, 32, 64, 256, MAX_NUM,
	};
	static const uint16_t packed_sizes[] = {
		1, 2, 3, 5, 8, 13, 16, 33, 64, 100, 255, 256, 777, MAX_NUM,
	};
	uint32_t r = rf_rand(rand);

	if (packed)
		return packed_sizes[r % (sizeof(packed_sizes) / 2)];
	return split_sizes[r % (sizeof(split_sizes) / 2)];
}

/* An address for @size bytes of a ring; @usual most of the time. */
static uint64_t
place(uint64_t usual, uint32_t size, uint32_t align, uint64_t *rand)
{
	uint32_t kind = rf_rand(rand) % 128, r = rf_rand(rand);
	const struct rf_region *region = &rf_regions[r % RF_REGIONS];

	if (kind < 16)	/* up to the guard page, or nearly */
		return (region->gpa + region->size - size) & -(uint64_t)align;
	if (kind < 18)	/* from the guard page on */
		return region->gpa;
	if (kind < 20)	/* over buffers, tables or another ring */
		return RF_LOW + (r / 4 % (RF_LOW_SIZE - size) &
				 -(uint64_t)align);
	if (kind > 20 || r % 4)
		return usual;
	/* What the driver has to refuse. */
	switch (r / 4 % 4) {
	case 0:
		return usual + 1 + r / 16 % (align - 1);
	case 1:
		return region->gpa + region->size - size + align;
	case 2:
		return -(uint64_t)align;
	default:
		return RF_FAR - align;
	}
}

/* Where the ring stands: at the beginning, elsewhere, or nonsense. */
static uint32_t
base(bool packed, uint16_t num, uint64_t *rand)
{
	uint32_t kind = rf_rand(rand) % 64, r = rf_rand(rand);
	uint16_t at = r % num | (r >> 16 & 0x8000);

	if (kind == 0)
		return r;
	if (kind < 8)
		return packed ? at | (uint32_t)at << 16 : r & 0xffff;
	return packed ? 0x80008000u : 0;
}

void
rf_layout_ring(struct rf_layout *l, unsigned int i, uint64_t *rand)
{
	const bool packed = l->features & RF_PACKED;
	const uint64_t room = RF_LOW + i * ROOM;
	struct rf_ring *r = &l->rings[i];
	uint32_t event = l->features & 1ULL << VIRTIO_RING_F_EVENT_IDX ? 2 : 0;
	uint16_t num = ring_size(packed, rand);

	r->num = num;
	r->desc = place(room, 16 * num, 16, rand);
	r->avail = place(room + 0x4000, packed ? 4 : 4 + 2 * num + event,
			 packed ? 4 : 2, rand);
	r->used = place(room + 0x8000, packed ? 4 : 4 + 8 * num + event, 4,
			rand);
	r->base = base(packed, num, rand);
	/* A size that the driver has to refuse, once in a while. */
	if (rf_once_in(rand, 256))
		r->num = rf_rand(rand);
}
