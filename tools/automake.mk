# SPDX-License-Identifier: Apache-2.0
# Targets that do more than compile this project's own code.
dist_doc_DATA += README.md CONTRIBUTING.md SECURITY.md MAINTAINERS NEWS
EXTRA_DIST += quickstart .ci/run \
	LICENSES/Apache-2.0.txt LICENSES/BSD-3-Clause.txt \
	LICENSES/GPL-2.0-or-later.txt \
	m4/vhostpci.m4 tools/lib.sh tools/releases.sh tools/stages.sh tools/fetch \
	tools/driver-headers tools/release-root tools/cross-arm64 \
	tools/prepare-host tools/build-here tools/build-qemu tools/build-ovs \
	tools/build-packages \
	tools/count-results tools/lint tools/lint-files tools/rooms \
	tools/codespell-ignore \
	protocol/.clang-format guest-pmd/.clang-format \
	vhostpci-netdev/.clang-format qemu-patches/vhost-pci/.clang-format

# Headers for another driver, and for programs that ask this driver about peers.
include_HEADERS += protocol/vhost_pci.h guest-pmd/rte_pmd_vhostpci.h

# configure may have got the trees by options; otherwise tools/ obtain them.
tools_env = VHOSTPCI_BUILDDIR='$(abs_top_builddir)'
if HAVE_QEMU_TREE
tools_env += QEMU_SRC='$(QEMU_SRC)'
endif
if HAVE_OVS_TREE
tools_env += OVS_SRC='$(OVS_SRC)'
endif
if HAVE_KERNEL_TREE
vm_env = VHOSTPCI_KERNEL='$(KERNEL_SRC)'
endif

# These always run: only the builds of QEMU and OVS know what is up to date.
.PHONY: qemu ovs kernel lint check-native check-slice check-arm64 check-device \
	check-vm distfiles packages check-packages distcheck-sample
qemu:
	$(tools_env) $(top_srcdir)/tools/build-qemu
ovs:
	$(tools_env) $(top_srcdir)/tools/build-ovs
kernel:
if !HAVE_KERNEL_TREE
	$(tools_env) $(top_srcdir)/tools/fetch kernel
endif

lint:
	$(tools_env) DPDK_DRIVER_CFLAGS='$(DPDK_DRIVER_CFLAGS)' \
	  $(top_srcdir)/tools/lint

# check-native and check-device are parts of `make check`.  As targets of their
# own, the one can run while QEMU is being built.
check-native:
	$(MAKE) $(AM_MAKEFLAGS) check \
	  TESTS='$(filter-out $(qtest_tests),$(TESTS))'
# Tests of the driver only, which need neither QEMU nor Open vSwitch.  The sanitizers'
# runs are those of check-native.
check-slice:
	$(MAKE) $(AM_MAKEFLAGS) check check_DATA='$(native_tests)' \
	  check_PROGRAMS='$(unit_tests) tests/native/seqcheck/seqcheck' \
	  TESTS='$(filter tests/unit/% $(native_tests) \
	    tests/native/test_testpmd.py tests/native/test_interop.py,$(TESTS))'
# Compiles for another architecture, and runs nothing.
check-arm64:
	$(tools_env) DPDK_SRC='$(DPDK_SRC)' WARN_CFLAGS='$(WARN_CFLAGS)' \
	  SOURCES='$(filter %.c,$(guest_pmd_librte_net_vpci_so_SOURCES))' \
	  $(top_srcdir)/tools/cross-arm64
check-device:
	$(MAKE) $(AM_MAKEFLAGS) check TESTS='$(qtest_tests)'

# Prints the files of a tarball, for lint.
distfiles:
	@for f in $(DISTFILES); do echo "$$f"; done

# PYTEST_ARGS='-k name' selects tests.
check-vm: all qemu ovs kernel
	$(tools_env) $(vm_env) PYTHONDONTWRITEBYTECODE=1 $(PYTHON3) -m pytest -v \
	  -p no:cacheprovider --junitxml=vm-junit.xml $(PYTEST_ARGS) \
	  $(abs_top_srcdir)/tests/vm

# Makes Debian packages of the build.
packages:
	$(tools_env) $(top_srcdir)/tools/build-packages
check-packages: packages
	$(tools_env) $(vm_env) PYTHONDONTWRITEBYTECODE=1 $(PYTHON3) -m pytest -v \
	  -p no:cacheprovider --junitxml=packages-junit.xml $(PYTEST_ARGS) \
	  $(abs_top_srcdir)/tests/packages

# distcheck runs configure again, which needs the same trees.
AM_DISTCHECK_CONFIGURE_FLAGS = --with-dpdk-src='$(DPDK_SRC)' \
	--with-pmddir="$$dc_install_base/lib/dpdk"

# For use after a `make check` of the same tree: it only shows that the tarball
# builds, installs, cleans up, and contains the files for its tests.
distcheck-sample:
	RING_FUZZ_SECONDS=1 $(MAKE) $(AM_MAKEFLAGS) distcheck \
	  check_PROGRAMS='$(sample_programs)' check_DATA='$(sample_data)' \
	  TESTS='$(filter %.py,$(TESTS)) $(sample_tests)' \
	  FUZZ_SECONDS=1 PYTEST_SAMPLE='-p sample' CFLAGS='-O0'
