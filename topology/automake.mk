# SPDX-License-Identifier: Apache-2.0
# vhost-pci-topology: turns a description of VMs and links into command lines.
dist_bin_SCRIPTS += topology/vhost-pci-topology
dist_doc_DATA += topology/mesh.yaml
dist_pkgdata_DATA = topology/vhost_pci_live.py
TESTS += topology/test_topology.py topology/test_live.py
EXTRA_DIST += topology/test_topology.py topology/test_live.py
