#!/bin/bash
# When L1 may answer, and when not: each case goes wrong as soon as its condition is taken out of the shim. All of them first
# make sure that L1 would answer.
. "$(dirname "$0")/lib.sh"
redis_start

case_same "an error on the context" <<'E2'
foreign SET k value
connect c
warm c k
seterr c 1
cmd c GET k
err c
seterr c 0
cmd c GET k
reply c
reconnect c
warm c k
hit c k
E2

case_same "a real error: the server closed the connection" <<'E2'
foreign ACL SETUSER mallory on nopass ~* &* +@all
foreign SET k value
connect c
connect killer
cmd c AUTH mallory any
warm c k
unlike killer - CLIENT KILL USER mallory
cmd c SET other 1
cmd c GET k
err c
reconnect c
cmd c GET k
E2

case_same "a non-blocking context" <<'E2'
foreign SET k value
connect c
warm c k
nonblock c
cmd c GET k
write c
block c
reply c
hit c k
E2

case_same "a command not yet sent" <<'E2'
foreign SET k old
connect c
warm c k
append c SET k new
cmd c GET k
reply c
warm c k
hit c k
E2

case_same "a reply outstanding: redisCommand returns the older one" <<'E2'
foreign MSET a first b second
connect c
warm c b
append c GET a
write c
cmd c GET b
reply c
append c GET a
append c STRLEN b
write c
cmd c GET b
cmd c GET b
reply c
reply c
hit c b
E2

case_same "bytes in the reader" <<'E2'
foreign SET k value
connect c
warm c k
feed c +fed\r\n
cmd c GET k
reply c
cmd c GET k
reconnect c
warm c k
E2

case_same "half a reply in the reader" <<'E2'
foreign SET k value
connect c
warm c k
feed c $4\r\nto
cmd c GET k
E2

case_same "replies read but not taken" <<'E2'
foreign MSET a first b second
connect c
warm c b
append c GET a
append c GET a
write c
read c
readerreply c
cmd c GET b
reply c
hit c b
E2

case_same "reply functions of the program's own" <<'E2'
foreign SET k value
connect c
warm c k
fn c own
cmd c GET k
travels c k
fn c default
hit c k
E2

case_same "a descriptor whose history is not known" <<'E2'
foreign SET k zero
connect a
warm a k
cmd a SELECT 1
cmd a SET k one
connect c fdof a
travels c k
travels c k
E2

case_same "commands that hiredis appends formatted, several at once" <<'E2'
foreign MSET a first b second
connect c
warm c b
appendraw c *2\r\n$3\r\nGET\r\n$1\r\na\r\n*3\r\n$3\r\nSET\r\n$1\r\nb\r\n$5\r\nthird\r\n
cmd c GET b
reply c
reply c
hit c b
E2
