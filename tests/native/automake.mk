# SPDX-License-Identifier: Apache-2.0
# The driver and Open vSwitch as processes of this machine, without a VM.
# Skipped, with the reason, until `make ovs` and the driver are built.
TESTS += tests/native/test_ovs_port.py
EXTRA_DIST += tests/native/test_ovs_port.py tests/native/native_ovs.py
