#!/bin/bash
# 32 databases of one server, then 64 servers, all with the same keys, in one segment: each GET gets the value of its own.
. "$(dirname "$0")/lib.sh"
DATABASES=32 SERVERS=64

# --------------------------------------------------------------------------------------------------- databases

redis_start --databases $DATABASES
{
        for ((d = 0; d < DATABASES; d++)); do
                echo "connect c$d"
                echo "cmd c$d SELECT $d"
                echo "cmd c$d SET k value-$d"
                echo "cmd c$d SET only-$d x"
        done
        for ((d = 0; d < DATABASES; d++)); do echo "warm c$d k"; done
        for ((d = 0; d < DATABASES; d++)); do
                echo "hit c$d k"
                echo "warm c$d only-$(((d + 1) % DATABASES))" # another's: there is no such key
                echo "hit c$d only-$(((d + 1) % DATABASES))"
        done
        # One connection through all of them: what it is served follows its SELECTs.
        echo "connect walker"
        for ((d = DATABASES - 1; d >= 0; d--)); do
                echo "cmd walker SELECT $d"
                echo "hit walker k"
        done
        # A write in one of them, and a flush of one, are that one's.
        echo "cmd c5 SET k new-5"
        echo "warm c5 k"
        echo "cmd c7 FLUSHDB"
        echo "warm c7 k"
        for ((d = 0; d < DATABASES; d++)); do
                echo "warm c$d k"
                echo "hit c$d k"
        done
} >"$T/databases"
same play <"$T/databases" || fail "$DATABASES databases"
grep -q 'value-31' "$T/shim.out" && grep -q 'new-5' "$T/shim.out" || fail "the values are not there"
hits=$(stat_of hits)
[ "$hits" -ge $((4 * DATABASES)) ] || fail "$hits hits"
ok "$DATABASES databases, $hits hits"
redis_stop

# ----------------------------------------------------------------------------------------------------- servers

MTSHIM_SEGMENT=$SEGMENT-servers
sockets=()
pids=()
for ((s = 0; s < SERVERS; s++)); do
        sockets+=("$T/s$s")
        redis-server --port 0 --unixsocket "$T/s$s" --dir "$T" --save '' --appendonly no >>"$T/servers.log" 2>&1 &
        own
        pids+=($!)
done
all_answer() {
        for s in "${sockets[@]}"; do
                [ "$(redis-cli -s "$s" PING 2>/dev/null)" = PONG ] || return 1
        done
}
await 10 all_answer || { show "$T/servers.log"; fail "not all servers answer"; }
shim servers "${sockets[@]}" >"$T/servers.out" 2>"$T/servers.err" || { show "$T/servers.out" "$T/servers.err"; fail "$SERVERS servers"; }
[ ! -s "$T/servers.err" ] || { show "$T/servers.err"; fail "$SERVERS servers: it has something to say"; }
ok "$SERVERS servers: $(tail -n 1 "$T/servers.out")"
"$CTL" stat -j >"$T/json"
"$PROGS/ctl_json" servers.$((SERVERS - 1)).address <"$T/json" >/dev/null || fail "stat does not tell of $SERVERS servers"
"$PROGS/ctl_json" servers.$SERVERS.address <"$T/json" >/dev/null && fail "stat tells of more than $SERVERS servers"
ok "each has its place, and no other"
