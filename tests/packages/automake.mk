# SPDX-License-Identifier: Apache-2.0
# `make check-packages` tests the Debian packages in build/packages.
EXTRA_DIST += \
	tests/packages/conftest.py \
	tests/packages/test_clean_root.py \
	tests/packages/test_demo.py \
	tests/packages/test_libvirt.py \
	tests/packages/test_packages.py
