#!/bin/bash
# A server that answers nonsense, closes in the middle of a reply or never answers: the program sees what hiredis shows.
. "$(dirname "$0")/lib.sh"
redis_start
server=$MT_REDIS
mkfifo "$T/tell"
exec 9<>"$T/tell"
start bare proxy "$T/proxy.sock" "$server" <&9 >"$T/proxy.out" 2>"$T/proxy.err"
await 5 test -s "$T/proxy.out" || fail "no proxy"
export MT_REDIS=$T/proxy.sock

trap_case() {
        case_same "$1" <<E2
foreign SET k value
connect c
timeout c 150
warm c k
hit c k
cmd c GET $1:key
err c
unlike c - GET $1:key
unlike c - GET k
reconnect c
timeout c 150
cmd c GET k
cmd c APPEND k 2
cmd c GET k
warm c k
hit c k
E2
}
for what in close half halfline cut garbage stall badlen nolen hugelen noend; do
        trap_case trap:$what
        [ $what = noend ] || trap_case ptrap:$what # taken for a whole reply by hiredis: to what the shim asked first
done
for what in status integer array nilarray error two deep; do
        trap_case trap:$what
done
[ ! -s "$T/proxy.err" ] || { show "$T/proxy.err"; fail "the proxy"; }
