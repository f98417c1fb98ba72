#!/bin/bash
# Further tiers for an unmodified program: what each form of SET leaves there and for how long, what a GET takes from there
# when Redis has nothing, what goes back into Redis, and that every other write ends it. The library whose clock tests can
# move: there a permit (shim/connection/below.h) has to stand for a second, not for a minute.
. "$(dirname "$0")/lib.sh"
LIB=$CLOCKLIB
compgen -G "$(dirname "$CLOCKLIB")/libmtshim-lmdb.so" >/dev/null || skip "no lmdb backend"
redis_start
mkdir "$T/disk"
export MTSHIM_RULES='doc:*=tiers;far:*=ttl:10s,tiers'
tiers() { export MTSHIM_TIERS="l3=lmdb:$T/disk?sync=0&promote=$1"; }
tiers 0

# A shimmed play of the script on standard input; its replies, one a line, without their places.
play_of() {
        { echo "connect c"; cat; } | shim play 2>"$T/err" | sed -nE 's/^(rc=0 )?[0-9]+ (cmd|reply) //p'
}
# What a program of its own gets for this key, after Redis has lost it: "nil" or the value
lost() {
        cli -n "${2:-0}" DEL "$1" >/dev/null
        printf 'cmd c SELECT %s\ncmd c GET %s\n' "${2:-0}" "$1" | play_of | tail -n 1 |
                sed 's/^4$/nil/; s/^1 s=[0-9]*://'
}
# is WHAT KEY VALUE [DATABASE]
is() {
        local got

        got=$(lost "$2" "${4:-0}")
        [ "$got" = "$3" ] || { show "$T/err"; fail "$1: $2 is '$got', not '$3'"; }
        ok "$1"
}

# ------------------------------------------------------------------------------------------------------- stored
while read -r title words; do
        play_of <<<"cmd c $words" >/dev/null
        is "stored: $words" "doc:$title" "$title"
done <<E2
set SET doc:set set
ex SET doc:ex ex EX 100
px set doc:px px px 100000
exat SET doc:exat exat EXAT $(($(date +%s) + 100))
pxat SET doc:pxat pxat PXAT $(($(date +%s) * 1000 + 100000))
nx SET doc:nx nx NX
setex SETEX doc:setex 100 setex
psetex PSETEX doc:psetex 100000 psetex
E2
play_of <<<$'cmd c SET doc:keep old EX 100\ncmd c SET doc:keep keep KEEPTTL\ncmd c SET doc:xx old\ncmd c SET doc:xx xx XX EX 50' >/dev/null
is "stored: SET with KEEPTTL" doc:keep keep
is "stored: SET with XX" doc:xx xx
play_of <<<$'cmd c SELECT 3\ncmd c SET doc:db three' >/dev/null
is "stored: in another database" doc:db three 3
is "and not in this one" doc:db nil
play_of <<<$'cmd c SET doc:bin a\\0b\\n\ncmd c SET doc:empty \'\'' >/dev/null
is "stored: an empty value" doc:empty ""
is "stored: any bytes" doc:bin 'a\x00b\x0a'
play_of <<<$'cmd c SET other:1 one' >/dev/null
is "a key that no rule names is not" other:1 nil

# ----------------------------------------------------------------------------------------------------- not stored
cli SET doc:there there >/dev/null
play_of <<<$'cmd c SET doc:there mine NX\ncmd c SET doc:none mine XX\ncmd c SET doc:bad mine EX 0' >/dev/null
is "refused by NX" doc:there nil
is "refused by XX" doc:none nil
is "refused by the server" doc:bad nil

# --------------------------------------------------------------------------------------------------- every write
# written TITLE: the script on standard input ends what was there; while its connection lives, and afterwards
written() {
        local title=$1 got

        cli DEL doc:w >/dev/null
        play_of <<<"cmd c SET doc:w first" >/dev/null
        got=$({ cat; printf 'connect r\nforeign DEL doc:w\ncmd r GET doc:w\n'; } | play_of | tail -n 1)
        [ "$got" = 4 ] || fail "ended: $title: at once, doc:w is $got"
        is "ended: $title" doc:w nil
}
cli DEL doc:w >/dev/null
play_of <<<$'cmd c SET doc:w first\ncmd c GET doc:w\ncmd c STRLEN doc:w\ncmd c SET doc:x other' >/dev/null
is "reads end nothing" doc:w first
while read -r words; do written "$words" <<<"cmd c $words"; done <<'E2'
DEL doc:w
UNLINK doc:w
GETDEL doc:w
EXPIRE doc:w 100
PEXPIREAT doc:w 1
PERSIST doc:w
GETEX doc:w EX 10
INCR doc:w
APPEND doc:w x
SETRANGE doc:w 1 x
GETSET doc:w x
SETNX doc:w x
MSET doc:w x doc:y x
RENAME doc:w doc:v
COPY doc:v doc:w REPLACE
SET doc:w x GET
EVAL redis.call('del',KEYS[1]) 1 doc:w
FLUSHDB
FLUSHALL
SWAPDB 0 1
E2
written "in MULTI" <<<$'cmd c MULTI\ncmd c DEL doc:w\ncmd c EXEC'
written "in MULTI, and stored by another between" <<<$'cmd c MULTI\ncmd c DEL doc:w\nconnect d\ncmd d SET doc:w second\ncmd c EXEC'
written "FLUSHALL in MULTI, and stored by another between" \
        <<<$'cmd c MULTI\ncmd c FLUSHALL\nconnect d\ncmd d SET doc:w second\ncmd c EXEC'
written "SET in MULTI" <<<$'cmd c MULTI\ncmd c SET doc:w x\ncmd c EXEC'
written "in a pipeline" <<<$'append c DEL doc:w\nappend c PING\nreply c\nreply c'
written "SET in a pipeline" <<<$'append c SET doc:w x\nreply c'
written "asynchronous" <<<'async DEL doc:w'
written "pipelined MULTI" <<<$'append c MULTI\nappend c DEL doc:w\nappend c EXEC\nappend c PING\nreply c\nreply c\nreply c\nreply c'
written "written out" <<<$'appendraw c *1\\r\\n$4\\r\\nPING\\r\\n*2\\r\\n$3\\r\\nDEL\\r\\n$5\\r\\ndoc:w\\r\\n\nreply c\nreply c'
written "never answered" <<<$'append c DEL doc:w\nwrite c\nfree c'
play_of <<<$'cmd c SELECT 3\ncmd c SET doc:three first' >/dev/null
play_of <<<$'append c SELECT 3\nappend c DEL doc:three\nwrite c\nfree c' >/dev/null
is "ended: in another database, of which nobody knows" doc:three nil 3
written "a missing key" <<<$'foreign DEL doc:w\ncmd c DEL doc:w'

# The program sees its own replies, and nothing else.
got=$(play_of <<'E2'
cmd c SET doc:w a
append c MULTI
append c SET doc:w b
append c DEL doc:w doc:x
append c EXEC
append c UNLINK doc:w
append c DEL doc:x
append c PING
reply c
reply c
reply c
reply c
reply c
reply c
reply c
cmd c DEL doc:w
cmd c PING
E2
)
wanted="5 s=2:OK 5 s=2:OK 5 s=6:QUEUED 5 s=6:QUEUED 2 [2]{ 5 s=2:OK, 3 i=1 } 3 i=0 3 i=0 5 s=4:PONG 3 i=0 5 s=4:PONG "
[ "$(tr '\n' ' ' <<<"$got")" = "$wanted" ] || fail "replies: $got"
ok "replies are the program's own"

# ------------------------------------------------------------------------------------------------------ back
tiers 1
cli FLUSHALL >/dev/null
play_of <<<$'cmd c SET doc:back value EX 100\ncmd c SET doc:gone value EX 100\ncmd c SET doc:for ever' >/dev/null
cli DEL doc:back doc:gone doc:for >/dev/null
play_of <<<$'cmd c GET doc:back\ncmd c GET doc:gone\ncmd c GET doc:for\ncmd c GET doc:back' >/dev/null
[ "$(cli EXISTS doc:back)" = 0 ] || fail "put back while its permit is young"
[ "$(cli EXISTS mtshim:permit:all)" = 1 ] || fail "no permit"
ok "a young permit permits nothing"
# stands PERMIT: the server's own clock has passed the second
stands() {
        local left

        left=$(cli PTTL "$1")
        [ "$left" -gt 0 ] && [ "$left" -le $((86400000 - 1000)) ]
}
all_stand() {
        local permit

        for permit in $(cli --scan --pattern 'mtshim:permit:*'); do stands "$permit" || return 1; done
}
await 5 all_stand || fail "permits do not stand"
permits() { cli --scan --pattern 'mtshim:permit:*' | wc -l; }
before=$(permits)
play_of <<<$'cmd c EXPIRE doc:gone 0' >/dev/null
[ "$before$(permits)" = 43 ] || fail "$before permits, $(permits) after a deletion"
got=$(play_of <<'E2'
cmd c GET doc:back
cmd c GET doc:for
cmd c GET doc:gone
cmd c SET doc:back other
cmd c MULTI
cmd c PING
cmd c EXEC
E2
)
wanted="1 s=5:value 1 s=4:ever 4 5 s=2:OK 5 s=2:OK 5 s=6:QUEUED 2 [1]{ 5 s=4:PONG } "
[ "$(tr '\n' ' ' <<<"$got")" = "$wanted" ] || fail "answered from a tier: $got"
[ "$(cli GET doc:for)" = ever ] && [ "$(cli PTTL doc:for)" = -1 ] || fail "not put back, or with a time to live"
[ "$(stat_of put_back)" = 2 ] || fail "$(stat_of put_back) values put back"
ok "what no one deleted is put back, the session goes on"
at=$(($(date +%s) + 100))
play_of <<<$'cmd c SET doc:back value EX 100\ncmd c SET doc:back value KEEPTTL\ncmd c SET doc:for value EXAT '$at >/dev/null
cli DEL doc:back doc:for >/dev/null
play_of <<<$'cmd c GET doc:back\ncmd c GET doc:for' >/dev/null
await 5 all_stand || fail "permits do not stand"
play_of <<<$'cmd c GET doc:back\ncmd c GET doc:for' >/dev/null
for key in doc:back doc:for; do
        ttl=$(cli PTTL $key)
        [ "$ttl" -gt 180000 ] && [ "$ttl" -le 200000 ] || fail "$key put back with $ttl ms of twice 100 s"
done
ok "with what remains of its life there: twice as much"
before=$(cli EXISTS mtshim:permit:all)
play_of <<<$'cmd c MULTI\ncmd c PING\ncmd c EXEC' >/dev/null
[ "$before$(cli EXISTS mtshim:permit:all)" = 10 ] || fail "MULTI leaves the permit of the database"
ok "a transaction ends the permit of its database"

# What is over before its answer is there deletes, and so does what no command names.
# one_permit_less WHAT: the script on standard input ends the permit of doc:p
one_permit_less() {
        local what=$1 before

        cli DEL doc:p >/dev/null
        play_of <<<'cmd c SET doc:p v' >/dev/null
        cli DEL doc:p >/dev/null
        play_of <<<'cmd c GET doc:p' >/dev/null
        before=$(permits)
        "${@:2}" >/dev/null
        [ "$(permits)" = $((before - ${LESS-1})) ] || fail "$what: $before permits, then $(permits)"
}
while read -r words; do
        one_permit_less "$words" play_of <<<"cmd c $words"
        one_permit_less "$words, in a pipeline" play_of <<<$'append c PING\nappend c '"$words"$'\nreply c\nreply c'
done <<'E2'
SET doc:p x PX 900
SET doc:p x NX px 0900
SET doc:p x EXAT 1
SET doc:p x KEEPTTL
PSETEX doc:p 900 x
SET doc:p x PX none
E2
LESS=0
for words in "SET doc:p x" "SET doc:p x EX 10" "SETEX doc:p 10 x" "SET doc:p x PX 9000000000000"; do
        one_permit_less "$words" play_of <<<"cmd c $words"
        one_permit_less "$words, in a pipeline" play_of <<<$'append c '"$words"$'\nreply c'
done
unset LESS
ok "a SET whose time may be over before it is answered ends the key's permit, no other does"
for words in "pattern doc:p*" "invalidatepattern doc:p*" "invalidate doc:p"; do
        one_permit_less "$words" bare "$BUILD/progs/api_play" "$SOCK" <<<"$words"
        is "$words" doc:p nil
done
ok "the C interface ends permits, where it clears tiers"

# One transaction is answered late, the next has its own permit to end.
play_of <<<$'append c MULTI\nappend c DEL doc:w\nappend c EXEC\nwrite c\nrun redis-cli -s '"$SOCK"$' SET mtshim:permit:all "" >/dev/null
append c MULTI\nappend c DEL doc:w\nappend c EXEC\nreply c\nreply c\nreply c\nreply c\nreply c\nreply c\ncmd c PING' >"$T/got"
[ "$(cli EXISTS mtshim:permit:all)" = 0 ] || { show "$T/got"; fail "a transaction behind another leaves the permit"; }
[ "$(tr '\n' ' ' <"$T/got")" = "5 s=2:OK 5 s=6:QUEUED 2 [1]{ 3 i=0 } 5 s=2:OK 5 s=6:QUEUED 2 [1]{ 3 i=0 } 5 s=4:PONG " ] ||
        { show "$T/got"; fail "a transaction behind another: replies"; }
ok "a transaction behind another that is not answered yet ends the permit too"

got=$(play_of <<<$'append c DEL doc:w\nwrite c\nreply c\ncmd c PING\nappend c DEL doc:w\nwrite c\nadvance 1\nreply c' | tr '\n' ' ')
[ "$got" = "3 i=0 5 s=4:PONG " ] || fail "a late deletion: $got"
ok "a deletion that took too long is not believed in"
got=$(play_of <<<$'append c BLPOP doc:w 0\nwrite c\nadvance 1\nforeign RPUSH doc:w x\nreply c\ncmd c PING' | tr '\n' ' ')
[ "$got" = "2 [2]{ 1 s=5:doc:w, 1 s=1:x } 5 s=4:PONG " ] || fail "one that waits: $got"
ok "but one that waits for others is"

# ------------------------------------------------------------------------------------------------- other accounts
cli ACL SETUSER few on '>pw' '~doc:*' '+@all' >/dev/null
got=$(play_of <<<$'cmd c AUTH few pw\ncmd c SET doc:few a\ncmd c DEL doc:few\ncmd c PING' | tr '\n' ' ')
[ "$got" = "5 s=2:OK 5 s=2:OK 3 i=1 5 s=4:PONG " ] || fail "without rights: $got"
grep -q 'permits cannot be deleted' "$T/err" || { show "$T/err"; fail "no line tells of the missing right"; }
ok "who may not delete permits is told so in one line"

# Without MULTI its SET would be made at once, whatever has been deleted.
cli ACL SETUSER half on '>pw' '~*' '&*' '+@all' -multi >/dev/null
play_of <<<$'cmd c SET doc:half v\ncmd c GET doc:half' >/dev/null
cli DEL doc:half >/dev/null
play_of <<<$'cmd c GET doc:half' >/dev/null
await 5 all_stand || fail "permits do not stand"
got=$(play_of <<<$'cmd c AUTH half pw\ncmd c GET doc:half\ncmd c PING' | tr '\n' ' ')
[ "$got" = "5 s=2:OK 1 s=1:v 5 s=4:PONG " ] || fail "without MULTI: $got"
[ "$(cli EXISTS doc:half)" = 0 ] || fail "put back outside of a transaction"
play_of <<<'cmd c GET doc:half' >/dev/null
[ "$(cli EXISTS doc:half)" = 1 ] || fail "not put back by who may"
ok "who may not use MULTI puts nothing back"

# ------------------------------------------------------------------------------------------------ what is not there
# said WHAT LINE SCRIPT: by the program's own standard error, and once
said() {
        play_of <<<"$3" >/dev/null
        [ "$(grep -c "$2" "$T/err")" = 1 ] || { show "$T/err"; fail "$1: not one line of it"; }
        ok "one line tells of $1"
}
for script in 'cmd c GET doc:x' 'cmd c SET doc:x y' $'cmd c GET doc:x\ncmd c DEL doc:x'; do
        MTSHIM_TIERS=l3=lmdb:/not/there said "a store that cannot be opened, by $script" \
                '^mtshim.*: MTSHIM_TIERS: l3=lmdb:/not/there is not used: .*No such file' "$script"
done
MTSHIM_TIERS="l3=redis:/not/there" said "a Redis that cannot be reached" \
        '^mtshim.*: Redis at /not/there: No such file' $'cmd c GET doc:x\ncmd c SET doc:x y'

# ------------------------------------------------------------------------------------------------------ many notes
tiers 0
play_of <<<'cmd c SET doc:stays here' >/dev/null
LONG=$(printf '%4000s' '' | tr ' ' x)
play_of <<<$'append c DEL doc:w\nrepeat 1200\nappend c DEL doc:'"$LONG"$'\nreply c\nend\nreply c' >/dev/null
is "where there is always a deletion on its way, keys are noted one by one" doc:stays here
play_of <<<'cmd c SET doc:stays here' >/dev/null
play_of <<<$'cmd c DEL doc:w\nappend c CLIENT REPLY OFF\nrepeat 1200\nappend c DEL doc:'"$LONG"$'\nend\nwrite c' >/dev/null
is "where no answers are wanted, none is waited for" doc:stays here

# ----------------------------------------------------------------------------------------------- restart, and stat
tiers 0
play_of <<<'cmd c SET doc:stays here' >/dev/null
redis_stop
rm -f "$SOCK" /dev/shm/mtshim.*."$SEGMENT".*
redis_start
got=$(play_of <<<'cmd c GET doc:stays')
[ "$got" = "1 s=4:here" ] || fail "after a restart of everything: $got"
ok "it outlives Redis and L1"
"$CTL" stat | grep -q 'L3 lmdb' || fail "no row in stat"
ok "mtshim stat has its row"
