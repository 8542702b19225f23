# SPDX-License-Identifier: Apache-2.0
# Fuzzers (clang's libFuzzer). `make check` runs each for 20 s; `make fuzz
# FUZZ_SECONDS=600` runs longer. The corpus grows in the build directory; its
# seeds are made from recorded sessions. Without clang the test reports SKIP.
FUZZ_SECONDS = 20
FUZZ_CFLAGS = -g -O1 -Wall -Wextra -fno-omit-frame-pointer \
	-fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all

fuzz_vhost_user_sources = \
	tests/fuzz/fuzz_vhost_user.c \
	tests/fuzz/mutate.c \
	tests/fuzz/records.c \
	tests/fuzz/records.h
fuzz_recordings = \
	tests/fuzz/corpus-raw/dpdk-virtio-user-packed.vus \
	tests/fuzz/corpus-raw/dpdk-virtio-user.vus \
	tests/fuzz/corpus-raw/qemu72-pc-128m.vus \
	tests/fuzz/corpus-raw/qemu72-q35-3g.vus \
	tests/fuzz/corpus-raw/qemu72-q35-mq2.vus \
	tests/fuzz/corpus-raw/qemu72-q35-mtu9000.vus

dist_check_SCRIPTS += tests/fuzz/run_fuzzer.sh tests/fuzz/make_seeds.py
TESTS += tests/fuzz/run_fuzzer.sh
EXTRA_DIST += $(fuzz_vhost_user_sources) $(fuzz_recordings) \
	tests/fuzz/corpus-raw/README.md

if HAVE_FUZZER
check_DATA += tests/fuzz/fuzz_vhost_user
sample_data += tests/fuzz/fuzz_vhost_user
tests/fuzz/fuzz_vhost_user: $(fuzz_vhost_user_sources) $(protocol_sources)
	$(AM_V_CCLD)$(MKDIR_P) tests/fuzz && srcs= && \
	for f in $(fuzz_vhost_user_sources) $(protocol_sources); do \
	  case $$f in *.c) srcs="$$srcs $(srcdir)/$$f";; esac; done && \
	$(CLANG) $(FUZZ_CFLAGS) -I$(srcdir)/protocol -I$(srcdir)/tests/fuzz \
	  $$srcs -o $@
endif

# The ring fuzzer: the whole driver, a hostile peer process and an honest one,
# with sanitizers. `make check` runs a slice; `make fuzz-rings BURSTS=10000000`
# runs longer.
dist_check_SCRIPTS += tests/fuzz/run_fuzz_rings.sh
TESTS += tests/fuzz/run_fuzz_rings.sh
if HAVE_PMD
if HAVE_CMOCKA
check_PROGRAMS += tests/fuzz/fuzz_rings
sample_programs += tests/fuzz/fuzz_rings
endif
endif
tests_fuzz_fuzz_rings_SOURCES = \
	tests/fuzz/fuzz_rings.c \
	tests/fuzz/rings.h \
	tests/fuzz/rings_honest.c \
	tests/fuzz/rings_layout.c \
	tests/fuzz/rings_mutate.c \
	tests/fuzz/rings_peer.c \
	tests/fuzz/rings_port.c \
	tests/fuzz/rings_rules.c \
	tests/fuzz/rings_watch.c
tests_fuzz_fuzz_rings_CPPFLAGS = $(native_asan_cppflags) \
	-I$(srcdir)/tests/fuzz
tests_fuzz_fuzz_rings_CFLAGS = $(native_cflags) $(native_sanitize)
tests_fuzz_fuzz_rings_LDFLAGS = $(native_sanitize)
tests_fuzz_fuzz_rings_LDADD = tests/native/libnative_asan.a $(native_libs)

.PHONY: fuzz-rings
BURSTS = 10000000
fuzz-rings: tests/fuzz/fuzz_rings$(EXEEXT)
	BURSTS='$(BURSTS)' $(SHELL) $(srcdir)/tests/fuzz/run_fuzz_rings.sh

.PHONY: fuzz
fuzz: $(check_DATA)
	srcdir='$(srcdir)' PYTHON3='$(PYTHON3)' FUZZ_SECONDS='$(FUZZ_SECONDS)' \
	  $(SHELL) $(srcdir)/tests/fuzz/run_fuzzer.sh

clean-local: clean-fuzz
.PHONY: clean-fuzz
clean-fuzz:
	rm -rf tests/fuzz/corpus tests/fuzz/seeds
CLEANFILES += tests/fuzz/fuzz_vhost_user tests/fuzz/fuzz_vhost_user.out
