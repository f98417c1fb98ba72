#!/bin/bash
# Who is answered what: odd ways to become another user, refusals, and changes of rights, seen and unseen.
. "$(dirname "$0")/lib.sh"

redis_start
printf 'Zq7-listener\n' >"$T/password"
export MTSHIM_USER=listener MTSHIM_PASSWORD_FILE=$T/password
users() { # a server as it was at first, but for what L1 and the programs of a case need
        cli CONFIG SET requirepass '' >/dev/null
        cli ACL SETUSER default reset on nopass '~*' '&*' +@all >/dev/null
        cli ACL SETUSER listener reset on '>Zq7-listener' '&__redis__:invalidate' '+client|tracking' '+client|id' \
                +subscribe +ping +info >/dev/null
        cli ACL SETUSER alice reset on '>Zq7-alice' '~*' '&*' +@all >/dev/null
        cli ACL SETUSER bob reset on '>Zq7-bob' '~pub*' +get +pttl +ping +select +hello +auth +client +info +multi +exec >/dev/null
        cli MSET k secret public open cold value >/dev/null
}
# One case: each of the two runs has its own beginning, since scripts change users and passwords.
identity() { # TITLE: a script for play; $T/said is told to both
        local title=$1 how

        cat >"$T/same.in"
        MTSHIM_SEGMENT=$SEGMENT-$CHECKS
        for how in bare shim; do
                users
                "$how" play <"$T/same.in" >"$T/$how.out" 2>"$T/$how.err" || { show "$T/$how.err"; fail "$title: $how"; }
        done
        CLI_AUTH=()
        cmp "$T/bare.out" "$T/shim.out" && cmp "$T/bare.err" "$T/shim.err" ||
                { diff "$T/bare.out" "$T/shim.out"; show "$T/shim.err"; grep -n '' "$T/same.in"; fail "$title"; }
        ok "$title"
}

# ------------------------------------------------------------------------------------------- changes of identity

identity "a second AUTH on the way hides who a third one is" <<'E2'
connect a
append a AUTH alice Zq7-alice
append a AUTH alice wrong
reply a
append a AUTH alice Zq7-alice
reply a
reply a
warm a k
hit a k
connect b
append b AUTH bob Zq7-bob
append b AUTH bob wrong
reply b
append b AUTH bob Zq7-bob
reply b
reply b
cmd b GET k
cmd b GET public
E2

identity "HELLO with two AUTHs" <<'E2'
connect a
cmd a AUTH alice Zq7-alice
warm a k
connect b
unlike b - HELLO 2 AUTH alice Zq7-alice SETNAME b AUTH bob Zq7-bob
cmd b GET k
cmd b GET public
connect b
unlike b - HELLO 2 AUTH alice Zq7-alice AUTH bob wrong
cmd b GET k
connect b
unlike b - HELLO 2 SETNAME b AUTH bob Zq7-bob
cmd b GET k
warm b public
E2

identity "HELLO that is refused for its version, or for a word behind AUTH" <<'E2'
connect a
cmd a AUTH alice Zq7-alice
warm a k
connect b
cmd b HELLO 9 AUTH alice Zq7-alice
cmd b AUTH bob Zq7-bob
cmd b HELLO 9 AUTH alice Zq7-alice
cmd b GET k
cmd b HELLO 2 AUTH alice Zq7-alice NOSUCH
cmd b GET k
cmd b ACL WHOAMI
E2

identity "AUTH and SELECT in transactions" <<'E2'
connect a
cmd a AUTH alice Zq7-alice
warm a k
connect b
cmd b AUTH bob Zq7-bob
cmd b MULTI
cmd b AUTH alice Zq7-alice
cmd b GET k
cmd b EXEC
cmd b GET k
cmd b AUTH bob Zq7-bob
cmd b GET k
connect c
cmd c MULTI
cmd c SELECT 1
cmd c GET k
cmd c EXEC
cmd c GET k
cmd c MULTI
cmd c SELECT 0
cmd c DISCARD
cmd c GET k
connect d
cmd d SELECT 1
cmd d MULTI
cmd d RESET
cmd d GET k
E2

identity "AUTH and SELECT in a pipeline, GETs behind them" <<'E2'
connect a
cmd a AUTH alice Zq7-alice
warm a k
connect b
append b AUTH bob Zq7-bob
append b GET k
append b GET public
append b AUTH alice Zq7-alice
append b SELECT 1
append b GET k
append b SELECT 0
append b GET k
reply b
cmd b GET k
reply b
reply b
reply b
reply b
reply b
reply b
reply b
cmd b GET k
append b AUTH bob wrong
append b GET k
reply b
reply b
cmd b GET k
async AUTH bob Zq7-bob | GET k | GET public | AUTH alice Zq7-alice | GET k
cmd b GET k
E2

identity "AUTH of one word, redisReconnect and RESET" <<'E2'
connect a
cmd a AUTH nonsense
cmd a AUTH default anything
cmd a AUTH alice Zq7-alice
cmd a CLIENT NO-EVICT on
warm a k
hit a k
foreign ACL SETUSER default resetkeys ~pub*
reconnect a
cmd a GET k
cmd a AUTH alice Zq7-alice
warm a k
cmd a RESET
cmd a GET k
cmd a GET public
E2

# ------------------------------------------------------------------------------------------------------ refusals

# A warm process, and another one that is told of a refusal. What the first says from then on is what it says bare. The line
# "served" is of the shimmed run alone: nobody has announced the change of rights yet.
refused() { # TITLE: what the other process does
        local title=$1 how

        cat >"$T/other.in"
        MTSHIM_SEGMENT=$SEGMENT-$CHECKS
        for how in bare shim; do
                users
                rm -f "$T"/said.*
                {
                        printf '%s\n' 'connect a' 'cmd a AUTH alice Zq7-alice' 'cmd a SELECT 1' 'cmd a SET k one' 'warm a k' \
                                'connect z' 'cmd z AUTH alice Zq7-alice' 'warm z k' 'connect n' 'warm n k' \
                                "foreign ${CHANGE:-ACL SETUSER alice -@read}"
                        [ $how = bare ] || printf '%s\n' 'hit a k' 'hit z k' 'hit n k'
                        printf '%s\n' "tell $T/said.changed" "told $T/said.refused" 'cmd a GET k' 'cmd z GET k' 'cmd a GET k' \
                                'cmd z GET k' 'cmd n GET k'
                } >"$T/warm.in"
                start "$how" play <"$T/warm.in" >"$T/$how.all" 2>"$T/$how.err"
                { echo "told $T/said.changed"; cat "$T/other.in"; } | "$how" play >"$T/$how.other" 2>&1 ||
                        { show "$T/$how.other"; fail "$title: $how"; }
                : >"$T/said.refused"
                wait $! || { show "$T/$how.err"; fail "$title: $how"; }
                tail -n 5 "$T/$how.all" | cut -d' ' -f2- >"$T/$how.out"
        done
        cmp "$T/bare.other" "$T/shim.other" || { show "$T"/*.other; fail "$title: the other process"; }
        cmp "$T/bare.out" "$T/shim.out" || { show "$T"/*.out; fail "$title"; }
        ok "$title"
}

refused "NOPERM for a GET of another process" <<'E2'
connect b
cmd b AUTH alice Zq7-alice
cmd b GET cold
E2
grep -q NOPERM "$T/shim.out" || fail "the first process is not refused"
refused "NOPERM for a GET of one who knows L1" <<'E2'
connect b
repeat 50
cmd b GET public
end
warm b public
cmd b AUTH alice Zq7-alice
cmd b GET cold
E2
refused "NOPERM in a pipeline" <<'E2'
connect b
append b AUTH alice Zq7-alice
append b PING
append b MGET cold k
reply b
reply b
reply b
E2
refused "NOPERM inside EXEC" <<'E2'
connect b
cmd b AUTH bob Zq7-bob
cmd b AUTH alice Zq7-alice
cmd b MULTI
cmd b PING
foreign ACL SETUSER alice +@read
cmd b GET cold
foreign ACL SETUSER alice -@read
cmd b EXEC
E2
refused "NOPERM when a transaction is queued" <<'E2'
connect b
cmd b AUTH alice Zq7-alice
cmd b MULTI
cmd b GET cold
cmd b EXEC
E2
refused "NOPERM for an asynchronous command" <<'E2'
async AUTH alice Zq7-alice | PING | GET cold
E2
refused "NOPERM for a command that reads nothing" <<'E2'
connect b
cmd b AUTH alice Zq7-alice
cmd b LLEN list
E2
refused "NOPERM for a subscriber" <<'E2'
foreign ACL SETUSER alice resetchannels
connect b
cmd b AUTH alice Zq7-alice
cmd b SUBSCRIBE channel
E2
CHANGE='ACL SETUSER alice -@read resetpass >other' refused "WRONGPASS ends what is held for the user who was named" <<'E2'
connect b
cmd b AUTH alice Zq7-alice
E2
CHANGE='ACL SETUSER alice -@read resetpass >other' refused "WRONGPASS for HELLO" <<'E2'
connect b
cmd b HELLO 2 AUTH alice Zq7-alice
E2
CHANGE='ACL SETUSER default -@read' refused "NOPERM for one who never authenticated" <<'E2'
connect b
cmd b GET cold
E2
grep -q NOPERM "$T/shim.out" || fail "who never authenticated is not refused"
CHANGE='ACL SETUSER alice -@read' refused "one whose name was lost on the way" <<'E2'
connect b
append b AUTH bob Zq7-bob
append b AUTH alice Zq7-alice
append b GET cold
reply b
reply b
reply b
E2
[ "$(stat_of refusals)" -ge 1 ] || fail "no refusal was counted"

# What is given up is that user's alone; he himself has it back as soon as the server gives it to him.
MTSHIM_SEGMENT=$SEGMENT-others
users
shim play >"$T/out" 2>"$T/err" <<'E2' || { show "$T/err"; fail "others"; }
connect a
connect b
connect n
cmd a AUTH alice Zq7-alice
cmd b AUTH bob Zq7-bob
warm a k
warm b public
warm n k
cmd b GET k
travels b public
warm b public
cmd b LLEN list
cmd b AUTH bob wrong
cmd b AUTH nobody wrong
travels b public
E2
flushes=$(stat_of flushes)
shim play >"$T/out" 2>"$T/err" <<'E2' || { show "$T/err"; fail "others"; }
connect a
cmd a AUTH alice Zq7-alice
warm a k
hit a k
E2
[ "$(stat_of refusals)" -eq 4 ] || fail "$(stat_of refusals) refusals were counted"
ok "nobody else's values are given up ($flushes flushes)"

# ---------------------------------------------------------------------------------------------- changes of rights

identity "ACL SETUSER by a program of ours is seen" <<'E2'
connect x
connect a
cmd a AUTH alice Zq7-alice
warm a k
warm a public
cmd x ACL SETUSER alice -@read
cmd a GET k
cmd x ACL SETUSER alice +@read resetkeys ~pub*
cmd a GET k
cmd a GET public
warm a public
append x MULTI
append x ACL SETUSER alice -@read
append x EXEC
reply x
reply x
reply x
cmd a GET public
cmd x CONFIG SET maxmemory-samples 5
cmd x ACL SETUSER alice +@read
async ACL SETUSER alice -@read
cmd a GET public
E2

identity "a user who is deleted, and made anew" <<'E2'
connect x
connect a
connect b
cmd a AUTH alice Zq7-alice
cmd b AUTH alice Zq7-alice
warm a k
cmd x ACL DELUSER alice
cmd x PING
cmd a GET k
reconnect a
cmd a AUTH alice Zq7-alice
cmd a GET k
cmd x ACL SETUSER alice on >Zq7-alice ~pub* +@all
cmd a AUTH alice Zq7-alice
cmd a GET k
warm a public
cmd b GET cold
E2

identity "requirepass: who is in stays in, who comes is nobody" <<'E2'
connect x
connect o
warm o k
cmd x CONFIG SET appendonly no requirepass Zq7-new
warm o k
hit o k
connect n
cmd n GET k
cmd n GET k
cmd n HELLO
cmd n AUTH wrong
cmd n GET k
hit o k
cmd n AUTH Zq7-new
warm n k
hit n k
cmd n RESET
cmd n GET k
cmd n AUTH default Zq7-new
warm n k
cmd x CONFIG SET requirepass ''
connect m
warm m k
hit m k
E2

identity "requirepass by others: one refusal, and who comes later shows that he is let in" <<'E2'
connect o
warm o k
foreign CONFIG SET requirepass Zq7-new
connect n
cmd n SET cold new
warm o k
connect m
cmd m GET k
cmd m GET k
cmd o CONFIG SET requirepass ''
connect m
warm m k
hit m k
E2

# From another process, which is gone at once: too short-lived to use L1 itself.
MTSHIM_SEGMENT=$SEGMENT-admin
users
rm -f "$T"/said.*
start shim play >"$T/out" 2>"$T/err" <<E2
connect a
cmd a AUTH alice Zq7-alice
warm a k
hit a k
tell $T/said.warm
told $T/said.changed
cmd a GET k
E2
pid=$!
await 10 test -e "$T/said.warm" || { show "$T/err"; fail "ACL SETUSER by another process"; }
printf 'connect x\ncmd x ACL SETUSER alice -@read\n' | shim play >"$T/admin" 2>&1 || { show "$T/admin"; fail "ACL SETUSER"; }
: >"$T/said.changed"
wait $pid || { show "$T/err"; fail "ACL SETUSER by another process"; }
tail -n 1 "$T/out" | grep -q NOPERM || { show "$T/out"; fail "ACL SETUSER by another process is not seen"; }
ok "ACL SETUSER by another process, whose first command it is"

# A program that is refused makes no segment for it.
MTSHIM_SEGMENT=$SEGMENT-none
printf 'connect b\ncmd b AUTH alice wrong\ncmd b ACL SETUSER carol on\n' | shim play >"$T/out" 2>"$T/err" || fail "refused alone"
[ -z "$(segments)" ] && [ ! -s "$T/err" ] || { show "$T/err"; fail "a program that was refused made a segment"; }
ok "a refusal alone makes no segment"
