# SPDX-License-Identifier: Apache-2.0
# Samples for users to copy.
examplesdir = $(docdir)/examples
dist_examples_DATA = examples/controller/mesh_controller.py \
	examples/controller/network.py examples/controller/README.md
TESTS += examples/controller/test_network.py
EXTRA_DIST += examples/controller/test_network.py
