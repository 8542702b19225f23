# SPDX-License-Identifier: Apache-2.0
"""VM harness: boots Debian kernels in several QEMUs and drives them.

Layers.  Each layer uses only the layers above it:
    config    where programs are; what the user asked for
    procs     child processes that end with this process; waiting with a
              deadline
    cpio      an initramfs: files, library closure, modules in order
    images    what each role of VM carries
    agent     the command channel into a guest
    qmp       the QEMU monitor
    vm        one virtual machine
    topology  switch VM, peer VMs, and the links between them
    ovs       Open vSwitch inside the switch VM
    traffic   ping, iperf3, file transfers, numbered streams
"""
