#!/bin/bash
# Which database, which user: a connection sees what it would see without the shim.
. "$(dirname "$0")/lib.sh"
redis_start

case_same "SELECT" <<'E2'
connect c
cmd c SET k zero
warm c k
cmd c SELECT 1
cmd c GET k
cmd c SET k one
warm c k
hit c k
cmd c SELECT 0
cmd c GET k
warm c k
hit c k
cmd c SELECT 99
hit c k
append c SELECT 1
append c PING
reply c
reply c
cmd c GET k
warm c k
hit c k
E2
grep -q ' s=3:one$' "$T/shim.out" || fail "SELECT"

case_same "redisReconnect goes back to database 0" <<'E2'
connect c
cmd c SET k zero
warm c k
cmd c SELECT 1
cmd c SET k one
warm c k
reconnect c
cmd c GET k
warm c k
hit c k
E2

case_same "RESET goes back to database 0" <<'E2'
connect c
cmd c SET k zero
warm c k
cmd c SELECT 1
cmd c SET k one
warm c k
cmd c RESET
cmd c GET k
warm c k
hit c k
E2

case_same "redisFree, and the same address for another connection" <<'E2'
connect z
cmd z SET k zero
warm z k
repeat 50
connect c
cmd c SELECT 1
cmd c SET k one
cmd c GET k
free c
connect c
cmd c GET k
free c
end
E2

redis_stop
CLI_AUTH=(--no-auth-warning -a Zq7-master)
redis_start --requirepass Zq7-master
export MT_PROBE_AUTH='AUTH Zq7-master'
with_auth() { # title: a script in which the server is emptied by an authenticated connection
        { echo 'connect x'; echo 'cmd x AUTH Zq7-master'; echo 'cmd x FLUSHALL'; cat; } | same play || fail "$1"
        ok "$1"
}

with_auth "a password: only who gave it is answered" <<'E2'
cmd x SET k value
warm x k
hit x k
connect c
cmd c GET k
cmd c AUTH wrong
cmd c GET k
cmd c AUTH Zq7-master
cmd c GET k
hit c k
reconnect c
cmd c GET k
cmd x RESET
cmd x GET k
E2

cli ACL SETUSER alice on '>Zq7-alice' '~*' '&*' +@all >/dev/null
cli ACL SETUSER bob on '>Zq7-bob' '~pub*' +get +pttl +ping +select +hello +auth +client +info >/dev/null
with_auth "users of the server's ACL do not see each other's values" <<'E2'
cmd x MSET k secret public open
connect a
cmd a AUTH alice Zq7-alice
warm a k
warm a public
hit a k
connect b
cmd b AUTH bob Zq7-bob
cmd b GET k
cmd b GET public
cmd b GET k
append a AUTH bob Zq7-bob
append a PING
reply a
reply a
cmd a GET k
cmd a GET public
cmd a AUTH alice wrong
cmd a GET k
cmd a AUTH alice Zq7-alice
hit a k
E2

with_auth "HELLO changes the user as AUTH does" <<'E2'
cmd x MSET k secret public open
connect a
unlike a - HELLO 2 AUTH alice Zq7-alice
warm a k
hit a k
unlike a - HELLO 2 AUTH bob Zq7-bob
cmd a GET k
unlike a - HELLO 2 AUTH alice wrong
cmd a GET k
cmd a HELLO 9
cmd a GET k
E2

if [ "$HIREDIS" = 1.2 ]; then
        with_auth "RESP3" <<'E2'
cmd x MSET k secret public open
connect a
unlike a - HELLO 3 AUTH alice Zq7-alice
cmd a GET k
cmd a GET k
cmd a GET absent
cmd a GET absent
cmd a HSET h f 1
cmd a HGETALL h
cmd a GET h
E2
fi
for word in Zq7 alice bob; do
        ! grep -aqs "$word" /dev/shm/mtshim.*."$SEGMENT"* || fail "$word is in the segment"
done
ok "neither passwords nor names are in the segment"
