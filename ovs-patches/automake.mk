# SPDX-License-Identifier: Apache-2.0
# Patches: a series for each version of Open vSwitch (tools/releases.sh).  `make
# ovs` applies a series in name order.
EXTRA_DIST += \
	ovs-patches/3.1/0001-netdev-dpdk-give-other-files-access-to-the-dpdk-clas.patch \
	ovs-patches/3.1/0002-dpdk-register-the-vhostpci-class.patch \
	ovs-patches/3.1/0003-doc-describe-vhostpci-ports.patch \
	ovs-patches/3.1/0004-dpif-netdev-count-packets-that-rxq_recv-consumes-as-.patch \
	ovs-patches/3.1/0005-dpif-netdev-credit-what-was-offloaded-to-one-copy-of.patch \
	ovs-patches/3.1/0006-dpif-netdev-wake-the-offload-thread-when-something-i.patch \
	ovs-patches/3.1/0007-netdev-dpdk-let-a-device-wait-for-its-configuration.patch \
	ovs-patches/3.1/0008-netdev-dpdk-do-not-warn-of-lacking-rx-checksum-offlo.patch \
	ovs-patches/3.1/0009-dpif-netdev-measure-the-queues-of-vhostpci-ports-too.patch \
	ovs-patches/3.1/0010-bridge-add-ports-that-worked-before-a-restart-first.patch \
	ovs-patches/3.1/0011-netdev-do-not-warn-of-a-port-that-is-made-anew.patch \
	ovs-patches/3.1/0012-netdev-dpdk-leave-a-device-alone-that-is-not-there.patch \
	ovs-patches/3.1/0013-netdev-dpdk-tell-ports-of-one-vhost-pci-device-apart.patch \
	ovs-patches/3.1/0014-dpif-netdev-offload-existing-flows-when-that-is-enab.patch \
	ovs-patches/3.1/0015-bridge-give-a-port-that-is-back-its-OpenFlow-number.patch \
	ovs-patches/3.1/0016-bridge-add-ports-for-vhost-pci-peers-by-itself.patch \
	ovs-patches/3.1/0017-bridge-update-status-after-the-first-configuration-.patch \
	ovs-patches/3.5/0001-netdev-dpdk-give-other-files-access-to-the-dpdk-clas.patch \
	ovs-patches/3.5/0002-dpdk-register-the-vhostpci-class.patch \
	ovs-patches/3.5/0003-doc-describe-vhostpci-ports.patch \
	ovs-patches/3.5/0004-dpif-netdev-count-packets-that-rxq_recv-consumes-as-.patch \
	ovs-patches/3.5/0005-dpif-netdev-credit-what-was-offloaded-to-one-copy-of.patch \
	ovs-patches/3.5/0006-dpif-netdev-wake-the-offload-thread-when-something-i.patch \
	ovs-patches/3.5/0007-netdev-dpdk-let-a-device-wait-for-its-configuration.patch \
	ovs-patches/3.5/0008-netdev-dpdk-do-not-warn-of-lacking-rx-checksum-offlo.patch \
	ovs-patches/3.5/0009-dpif-netdev-measure-the-queues-of-vhostpci-ports-too.patch \
	ovs-patches/3.5/0010-bridge-add-ports-that-worked-before-a-restart-first.patch \
	ovs-patches/3.5/0011-netdev-do-not-warn-of-a-port-that-is-made-anew.patch \
	ovs-patches/3.5/0012-netdev-dpdk-leave-a-device-alone-that-is-not-there.patch \
	ovs-patches/3.5/0013-netdev-dpdk-tell-ports-of-one-vhost-pci-device-apart.patch \
	ovs-patches/3.5/0014-dpif-netdev-offload-existing-flows-when-that-is-enab.patch \
	ovs-patches/3.5/0015-bridge-give-a-port-that-is-back-its-OpenFlow-number.patch \
	ovs-patches/3.5/0016-bridge-add-ports-for-vhost-pci-peers-by-itself.patch \
	ovs-patches/3.5/0017-bridge-update-status-after-the-first-configuration-.patch
