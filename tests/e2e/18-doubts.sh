#!/bin/bash
# What is in doubt goes to Redis: commands whose effect is not what their name or their reply says, and programs of unusual
# habits. Each was answered wrongly once, or crashed, or hung.
. "$(dirname "$0")/lib.sh"
redis_start

case_same "a transaction goes on after DISCARD with a word too many" <<'E2'
connect c
cmd c SET k v
warm c k
cmd c MULTI
cmd c DISCARD x
cmd c GET k
cmd c EXEC
cmd c MULTI
cmd c SET k w
cmd c EXEC x
cmd c GET k
cmd c DISCARD
cmd c GET k
E2

case_same "AUTH and HELLO of every length" <<'E2'
connect c
cmd c SET k v
warm c k
cmd c AUTH
cmd c AUTH a b c
unlike c x HELLO
cmd c HELLO 2 AUTH
cmd c HELLO 2 AUTH default
unlike c x HELLO 2 SETNAME AUTH
cmd c GET k
E2

cli ACL SETUSER alice on '>Zq7-alice' '~pub*' '~k' '&*' +@all >/dev/null
cli ACL SETUSER bob on '>Zq7-bob' '~*' '&*' +@all >/dev/null
case_same "a HELLO that is refused may have authenticated" <<'E2'
connect x
cmd x MSET k v secret bobs
connect a
cmd a AUTH alice Zq7-alice
cmd a GET secret
warm a k
connect c
cmd c AUTH alice Zq7-alice
warm c k
cmd c HELLO 2 AUTH bob Zq7-bob SETNAME bad\sname
cmd c GET secret
cmd c GET secret
cmd a GET secret
E2

for habit in coroutine null userns first byhand; do
        rm -f /dev/shm/mtshim.*."$MTSHIM_SEGMENT".*
        MTSHIM_SEGMENT=$SEGMENT-$habit
        same doubts "$habit" </dev/null || { show "$T/shim.err"; fail "$habit"; }
        ok "$habit"
done
if [ "$(id -u)" -eq 0 ]; then
        MTSHIM_SEGMENT=$SEGMENT-v
        same doubts vfork </dev/null || { show "$T/shim.err"; fail "vfork"; }
        ok "a vfork child changes its uid, and its parent is served as before"
fi

redis_stop
redis_start --rename-command SELECT CHOOSE
case_same "SELECT by another name" <<'E2'
connect c
cmd c SET k zero
warm c k
cmd c CHOOSE 1
cmd c GET k
cmd c SET k one
cmd c GET k
cmd c GET k
connect d
warm d k
hit d k
E2
