# SPDX-License-Identifier: Apache-2.0
# Tests that boot machines, and the harness.  `make check-vm` runs them; the
# tarball holds the whole folder, less what Python leaves there.
EXTRA_DIST += tests/vm

dist-hook:
	find '$(distdir)/tests' -name __pycache__ -prune -exec rm -rf {} +
