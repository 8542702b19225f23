# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# The releases of Debian, and the versions of programs in each release.  Only this file
# contains versions: tools/, configure and messages ask its functions.
#
# A release is *served* if there are patches for its QEMU and its Open vSwitch, in
# qemu-patches/VERSION and ovs-patches/VERSION.  To serve another release: write both
# series, make the driver compile with its DPDK, and run the check.
#
# Scripts and configure source this file, so it is plain sh.  The caller sets
# releases_top to the top directory.

RELEASES='codename debian qemu openvswitch dpdk clang
bookworm 12 7.2 3.1 22.11 14
trixie 13 10.0 3.5 24.11 19'

# releases_get CODENAME COLUMN: prints one version, or nothing.
releases_get() {
    printf '%s\n' "$RELEASES" | awk -v name="$1" -v column="$2" '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == column) at = i; next }
        at && $1 == name { print $at }'
}

# releases_with COLUMN VALUE: prints the codenames of all releases with this value.
releases_with() {
    printf '%s\n' "$RELEASES" | awk -v column="$1" -v value="$2" '
        NR == 1 { for (i = 1; i <= NF; i++) if ($i == column) at = i; next }
        at && $at "" == value "" { print $1 }'
}

# releases_column COLUMN CODENAMES: its versions, as "7.2, 10.0".
releases_column() {
    releases_list=
    for releases_name in $2; do
        releases_list=$releases_list${releases_list:+, }$(releases_get "$releases_name" "$1")
    done
    echo "$releases_list"
}

releases_all() { printf '%s\n' "$RELEASES" | awk 'NR > 1 { print $1 }'; }

# Prints the codenames of the served releases.
releases_served() {
    for releases_name in $(releases_all); do
        if [ -d "$releases_top/qemu-patches/$(releases_get "$releases_name" qemu)" ] &&
            [ -d "$releases_top/ovs-patches/$(releases_get "$releases_name" openvswitch)" ]; then
            echo "$releases_name"
        fi
    done
}

# releases_words CODENAMES: prints words for a sentence: "Debian 12 (bookworm)".
releases_words() {
    releases_list=
    for releases_name in $1; do
        releases_list="$releases_list${releases_list:+ or }Debian $(releases_get "$releases_name" debian) ($releases_name)"
    done
    echo "$releases_list"
}

# releases_short VERSION: prints the first two numbers, as in the table.
releases_short() { echo "$1" | sed 's/^\([0-9]*\.[0-9]*\).*/\1/'; }
