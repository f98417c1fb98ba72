#!/bin/bash
# A server becomes a replica, follows its master, loads snapshots: whatever replaces its data empties L1.
. "$(dirname "$0")/lib.sh"

# The master is at a port, the programs' server at a path.
redis_start_tcp --repl-diskless-sync-delay 0 --repl-backlog-size 16kb
PORT=${MT_REDIS##*:}
master() {
        redis-cli -p "$PORT" "$@"
}
mkdir "$T/replica"
SOCK=$T/replica/sock
export MT_REDIS=$SOCK
server_start() { # option...
        redis-server --port 0 --unixsocket "$SOCK" --dir "$T/replica" --save '' --enable-debug-command yes \
                --daemonize no "$@" >>"$T/replica.log" 2>&1 &
        REDIS_PID=$!
        own
        await 10 answers || { show "$T/replica.log"; fail "redis-server does not answer"; }
}

cat >"$T/sh" <<E2
m() { redis-cli -p $PORT "\$@" >/dev/null; }
s() { redis-cli -s $SOCK "\$@" >/dev/null; }
role() { redis-cli -s $SOCK INFO replication | tr -d '\r' | grep -q "^\$1\$"; }
follow() { s REPLICAOF 127.0.0.1 $PORT; until role master_link_status:up; do sleep 0.02; done; }
alone() { s REPLICAOF NO ONE; }
has() { until [ "\$(redis-cli -s $SOCK GET k)" = "\$1" ]; do sleep 0.02; done; }
E2
echo 'eval "$1"' >>"$T/sh"

cases() { # how it loads
        case_same "$1: a full resync replaces what a connection reads" <<E2
run sh $T/sh "m FLUSHALL; m SET k master"
foreign SET k own
foreign SET only here
connect c
warm c k
warm c only
hit c k
hit c only
run sh $T/sh "follow"
await c k master
await c only (nil)
warm c k
hit c k
run sh $T/sh "alone"
E2
        case_same "$1: a replica's connections hear of what its master is told" <<E2
run sh $T/sh "m FLUSHALL; m SET k master; follow"
connect c
warm c k
hit c k
cmd c SET k refused
cmd c GET k
warm c k
hit c k
run sh $T/sh "m SET k next; has next"
await c k next
warm c k
run sh $T/sh "m DEL k; has ''"
await c k (nil)
warm c k
run sh $T/sh "m SET k again PX 600000; has again"
await c k again
run sh $T/sh "alone"
E2
        case_same "$1: what was written after the promotion goes with the old master's return" <<E2
run sh $T/sh "m FLUSHALL; m SET k master; follow; alone"
foreign SET k promoted
connect c
warm c k
hit c k
run sh $T/sh "m SET k other; follow"
await c k other
warm c k
hit c k
run sh $T/sh "alone"
E2
        case_same "$1: a resync with the same master that was away for too long" <<E2
run sh $T/sh "m FLUSHALL; m SET k before; follow"
connect c
warm c k
hit c k
run sh $T/sh "m CONFIG SET repl-diskless-sync yes; s REPLICAOF 127.0.0.1 1"
warm c k
hit c k
run sh $T/sh "m SET k after; for i in 1 2 3; do head -c 20000 /dev/zero | redis-cli -p $PORT -x SET big >/dev/null; done; follow"
await c k after
warm c k
hit c k
run sh $T/sh "alone"
E2
}
for load in disabled swapdb; do
        server_start --repl-diskless-load $load
        cases "repl-diskless-load $load"
        redis_stop
done

# Snapshots: loaded in place, and by a restart with one that is older than what was read.
server_start
case_same "DEBUG RELOAD takes back what was written since the snapshot" <<E2
foreign SET k old
foreign SAVE
foreign SET k new
connect c
warm c k
hit c k
foreign DEBUG RELOAD NOSAVE
await c k old
warm c k
hit c k
E2
case_same "so does a restart" <<E2 &
foreign SET k old
foreign SAVE
foreign SET k new
connect c
warm c k
hit c k
run touch $T/restart; until test ! -e $T/restart; do sleep 0.01; done
reconnect c
await c k old
foreign SET k newer
await c k newer
E2
playing=$!
for program in bare shimmed; do
        await 20 test -e "$T/restart" || fail "the $program program does not get there"
        redis_stop -KILL
        server_start
        rm "$T/restart"
done
wait $playing || exit 1
