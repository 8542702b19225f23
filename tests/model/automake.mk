# SPDX-License-Identifier: Apache-2.0
# Models for spin.  Without spin the tests are skipped.
TESTS += tests/model/test_model.py
EXTRA_DIST += tests/model/test_model.py tests/model/packed.pml \
	tests/model/quiescence.pml tests/model/split.pml tests/model/tso.pml
