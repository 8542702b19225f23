# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Stages of quickstart: named commands with a log, a time, a progress line now
# and then, and results that are summed at the end.  Sourced after lib.sh.
#
# A lane is a function of stages that runs beside other lanes.  Every background
# process leads a process group of its own, so that ending a lane by its pid
# ends what it started and nothing else.

LOGS=$BUILD/log
RESULTS=$BUILD/results
# One file for each stage under way, for the progress lines of other processes.
RUNNING=$LOGS/running
STARTED=$SECONDS
CHILDREN=()
FRONT=

elapsed() { printf '%3d:%02d' $(((SECONDS - STARTED) / 60)) $(((SECONDS - STARTED) % 60)); }
tell() { printf '[%s] %s\n' "$(elapsed)" "$*"; }

begin_stages() {
    rm -rf "$RUNNING" "$RESULTS"
    mkdir -p "$LOGS" "$RESULTS" "$RUNNING"
    set -m # each background job becomes a process group
    trap end_stages EXIT
    trap 'tell "interrupted"; exit 130' INT
    trap 'tell "terminated"; exit 143' TERM
    trap 'tell "hung up" || true; exit 129' HUP # the terminal may be gone
    show_progress &
    CHILDREN+=($!)
}

# Ends what is still running: the process groups started here, and the command
# in front, which is in our own.
end_stages() {
    local status=$? i
    local -a targets=("${CHILDREN[@]/#/-}")
    trap - EXIT
    trap '' INT TERM HUP # a second one must not leave half of it behind
    exec 2> /dev/null # the shell would report each job that it ends
    [ -z "$FRONT" ] || targets+=("$FRONT")
    signal_all TERM "${targets[@]}"
    # Tests end their machines on SIGTERM; grant them twenty seconds for it.
    for ((i = 0; i < 200; i++)); do
        kill -0 "${targets[@]}" || break
        sleep 0.1
    done
    signal_all KILL "${targets[@]}"
    rm -rf "$RUNNING"
    exit "$status"
}

signal_all() {
    local signal=$1 target
    shift
    for target; do
        kill "-$signal" -- "$target" || true
    done
}

# in_front COMMAND...: runs COMMAND with our terminal and in our process group,
# so that it may read from it.  Not as the shell's foreground command: until
# such a one ends, the shell would put off what a signal to it alone asks for.
in_front() {
    local status=0
    set +m
    # The shell ignores SIGINT in, and takes stdin from, what it runs so.
    (trap - INT TERM HUP; exec "$@") <&0 9>&- &
    FRONT=$!
    wait "$FRONT" || status=$?
    FRONT=
    return $status
}

# stage NAME WORDS COMMAND...: runs COMMAND with its output in log/NAME.log.
stage() {
    local name=$1 words=$2 began=$SECONDS
    shift 2
    tell "$name: $words"
    echo "$words" > "$RUNNING/$name"
    if "$@" > "$LOGS/$name.log" 2>&1 < /dev/null; then
        rm -f "$RUNNING/$name"
        tell "$name: done in $((SECONDS - began)) s"
        return 0
    fi
    rm -f "$RUNNING/$name"
    tell "$name: FAILED after $((SECONDS - began)) s; the end of ${LOGS#"$PWD"/}/$name.log:"
    # Made lines of compilers and linkers are long; their ends say little. What
    # failed may be far before the end, where the tests that came after it are.
    {
        grep -E '^(FAIL|ERROR|XPASS): ' "$LOGS/$name.log" | sort -u || true
        tail -n 80 "$LOGS/$name.log"
    } | cut -c1-300 | sed 's/^/    /'
    return 1
}

# lane FUNCTION: runs FUNCTION beside the caller; its pid is in $lane_pid.
lane() {
    "$@" < /dev/null 9>&- &
    lane_pid=$!
    CHILDREN+=("$lane_pid")
}

# How far a stage is, from the last counter or line of its log.
progress_of() {
    local log=$1 part
    part=$(tail -c 20000 "$log" 2>/dev/null | tr '\r' '\n' |
        grep -Eo '^\[[0-9]+/[0-9]+\]|\[ *[0-9]+%\]' | tail -n 1)
    case $part in
        *%*) echo "${part//[][ ]/}" ;;
        */*) tr -d '[]' <<< "$part" | awk -F/ '{ printf "%d%%\n", 100 * $1 / $2 }' ;;
        *) echo "$(wc -l < "$log") lines of log" ;;
    esac
}

show_progress() {
    local f line
    trap - EXIT INT TERM HUP
    while sleep 20; do
        kill -0 $$ 2>/dev/null || exit 0 # killed, and could not end this
        line=
        for f in "$RUNNING"/*; do
            [ -f "$f" ] || continue
            line+="${line:+, }${f##*/} $(progress_of "$LOGS/${f##*/}.log")"
        done
        [ -z "$line" ] || tell "... $line"
    done
}

# result NAME PASSED FAILED SKIPPED: what a stage of tests found.
result() {
    echo "$2 $3 $4" > "$RESULTS/$1"
    tell "$1: $2 passed, $3 failed, $4 skipped"
}

# tests NAME WORDS COUNT COMMAND...: a stage whose results the command COUNT
# prints as "PASSED FAILED SKIPPED", then why what was skipped.  Fails if the command
# fails, and if no test ran: silence is not success.
tests() {
    local name=$1 words=$2 count=$3 status=0 passed=0 failed=0 skipped=0 found
    shift 3
    stage "$name" "$words" "$@" || status=1
    found=$($count 2>> "$LOGS/$name.log") || true
    read -r passed failed skipped <<< "${found:-0 0 0}" || true
    sed '1d; s/^/    /' <<< "$found"
    if [ "$status" != 0 ] && [ "$failed" = 0 ]; then
        failed=1 # the runner itself failed
    elif [ "$passed" = 0 ] && [ "$failed" = 0 ]; then
        tell "$name: no test ran"
        failed=1
    fi
    result "$name" "$passed" "$failed" "$skipped"
    [ "$failed" = 0 ]
}

# sum_results NAME...: the summary line; fails if a stage failed or is missing.
sum_results() {
    local name p f s passed=0 failed=0 skipped=0
    for name; do
        if read -r p f s 2>/dev/null < "$RESULTS/$name"; then
            passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
        else
            tell "$name: did not run"
            failed=$((failed + 1))
        fi
    done
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
}
