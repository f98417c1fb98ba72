#!/bin/bash
# Two processes on one host: the one that leads is killed, stopped, or becomes another program; the other is served on.
. "$(dirname "$0")/lib.sh"
redis_start
stepper_start

one_listener() {
        [ "$(cli CLIENT LIST TYPE pubsub | grep -c .)" -eq 1 ]
}
pair_start() {
        local a b

        watch_start a
        a=$WATCH_PID
        watch_start b
        b=$WATCH_PID
        await 2 leader_of "$a" "$b" >"$T/leader" || fail "nobody leads"
        LEADER=$(cat "$T/leader")
        WATCH_PID=$([ "$LEADER" = "$a" ] && echo "$b" || echo "$a") # the one that follows
        await 2 one_listener || fail "more than one listener"
}

pair_start
kill -KILL "$LEADER"
served_again "the other, after SIGKILL,"
true_to_bound "SIGKILL of the leader"
kill -KILL "$WATCH_PID"

pair_start
kill -STOP "$LEADER"
served_again "the other, after SIGSTOP,"
sleep "$AGAIN" # the stopped one stays so for longer than any lease
true_to_bound "SIGSTOP of the leader"
kill -CONT "$LEADER"
old=$WATCH_PID WATCH_PID=$LEADER
served_again "the stopped one"
WATCH_PID=$old
served_again
await 2 one_listener || fail "two listeners stay: $(cli CLIENT LIST TYPE pubsub)"
true_to_bound "it wakes up and steps down"
kill -KILL "$LEADER" "$WATCH_PID"

start shim faultloop "$H" exec-away >"$T/away.out" 2>&1
away=$!
await 5 leads $away || fail "nobody leads"
watch_start b
await 5 grep -qx sleep /proc/$away/comm || fail "it does not become another program"
served_again "the other, after exec,"
true_to_bound "the leader executes a program without the shim"
