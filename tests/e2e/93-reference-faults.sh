#!/bin/bash
# The faults that are known of the library of tiers which this one was modelled on, each by its name: none of them here.
. "$(dirname "$0")/lib.sh"
API=$BUILD/progs
redis_start

# player NAME [VARIABLE=VALUE...]: a program of the C interface that does what is written to it line by line; its own
# segment, as if it were another host's. ask NAME LINE: what it answers.
declare -A PLAYER
OPEN=20
player() {
        local name=$1 fd=$OPEN

        OPEN=$((OPEN + 1))
        mkfifo "$T/$name.fifo"
        : >"$T/$name.out"
        eval "exec $fd<>\"$T/$name.fifo\""
        # Nothing that runs on may hold the pipe open.
        (
                for ((other = 20; other < OPEN; other++)); do eval "exec $other>&-"; done
                exec env "${WITH[@]}" "${@:2}" MTSHIM_SEGMENT="$SEGMENT-$name" "$API/api_play" "$SOCK" <"$T/$name.fifo" \
                        >"$T/$name.out" 2>"$T/$name.err"
        ) &
        own
        PLAYER[$name]=$fd
}
lines_of() {
        wc -l <"$T/$1.out"
}
more_lines() {
        [ "$(lines_of "$1")" -gt "$2" ]
}
ask() { # what is no answer (warm, await) is followed by a word that is one
        local before

        before=$(lines_of "$1")
        case $2 in
        warm* | await* | hit* | gone*) printf '%s\nsay did\n' "$2" >&"${PLAYER[$1]}" ;;
        *) printf '%s\n' "$2" >&"${PLAYER[$1]}" ;;
        esac
        await 20 more_lines "$1" "$before" || { show "$T/$1.out" "$T/$1.err"; fail "$1 does not answer '$2'"; }
        tail -n +$((before + 1)) "$T/$1.out"
}
must() { # NAME LINE ANSWER
        local got

        got=$(ask "$1" "$2")
        [ "$got" = "$3" ] || { show "$T/$1.err"; fail "$1: '$2' is answered '$got', not '$3'"; }
}
calls() { # how often the server has executed a command
        cli INFO commandstats | sed -n "s/^cmdstat_$1:calls=\([0-9]*\),.*/\1/p" | grep . || echo 0
}
tell() { # MESSAGE: as printf has it
        # shellcheck disable=SC2059
        cli PUBLISH mtshim:invalidate "$(printf "${1/\$RANDOM/$RANDOM$RANDOM}")" >/dev/null
}
heard() { # NAME MORE: messages that its host has received since BEFORE
        [ "$(MTSHIM_SEGMENT=$SEGMENT-$1 stat_of messages)" -ge $((BEFORE[$1] + $2)) ] 2>/dev/null
}

# ------------------------------------------------------------------------------- concurrent gets of an absent key hang
for how in bare shim; do
        $how "$API/api_compute" "$SOCK" absent 8 8 20000 0 none >"$T/out" || fail "gets of an absent key"
        [ "$(cat "$T/out")" = "computed 64, right 0, older 0, none 64, late 0" ] || { show "$T/out"; fail "gets of an absent key, $how"; }
done
ok "64 concurrent gets of an absent key: all are told that there is none"

# ------------------------------------------------------------------------------- a TTL of 0 s becomes 300 s
player one
must one "setttl gone v 90000" OK
must one "setttl gone v 0" OK
must one "getttl gone 0 0" MISS
[ "$(cli EXISTS gone)" -eq 0 ] || fail "a time to live of 0 has kept the key"
cli SET brief v PX 1 >/dev/null
await 5 eval '[ "$(ask one "getttl brief 0 0")" = MISS ]' || fail "a key whose time is over lives on"
must one "get brief" MISS
ok "a time to live of 0 is over, and none is ever lengthened"

# ------------------------------------------------------------------------------- stale fills
shim race 400 </dev/null >"$T/out" 2>&1 || { show "$T/out"; fail "a value that was read before a write stays behind it"; }
ok "a fill that comes too late is refused: $(cat "$T/out")"

# ------------------------------------------------------------------------------- empty values are misses
must one "set empty ''" OK
must one "get empty" "OK ''"
must one "warm empty" did
must one "get empty" "OK ''"
printf 'connect c\nwarm c empty\ncmd c GET empty\n' | same play || fail "an empty value, by hiredis"
bare "$API/api_compute" "$SOCK" empty 1 1 1000 0 >"$T/out"
[ "$(cat "$T/out")" = "computed 0, right 1, older 0, none 0, late 0" ] || { show "$T/out"; fail "an empty value is computed anew"; }
ok "an empty value is a value"

# ------------------------------------------------------------------------------- errors are counted as misses
misses=$(MTSHIM_SEGMENT=$SEGMENT-one stat_of misses)
[ -n "$misses" ] || fail "no statistics"
cli RPUSH list x >/dev/null
must one "get list" "REFUSED WRONGTYPE Operation against a key holding the wrong kind of value"
redis_stop
sleep "$(awk "BEGIN { print $STALE_MS / 1000 + 0.1 }")"
[[ $(ask one "get empty") == "ERROR "* ]] || fail "a server that is down is a miss"
[[ $(ask one "getttl empty 0 0") == "ERROR "* ]] || fail "a server that is down is a miss"
bare "$API/api_compute" "$SOCK" k 1 2 1000 0 >"$T/out" 2>/dev/null
[ "$(cat "$T/out")" = "computed 0, right 0, older 0, none 0, late 0" ] || { show "$T/out"; fail "computed because the server is down"; }
redis_start
[ "$(MTSHIM_SEGMENT=$SEGMENT-one stat_of misses)" -le $((misses + 1)) ] || fail "errors are counted as misses"
ok "errors of the server are errors: not told, not counted, not computed as misses"

# ------------------------------------------------------------------------------- no flush after a reconnect
cli SET k old >/dev/null
must one "await k old" did
must one "warm k" did
for i in 1 2 3; do # the write comes with the end of the listener's connection: nobody is told
        id=$(cli CLIENT LIST TYPE pubsub | sed -n 's/^id=\([0-9]*\) .*/\1/p')
        [ -n "$id" ] || fail "nobody listens"
        printf 'MULTI\nCLIENT KILL ID %s\nSET k new%d\nEXEC\n' "$id" $i | cli >/dev/null
        must one "await k new$i" did
        sleep "$(awk "BEGIN { print $STALE_MS / 1000 }")"
        must one "get k" "OK 'new$i'"
        await 10 eval '[ -n "$(cli CLIENT LIST TYPE pubsub)" ]' || fail "nobody listens again"
        must one "warm k" did
done
ok "what was kept before the connection broke is forgotten"

# ------------------------------------------------------------------------------- messages
for host in a b c d; do player $host MTSHIM_INVALIDATION=pubsub MTSHIM_L1_TTL=1h; done
keys=(u:1 u:2 u:ab 'u:*' v:1)
keep() { # every host has every key in L1
        local host key

        for key in "${keys[@]}"; do cli SET "$key" "$1" >/dev/null; done
        tell '1P keep$RANDOM 1\n1:*'
        for host in a b c d; do must $host "$(for key in "${keys[@]}"; do echo "await $key $1"; echo "warm $key"; done)" did; done
}
VALUE=1
keep $VALUE
declare -A BEFORE
for host in a b c d; do BEFORE[$host]=$(MTSHIM_SEGMENT=$SEGMENT-$host stat_of messages); done
tell '1R one.$RANDOM 1\n3:u:1'
tell '1P two.$RANDOM 1\n3:v:*'
for host in a b c d; do await 10 heard $host 2 || fail "received messages are not counted by $host"; done
ok "received messages are counted, by each host"
[ "$(cli EXISTS "${keys[@]}")" -eq 5 ] || fail "a message has removed a key from Redis"
must a "invalidate u:2" OK
must a "invalidatepattern u:*" OK
for host in b c d; do await 10 heard $host 4 || fail "two more messages, $host"; done
[ "$(cli EXISTS "${keys[@]}")" -eq 5 ] || fail "an invalidation has removed a key from Redis"
must b "get u:1" "OK '1'"
[ $(($(calls del) + $(calls unlink))) -eq 0 ] || fail "a message is answered by a removal"
ok "messages remove from L1 alone"

# pattern GLOB REMOVED KEPT...: one host removes by a pattern, all see it, what does not match stays where it is.
pattern() {
        local host key scans lines=

        VALUE=$((VALUE + 1))
        keep $VALUE # another one each time: who sees it has heard of it
        scans=$(calls scan)
        for key in "${keys[@]}"; do
                case " ${*:3} " in *" $key "*) lines+="hit $key"$'\n' ;; *) lines="gone $key"$'\n'$lines ;; esac
        done
        must a "pattern $1" "$2 OK"
        for host in a b c d; do must $host "${lines%$'\n'}" did; done
        [ $(($(calls scan) - scans)) -eq 1 ] || fail "pattern $1: $(($(calls scan) - scans)) SCANs for one step of one caller"
}
set -f # they are words for a server, not for this shell
pattern 'u:?' 3 u:ab v:1
pattern 'u:[a-z]b' 1 u:1 u:2 'u:*' v:1
pattern 'u:[^1]' 2 u:1 u:ab v:1
pattern 'u:\*' 1 u:1 u:2 u:ab v:1
pattern 'u:*' 4 v:1
set +f
ok "patterns: * ? [a-z] [^x] and \\*, each removes what it matches, on every host"
ok "a removal by pattern is one caller's SCAN, whatever the number of hosts"
