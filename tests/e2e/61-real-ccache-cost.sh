#!/bin/bash
# What the shim costs a build by ccache with its storage in Redis: not above 3% of a cold build. A warm one is the worst
# case, since each of its processes lives for some 3 ms, in which it is loaded, connects and asks twice: an empty preload
# takes 2 to 3% of that, so this half has a limit of its own that only guards against getting worse. Fails when it is
# certain (99%) that a build takes more; how a ratio is found and how far noise hides it: real_pairs.c, and the output.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/real.sh"
need ccache ccache
need make make
redis_start
mkdir "$T/cc" "$T/out"
export CCACHE_DIR=$T/cc CCACHE_CONFIGPATH=/dev/null CCACHE_REMOTE_ONLY=1 CCACHE_REMOTE_STORAGE=redis+unix:$SOCK
unset MAKEFLAGS MAKELEVEL MFLAGS

# cost WHAT LIMIT FILES SECONDS FIRST: pairs of builds, each from nothing, after the command FIRST
cost() {
        rm -rf "$T/project"
        "$(dirname "$0")/ccache/generate" "$T/project" "$3"
        build="make -s -C $T/out -f ../project/Makefile SRC=$T/project/src >>$T/make.log 2>&1"
        clean="rm -f $T/out/*; $5 >>$T/make.log 2>&1"
        "$PROGS/real_pairs" "$2" 11 200 "$4" "$clean; $build" "$clean; LD_PRELOAD=$LIB $build" >"$T/$1" 2>&1
        local status=$?

        cat "$T/$1"
        [ $status -ne 2 ] || { show "$T/make.log"; fail "$1: the build fails"; }
        [ $status -eq 0 ] || fail "a $1 build takes more than x$2"
        ok "$1 builds of $3 files, limit x$2: $(sed -n 's/^processor *\(x[^:]*\).*/\1/p' "$T/$1") in processor time"
}

cost cold 1.03 3 9 "redis-cli -s $SOCK FLUSHALL"
cost warm 1.10 20 9 :
