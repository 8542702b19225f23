# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Stages of quickstart.  A stage is a named command with a log; while it runs, progress
# lines appear, and at the end its time, and the sum of all results.  Source this file
# after lib.sh.
#
# A lane is a function that runs stages, at the same time as other lanes.  Every
# background process leads a process group, so that a signal to the group ends the lane
# with its children, and nothing else.

LOGS=$BUILD/log
RESULTS=$BUILD/results
# A folder with a file for each running stage, from which show_progress reads.
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

# Ends the process groups that were started here, and the command in front, which is in
# this shell's own group.
end_stages() {
    local status=$? i
    local -a targets=("${CHILDREN[@]/#/-}")
    trap - EXIT
    trap '' INT TERM HUP # a second signal must not interrupt this
    exec 2> /dev/null # the shell would report the end of each job
    [ -z "$FRONT" ] || targets+=("$FRONT")
    signal_all TERM "${targets[@]}"
    # On SIGTERM, tests end their machines: they get twenty seconds for that.
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

# in_front COMMAND...: runs COMMAND in this shell's process group, so that COMMAND may
# read from the terminal.  COMMAND is not a foreground command of the shell: then the
# shell would handle a signal to itself only after the end of COMMAND.
in_front() {
    local status=0
    set +m
    # A background command ignores SIGINT, and reads from /dev/null: undo both.
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
    # Lines of compilers and linkers are cut, because they are long. Failed tests are
    # listed first, because the log may continue with many other tests.
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

# Prints a stage's progress: the last counter in its log, or the log's number of lines.
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
        kill -0 $$ 2>/dev/null || exit 0 # quickstart was killed
        line=
        for f in "$RUNNING"/*; do
            [ -f "$f" ] || continue
            line+="${line:+, }${f##*/} $(progress_of "$LOGS/${f##*/}.log")"
        done
        [ -z "$line" ] || tell "... $line"
    done
}

# result NAME PASSED FAILED SKIPPED: stores and prints the result of a stage of tests.
result() {
    echo "$2 $3 $4" > "$RESULTS/$1"
    tell "$1: $2 passed, $3 failed, $4 skipped"
}

# tests NAME WORDS COUNT COMMAND...: runs COMMAND as a stage.  Then COUNT prints "PASSED
# FAILED SKIPPED", and lines with the reasons of skips.  Fails if COMMAND fails, and also
# if no test ran.
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

# sum_results NAME...: prints the summary; fails if a stage failed or did not run.
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
