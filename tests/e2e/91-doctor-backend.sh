#!/bin/bash
# mtshim doctor --backend: stores put through what every store must pass, and plugins that are refused.
. "$(dirname "$0")/lib.sh"
cd "$T" || exit 1
PLUGIN=$PROGS/plugin

# backend N SPEC: rows in $T/rows; the exit status must be N, and the number of FAILs
backend() {
        local status

        "$CTL" doctor --quick --backend "$2" >rows 2>err
        status=$?
        [ $status -eq "$1" ] || { show rows err; fail "$2: exit status $status instead of $1"; }
        [ "$(grep -c '^FAIL ' rows)" -eq "$1" ] || { show rows; fail "$2: not $1 FAILs"; }
        grep -qvE '^((ok|skip|FAIL) +[a-z0-9-]+ +[^ ]|[0-9]+ passed, )' rows && { show rows; fail "a row of another form"; }
        [ ! -s err ] || { show err; fail "it writes to standard error"; }
}
row() { # STATE CHECK PATTERN
        grep -qE "^$1 +$2 .*$3" rows || { show rows; fail "no row '$1 $2 $3'"; }
}
refused() { # WHAT PATTERN SPEC
        backend 1 "$3"
        row FAIL backend "$2"
        [ "$(wc -l <rows)" -eq 1 ] || { show rows; fail "it was looked at nevertheless"; }
        ok "$1"
}

backend 0 process
row ok open 'process'
row ok ttl-end .
row skip huge-key quick
row skip restart .
grep -qE '^[0-9]{2} passed, 0 failed, [0-9] skipped$' rows || { show rows; fail "no sum"; }
ok "the one that is linked in"
backend 0 "shm:x?directory=$T&size=8M"
row ok pattern-random '60 patterns'
row ok two-objects .
row ok marks-threads 'late values stored, [1-9]'
ok "shared memory"
backend 0 "plugin:$PLUGIN?size=16M"
row ok marks-void .
ok "a good plugin"
backend 1 "plugin:$PLUGIN?size=16M&nosuch=1"
row FAIL open 'nosuch=1: no such option'
ok "an option that it does not know"

export PLUGIN_FAULT=late
backend 1 "plugin:$PLUGIN"
row FAIL ttl-1ms 'get says MT_OK instead of MT_MISS'
ok "one that gives out what is over"
PLUGIN_FAULT=pattern
backend 4 "plugin:$PLUGIN"
row FAIL pattern "after 'user:\*': 'user:1' is MT_OK instead of MT_MISS"
row FAIL pattern-random .
row FAIL marks-pattern .
ok "one that forgets patterns"

PLUGIN_FAULT=abi
refused "one of another ABI" "$PLUGIN: it was built for backend ABI 2, this is 1" "plugin:$PLUGIN"
PLUGIN_FAULT=size
refused "one that is too small" "$PLUGIN: its table has [0-9]+ bytes, ABI 1 has [0-9]+" "plugin:$PLUGIN"
PLUGIN_FAULT=ops
refused "one that lacks a function" "$PLUGIN: its table has no remove" "plugin:$PLUGIN"
unset PLUGIN_FAULT
refused "a file that is not there" 'nosuch.so: cannot open' "plugin:$T/nosuch.so"
refused "a file that is no plugin" 'exports no symbol mtshim_backend' "plugin:$BUILD/libmtshim.so"
refused "a relative path" 'not an absolute path' plugin:x.so
refused "a store that nobody has" "$(dirname "$CTL")/libmtshim-nosuch.so" nosuch:x
refused "a name that is none" 'a .%. is not followed by two' 'process?size=%2'

"$CTL" doctor --quick 2>err && fail "--quick alone is taken"
"$CTL" doctor --backend process --server x 2>err && fail "--backend and --server are taken together"
ok "usage"
