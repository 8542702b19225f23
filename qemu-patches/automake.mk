# SPDX-License-Identifier: Apache-2.0
# The device and the series for QEMU 7.2, compiled in QEMU's tree by `make qemu`.
EXTRA_DIST +=
