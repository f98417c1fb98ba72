#!/bin/bash
# No password in the segment, in what mtshim says, or in a core file of the program, unless the program's own copy is in it.
. "$(dirname "$0")/lib.sh"

redis_start
PASSWORD=Zq7-$(head -c 60 /dev/urandom | od -An -tx1 | tr -d ' \n')
printf '%s' "$PASSWORD" >"$T/password"
cli ACL SETUSER alice on ">$PASSWORD" '~*' '&*' +@all >/dev/null
cli SET k value >/dev/null
export MTSHIM_LOG=$T/log.%p MTSHIM_LOG_LEVEL=debug

# run_secrets ARGUMENT...: PID, in its last wait
run_secrets() {
        start shim secrets "$T/password" "$T/told" "$@" 2>"$T/err"
        PID=$!
        await 20 test -e "$T/told" -o ! -d "/proc/$PID"
        [ -e "$T/told" ] || { show "$T/err"; fail "secrets $*"; }
}
end_secrets() {
        rm -f "$T/told"
        wait "$PID" || { show "$T/err"; fail "secrets: status $?"; }
}
# Everything that a core file may hold: mappings of files too.
core_of() {
        echo 0xff >"/proc/$PID/coredump_filter"
        gcore -o "$T/core" "$PID" >"$T/gcore.out" 2>&1
        CORE=$T/core.$PID
        [ -s "$CORE" ]
}
for ((at = 0; at + 16 <= ${#PASSWORD}; at++)); do
        echo "${PASSWORD:at:16}"
done >"$T/pieces"
pieces() { # FILE: places where 16 bytes of the password, or more, stand
        LC_ALL=C grep -aobF -f "$T/pieces" "$1" | tail -n 20
}

run_secrets keep unanswered
if command -v gcore >/dev/null && core_of; then
        [ "$(pieces "$CORE" | wc -l)" -gt 0 ] || fail "the copy that the program keeps is not in its core file"
        ok "a core file shows the copy that the program keeps"
        grep -A30 "mtshim\.[0-9]*\.$SEGMENT" "/proc/$PID/smaps" | grep VmFlags | head -n 1 | grep -qw dd ||
                fail "the segment is in core files"
        rm -f "$CORE"
        end_secrets
        run_secrets unanswered
        core_of || { show "$T/gcore.out"; fail "no core file"; }
        pieces "$CORE" >"$T/pieces.found"
        [ ! -s "$T/pieces.found" ] || { show "$T/pieces.found"; fail "pieces of the password are in a core file"; }
        ok "nothing of ours is in a core file: $(stat -c %s "$CORE") bytes"
        cores=yes
else
        echo "     no core files here: $(tail -n 1 "$T/gcore.out" 2>/dev/null)"
        cores=
fi

{
        "$CTL" stat; "$CTL" stat -j; "$CTL" config; "$CTL" doctor; "$CTL" doctor "$PID"; "$CTL" doctor "$PROGS/secrets"
} >"$T/said" 2>&1
[ "$(wc -l <"$T/said")" -gt 40 ] || { show "$T/said"; fail "mtshim has little to say"; }
segments >"$T/files"
[ -s "$T/files" ] && grep -qaF "$SOCK" "$(cat "$T/files")" || fail "no segment, or nothing of this server in it"
for word in "${PASSWORD:4:40}" "${PASSWORD:60:40}" alice; do
        # shellcheck disable=SC2046
        ! grep -qaF -e "$word" $(cat "$T/files") || fail "$word is in the segment"
        ! grep -aF -e "$word" "$T/said" "$T/err" "$T"/log.* || fail "$word is in what mtshim says"
done
ok "nor in the segment, in the log, or in what stat, config and doctor say: $(cat "$T/said" "$T"/log.* | wc -l) lines"
end_secrets
[ -n "$cores" ] || skip "no core files can be had here"
