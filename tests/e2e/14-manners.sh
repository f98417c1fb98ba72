#!/bin/bash
# A guest: what the program can see of itself is as it would be without the shim.
. "$(dirname "$0")/lib.sh"
redis_start

same manners state </dev/null || fail "state"
ok "errno, descriptors, signals: $(tail -n 2 "$T/shim.out" | tr '\n' ';')"
bare manners few >"$T/bare.out" && shim manners few >"$T/shim.out" 2>"$T/shim.err" || fail "few descriptors"
cmp "$T/bare.out" "$T/shim.out" && [ "$(wc -l <"$T/shim.err")" -le 1 ] || { show "$T/shim.err"; fail "few descriptors"; }
ok "a program at its limit of descriptors: $(cut -d: -f3- "$T/shim.err")"
same play </dev/null || fail "no input"

rm -f /dev/shm/mtshim.*."$SEGMENT".*
for program in /bin/true /bin/cat /bin/ls; do
        case $program in
        */cat) args=(/proc/self/maps /proc/self/status) ;;
        */ls) args=(-l /proc/self/fd /proc/self/task) ;;
        *) args=() ;;
        esac
        LD_PRELOAD=$LIB MT_SHIMMED=1 $program "${args[@]}" >"$T/out" 2>"$T/err" </dev/null || fail $program
        [ ! -s "$T/err" ] || { show "$T/err"; fail "$program: it is not silent"; }
        case $program in
        */cat)
                grep -q libmtshim.so "$T/out" || fail "it is not loaded"
                ! grep -q /dev/shm "$T/out" || fail "a program that never calls hiredis maps a segment"
                grep -qx 'Threads:.1' "$T/out" || fail "a thread"
                ;;
        */ls) ! grep -q socket: "$T/out" || fail "a socket" ;;
        esac
done
[ "$(segments | wc -l)" -eq 0 ] || fail "a segment"
ok "a program that never calls hiredis: no thread, no mapping, no socket, no segment"

shim formats >/dev/null <&- || fail "formats <&-"
# The first connection becomes descriptor 2; a line written there would be a command.
MTSHIM_L1_SIZE=banana MTSHIM_LOG_LEVEL=debug shim formats >/dev/null 2>&- || fail "formats 2>&-"
ok "standard descriptors that are closed"
redis_stop

redis_start --rename-command CLIENT ''
bare manners stderr "$T/two.bare" >"$T/bare.out"
shim manners stderr "$T/two.shim" >"$T/shim.out"
cmp "$T/bare.out" "$T/shim.out" && cmp "$T/two.bare" "$T/two.shim" || fail "a line in the program's own file"
ok "descriptor 2 is the program's own file: no line goes there"
mkfifo "$T/pipe"
exec 8<>"$T/pipe"
head -c 65536 /dev/zero >&8
timeout 20 env "${WITH[@]}" MT_SHIMMED=1 LD_PRELOAD="$LIB" MTSHIM_L1_SIZE=banana "$PROGS/manners" few 2>&8 >"$T/out" ||
        fail "stderr is a full pipe"
exec 8>&-
{ sleep 0.1; shim manners few 2>&1 >/dev/null; echo $? >"$T/status"; } | true
await 10 test -s "$T/status"
[ "$(cat "$T/status")" = 0 ] || fail "stderr is a broken pipe: $(cat "$T/status")"
ok "a pipe on descriptor 2 that nobody reads, or that is full"
