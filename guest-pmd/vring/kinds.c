/* SPDX-License-Identifier: BSD-3-Clause */

/* Classes of frame lengths; see vring/kinds.h. */

#include "vring/kinds.h"

/* Frames of up to 64 bytes are of class 0. */
const uint8_t vhostpci_size_classes[VHOSTPCI_LAST_SIZE + 2] = {
	[65 ... 127] = 1,
	[128 ... 255] = 2,
	[256 ... 511] = 3,
	[512 ... 1023] = 4,
	[1024 ... VHOSTPCI_LAST_SIZE] = 5,
	[VHOSTPCI_LAST_SIZE + 1] = VHOSTPCI_N_SIZES - 1,
};
