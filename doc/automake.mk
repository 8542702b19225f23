# SPDX-License-Identifier: Apache-2.0
# Specification, guides and manual pages.
EXTRA_DIST +=
