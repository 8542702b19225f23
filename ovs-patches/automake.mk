# SPDX-License-Identifier: Apache-2.0
# The series for Open vSwitch 3.1, applied by `make ovs` in name order.
EXTRA_DIST +=
