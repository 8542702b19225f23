# SPDX-License-Identifier: Apache-2.0
# Tests that boot machines, and the harness.  `make check-vm` runs them.  Each
# file by its name: in the build tree, machines leave theirs in this folder.
EXTRA_DIST += \
	tests/vm/conftest.py \
	tests/vm/demo.py \
	tests/vm/demo_mesh.py \
	tests/vm/guest/agent.c \
	tests/vm/guest/dfping.c \
	tests/vm/guest/init \
	tests/vm/guest/plugcycle.c \
	tests/vm/guest/rawseq.c \
	tests/vm/guest/rxsleep.c \
	tests/vm/guest/seqstream.c \
	tests/vm/guest/tcpstall.c \
	tests/vm/guest/unixport.c \
	tests/vm/harness/__init__.py \
	tests/vm/harness/agent.py \
	tests/vm/harness/config.py \
	tests/vm/harness/cpio.py \
	tests/vm/harness/frontend.py \
	tests/vm/harness/images.py \
	tests/vm/harness/keep.py \
	tests/vm/harness/monitor.py \
	tests/vm/harness/lan.py \
	tests/vm/harness/mesh.py \
	tests/vm/harness/native.py \
	tests/vm/harness/ovs.py \
	tests/vm/harness/procs.py \
	tests/vm/harness/qmp.py \
	tests/vm/harness/record.py \
	tests/vm/harness/rounds.py \
	tests/vm/harness/shared.py \
	tests/vm/harness/talk.py \
	tests/vm/harness/testpmd.py \
	tests/vm/harness/topology.py \
	tests/vm/harness/traffic.py \
	tests/vm/harness/vm.py \
	tests/vm/mesh.yaml \
	tests/vm/record_sessions.py \
	tests/vm/test_device_hotplug.py \
	tests/vm/test_harness.py \
	tests/vm/test_hostile.py \
	tests/vm/test_lifecycle.py \
	tests/vm/test_mesh.py \
	tests/vm/test_multiqueue.py \
	tests/vm/test_offloads.py \
	tests/vm/test_options.py \
	tests/vm/test_packed.py \
	tests/vm/test_peers.py \
	tests/vm/test_pmd.py \
	tests/vm/test_port.py \
	tests/vm/test_rounds.py \
	tests/vm/test_steering.py \
	tests/vm/test_stock_ovs.py \
	tests/vm/test_traffic.py \
	tests/vm/test_vfio.py
