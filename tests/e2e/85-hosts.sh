#!/bin/bash
# Two hosts, as two network namespaces with a veth pair between them: the server and host A in the one, host B in the other.
# /dev/shm, pids and the server's address are the same for both. A write on A is seen on B; the link goes down and comes back.
if [ -z "${MT_HOST_A:-}" ]; then
        for way in "unshare --net" "unshare --user --map-root-user --net"; do # the second where root alone may, but not this user
                if $way true 2>/dev/null; then
                        MT_HOST_A=1 exec $way bash "$0"
                fi
        done
        echo "skip no network namespace may be made here"
        exit 77
fi
. "$(dirname "$0")/lib.sh"
unset MT_HOST_A
command -v nsenter >/dev/null && ip -V 2>/dev/null | grep -q iproute2 || skip "no iproute2"
addr_a=198.51.100.1 addr_b=198.51.100.2 # of the range for documentation

net_of() { readlink "/proc/$1/ns/net"; }
elsewhere() { [ "$(net_of "$1")" != "$(net_of $$)" ]; }
unshare --net sleep 60 &
other=$!
own
await 5 elsewhere "$other" || fail "no second namespace"
on_b() { nsenter -t "$other" --net "$@"; }
ip link add name host-a type veth peer name host-b netns "$other" 2>"$T/ip.err" || skip "no veth pair: $(tail -n 1 "$T/ip.err")"
ip address add $addr_a/24 dev host-a && ip link set lo up && ip link set host-a up &&
        on_b ip address add $addr_b/24 dev host-b && on_b ip link set lo up && on_b ip link set host-b up ||
        fail "the link cannot be set up"

redis_start --port 6379 --bind $addr_a --protected-mode no
export MT_REDIS=$addr_a:6379 MT_WRITER=$SOCK

# watch_on a|b: as watch_start of lib.sh, on that host
watch_on() {
        command_of shim faultloop "$H" watch
        if [ "$1" = b ]; then COMMAND=(nsenter -t "$other" --net "${COMMAND[@]}"); fi
        "${COMMAND[@]}" >"$T/$1.out" 2>"$T/$1.err" &
        own
        WATCH_PID=$!
        served 5 || { show "$T/$1.err"; fail "L1 of host $1 never served"; }
}
peers() { # addresses that listen
        cli CLIENT LIST TYPE pubsub | sed -n 's/.* addr=\([0-9.]*\):.*/\1/p' | sort | xargs
}
peers_are() { [ "$(peers)" = "$*" ]; }

stepper_start
watch_on a
a=$WATCH_PID
watch_on b
b=$WATCH_PID
await 2 peers_are $addr_a $addr_b || fail "listeners: $(peers)"
[ "$(segments | wc -l)" -eq 2 ] || fail "one segment each: $(segments)"
ok "one server address, one /dev/shm: two segments, two listeners"
true_to_bound "written on A's side, read on both"

# What a program on B sees that waits for 200 ms at most, bare and shimmed: the same.
cat >"$T/script" <<E2
connect c
timeout c 200
repeat 100
cmd c GET fault:quiet
end
exists $T/down
cmd c GET fault:quiet
err c
exists $T/up
reconnect c
cmd c GET fault:quiet
E2
for how in bare shim; do
        command_of $how play
        on_b "${COMMAND[@]}" <"$T/script" >"$T/play.$how" 2>"$T/play.$how.err" &
        own
done
lines_are() { [ "$(wc -l <"$T/play.bare")" -eq "$1" ] && [ "$(wc -l <"$T/play.shim")" -eq "$1" ]; }
b_says() { # FIELD
        on_b "$CTL" stat -j | sed -n "s/.*\"$1\": \"\{0,1\}\([^,\"]*\).*/\1/p" | head -n 1
}
b_is() { [ "$(b_says state)" = "$1" ]; }
a_is() { [ "$(stat_of servers.state)" = "$1" ]; }
bounds() { awk "BEGIN { print $1 * $STALE_MS / 1000 }"; }

# Closed within one bound: that is what the reads are judged by; to look takes time too. Open as soon as TCP tries again, which
# it does after as long a pause as there was, or half.
await 5 lines_are 100 || { show "$T"/play.*; fail "the programs do not read"; }
ip link set host-a down
await "$(bounds 2)" b_is stale || fail "the link is down, and L1 of host B is $(b_says state)"
a_is fresh || fail "L1 of host A, where the server is: $(stat_of servers.state)"
touch "$T/down"
sleep "$(bounds 2)" # the fault itself; B's reader waits in a GET that went on to the server
ip link set host-a up
await 3 b_is fresh || fail "the link is up, and L1 of host B is $(b_says state)"
touch "$T/up"
served 5 || fail "L1 of host B does not serve again"
true_to_bound "the link is down for three bounds"
await 5 lines_are 104 || { show "$T"/play.*; fail "the programs do not end"; }
cmp "$T/play.bare" "$T/play.shim" || { show "$T"/play.*; fail "bare and shimmed are told different things"; }
grep -q "NULL err=1" "$T/play.shim" || { show "$T/play.shim"; fail "a GET was answered without a link"; }
ok "a program that does not wait for ever is told the same, bare and shimmed"

# Longer than a listener waits for an answer: it gives its connection up, and makes another. It knows nothing of hiredis, so
# once is enough.
if [ -n "$HIREDIS" ]; then exit 0; fi
ip link set host-a down
sleep 4.5
ip link set host-a up
await 3 b_is fresh || fail "the link is up, and L1 of host B is $(b_says state)"
[ "$(b_says reconnects)" -ge 1 ] || fail "the listener has kept its connection for 4.5 s of silence"
served 10 || fail "L1 of host B does not serve again" # the program's own connection has waited as long, and is patient
true_to_bound "the link is down for 4.5 s"
bare faultloop "$H" stop
await 5 gone "$a" && await 5 gone "$b" || fail "the programs do not end"
