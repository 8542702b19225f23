# SPDX-License-Identifier: Apache-2.0
# Specification, guides and manual pages; and a test that compares them with the
# source.
dist_doc_DATA += doc/device-spec.md doc/user-guide.md doc/troubleshooting.md \
	doc/architecture.md doc/debian-guest.md doc/ovn.md doc/testing.md \
	doc/performance.md
dist_man_MANS += doc/man/vhost-pci-net-pci.7 doc/man/vhost-pci-server.7 \
	doc/man/net_vpci.7 doc/man/ovs-vhostpci.7 doc/man/vhost-pci-topology.1 \
	doc/man/vhost-pci-bind.8 doc/man/qemu-system-x86_64-vhostpci.1
TESTS += doc/test_doc.py
EXTRA_DIST += doc/test_doc.py doc/messages.py doc/pictures.py doc/topology.svg \
	doc/costs.svg
