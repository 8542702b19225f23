# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Functions for all scripts of this folder: paths, messages, and updates of source
# trees.  Scripts source this file; nobody runs it.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# The scripts put all files that they obtain or build below BUILD.
BUILD=${VHOSTPCI_BUILDDIR:-$ROOT/build}
# Only Debian's programs: another Python in PATH would lack pytest and meson.
PATH=/usr/sbin:/usr/bin:/sbin:/bin
mkdir -p "$BUILD"
BUILD=$(cd "$BUILD" && pwd)
# A make that calls a script must not pass its options to the builds of QEMU and Open
# vSwitch.
unset MAKEFLAGS MFLAGS MAKELEVEL
JOBS=${JOBS:-$(nproc)}
releases_top=$ROOT
. "$ROOT/tools/releases.sh"

say() { printf '%s: %s\n' "${0##*/}" "$*"; }
die() { printf '%s: %s\n' "${0##*/}" "$*" >&2; exit 1; }

# put_file FROM TO: copies FROM if the contents differ.  So only changed files get new
# time stamps, and the next make or ninja compiles only these.
put_file() {
    cmp -s "$1" "$2" && return 0
    mkdir -p "$(dirname "$2")"
    cp "$1" "$2"
}

# put_text TEXT FILE: the same for one line of text.
put_text() { stamp_is "$2" "$1" || printf '%s\n' "$1" > "$2"; }

# stamp_is FILE TEXT: does FILE hold exactly TEXT?
stamp_is() { [ -f "$1" ] && [ "$(cat "$1")" = "$2" ]; }

os_field() {
    # shellcheck disable=SC1090 # the file of this machine
    (. "${VHOSTPCI_OS_RELEASE:-/etc/os-release}" 2>/dev/null && eval "printf '%s' \"\${$1:-}\"")
}

# this_release: prints the codename of this machine's release.  Exits with an error
# unless the release is served.
this_release() {
    local name served code
    name=$(os_field PRETTY_NAME)
    served=$(releases_words "$(releases_served)")
    code=
    [ "$(os_field ID)" != debian ] ||
        code=$(releases_with debian "$(os_field VERSION_ID)")
    [ -n "$code" ] ||
        die "this works on $served only, and this is ${name:-an unknown system}"
    case " $(releases_served | tr '\n' ' ')" in
        *" $code "*) echo "$code" ;;
        *) die "$(releases_words "$code") has QEMU $(releases_get "$code" qemu) and" \
            "Open vSwitch $(releases_get "$code" openvswitch), for which there are no" \
            "patches yet; this works on $served only" ;;
    esac
}

# archives CODE: prints lines "URI SUITE COMPONENT" of Debian's archives for the release
# CODE.  These are the archives of this system's apt, with the suites of CODE.  Backports
# are left out, because they contain other versions.
archives() {
    # shellcheck disable=SC2016 # apt expands the fields
    apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)|$(ORIGIN)' \
        'Created-By: Packages' |
        awk -F'|' -v here="$(this_release)" -v code="$1" '$2 == "Debian" {
            split($1, word, " ")
            if (word[2] == here || word[2] == here "-updates" || word[2] == here "-security") {
                sub("^" here, code, word[2])
                print word[1], word[2], word[3]
            } }' | sort -u
}

# tree_version WHAT TREE: prints the version that an unpacked source tree contains.
tree_version() {
    case $1 in
        openvswitch) sed -n 's/^AC_INIT(openvswitch, *\([^,]*\),.*/\1/p' "$2/configure.ac" ;;
        *) cat "$2/VERSION" ;;
    esac 2> /dev/null || true
}

# tree_series WHAT TREE: prints the folder of patches for TREE's version.  Exits with an
# error that names TREE if there are no patches.
tree_series() {
    local what=$1 tree=$2 word folder version short
    case $what in
        qemu) word=QEMU folder=qemu-patches ;;
        openvswitch) word="Open vSwitch" folder=ovs-patches ;;
    esac
    version=$(tree_version "$what" "$tree")
    [ -n "$version" ] || die "$tree does not say which version of $word it is"
    short=$(releases_short "$version")
    [ -n "$(releases_with "$what" "$short")" ] ||
        die "$tree is $word $version, and the versions known here are" \
            "$(releases_column "$what" "$(releases_all)")"
    [ -d "$ROOT/$folder/$short" ] ||
        die "$tree is $word $version, for which there are no patches yet ($folder/$short)"
    echo "$ROOT/$folder/$short"
}

# private_tree PRISTINE TREE: copies PRISTINE to TREE, once for each version.
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

# patch_tree TREE SERIES: makes TREE have exactly the patches *.patch of the folder
# SERIES applied, in name order.  Copies of applied patches stay in TREE; if SERIES has
# changed, these copies serve to remove the old patches first.
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
        # -F0: with fuzz, patch could change the wrong place of another version.
        patch -d "$tree" -p1 -N -f -s -F0 --dry-run < "$p" ||
            die "$p does not apply to $tree"
        patch -d "$tree" -p1 -N -f -s -F0 --no-backup-if-mismatch < "$p"
        cp "$p" "$applied/"
    done
}

# series_id FILE...: prints one line that changes with any file's name or content.
series_id() {
    local f
    for f; do
        printf '%s %s\n' "${f##*/}" "$(sha256sum < "$f")"
    done | sha256sum
}

# drop_stale FOLDER LIST NAME...: LIST names the files that an earlier run put into
# FOLDER.  Removes those that are not among NAME..., and writes NAME... to LIST.
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
