# shellcheck shell=bash
# lib.sh - what every end-to-end script stands on: a server of its own, a segment of its own, programs bare and shimmed.
#
#   . "$(dirname "$0")/lib.sh"
#   redis_start; same play < script; ok "what is shown"; ...
#
# The environment comes from tests/e2e/run: BUILD (where the products are), HIREDIS (empty: the system's; 1.2: the one
# under MATRIX). A script that is started by hand finds its own. Exit status: 0 passed, 77 skipped (skip says why).
set -u -o pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BUILD=$(realpath -m "${BUILD:-$ROOT/build}")
MATRIX=$(realpath -m "${MATRIX:-$BUILD/matrix}")
HIREDIS=${HIREDIS:-}
LIB=${LIB:-$BUILD/libmtshim.so}
export CLOCKLIB=$BUILD/testclock/libmtshim.so # the flavour whose clock tests can move
CTL=$BUILD/mtshim
PROGS=$BUILD/progs
WITH=() # what a program needs to find its hiredis

if [ "$HIREDIS" = 1.2 ]; then
        PROGS=$BUILD/progs-1.2
        WITH=("LD_LIBRARY_PATH=$(echo "$MATRIX"/usr/lib/*-linux-gnu*)")
fi
unset LD_PRELOAD MT_SHIMMED "${!MTSHIM_@}"

NAME=$(basename "${0%.sh}")
T=$(mktemp -d "${TMPDIR:-/tmp}/mtshim-e2e.XXXXXX")
chmod 755 "$T"
SEGMENT=e2e-$$-$RANDOM
STALE_MS=${STALE_MS:-300} # the bound of promise 2 in most scripts; short, so that lapsed leases show soon
export MTSHIM_SEGMENT=$SEGMENT MTSHIM_MAX_STALENESS=${STALE_MS}ms MT_BOUND_MS=$STALE_MS
CHILDREN=()
CHECKS=0

# ------------------------------------------------------------------------------------------------------ outcome

ok() {
        CHECKS=$((CHECKS + 1))
        echo "ok   $*"
}
fail() {
        echo "FAIL $NAME:${BASH_LINENO[0]}: $*"
        exit 1
}
skip() {
        echo "skip $*"
        exit 77
}
# Files to look at when something failed.
show() {
        local f

        for f; do
                echo "---- ${f#"$T"/}"
                tail -n "${SHOW:-30}" "$f"
        done
}

cleanup() {
        local pid

        for pid in "${CHILDREN[@]}"; do
                kill -CONT "$pid" 2>/dev/null
                kill -KILL "$pid" 2>/dev/null
                wait "$pid" 2>/dev/null
        done
        rm -rf "$T"
        rm -f /dev/shm/mtshim.*."$SEGMENT"*
}
trap cleanup EXIT
trap 'exit 143' TERM INT HUP

# $! is ours to end.
own() {
        CHILDREN+=("${1:-$!}")
}
# Await a condition: SECONDS command... (polls; true as soon as it holds)
await() {
        local deadline=$((${EPOCHREALTIME/./} + $(awk "BEGIN { print int($1 * 1000000) }")))

        shift
        until "$@"; do
                [ "${EPOCHREALTIME/./}" -lt "$deadline" ] || return 1
                sleep 0.01
        done
}
gone() {
        ! kill -0 "$1" 2>/dev/null
}

# ------------------------------------------------------------------------------------------------------- server

# redis_start [option...]: on $T/redis.sock; MT_REDIS, REDIS_PID. CLI_AUTH (words for redis-cli) when it wants a password.
CLI_AUTH=()
redis_start() {
        SOCK=$T/redis.sock
        MT_REDIS=${MT_REDIS:-$SOCK}
        export MT_REDIS
        redis-server --port 0 --unixsocket "$SOCK" --unixsocketperm 777 --dir "$T" --save '' --appendonly no \
                --enable-debug-command yes --daemonize no "$@" >>"$T/redis.log" 2>&1 &
        REDIS_PID=$!
        own
        await 10 answers || { show "$T/redis.log"; fail "redis-server does not answer"; }
}
# The same, and on a free loopback port as well: the server is the judge of what is free.
redis_start_tcp() {
        local port tries

        SOCK=$T/redis.sock
        for tries in 1 2 3 4 5 6 7 8 9 10; do
                port=$((20000 + (RANDOM * 7 + tries) % 12000))
                redis-server --port "$port" --bind 127.0.0.1 --unixsocket "$SOCK" --unixsocketperm 777 --dir "$T" --save '' \
                        --appendonly no --enable-debug-command yes --daemonize no "$@" >>"$T/redis.log" 2>&1 &
                REDIS_PID=$!
                if await 5 answers_or_gone && answers; then
                        own "$REDIS_PID"
                        export MT_REDIS=127.0.0.1:$port
                        return
                fi
        done
        fail "redis-server finds no port"
}
redis_stop() {
        kill "${1:--TERM}" "$REDIS_PID"
        wait "$REDIS_PID" 2>/dev/null
}
answers() {
        [ "$(cli PING 2>/dev/null)" = PONG ]
}
answers_or_gone() {
        answers || gone "$REDIS_PID"
}
cli() {
        redis-cli -s "$SOCK" "${CLI_AUTH[@]}" "$@"
}

# ----------------------------------------------------------------------------------------------------- programs

# bare PROGRAM args, shim PROGRAM args: by its name in tests/progs, or by a path.
command_of() { # bare|shim PROGRAM args: into COMMAND
        local path=$2

        [[ $2 == */* ]] || path=$PROGS/$2
        case $1 in
        bare) COMMAND=(env "${WITH[@]}" "$path" "${@:3}") ;;
        shim) COMMAND=(env "${WITH[@]}" MT_SHIMMED=1 LD_PRELOAD="$LIB" "$path" "${@:3}") ;;
        esac
}
bare() {
        command_of bare "$@"
        "${COMMAND[@]}"
}
shim() {
        command_of shim "$@"
        "${COMMAND[@]}"
}
# start bare|shim PROGRAM args: in the background; $! is the program's own pid. Ended at exit.
start() {
        command_of "$@"
        "${COMMAND[@]}" <&0 & # without this the shell gives it /dev/null
        own
}
# Standard input goes to both; outputs, errors and exit status must match, and the shim must have nothing to say.
same() {
        local b s

        cat >"$T/same.in"
        bare "$@" <"$T/same.in" >"$T/bare.out" 2>"$T/bare.err"
        b=$?
        shim "$@" <"$T/same.in" >"$T/shim.out" 2>"$T/shim.err"
        s=$?
        if [ $b -ne $s ] || ! cmp -s "$T/bare.out" "$T/shim.out" || ! cmp -s "$T/bare.err" "$T/shim.err"; then
                echo "exit status: bare $b, shimmed $s"
                diff "$T/bare.out" "$T/shim.out" | head -n 10
                diff "$T/bare.err" "$T/shim.err" | head -n 10
                return 1
        fi
        [ $b -eq 0 ] || { head -n 10 "$T/bare.err"; return 1; }
}
# One case: a title, and a script for play on standard input. The server is emptied before each of the two runs, and L1 is a new
# one: what an earlier case left there would be legal to serve for as long as the bound.
case_same() {
        local title=$1

        rm -f /dev/shm/mtshim.*."$MTSHIM_SEGMENT".*
        MTSHIM_SEGMENT=$SEGMENT-$CHECKS
        { echo 'foreign FLUSHALL'; cat; } | same play || { grep -n '' "$T/same.in" | head -n 40; fail "$title"; }
        ok "$title"
}

# ------------------------------------------------------------------------------------------------ what mtshim says

# stat_of FIELD or OBJECT.FIELD (bypassed.state, servers.listener_pid: of the first server); empty when there is none.
stat_of() {
        local json field=${1##*.}

        json=$("$CTL" stat -j 2>/dev/null | tr -d ' \n\t') || return
        case $1 in
        *.*) json=$(sed -n "s/.*\"${1%%.*}\":[[{]*\([^]}]*\)[]}].*/\1/p" <<<"$json") ;;
        esac
        sed -n "s/.*[{,]\"$field\":\"\{0,1\}\([^,}\"]*\).*/\1/p" <<<"{,$json"
}
stat_at_least() {
        [ "$(stat_of "$1")" -ge "$2" ] 2>/dev/null
}
segments() {
        find /dev/shm -maxdepth 1 -name "mtshim.*.$MTSHIM_SEGMENT.*" "$@"
}
# How many GETs the server has executed.
server_gets() {
        local n

        n=$(cli INFO commandstats | sed -n 's/^cmdstat_get:calls=\([0-9]*\).*/\1/p')
        echo "${n:-0}"
}
# Which of the processes leads: it has a thread named mtshim.
leads() {
        grep -qsx mtshim /proc/"$1"/task/*/comm
}
leader_of() {
        local pid

        for pid; do
                leads "$pid" && echo "$pid" && return
        done
        return 1
}

# ------------------------------------------------------------------------------------------------------- faults

H=$T/history # what faultloop and stepper know of each other
AGAIN=$(awk "BEGIN { print $STALE_MS / 1000 + 1 }") # seconds within which L1 must serve again

stepper_start() {
        rm -f "$H"
        bare faultloop "$H" report >/dev/null
        start bare stepper "$H" "$@" 2>"$T/stepper.err"
}
# watch_start [NAME]: a shimmed reader; WATCH_PID; its stderr is $T/NAME.err
watch_start() {
        start shim faultloop "$H" watch >"$T/${1:-watch}.out" 2>"$T/${1:-watch}.err"
        WATCH_PID=$!
        served "${2:-5}" || { show "$T/${1:-watch}.err"; fail "L1 never served"; }
}
# served SECONDS: is the reader WATCH_PID (or any, when empty) served by L1 from now on within so many seconds?
served() {
        bare faultloop "$H" await "$1" ${WATCH_PID:+"$WATCH_PID"}
}
served_again() {
        served "$AGAIN" || { report; show "$T"/*.err; fail "${1:-L1} is not served again within $AGAIN s"; }
}
report() {
        bare faultloop "$H" report
}
# The end of a fault test: nothing was too old, and the readers end well.
true_to_bound() {
        report >"$T/report" || { cat "$T/report"; fail "reads were older than the bound"; }
        ok "$1: $(cat "$T/report")"
}
