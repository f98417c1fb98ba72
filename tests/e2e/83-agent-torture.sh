#!/bin/bash
# Hand-overs between a program and agents, while somebody writes a thousand keys and others read them: a key
# whose clearing was missed in one of them would stay old, so each now and then the writer is stopped, and once the bound
# is over all keys are the same in L1 and in the server.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/agent.sh"
TIMES=${TIMES:-15} # each is two hand-overs; `make check` has time for so many
KEYS=1000
redis_start
start bare spread write $KEYS
WRITER=$!
start shim spread read $KEYS
READER=$!
led_by_reader() { led_by "$READER"; }
await 5 led_by_reader || fail "the reader does not lead"

agent_begin() {
        "$CTL" agent --server "$SOCK" >/dev/null 2>"$T/agent.err" &
        AGENT=$!
        own
        await 5 led || { "$CTL" stat; show "$T/agent.err"; fail "hand-over $1: the agent does not lead"; }
}
compare() {
        local hits

        kill -STOP $WRITER
        sleep "$(awk "BEGIN { print $STALE_MS / 1000 }")" # what the bound allows is over
        bare spread dump $KEYS >"$T/bare.dump"
        MTSHIM_SHOW_STATS=1 shim spread dump $KEYS >"$T/shim.dump" 2>"$T/shim.stats"
        hits=$(sed -n 's/.*: hits \([0-9]*\) .*/\1/p' "$T/shim.stats")
        COMPARED=$((COMPARED + ${hits:-0}))
        kill -CONT $WRITER
        cmp -s "$T/bare.dump" "$T/shim.dump" || { diff "$T/bare.dump" "$T/shim.dump" | head; fail "hand-over $1: keys are old"; }
}
COMPARED=0 WARM=0
for ((n = 1; n <= TIMES; n++)); do
        flushes=$(stat_of flushes)
        agent_begin $n
        [ "$(stat_of flushes)" -ne "$flushes" ] || WARM=$((WARM + 1))
        [ $((n % 5)) -ne 0 ] || compare $n
        case $((n % 4)) in
        0) kill -KILL $AGENT ;;
        *) kill -TERM $AGENT ;;
        esac
        wait $AGENT 2>/dev/null
        await 5 led_by_reader || { "$CTL" stat; fail "hand-over $n: the program does not lead again"; }
        [ $((n % 10)) -ne 0 ] || compare $n
done
[ $COMPARED -ge $((KEYS * TIMES / 10)) ] || fail "only $COMPARED keys were compared in L1"
[ $WARM -ge $((TIMES / 2)) ] || fail "only $WARM of $TIMES agents took over without a flush"
ok "$((2 * TIMES)) hand-overs, $WARM of $TIMES to an agent without a flush; $COMPARED answers from L1 were those of the server"
