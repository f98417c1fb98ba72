# shellcheck shell=bash
# agent.sh - for the scripts about mtshim agent: source it after lib.sh.

# agent_start NAME ARGUMENTS...: AGENT is its pid, ready; its stderr $T/NAME.err
agent_start() {
        local name=$1 line

        mkfifo "$T/$name.ready"
        "$CTL" agent --ready-fd 3 "${@:2}" 3>"$T/$name.ready" >"$T/$name.out" 2>"$T/$name.err" &
        AGENT=$!
        own
        read -r -t 10 line <"$T/$name.ready" || { show "$T/$name.err"; fail "agent $name is never ready"; }
        [ "$line" = ready ] || fail "agent $name: '$line' is not 'ready'"
        rm "$T/$name.ready"
}
# agent_stop SIGNAL [PID]: it ends well
agent_stop() {
        kill -"$1" "${2:-$AGENT}"
        wait "${2:-$AGENT}" || fail "it does not end well on SIG$1"
}
# led_by PID: it leads, and the lease is current
led_by() {
        [ "$(stat_of servers.listener_pid)" = "$1" ] && [ "$(stat_of servers.lease_ms_left)" -gt 0 ]
}
led() {
        led_by "$AGENT" && [ "$(stat_of servers.listener)" = agent ]
}
led_by_nobody() {
        [ "$(stat_of servers.listener)" = none ] && [ "$(stat_of servers.lease_ms_left)" -eq 0 ]
}
listeners() {
        cli CLIENT LIST TYPE pubsub | grep -c .
}
one_listener() {
        [ "$(listeners)" -eq 1 ]
}
