# SPDX-License-Identifier: Apache-2.0
# The OVS class.  It is compiled inside OVS's tree by `make ovs`.
EXTRA_DIST +=
