#!/bin/bash
# The harness itself: a program runs bare and shimmed; a difference between the two is a failure.
. "$(dirname "$0")/lib.sh"
redis_start

[ -r "$LIB" ] || fail "no $LIB"
case_same "a program prints the same bare and shimmed" <<'E2'
connect c
cmd c SET k v
cmd c GET k
cmd c GET absent
E2
grep -q 'cmd 4 s=1:v$' "$T/shim.out" || grep -q ' s=1:v$' "$T/shim.out" || fail "its output is not that of the script"

printf 'connect c\nwarm c k\n' | bare play || fail "bare, warm asks for nothing"
printf 'connect c\nhit c k\n' | env MT_SHIMMED=1 "${WITH[@]}" "$PROGS/play" >"$T/out" 2>&1 &&
        fail "a GET that travels passed for one that did not"
ok "without the shim no GET is a hit"
! printf 'cmd nobody GET k\n' | bare play 2>/dev/null || fail "a broken script passed"
ok "a program's failure is seen"
