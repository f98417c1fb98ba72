#!/bin/bash
# From a program that leads to an agent and back: entries stay where nothing can have been missed, and no read is older
# than the bound, whoever is stopped or killed in the middle.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/agent.sh"
redis_start
stepper_start

# The program's thread ends; L1 stays warm: no flush, no epoch.
watch_start program
led_by "$WATCH_PID" || fail "the program does not lead"
cli SET calm value >/dev/null
printf 'connect c\nwarm c calm\n' | shim play >/dev/null || fail "calm: not warm"
flushes=$(stat_of flushes) epoch=$(stat_of servers.epoch)
agent_start first --server "$SOCK"
led || { "$CTL" stat; fail "the agent does not lead"; }
await 2 one_listener || fail "two listeners stay: $(cli CLIENT LIST TYPE pubsub)"
no_thread() { ! leads "$WATCH_PID"; }
await 2 no_thread || fail "the program's thread goes on"
[ "$(stat_of flushes)" -eq "$flushes" ] && [ "$(stat_of servers.epoch)" -eq "$epoch" ] || fail "L1 was flushed"
printf 'connect c\nhit c calm\n' | shim play >"$T/calm" || { cat "$T/calm"; fail "the key is not in L1 any more"; }
served_again
true_to_bound "a program hands over to an agent, and L1 stays warm"

# A second agent stands by, without a connection, and takes over. The program may be faster: then it is the heir.
first=$AGENT
agent_start second --server "$SOCK"
grep -q "$SOCK: standing by, it is led by agent $first" "$T/second.err" || { show "$T/second.err"; fail "it says nothing"; }
led_by "$first" && one_listener || fail "the second agent does not stand by"
agent_stop TERM "$first"
await 3 led || { "$CTL" stat; fail "the second agent does not take over"; }
served_again
true_to_bound "a second agent stands by, and takes over"

# Stopped: the program leads. It wakes up: the agent takes its place again, without a flush.
kill -STOP "$AGENT"
led_by_program() { led_by "$WATCH_PID"; }
await 3 led_by_program || { "$CTL" stat; fail "nobody takes over from a stopped agent"; }
served_again "after SIGSTOP of the agent L1"
flushes=$(stat_of flushes)
kill -CONT "$AGENT"
await 3 led || { "$CTL" stat; fail "the agent does not come back"; }
[ "$(stat_of flushes)" -eq "$flushes" ] || fail "L1 was flushed when the agent came back"
served_again
await 2 one_listener || fail "two listeners stay"
true_to_bound "an agent that was stopped is replaced, and comes back"

kill -KILL "$AGENT"
wait "$AGENT" 2>/dev/null
served_again "after SIGKILL of the agent L1"
await 2 led_by_program || fail "the program does not take over"
true_to_bound "SIGKILL of the agent: the program takes over"

agent_start third
await 2 led || fail "the third agent does not take over"
agent_stop TERM
served_again "after the agent's end L1"
await 2 led_by_program || fail "the program does not take over"
true_to_bound "the agent ends: the program takes over"
kill -KILL "$WATCH_PID"

# A program that is stopped has not applied what was written since, and never will: what it has proved is too old, so the
# agent does not take its place before its time is over, and then with a flush.
watch_start stopped
led_by "$WATCH_PID" || fail "the program does not lead"
printf 'connect c\nwarm c calm\n' | shim play >/dev/null || fail "calm: not warm"
kill -STOP "$WATCH_PID"
cli SET calm changed >/dev/null
agent_start fourth --server "$SOCK"
led || { "$CTL" stat; fail "the agent does not lead"; }
printf 'connect c\ncmd c GET calm\n' | shim play >"$T/calm" || { cat "$T/calm"; fail "play"; }
grep -q changed "$T/calm" || { cat "$T/calm"; fail "a write that the stopped program never saw is not seen by others"; }
kill -KILL "$WATCH_PID"
agent_stop TERM
ok "the place of a stopped program is taken with a flush"

# It dies while the heir waits for its proof.
watch_start dies
kill -STOP "$WATCH_PID"
"$CTL" agent --server "$SOCK" >/dev/null 2>"$T/fifth.err" &
AGENT=$!
own
two_listeners() { [ "$(listeners)" -eq 2 ]; }
await 2 two_listeners || fail "no heir listens"
kill -KILL "$WATCH_PID"
await 2 led || { "$CTL" stat; fail "the heir of the dead does not lead"; }
agent_stop TERM
ok "the leader dies while its heir waits"

# A server that refuses the agent refuses it alone; the program that may goes on.
cli ACL SETUSER nobody on nopass '~*' '&*' +@all -client >/dev/null
watch_start may
MTSHIM_USER=nobody "$CTL" agent --server "$SOCK" >/dev/null 2>"$T/refused.err" &
AGENT=$!
own
await 5 grep -q "$SOCK refuses the agent's listener: NOPERM" "$T/refused.err" || { show "$T/refused.err"; fail "no line"; }
led_by_program || { "$CTL" stat; fail "the program does not lead any more"; }
served_again
agent_stop TERM
true_to_bound "an agent without the right leaves the program in its place"
