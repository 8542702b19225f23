# SPDX-License-Identifier: Apache-2.0
# A series for each version of Open vSwitch (tools/releases.sh), applied by `make
# ovs` in name order.
EXTRA_DIST += \
	ovs-patches/3.1/0001-netdev-dpdk-give-other-files-access-to-the-dpdk-clas.patch \
	ovs-patches/3.1/0002-dpdk-register-the-vhostpci-class.patch \
	ovs-patches/3.1/0003-doc-describe-vhostpci-ports.patch
