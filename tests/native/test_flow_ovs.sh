#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs flow_ovs.c, which gives random frames to guest-pmd/flow/ and to Open
# vSwitch. Run this in the build folder.
if ! test -x tests/native/flow_ovs; then
  echo "skipped: Open vSwitch was not built (make ovs)"
  exit 77
fi
exec tests/native/flow_ovs 300000
