# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the scripts of this folder share: where things are, how to speak, how to
# bring a tree up to date.  Sourced, never run.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Everything that is obtained or built lives below BUILD.
BUILD=${VHOSTPCI_BUILDDIR:-$ROOT/build}
# Debian's programs; another Python in front would lack pytest and meson.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p "$BUILD"
BUILD=$(cd "$BUILD" && pwd)
# The builds of others are no part of a make that calls us.
unset MAKEFLAGS MFLAGS MAKELEVEL
JOBS=${JOBS:-$(nproc)}

say() { printf '%s: %s\n' "${0##*/}" "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# put_file FROM TO: copies when the content differs, so that time stamps move
# only with changes and the next make or ninja compiles only those.
put_file() {
    cmp -s "$1" "$2" && return 0
    mkdir -p "$(dirname "$2")"
    cp "$1" "$2"
}

# put_text TEXT FILE: the same for one line of text.
put_text() { stamp_is "$2" "$1" || printf '%s\n' "$1" > "$2"; }

# stamp_is FILE TEXT: does FILE hold exactly TEXT?
stamp_is() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

# private_tree PRISTINE TREE: makes TREE a copy of PRISTINE, once per version.
private_tree() {
    local pristine=$1 tree=$2 id
    id=$(cat "$pristine/.vhostpci-id" 2>/dev/null || echo "$pristine")
    stamp_is "$tree/.vhostpci-copy" "$id" && return 0
    say "copying ${pristine##*/} for patching"
    rm -rf "$tree" "$tree.tmp"
    cp -a "$pristine" "$tree.tmp"
    echo "$id" > "$tree.tmp/.vhostpci-copy"
    mv "$tree.tmp" "$tree"
}

# patch_tree TREE SERIES: leaves TREE with exactly the patches *.patch of the
# folder SERIES applied, in name order.  What was applied is kept beside the
# tree, so a changed series is first taken back with the patches it was made of.
patch_tree() {
    local tree=$1 series=$2 applied=$1/.vhostpci-applied p
    local -a new=() old=()
    shopt -s nullglob
    new=("$series"/*.patch)
    old=("$applied"/*.patch)
    shopt -u nullglob
    if [ -d "$applied" ] && [ "$(series_id "${new[@]}")" = "$(series_id "${old[@]}")" ]; then
        return 0
    fi
    for ((i = ${#old[@]} - 1; i >= 0; i--)); do
        patch -d "$tree" -p1 -R -f -s --no-backup-if-mismatch < "${old[i]}" ||
            die "cannot take back ${old[i]##*/}; remove $tree and run again"
        rm "${old[i]}"
    done
    mkdir -p "$applied"
    for p in "${new[@]}"; do
        say "applying ${p##*/}"
        # Fuzz would place a hook in the wrong spot of another version.
        patch -d "$tree" -p1 -N -f -s -F0 --dry-run < "$p" ||
            die "$p does not apply to $tree"
        patch -d "$tree" -p1 -N -f -s -F0 --no-backup-if-mismatch < "$p"
        cp "$p" "$applied/"
    done
}

# series_id FILE...: one line that changes with any name or content.
series_id() {
    local f
    for f; do
        printf '%s %s\n' "${f##*/}" "$(sha256sum < "$f")"
    done | sha256sum
}

# drop_stale FOLDER LIST NAME...: removes from FOLDER the files named in LIST
# (ours of an earlier run) that are not among NAME..., then writes LIST anew.
drop_stale() {
    local folder=$1 list=$2 f
    shift 2
    if [ -f "$list" ]; then
        while read -r f; do
            case " $* " in *" $f "*) ;; *) rm -f "$folder/${f:?}" ;; esac
        done < "$list"
    fi
    { [ $# = 0 ] || printf '%s\n' "$@"; } > "$list"
}
