# SPDX-License-Identifier: Apache-2.0
# Debian's packages, as build/packages has them: `make check-packages`.
EXTRA_DIST += \
	tests/packages/conftest.py \
	tests/packages/test_clean_root.py \
	tests/packages/test_demo.py \
	tests/packages/test_libvirt.py \
	tests/packages/test_packages.py
