#!/bin/bash
# The C interface: programs that are linked to the library, without a preload and with one.
. "$(dirname "$0")/lib.sh"
API=$BUILD/progs
redis_start

# api_same WHAT PROGRAM args: not preloaded and preloaded it prints the same, which is what is expected ($T/want).
api_same() {
        local what=$1 program=$2 how

        shift 2
        cat >"$T/want"
        for how in bare shim; do
                cli FLUSHALL >/dev/null
                rm -f /dev/shm/mtshim.*."$MTSHIM_SEGMENT".*
                MTSHIM_SEGMENT=$SEGMENT-$how-$CHECKS
                $how "$API/$program" "$@" <"${IN:-/dev/null}" >"$T/out" 2>"$T/err" || { show "$T/out" "$T/err"; fail "$what, $how"; }
                diff "$T/want" "$T/out" >"$T/diff" || { show "$T/diff" "$T/err"; fail "$what, $how: < wanted, > printed"; }
                [ ! -s "$T/err" ] || { show "$T/err"; fail "$what, $how: said something"; }
        done
        ok "$what"
}
# play WHAT [USER FILE]: a script for api_play; behind an operation what it prints, after "= ".
play() {
        cat >"$T/both"
        grep -v '^= ' "$T/both" >"$T/script"
        sed -n 's/^= //p' "$T/both" >"$T/answers"
        IN=$T/script api_same "$1" api_play "$SOCK" "${@:2}" <"$T/answers"
}

# ----------------------------------------------------------------------------------------------------- examples

api_same "an example: a cache aside" api_aside "$SOCK" u1 u2 u1 <<'E'
the record of u1
the record of u2
the record of u1
asked 2
E
api_same "an example in C++: computed once" cxx_aside "$SOCK" 12 <<'E'
144
144
computed 1
E
[ -n "$HIREDIS" ] && API=$PROGS
api_same "hiredis and the C interface in one program" api_both "$SOCK" <<'E'
both read what the other wrote
E
API=$BUILD/progs

# ------------------------------------------------------------------------------------------------------- one key

play "get, set, and times to live" <<'E'
get absent
= MISS
set a hello
= OK
get a
= OK 'hello'
getttl a 290000 300000
= OK 'hello'
into a 5
= OK 'hello'
into a 4
= TOO_LARGE a value of 5 bytes, room for 4
= needs 5
into absent 4
= MISS
setttl a x 90000
= OK
getttl a 80000 90000
= OK 'x'
strategy s v realtime
= OK
getttl s 9000 10000
= OK 'v'
strategy s v short
= OK
getttl s 299000 300000
= OK 'v'
strategy s v medium
= OK
getttl s 3599000 3600000
= OK 'v'
strategy s v long
= OK
getttl s 10799000 10800000
= OK 'v'
strategy s v custom 18446744073709551615
= OK
getttl s 18446744073709551615 -1
= OK 'v'
setttl s v 9007199254740993
= INVALID a time to live of 9007199254740993 ms
get s
= OK 'v'
setttl s v 0
= OK
getttl s 0 0
= MISS
health
= OK
E
play "any bytes" <<'E'
set '' of-the-empty-key
= OK
get ''
= OK 'of-the-empty-key'
set \0k \0\s\0
= OK
get \0k
= OK '\0 \0'
getttl \0k 290000 300000
= OK '\0 \0'
remove \0k
= OK
get \0k
= MISS
remove \0k
= OK
set e ''
= OK
get e
= OK ''
into e 0
= OK ''
E
play "served from L1, and never older than what was written here" <<'E'
set a 1
= OK
warm a
get a
= OK '1'
set a 2
= OK
travels a
get a
= OK '2'
getttl a 200000 300000
= OK '2'
warm a
remove a
= OK
get a
= MISS
warm a
stats hits 3
stats negative_hits 1
stats connections 1
tiers
= 1 shm up, hits some
= 2 redis up, hits some
E
play "many keys" <<'E'
set user:1 a
= OK
set user:2 a
= OK
set user:x a
= OK
set user:* a
= OK
set other a
= OK
warm user:1
pattern user:[0-9]
= 2 OK
get user:1
= MISS
pattern user:\*
= 1 OK
get user:x
= OK 'a'
bulk user:x absent other
= 2 OK
pattern *
= 0 OK
E
{
        printf 'bulk'
        printf ' k%d' {1..2500}
        printf '\n= 2400 OK\n'
} >"$T/many"
cli EVAL 'for i = 101, 2500 do redis.call("SET", "k" .. i, i) end' 0 >/dev/null
IN=$T/in
grep -v '^= ' "$T/many" >"$T/in"
bare "$API/api_play" "$SOCK" <"$T/in" >"$T/out" || fail "2500 keys"
IN=
[ "$(cat "$T/out")" = "2400 OK" ] || { show "$T/out"; fail "2500 keys at once"; }
cli EVAL 'for i = 1, 5000 do redis.call("SET", "p:" .. i, i) end redis.call("SET", "q", 1)' 0 >/dev/null
[ "$(bare "$API/api_play" "$SOCK" <<<'pattern p:*')" = "5000 OK" ] || fail "5000 keys by a pattern"
[ "$(cli DBSIZE)" -eq 1 ] || fail "a pattern removed too much, or too little: $(cli DBSIZE) keys"
ok "2500 keys by name, 5000 by a pattern"

play "a child goes on with the handle, by connections of its own" <<'E'
set a 1
= OK
warm a
fork get a
= OK '1'
fork set a 2
= OK
await a 2
fork await a 2
get a
= OK '2'
E

# At its limit a server queues nothing, but reads as ever.
printf 'set a 1\n' | bare "$API/api_play" "$SOCK" >/dev/null
cli CONFIG SET maxmemory 1 >/dev/null
[ "$(bare "$API/api_play" "$SOCK" <<<'getttl a 290000 300000')" = "OK '1'" ] || fail "a value and its time from a full server"
cli CONFIG SET maxmemory 0 >/dev/null
ok "a value and its time from a full server"

# paired WHAT WANT PTTL VALUE PTTL ...: what a server answers that others write to meanwhile, each time it is asked
paired() {
        local what=$1 want=$2 server

        # shellcheck disable=SC2016
        perl -MIO::Socket::UNIX -e '
                my $listens = IO::Socket::UNIX->new(Local => shift, Listen => 1) or die;
                my $c = $listens->accept;
                while (@ARGV) {
                        my $asked = "";
                        while ((() = $asked =~ /^\*2/mg) < 3 || $asked !~ /\$1\r\na\r\n\z/) {
                                sysread($c, $asked, 4096, length $asked) or exit;
                        }
                        my ($before, $value, $after) = splice @ARGV, 0, 3;
                        syswrite $c, ":$before\r\n\$1\r\n$value\r\n:$after\r\n";
                }
                sysread $c, my $end, 1' "$T/fake.sock" "${@:3}" 2>"$T/err" &
        own
        server=$!
        await 10 [ -S "$T/fake.sock" ] || { show "$T/err"; fail "no server that answers so"; }
        MTSHIM_ENABLE=0 bare "$API/api_play" "$T/fake.sock" <<<'getttl a 999 1000' >"$T/out"
        kill "$server" 2>/dev/null
        rm -f "$T/fake.sock"
        [ "$(cat "$T/out")" = "OK '$want'" ] || { show "$T/out" "$T/err"; fail "$what"; }
}
paired "as it is" v 1000 v 1000
paired "written with more time" v 1000 w 5000 1000 v 1000
paired "written with less" v 90000 w 1000 1000 v 1000
paired "given an end" v -1 w 1000 1000 v 1000
paired "made between" v -2 w 1000 1000 v 1000
paired "gone meanwhile" v 1000 w -2 1000 v 1000
paired "for ever" v 1000 w -1 1000 v 1000
paired "always written" z 9000 w 1000 -2 x 1000 1000 y -2 -1 z 1000
ok "a value and its time are of the same write, or the time is the lesser"

# -------------------------------------------------------------------------------------------------- what it may be told

printf 'pass\n' >"$T/password"
printf 'wrong\n' >"$T/wrong"
cli ACL SETUSER ann on '>pass' '~*' '&*' +@all -mget >/dev/null
play "a user with a password, and his values" ann "$T/password" <<'E'
set a 1
= OK
warm a
E
export MTSHIM_LOG_LEVEL=error # a line tells of it, once a minute
play "a wrong password is refused" ann "$T/wrong" <<'E'
get a
= REFUSED no connection: it refuses AUTH: WRONGPASS invalid username-password pair or user is disabled.
E
unset MTSHIM_LOG_LEVEL
play "a user as before" ann "$T/password" <<'E'
get a
= MISS
set a 1
= OK
E
cli ACL SETUSER ann resetkeys '~b*' >/dev/null
play "the server's refusal has its words" ann "$T/password" <<'E'
set a 1
= REFUSED NOPERM this user has no permissions to access one of the keys used as arguments
get a
= REFUSED NOPERM this user has no permissions to access one of the keys used as arguments
getttl a 0 0
= REFUSED NOPERM this user has no permissions to access one of the keys used as arguments
bulk a b
= 0 REFUSED NOPERM this user has no permissions to access one of the keys used as arguments
E
cli FLUSHALL >/dev/null
cli RPUSH list 1 >/dev/null
for how in bare shim; do
        $how "$API/api_play" "$SOCK" <<<'get list' >"$T/out"
        [ "$(cat "$T/out")" = "REFUSED WRONGTYPE Operation against a key holding the wrong kind of value" ] || fail "$how: $(cat "$T/out")"
done
ok "a key of another type is refused, and no miss"

export MTSHIM_ENABLE=0
play "MTSHIM_ENABLE=0: the server alone" <<'E'
set a 1
= OK
get a
= OK '1'
getttl a 290000 300000
= OK '1'
update a 2 90000
= UNTOLD MTSHIM_ENABLE=0: this process sends no messages
get a
= OK '2'
E
unset MTSHIM_ENABLE

bare "$API/api_play" "$SOCK" >"$T/out" <<'E'
configure l1_size 16M
configure nothing 1
configure l1_size much
configure l1_ttl 7s
set a 1
warm a
configure l1_size 32M
E
diff - "$T/out" <<'E' || fail "options by the program"
OK
INVALID nothing='1' is no option that a program may set
INVALID l1_size='much' not a size within
OK
OK
INVALID l1_size: options have been read already
E
[ "$(stat_of bytes_total)" -eq $((16 << 20)) ] || fail "l1_size by the program is not used: $("$CTL" stat -j)"
ok "options by the program"

# ------------------------------------------------------------------------------------------------- faults of the server

mkfifo "$T/fifo"
exec 9<>"$T/fifo"
start bare "$API/api_play" "$SOCK" <"$T/fifo" >"$T/out" 2>"$T/err" 9>&-
PLAYER=$!
lines() {
        [ "$(wc -l <"$T/out")" -ge "$1" ]
}
printf 'set a 1\nwarm a\nget a\n' >&9
await 10 lines 2 || fail "the first get"
redis_stop
sleep "$(awk "BEGIN { print $STALE_MS / 1000 + 0.1 }")"
printf 'get a\nset a 2\nhealth\ngetttl a 0 0\nbulk a\n' >&9
await 20 lines 7 || { show "$T/out" "$T/err"; fail "a server that is down"; }
tail -n 5 "$T/out" | grep -vE '^(0 )?ERROR ' && fail "a server that is down is an error"
redis_start 9>&-
printf 'health\nset a 3\nget a\nwarm a\nget a\n' >&9
await 10 lines 11 || { show "$T/out" "$T/err"; fail "a server that has come back"; }
[ "$(tail -n 4 "$T/out" | tr '\n' ' ')" = "OK OK OK '3' OK '3' " ] || { show "$T/out"; fail "a server that has come back"; }
printf 'get a\n' >&9
redis_stop
redis_start 9>&-
cli SET a 4 >/dev/null
printf 'await a 4\nset b 1\nget b\n' >&9
exec 9>&-
wait "$PLAYER" || { show "$T/err"; fail "a restart between two calls"; }
[ "$(tail -n 1 "$T/out")" = "OK '1'" ] || { show "$T/out"; fail "a restart between two calls"; }
ok "a server that is down is an error and no miss, and is found again"

# ------------------------------------------------------------------------------------------------- computed once

# compute WHAT WANT args
compute() {
        local what=$1 want=$2 how

        for how in bare shim; do
                cli DEL key >/dev/null
                $how "$API/api_compute" "$SOCK" key "${@:3}" >"$T/out" 2>"$T/err" || { show "$T/err"; fail "$what, $how"; }
                [ "$(cat "$T/out")" = "$want" ] || { show "$T/out" "$T/err"; fail "$what, $how"; }
        done
        ok "$what: $want"
}
export MTSHIM_SEGMENT=$SEGMENT-compute
compute "64 threads of 8 processes" "computed 1, right 64, older 0, none 0, late 0" 8 8 20000 50
compute "the one who computes is killed" "computed 2, right 56, older 0, none 0, late 0" 8 8 20000 300 kill
compute "the one who computes is stopped" "computed 2, right 56, older 0, none 0, late 0" 8 8 1500 300 stop
[ "$(cli GET key)" = 2 ] || fail "who was stopped has set his late value: $(cli GET key)"
ok "a late value is not stored"
compute "slower than anybody waits: nobody hangs" "computed 2, right 1, older 1, none 0, late 0" 2 1 50 400
compute "there is none: nobody hangs" "computed 8, right 0, older 0, none 8, late 0" 4 2 10000 5 none

# ------------------------------------------------------------------------------------------------------- messages

# heard WHAT WANT program args: what one who listens on the channel is told
heard() {
        local what=$1 want=$2

        : >"$T/heard"
        redis-cli -s "$SOCK" SUBSCRIBE mtshim:invalidate >"$T/heard" &
        own
        await 10 grep -q subscribe "$T/heard" || fail "no subscription"
        bare "$API/api_broadcast" "$SOCK" "${@:3}" || fail "$what"
        await 10 grep -q '^1[A-Z]' "$T/heard" || fail "$what: no message"
        kill "${CHILDREN[-1]}"
        [[ $(tr '\n' ' ' <"$T/heard") =~ message\ mtshim:invalidate\ 1$want\ $ ]] || { show "$T/heard"; fail "$what"; }
}
for mode in tracking pubsub; do
        export MTSHIM_INVALIDATION=$mode MTSHIM_SEGMENT=$SEGMENT-$mode
        heard "update, $mode" 'U\ [0-9a-f]{16}\ 1\ 3:k:1' write k:1 one
        heard "invalidate, $mode" 'R\ [0-9a-f]{16}\ 1\ 3:k:1' forget k:1
        heard "invalidate a pattern, $mode" 'P\ [0-9a-f]{16}\ 1\ 3:k:\*' forgetall 'k:*'
        [ "$(cli GET k:1)" = one ] || fail "a message has removed the value from Redis"
        ok "Update, Remove, RemovePattern, in mode $mode"
done
export MTSHIM_INVALIDATION=stream MTSHIM_SEGMENT=$SEGMENT-stream
cli SELECT 0 >/dev/null
bare "$API/api_broadcast" "redis://$SOCK" forget k 2>/dev/null && fail "an address that is none"
bare "$API/api_broadcast" "$SOCK" write k:1 two || fail "update, stream"
bare "$API/api_broadcast" "$SOCK" forgetall 'k:?' || fail "invalidate a pattern, stream"
[ "$(cli XREVRANGE mtshim:invalidations + - | grep -A1 -E '^1P' | tr '\n' ' ' | grep -c ' 3:k:?')" -eq 1 ] ||
        { cli XREVRANGE mtshim:invalidations + -; fail "stream"; }
ok "the same in mode stream"
unset MTSHIM_INVALIDATION
cli ACL SETUSER quiet on nopass '~*' +@all resetchannels >/dev/null
play "a message that is refused: done, and said" quiet "$T/password" <<'E'
update k 1 90000
= UNTOLD NOPERM this user has no permissions to access one of the channels used as arguments
get k
= OK '1'
E

# ------------------------------------------------------------------------------------------------------- streams

for how in bare shim; do
        cli DEL work >/dev/null
        streams() {
                $how "$API/api_streams" "$SOCK" work "$@"
        }
        id=$(streams add job one size 1) && [[ $id =~ ^[0-9]+-[0-9]+$ ]] || fail "an entry's id: $id"
        streams add job two >/dev/null
        [ "$(streams latest 1)" = "job=two" ] || fail "the newest entry, $how"
        [ "$(streams after "$id" 10 0)" = "job=two" ] || fail "what came after an entry, $how"
        [ "$(streams after '$' 10 20)" = "nothing" ] || fail "nothing comes, $how"
        (streams work g dies 1 0 die) >"$T/out" 2>/dev/null
        [ "$(cat "$T/out")" = "job=one size=1" ] || { show "$T/out"; fail "a worker that dies, $how"; }
        [ "$(streams work g lives 10 0)" = "job=two" ] || fail "what is new, $how"
        await 5 eval '[ "$(streams work g lives 10 1)" = "job=one size=1" ]' || fail "what a dead one left, $how"
        [ "$(streams work g lives 10 1)" = "nothing" ] || fail "all is acknowledged, $how"
        start $how "$API/api_streams" "$SOCK" work after '$' 1 20000 >"$T/out"
        reader=$!
        await 10 eval 'cli CLIENT LIST | grep -q "cmd=xread "' || fail "a reader that waits, $how"
        streams add job three >/dev/null
        wait "$reader"
        [ "$(cat "$T/out")" = "job=three" ] || { show "$T/out"; fail "what a waiting reader is given, $how"; }
done
ok "streams: added, read, waited for, worked on by a group, taken over from the dead"

# ------------------------------------------------------------------------------------------------- how it is linked

if [ -z "$HIREDIS" ]; then # by a linker that leaves out what adds nothing
        gcc -I"$ROOT/shim" -o "$T/left-out" "$ROOT/tests/progs/api/api_both.c" -L"$BUILD" -Wl,-rpath,"$BUILD" \
                -Wl,--as-needed -lmtshim -lhiredis || fail "api_both does not link"
        readelf -d "$T/left-out" | grep -q libhiredis && fail "hiredis was not left out"
        cli FLUSHALL >/dev/null
        [ "$(bare "$T/left-out" "$SOCK")" = "both read what the other wrote" ] || fail "hiredis, left out by the linker, is not found"
        ok "a program that is linked without the hiredis that it calls"
fi

# ------------------------------------------------------------------------------------------------------- TLS

if [ -n "$HIREDIS" ]; then # since hiredis 1.0
        . "$(dirname "$0")/tls.sh"
        issue ca ''
        issue server ca -addext subjectAltName=IP:127.0.0.1
        redis_stop
        tls_start
        IN=$T/script
        printf 'set a 1\nwarm a\nget a\n' >"$T/script"
        for how in bare shim; do
                MT_CA=$T/ca.pem MTSHIM_SEGMENT=$SEGMENT-tls-$how $how "$API/api_play" "rediss://$MT_REDIS" <"$T/script" \
                        >"$T/out" 2>"$T/err" || { show "$T/err"; fail "TLS, $how"; }
                [ "$(tr '\n' ' ' <"$T/out")" = "OK OK '1' " ] || { show "$T/out"; fail "TLS, $how"; }
        done
        MTSHIM_LOG_LEVEL=error bare "$API/api_play" "rediss://$MT_REDIS" <<<'get a' >"$T/out" 2>"$T/err"
        grep -q '^ERROR no connection: ' "$T/out" || { show "$T/out"; fail "a server whom nobody vouches for"; }
        ok "through TLS, served from L1; a server whom nobody vouches for is not spoken to"
fi

# ------------------------------------------------------------------------------------------------------- memory

if [ -z "$HIREDIS" ]; then
        for how in bare shim; do
                command_of $how valgrind -q --error-exitcode=99 --leak-check=full --suppressions="$ROOT/tests/e2e/valgrind.supp" \
                        "$API/api_aside" "$SOCK" u1 u2 u7
                COMMAND=("${COMMAND[@]/$PROGS\/valgrind/valgrind}")
                "${COMMAND[@]}" >"$T/out" 2>"$T/err" || { show "$T/err"; fail "valgrind, $how"; }
        done
        ok "valgrind has nothing to say"
fi
