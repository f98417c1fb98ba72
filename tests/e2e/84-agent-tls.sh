#!/bin/bash
# An agent and servers that are reached through TLS: led where it is told whom to believe, else left alone.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/agent.sh"
. "$(dirname "$0")/tls.sh"
issue ca ''
issue server ca -addext subjectAltName=IP:127.0.0.1
issue stranger ''
tls_start
export MT_TLS=context MT_TLS_CA=$T/ca.pem

MTSHIM_TLS_CA_FILE=$T/ca.pem agent_start named --server "rediss://127.0.0.1:$TLS_PORT"
led || { "$CTL" stat; show "$T/named.err"; fail "it does not lead through TLS"; }
agent_stop TERM
MTSHIM_TLS_CA_FILE=$T/stranger.pem agent_start wary --server "rediss://127.0.0.1:$TLS_PORT" # ready after two seconds
led && fail "it believes a stranger's certificate"
grep -q 'TLS fails' "$T/wary.err" || { show "$T/wary.err"; fail "it does not say why it does not lead"; }
agent_stop TERM
ok "rediss:// is led through TLS, and only if the certificate is good"

# What a program has told the segment of: not tried in clear text.
printf 'connect c\nrepeat 60\ncmd c GET k\nend\n' >"$T/script"
MTSHIM_TLS_CA_FILE=$T/ca.pem shim tls_play <"$T/script" >/dev/null || fail "tls_play"
cli CONFIG RESETSTAT >/dev/null
agent_start blind
led && fail "led, by whom it believes?"
[ "$(cli INFO stats | sed -n 's/^total_connections_received:\([0-9]*\).*/\1/p')" -le 2 ] || fail "it tries in clear text"
agent_stop TERM
MTSHIM_TLS_CA_FILE=$T/ca.pem agent_start told
await 5 led || { "$CTL" stat; show "$T/told.err"; fail "it does not lead"; }
agent_stop TERM
ok "a server that programs reach through TLS is led where options say whom to believe, else not tried"
