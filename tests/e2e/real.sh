# shellcheck shell=bash
# real.sh - for the scripts about real programs from Debian (50-79): source it after lib.sh.

# The ways to start a program: "${BARE[@]}" program... Simple commands, so that $! is the program itself.
# shellcheck disable=SC2034
BARE=(env) SHIM=(env MT_SHIMMED=1 LD_PRELOAD="$LIB") RUN=("$CTL" run --)

# need PROGRAM|FILE PACKAGE: on Debian `make deps` has installed it, and absence is a failure.
need() {
        if [ ! -e "$1" ] && ! command -v "$1" >/dev/null; then
                command -v dpkg-query >/dev/null && fail "$1 is absent: package $2"
                skip "$1 is absent"
        fi
}
free_port() {
        "$PROGS/real_port" || fail "no free port"
}
# Is anything listening there?
listening() {
        (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}
# End a server that we started, the way its operator would, and wait for it.
stop() {
        kill -TERM "$1" 2>/dev/null
        await 10 gone "$1" || fail "process $1 does not end"
        wait "$1" 2>/dev/null
}
# Two files that must not differ.
alike() {
        cmp -s "$1" "$2" || { diff "$1" "$2" | head -n 20; return 1; }
}
# at_least NUMBER LEAST
at_least() {
        [ "${1:-0}" -ge "$2" ]
}
# Start a server, PID is its: in a process group of its own, since some end by a signal to the whole group, and so that
# its children end with it here.
start() {
        setsid "$@" &
        PID=$!
        TEAMS+=("$PID")
}
TEAMS=()
end_teams() {
        local pid

        for pid in "${TEAMS[@]}"; do
                kill -KILL -- "-$pid" 2>/dev/null
                wait "$pid" 2>/dev/null
        done
}
trap 'end_teams; cleanup' EXIT

# visit NAME PORT PATH HEADER [EXPECT COMMAND]...: two kept connections ask while the commands change what is true; an
# old answer later than the bound fails. Leaves the answers in $T/NAME.out, and REQUESTS, GETS (how many of them reached
# the server) and SLOWEST (the longest, in ms, that an old answer was seen). LOGS: what to show when it fails.
LOGS=()
visit() {
        cli CONFIG RESETSTAT >/dev/null
        bare real_http "$2" "$3" "$4" 2 "$STALE_MS" "${@:5}" >"$T/$1.out" 2>"$T/$1.err" ||
                { show "$T/$1.err" "${LOGS[@]}"; fail "$1: an answer came too late, or none"; }
        REQUESTS=$(sed -n 's/^requests //p' "$T/$1.err")
        GETS=$(server_gets)
        SLOWEST=$(sed -n 's/^old \([0-9.]*\) ms.*/\1/p' "$T/$1.err" | sort -n | tail -n 1)
}
# served NAME: its answers are those that NAME bare was given, and at most a third of the GETs reached the server.
served() {
        alike "$T/bare.out" "$T/$1.out" || fail "$1: other answers than bare"
        [ "$GETS" -lt $((REQUESTS / 3)) ] || { "$CTL" stat; fail "$1: $GETS of $REQUESTS GETs reached the server"; }
        ok "$1: answers as bare; $GETS of $REQUESTS GETs reached the server; a change was seen by all in $SLOWEST ms"
}
