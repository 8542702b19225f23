#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Random frames through guest-pmd/flow/ and through Open vSwitch: see
# flow_ovs.c. Runs in the build folder.
if ! test -x tests/native/flow_ovs; then
  echo "skipped: Open vSwitch was not built (make ovs)"
  exit 77
fi
exec tests/native/flow_ovs 300000
