#!/bin/bash
# A program without hiredis loads a module that brings it, RTLD_LOCAL and otherwise, and unloads it and loads it again.
# With RTLD_DEEPBIND it is out of reach: unharmed, not served, and doctor says so of the process. Both hiredis ABIs.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/real.sh"
redis_start

# ways WORD...: the same output, and the GETs that the shim answered
ways() {
        local before

        same real_host "$PROGS/real_module" 500 "$@" </dev/null || fail "$HIREDIS $*"
        before=$(server_gets)
        shim real_host "$PROGS/real_module" 500 "$@" >/dev/null || fail "$HIREDIS $*"
        reached=$(($(server_gets) - before))
}

for HIREDIS in '' 1.2; do
        PROGS=$BUILD/progs${HIREDIS:+-$HIREDIS}
        WITH=()
        [ -z "$HIREDIS" ] || WITH=("LD_LIBRARY_PATH=$(echo "$MATRIX"/usr/lib/*-linux-gnu*)")
        [ -e "$PROGS/real_host" ] || fail "$PROGS/real_host is not built"
        ldd "$PROGS/real_host" | grep hiredis >/dev/null && fail "the host is linked to hiredis"
        for way in local lazy close global; do
                ways $way
                [ "$reached" -lt 250 ] || fail "${HIREDIS:-0.14} $way: $reached of 500 GETs reached the server"
                ok "hiredis ${HIREDIS:-0.14}, loaded $way: same replies, $reached of 500 GETs reached the server"
        done
        ways close close local close
        ok "hiredis ${HIREDIS:-0.14}: unloaded and loaded again"
        ways deepbind
        [ "$reached" -ge 500 ] || fail "RTLD_DEEPBIND: $reached of 500 GETs reached the server"
        ok "hiredis ${HIREDIS:-0.14}, loaded with RTLD_DEEPBIND: same replies, not served"
done

mkfifo "$T/go"
"${SHIM[@]}" "${WITH[@]}" "$PROGS/real_host" "$PROGS/real_module" 10 deepbind wait <"$T/go" >"$T/wait.out" 2>&1 &
own
exec 3>"$T/go"
await 10 grep -q waiting "$T/wait.out" || { show "$T/wait.out"; fail "the host does not wait"; }
"$CTL" doctor "${CHILDREN[-1]}" >"$T/doctor" 2>&1
grep -q RTLD_DEEPBIND "$T/doctor" || { show "$T/doctor"; fail "doctor does not name RTLD_DEEPBIND"; }
ok "doctor names RTLD_DEEPBIND: $(grep -m1 RTLD_DEEPBIND "$T/doctor")"
