dnl SPDX-License-Identifier: Apache-2.0
dnl One macro per dependency.  Each leaves a line for the summary in
dnl vhostpci_summary; an optional dependency that is missing disables its room
dnl there, a required one ends configure with a sentence that names the package.

m4_define([VHOSTPCI_NOTE],
[vhostpci_summary="$vhostpci_summary
  $1"])

dnl VHOSTPCI_WARNINGS: warning flags of our own targets, in WARN_CFLAGS.
AC_DEFUN([VHOSTPCI_WARNINGS],
[AC_ARG_ENABLE([Werror],
   [AS_HELP_STRING([--enable-Werror], [make compiler warnings errors])])
WARN_CFLAGS="-Wall -Wextra -Wshadow -Wpointer-arith -Wstrict-prototypes"
WARN_CFLAGS="$WARN_CFLAGS -Wmissing-prototypes -Wold-style-definition"
WARN_CFLAGS="$WARN_CFLAGS -Wwrite-strings -Wvla -Wno-unused-parameter"
WARN_CFLAGS="$WARN_CFLAGS -Wno-missing-field-initializers"
AS_IF([test "x$enable_Werror" = xyes], [WARN_CFLAGS="$WARN_CFLAGS -Werror"])
AC_SUBST([WARN_CFLAGS])])

dnl VHOSTPCI_RELEASES: the table of releases, for the macros below.
AC_DEFUN([VHOSTPCI_RELEASES],
[AC_SUBST([CONFIG_STATUS_DEPENDENCIES], ['$(top_srcdir)/tools/releases.sh'])
releases_top=$srcdir
. "$srcdir/tools/releases.sh"
vhostpci_served=`releases_served`
AS_IF([test -z "$vhostpci_served"],
   [AC_MSG_ERROR([no release in tools/releases.sh has its series of patches])])
dnl For hints only: which of them this machine is may matter to nobody.
vhostpci_clang=`releases_column clang "$vhostpci_served" | sed 's/,.*//'`])

dnl VHOSTPCI_CHECK_DPDK: libdpdk (required), its plugins' directory and ABI, and
dnl the driver headers of DPDK's source tree, which Debian does not package.
AC_DEFUN([VHOSTPCI_CHECK_DPDK],
[AC_REQUIRE([VHOSTPCI_RELEASES])
vhostpci_wanted=`releases_column dpdk "$vhostpci_served"`
PKG_CHECK_MODULES([DPDK], [libdpdk], [],
   [AC_MSG_ERROR([DPDK $vhostpci_wanted is needed (Debian package libdpdk-dev): $DPDK_PKG_ERRORS])])
AC_MSG_CHECKING([for the version of DPDK])
vhostpci_dpdk=`$PKG_CONFIG --modversion libdpdk`
AC_MSG_RESULT([$vhostpci_dpdk])
AS_CASE([", $vhostpci_wanted,"], [*", `releases_short "$vhostpci_dpdk"`,"*], [],
   [AC_MSG_ERROR([DPDK $vhostpci_dpdk is installed, and the driver is for $vhostpci_wanted (tools/releases.sh)])])
AC_MSG_CHECKING([for DPDK's plugin directory])
dnl rte_build_config.h holds the directory that EAL itself scans.
vhostpci_pmddir=`echo 'vhostpci RTE_EAL_PMD_PATH' |
   $CC -E -P $DPDK_CFLAGS - 2>/dev/null | sed -n 's/^vhostpci "\(.*\)"$/\1/p'`
AC_ARG_WITH([pmddir],
   [AS_HELP_STRING([--with-pmddir=DIR],
      [install the driver in DIR (default: where DPDK looks for plugins)])],
   [pmddir=$withval], [pmddir=$vhostpci_pmddir])
AS_IF([test -z "$pmddir"],
   [AC_MSG_ERROR([DPDK's headers name no plugin directory; give --with-pmddir])])
AC_MSG_RESULT([$pmddir])
AC_SUBST([pmddir])
dnl EAL loads from a directory what ends in .so or in .so.ABI; the directory's own
dnl name ends in the same ABI, unless DPDK was built without such a directory.
dnl Then a library's file does, as plugins' files do.
AC_MSG_CHECKING([for the ABI of DPDK's plugins])
vhostpci_abi='s/^\(@<:@0-9@:>@@<:@0-9@:>@*\.@<:@0-9@:>@@<:@0-9@:>@*\)$/\1/p'
DPDK_ABI=`echo "$vhostpci_pmddir" | sed 's,.*/pmds-,,' | sed -n "$vhostpci_abi"`
AS_IF([test -z "$DPDK_ABI"],
   [vhostpci_libdir=`$PKG_CONFIG --variable=libdir libdpdk`
    DPDK_ABI=`ls "$vhostpci_libdir" |
       sed -n 's/^librte_ethdev\.so\.//p' | sed -n "$vhostpci_abi"`])
AS_CASE([$DPDK_ABI],
   [*@<:@!0-9.@:>@*|""], [AC_MSG_ERROR([neither DPDK's plugin directory nor the name of librte_ethdev.so tells one ABI])])
DPDK_ABI_MAJOR=`echo "$DPDK_ABI" | sed 's/\..*//'`
AC_MSG_RESULT([$DPDK_ABI])
AC_SUBST([DPDK_ABI])
AC_SUBST([DPDK_ABI_MAJOR])

AC_ARG_WITH([dpdk-src],
   [AS_HELP_STRING([--with-dpdk-src=DIR],
      [source tree of the DPDK that is installed, for the driver headers
       (default: src/dpdk in the build directory, where quickstart puts it)])],
   [DPDK_SRC=$withval], [DPDK_SRC=`pwd`/src/dpdk])
dnl A relative path is the caller's; compilations run in the build directory.
AS_CASE([$DPDK_SRC], [/*], [], [DPDK_SRC=`pwd`/$DPDK_SRC])
have_pmd=no
AC_MSG_CHECKING([for DPDK's driver headers])
AS_IF([test "x$with_dpdk_src" = xno],
   [AC_MSG_RESULT([disabled])],
   [test -f "$DPDK_SRC/lib/ethdev/ethdev_driver.h"],
   [have_pmd=yes
    AC_MSG_RESULT([$DPDK_SRC])
    vhostpci_tree=`cat "$DPDK_SRC/VERSION" 2>/dev/null`
    AS_IF([test "`releases_short "$vhostpci_tree"`" != "`releases_short "$vhostpci_dpdk"`"],
       [AC_MSG_ERROR([$DPDK_SRC is DPDK ${vhostpci_tree:-of no version}, and DPDK $vhostpci_dpdk is installed])])],
   [AC_MSG_RESULT([no])
    AS_IF([test -n "$with_dpdk_src"],
       [AC_MSG_ERROR([--with-dpdk-src: $DPDK_SRC holds no lib/ethdev/ethdev_driver.h])])])
AS_IF([test $have_pmd = yes],
   [VHOSTPCI_NOTE([guest-pmd: yes, headers of $DPDK_SRC, installs in $pmddir])],
   [VHOSTPCI_NOTE([guest-pmd: no (--with-dpdk-src=DIR gives the driver headers; quickstart build obtains them)])])
dnl Installed headers come first: the ABI is theirs; the tree only adds what
dnl is not installed.
DPDK_DRIVER_CFLAGS="$DPDK_CFLAGS -DALLOW_INTERNAL_API -DALLOW_EXPERIMENTAL_API"
for vhostpci_dir in lib/ethdev lib/eal/include drivers/bus/pci drivers/bus/vdev; do
   DPDK_DRIVER_CFLAGS="$DPDK_DRIVER_CFLAGS -idirafter $DPDK_SRC/$vhostpci_dir"
done
AS_IF([test $have_pmd = yes], [VHOSTPCI_CHECK_DRIVER_HEADERS])
AC_SUBST([DPDK_SRC])
AC_SUBST([DPDK_DRIVER_CFLAGS])
AM_CONDITIONAL([HAVE_PMD], [test $have_pmd = yes])])

dnl VHOSTPCI_CHECK_DRIVER_HEADERS: the headers' struct rte_eth_dev must have the size
dnl that it has in the library: headers of another version, or wrongly made ones
dnl (guest-pmd/driver-headers), would have the driver write beside its port.
AC_DEFUN([VHOSTPCI_CHECK_DRIVER_HEADERS],
[AC_CHECK_TOOL([NM], [nm])
AC_MSG_CHECKING([that the driver headers fit the library])
vhostpci_save=$CPPFLAGS
CPPFLAGS="$CPPFLAGS $DPDK_DRIVER_CFLAGS"
AC_COMPUTE_INT([vhostpci_size], [RTE_MAX_ETHPORTS * sizeof(struct rte_eth_dev)],
   [@%:@include <ethdev_driver.h>], [vhostpci_size=0])
CPPFLAGS=$vhostpci_save
vhostpci_libdir=`$PKG_CONFIG --variable=libdir libdpdk`
vhostpci_symbol=`$NM -D -S "$vhostpci_libdir/librte_ethdev.so" |
   sed -n 's/^@<:@0-9a-f@:>@* 0*\(@<:@0-9a-f@:>@*\) . rte_eth_devices.*/\1/p'`
AC_MSG_RESULT([$vhostpci_size bytes of ports in the headers, 0x$vhostpci_symbol in the library])
AS_IF([test "$vhostpci_size" != "`printf %d "0x$vhostpci_symbol"`"],
   [AC_MSG_ERROR([the driver headers of $DPDK_SRC do not fit the DPDK that is installed])])])

dnl VHOSTPCI_CHECK_TREE(OPTION, FOLDER, FILE, WORDS): --with-OPTION-src names
dnl a tree that holds FILE; default: src/FOLDER in the build directory.
AC_DEFUN([VHOSTPCI_CHECK_TREE],
[AC_ARG_WITH([$1-src],
   [AS_HELP_STRING([--with-$1-src=DIR], [$4 (default: src/$2 in the build directory)])],
   [vhostpci_tree=$withval], [vhostpci_tree=`pwd`/src/$2])
AS_CASE([$vhostpci_tree], [no], [], [/*], [], [vhostpci_tree=`pwd`/$vhostpci_tree])
AS_IF([test -e "$vhostpci_tree/$3"],
   [VHOSTPCI_NOTE([$1: yes, $vhostpci_tree])
    have_$1_tree=yes],
   [test -n "$with_$1_src" && test "$vhostpci_tree" != no],
   [AC_MSG_ERROR([--with-$1-src: $vhostpci_tree holds no $3])],
   [VHOSTPCI_NOTE([$1: not yet ($4; make $1 or quickstart build obtains it)])
    have_$1_tree=no])
AS_VAR_SET(AS_TR_SH([m4_toupper([$1])_SRC]), [$vhostpci_tree])
AC_SUBST(m4_toupper([$1])[_SRC])
AM_CONDITIONAL([HAVE_]m4_toupper([$1])[_TREE], [test $have_$1_tree = yes])])

dnl VHOSTPCI_CHECK_CMOCKA: the unit tests' framework (optional).
AC_DEFUN([VHOSTPCI_CHECK_CMOCKA],
[PKG_CHECK_MODULES([CMOCKA], [cmocka], [have_cmocka=yes], [have_cmocka=no])
AM_CONDITIONAL([HAVE_CMOCKA], [test $have_cmocka = yes])
AS_IF([test $have_cmocka = yes],
   [VHOSTPCI_NOTE([unit tests: yes])],
   [VHOSTPCI_NOTE([unit tests: no (Debian package libcmocka-dev)])])])

dnl VHOSTPCI_CHECK_FUZZER: clang with libFuzzer's run-time library (optional).
AC_DEFUN([VHOSTPCI_CHECK_FUZZER],
[AC_PATH_PROG([CLANG], [clang], [no])
have_fuzzer=no
AS_IF([test "$CLANG" != no],
   [AC_MSG_CHECKING([whether $CLANG links with libFuzzer, ASan and UBSan])
    cat >conftest.c <<_ACEOF
[#include <stddef.h>
#include <stdint.h>
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{ (void)data; (void)size; return 0; }]
_ACEOF
    AS_IF([$CLANG -fsanitize=fuzzer,address,undefined conftest.c -o conftest$EXEEXT \
             >&AS_MESSAGE_LOG_FD 2>&1], [have_fuzzer=yes])
    rm -f conftest.c conftest$EXEEXT
    AC_MSG_RESULT([$have_fuzzer])])
AM_CONDITIONAL([HAVE_FUZZER], [test $have_fuzzer = yes])
AS_IF([test $have_fuzzer = yes],
   [VHOSTPCI_NOTE([fuzzers: yes, $CLANG])],
   [VHOSTPCI_NOTE([fuzzers: no (Debian packages clang and libclang-rt-$vhostpci_clang-dev)])])])

AC_DEFUN([VHOSTPCI_SUMMARY],
[AS_ECHO(["
$PACKAGE_STRING$vhostpci_summary
"])])
