#!/bin/bash
# Servers that refuse tracking, and credentials that are wrong, missing or right.
. "$(dirname "$0")/lib.sh"

cat >"$T/refused" <<E2
foreign SET k value
connect c
repeat 40
travels c k
end
untilsaid c k $T/shim.err
repeat 100
travels c k
end
E2
# A run without L1: the same output, and at most one line that says why.
not_served() {
        MTSHIM_SEGMENT=$SEGMENT-$CHECKS # a server that comes to the same inode would be left alone for a minute
        bare play <"$T/refused" >"$T/bare.out" 2>&1
        : >"$T/shim.err"
        shim play <"$T/refused" >"$T/shim.out" 2>"$T/shim.err" || { show "$T/shim.err"; fail "$1"; }
        cmp "$T/bare.out" "$T/shim.out" || fail "$1"
        [ "$(wc -l <"$T/shim.err")" -eq 1 ] || { show "$T/shim.err"; fail "$1: not one line"; }
        ok "$1: $(cut -d: -f2- "$T/shim.err")"
}

redis_start --rename-command CLIENT ''
not_served "rename-command CLIENT"
redis_stop

redis_start
cli ACL SETUSER default -client >/dev/null
not_served "a user without +client"
redis_stop

redis_start
cli ACL SETUSER default resetchannels -subscribe >/dev/null
not_served "a user without +subscribe"
redis_stop

redis_start
cli ACL SETUSER listener on '>Zq7-pw' resetkeys resetchannels '&__redis__:invalidate' -@all '+client|tracking' '+client|id' \
        +subscribe +ping +info >/dev/null
cli ACL SETUSER default -client -subscribe >/dev/null
printf 'Zq7-pw\n' >"$T/password"
printf 'wrong\n' >"$T/wrong"
export MTSHIM_USER=listener
MTSHIM_PASSWORD_FILE=$T/wrong not_served "a wrong password"
MTSHIM_PASSWORD_FILE=$T/absent not_served "a password file that is not there"
MTSHIM_PASSWORD_FILE=$T/password case_same "a listener with the least rights" <<'E2'
foreign SET k value
connect c
warm c k
hit c k
foreign SET k new
await c k new
E2
unset MTSHIM_USER
redis_stop

redis_start
cli ACL SETUSER default -pttl >/dev/null
not_served "a user without +pttl"
redis_stop

# The fault ends while the program runs: rights are given back. (Who was refused stays out for a while, others do not.)
redis_start
cli ACL SETUSER default -client >/dev/null
stepper_start
start shim faultloop "$H" watch >"$T/watch.out" 2>"$T/watch.err"
await 5 test -s "$T/watch.err" || fail "no line says that tracking is refused"
cli ACL SETUSER default +client >/dev/null
true_to_bound "without rights a program reads the truth"
