#!/bin/bash
# Connections that are no longer request and reply, or whose replies the program has changed.
. "$(dirname "$0")/lib.sh"
redis_start

case_same "a subscribed connection" <<'E2'
foreign SET k value
connect c
warm c k
cmd c SUBSCRIBE channel
cmd c GET k
cmd c UNSUBSCRIBE channel
cmd c GET k
cmd c PSUBSCRIBE a* b*
reply c
cmd c GET k
cmd c PUNSUBSCRIBE
reply c
cmd c GET k
foreign PUBLISH channel nobody
cmd c GET k
E2

case_same "messages that come while subscribed" <<'E2'
foreign SET k value
connect c
warm c k
cmd c SUBSCRIBE channel
foreign PUBLISH channel one
foreign PUBLISH channel two
cmd c GET k
reply c
reply c
E2

case_same "MONITOR" <<'E2'
foreign SET k value
connect c
warm c k
cmd c MONITOR
unlike c value GET k
E2

case_same "CLIENT REPLY OFF: there is no reply" <<'E2'
foreign SET k value
connect c
timeout c 100
warm c k
append c CLIENT REPLY OFF
write c
cmd c GET k
E2

case_same "CLIENT REPLY OFF and ON in a pipeline" <<'E2'
foreign SET k old
connect c
connect d
timeout c 1000
warm c k
append c CLIENT REPLY OFF
append c SET k new
append c CLIENT REPLY ON
reply c
cmd c GET k
cmd d GET k
E2

case_same "CLIENT REPLY SKIP" <<'E2'
foreign SET k old
connect c
connect d
timeout c 1000
warm c k
append c CLIENT REPLY SKIP
append c SET k new
cmd c GET k
cmd d GET k
E2

case_same "CLIENT TRACKING of the program's own: the server must see its reads" <<'E2'
foreign SET k value
connect c
connect watcher
warm c k
fmt watcher CLIENT GETREDIR
cmd c CLIENT TRACKING ON
travels c k
travels c k
cmd c CLIENT TRACKING OFF
E2

case_same "QUIT" <<'E2'
foreign SET k value
connect c
warm c k
cmd c QUIT
unlike c value GET k
unlike c value GET k
reconnect c
cmd c GET k
E2

# A time that ran out, and a program that reads on: what comes late is what would have come.
for mode in tracking pubsub; do
        MTSHIM_INVALIDATION=$mode case_same "$mode: replies that come late" <<'E2'
foreign MSET k value other value
connect c
connect d
warm c other
hit c other
timeout c 50
foreign CLIENT PAUSE 150 ALL
cmd c GET k
seterr c 0
timeout c 1000
append c SET k new
append c PING
reply c
reply c
reply c
reconnect c
timeout c 50
foreign CLIENT PAUSE 150 ALL
cmd c SET k newer
cmd c GET k
seterr c 0
timeout c 1000
reply c
reply c
cmd c GET k
cmd d GET k
E2
done

if [ "$HIREDIS" = 1.2 ]; then
        for mode in tracking pubsub; do
                MTSHIM_INVALIDATION=$mode case_same "$mode: out-of-band messages of RESP3, without a callback" <<'E2'
connect c
nopush c
unlike c - HELLO 3
cmd c CLIENT TRACKING ON
cmd c GET k
foreign SET k value
cmd c PING
cmd c SET k own
reply c
cmd c SUBSCRIBE channel
foreign PUBLISH channel one
reply c
E2
        done
fi
