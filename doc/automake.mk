# SPDX-License-Identifier: Apache-2.0
# Specification, guides and manual pages.
dist_doc_DATA += doc/device-spec.md doc/user-guide.md
