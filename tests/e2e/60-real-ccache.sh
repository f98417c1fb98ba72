#!/bin/bash
# ccache with its storage in Redis, no local one: cold and warm builds give the same objects bare and shimmed, and the
# hits that it counts are the same. Its processes live for milliseconds: none of them becomes a listener, and with a server
# this near none attaches to L1 either, unless it has waited for Redis as long as that takes. While a long-lived program
# of the host listens, a warm build is the same, and a cache that was deleted is not used on.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/real.sh"
. "$(dirname "$0")/agent.sh"
need ccache ccache
need make make
ldd "$(command -v ccache)" | grep libhiredis >/dev/null || fail "ccache has a hiredis of its own inside"
FILES=16
redis_start
"$(dirname "$0")/ccache/generate" "$T/project" $FILES
mkdir "$T/cc"
export CCACHE_DIR=$T/cc CCACHE_CONFIGPATH=/dev/null CCACHE_REMOTE_ONLY=1 CCACHE_REMOTE_STORAGE=redis+unix:$SOCK
unset MAKEFLAGS MAKELEVEL MFLAGS

# build NAME HOW...: from nothing, in the same directory, so that nothing but the way of starting differs
build() {
        rm -rf "$T/out"
        mkdir "$T/out"
        ccache --zero-stats >/dev/null
        "${@:2}" make -s -j2 -C "$T/out" -f ../project/Makefile SRC="$T/project/src" >"$T/$1.log" 2>&1 ||
                { show "$T/$1.log"; fail "$1: the build fails"; }
        (cd "$T/out" && sha256sum ./*) >"$T/$1.sums"
        HITS=$(ccache --print-stats | awk '/^(direct|preprocessed)_cache_hit/ { n += $2 } END { print n + 0 }')
        [ -s "$T/$1.log" ] && { show "$T/$1.log"; fail "$1: make or the shim had something to say"; }
        return 0
}
# expect NAME CACHE_HITS
expect() {
        alike "$T/bare-cold.sums" "$T/$1.sums" || fail "$1: objects differ"
        [ "$HITS" -eq "$2" ] || fail "$1: $HITS cache hits, not $2"
}

calls_of() {
        local n

        n=$(cli INFO commandstats | sed -n "s/^cmdstat_$1:calls=\([0-9]*\).*/\1/p")
        echo "${n:-0}"
}

build bare-cold "${BARE[@]}"
expect bare-cold 0
build bare-warm "${BARE[@]}"
expect bare-warm $((FILES + 1))
cli FLUSHALL >/dev/null
build shim-cold "${SHIM[@]}"
expect shim-cold 0
cli CONFIG RESETSTAT >/dev/null
build shim-warm "${SHIM[@]}"
expect shim-warm $((FILES + 1))
build run-warm "${RUN[@]}"
expect run-warm $((FILES + 1))
ok "$((FILES + 1)) objects and the program are the same, built cold and warm, bare and shimmed"

[ "$(calls_of 'client|tracking')" -eq 0 ] || fail "a process of a warm build started a listener"
ok "no listener was started by the processes of two warm builds"

"${SHIM[@]}" "$PROGS/real_steady" >"$T/steady.log" 2>&1 &
STEADY=$!
own
listened() {
        [ "$(stat_of servers.lease_ms_left)" -gt 0 ] 2>/dev/null
}
await 10 listened || { show "$T/steady.log"; "$CTL" stat; fail "nobody listens"; }
build shim-fill "${SHIM[@]}"
expect shim-fill $((FILES + 1))
build shim-hits "${SHIM[@]}"
expect shim-hits $((FILES + 1))
ok "the same while a program of the host listens"

# The bound is what a deleted cache may go on being used for; there is no event to await.
cli FLUSHALL >/dev/null
sleep "$(awk "BEGIN { print $STALE_MS / 1000 }")"
build shim-flushed "${SHIM[@]}"
expect shim-flushed 0
build shim-again "${SHIM[@]}"
expect shim-again $((FILES + 1))
ok "the cache deleted by redis-cli: all $((FILES + 1)) files were compiled again, and cached again"

# With an agent L1 is warm from build to build.
kill "$STEADY"
wait "$STEADY" 2>/dev/null
agent_start it --server "$SOCK"
cli CONFIG RESETSTAT >/dev/null
build agent-bare "${BARE[@]}"
expect agent-bare $((FILES + 1))
bare_gets=$(server_gets)
build agent-fill "${SHIM[@]}"
expect agent-fill $((FILES + 1))
cli CONFIG RESETSTAT >/dev/null
build agent-hits "${SHIM[@]}"
expect agent-hits $((FILES + 1))
[ "$(server_gets)" -le $((bare_gets / 10)) ] || { "$CTL" stat; fail "$(server_gets) GETs of $bare_gets reach the server"; }
ok "with an agent $(server_gets) of $bare_gets GETs of a warm build reach the server"
