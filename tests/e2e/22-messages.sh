#!/bin/bash
# pubsub: what is announced is forgotten, whoever announces it; what cannot be read is not passed over.
. "$(dirname "$0")/lib.sh"
export MTSHIM_INVALIDATION=pubsub
redis_start


# Each of these is about one key, and only the announcement tells of the write.
case_same "Update, Remove, RemoveBulk, RemovePattern" <<'E2'
foreign MSET a old b old c:1 old d:1 old k old
connect c
warm c a
warm c b
warm c c:1
warm c d:1
warm c k
hit c a
hit c k
foreign MSET a new b new c:1 new d:1 new
foreign PUBLISH mtshim:invalidate 1U\sx\s1\x0a1:a
await c a new
foreign PUBLISH mtshim:invalidate 1R\sx\s2\x0a1:b
await c b new
foreign PUBLISH mtshim:invalidate 1B\sx\s3\x0a5:other3:c:1
await c c:1 new
foreign PUBLISH mtshim:invalidate 1P\sx\s4\x0a3:d:*
await c d:1 new
hit c k
foreign SET k new
foreign PUBLISH mtshim:invalidate 1P\sx\s5\x0a1:*
await c k new
E2
[ "$(stat_of message_gaps)" -eq 0 ] || fail "a gap where there is none: $("$CTL" stat -j)"

# What cannot be read, and what is missing between two, may have been about any key.
MTSHIM_LOG=$T/log case_same "a later version, no message at all, a gap" <<'E2'
foreign SET k 1
connect c
warm c k
hit c k
foreign SET k 2
foreign PUBLISH mtshim:invalidate 2U\sx\s1\x0a1:k
await c k 2
warm c k
foreign SET k 3
foreign PUBLISH mtshim:invalidate hello
await c k 3
warm c k
foreign PUBLISH mtshim:invalidate 1U\sx\s1\x0a5:other
foreign SET k 4
foreign PUBLISH mtshim:invalidate 1U\sx\s3\x0a5:other
await c k 4
E2
[ "$(stat_of errors.message) $(stat_of message_gaps)" = "2 1" ] || fail "they are not counted: $("$CTL" stat -j)"
[ "$(grep -c 'cannot be read' "$T/log")" -eq 1 ] || { show "$T/log"; fail "not one line"; }

# The script in the documentation does what it says, for any bytes.
mkdir "$T/bin"
printf '#!/bin/sh\nexec %s -s %s "$@"\n' "$(command -v redis-cli)" "$SOCK" >"$T/bin/redis-cli"
sed -n '/^```sh$/,/^```$/p' "$ROOT/invalidation/MESSAGES.md" | sed '1d;$d' >"$T/set-and-tell"
chmod +x "$T/bin/redis-cli" "$T/set-and-tell"
cat >"$T/wait" <<'E2'
connect c
warm c kö:y
hit c kö:y
cmd c BLPOP go 10
await c kö:y new
E2
blocked() {
        [ "$(cli INFO clients | tr -d '\r' | sed -n 's/^blocked_clients://p')" -ge "$1" ]
}
wait_start() { # NAME: a reader of $T/wait
        start shim play <"$T/wait" >"$T/$1.out" 2>&1
        WAITER=$!
        await 5 blocked 1 || { show "$T/$1.out"; fail "$1: L1 never served"; }
}
waiter_ends() {
        wait "$WAITER" || { show "$T/$1.out"; fail "$1"; }
        ok "$1"
}
cli SET kö:y old >/dev/null
wait_start script
PATH=$T/bin:$PATH "$T/set-and-tell" kö:y new || fail "the script of MESSAGES.md"
cli RPUSH go 1 >/dev/null
waiter_ends script

# A writer on another host: a segment of its own.
write_elsewhere() { # title, lines of play[, anything: it may say that a write could not be announced]
        cli SET k old >/dev/null
        wait_start "$1"
        MTSHIM_SEGMENT=$SEGMENT-elsewhere shim play <<<"connect w
$2" >"$T/w.out" 2>&1 || { show "$T/w.out"; fail "$1: the writer"; }
        [ $# -gt 2 ] || ! grep -q 'could not be announced' "$T/w.out" || { show "$T/w.out"; fail "$1: the writer"; }
        cli RPUSH go 1 >/dev/null
        waiter_ends "$1"
}
sed -i 's/kö:y/k/' "$T/wait"
write_elsewhere "SET elsewhere" 'cmd w SET k new'
write_elsewhere "a transaction elsewhere" 'cmd w MULTI
cmd w SET k new
cmd w EXEC'
write_elsewhere "a pipeline elsewhere" 'append w MULTI
append w SET k new
append w EXEC
append w GET other
reply w
reply w
reply w
reply w'
write_elsewhere "replies switched off elsewhere" 'append w CLIENT REPLY OFF
append w SET k new
append w CLIENT REPLY ON
reply w
reconnect w
cmd w SET other any' unsaid
grep -q 'could not be announced' "$T/w.out" || { show "$T/w.out"; fail "nobody says that it was not announced"; }

# Rights are taken away from the writer and given back.
cli ACL SETUSER default -publish >/dev/null
cli SET k old >/dev/null
wait_start "a right given back"
MTSHIM_SEGMENT=$SEGMENT-refused shim play >"$T/w.out" 2>"$T/w.err" <<'E2' || fail "the writer"
connect w
repeat 50
cmd w GET k
end
cmd w SET k new
foreign ACL SETUSER default +publish
cmd w SET k2 any
foreign RPUSH go 1
E2
waiter_ends "a right given back"
[ "$(wc -l <"$T/w.err")" -eq 1 ] && grep -q 'could not be announced.*NOPERM' "$T/w.err" || { show "$T/w.err"; fail "not one line"; }
[ "$(MTSHIM_SEGMENT=$SEGMENT-refused stat_of errors.announce)" -eq 1 ] || fail "it is not counted"
ok "refused: $(cut -d: -f2- "$T/w.err")"

# MULTI is refused: what follows takes place at once, and is told.
cli ACL SETUSER default +publish -multi >/dev/null
write_elsewhere "MULTI is refused" 'cmd w MULTI
cmd w SET k new'
write_elsewhere "MULTI is refused, in a pipeline" 'append w MULTI
append w SET k new
reply w
reply w
cmd w SET k2 any'
cli ACL SETUSER default +multi >/dev/null

# A connection that never authenticated, after a refusal; and what is changed is nobody's rights.
case_same "let in" <<'E2'
connect c
cmd c AUTH nobody wrong
connect d
foreign SET k value
warm d k
hit d k
E2
shim play >"$T/w.out" 2>&1 <<<"connect c
warm c k
run $CTL stat -j | grep -w epoch >$T/before
cmd c CONFIG SET maxmemory 0
run $CTL stat -j | grep -w epoch >$T/after" || { show "$T/w.out"; fail "CONFIG SET"; }
cmp "$T/before" "$T/after" || fail "CONFIG SET of other things than rights makes L1 forget"
ok "CONFIG SET of other things than rights"

# The write's reply has come and the announcement's has not: the program has to wait for both.
MTSHIM_SEGMENT=$SEGMENT-held shim play >"$T/held" 2>&1 <<'E2' || { show "$T/held"; fail "a reply that is held back"; }
connect w
append w SET k value
feed w +OK\x0d\x0a
readerreply w
feed w :0\x0d\x0a
readerreply w
readerreply w
E2
mapfile -t held < <(grep -i reply "$T/held")
[[ ${#held[@]} -eq 3 && ${held[0]} == *NULL && ${held[1]} == *OK && ${held[2]} == *NULL ]] ||
        { show "$T/held"; fail "a reply that is held back"; }
ok "a write's reply waits for its announcement's"

# A connection breaks with a write on its way: whether others were told nobody knows, so the next announcement tells everything.
cli SUBSCRIBE mtshim:invalidate >"$T/ear" &
own
await 5 grep -q mtshim "$T/ear" || fail "the ear"
MTSHIM_SEGMENT=$SEGMENT-broken shim play >"$T/w.out" 2>&1 <<'E2' || { show "$T/w.out"; fail "a connection that breaks"; }
connect w
append w BLPOP nothing 0
write w
foreign CLIENT KILL TYPE normal
reply w
reconnect w
cmd w SET k2 x
E2
await 5 grep -q '^1P ' "$T/ear" || { show "$T/ear" "$T/w.out"; fail "it is not made good"; }
ok "a connection that breaks with a write on its way"

# The server's last word.
MTSHIM_SEGMENT=$SEGMENT-word shim play >"$T/word" 2>&1 <<'E2' || { show "$T/word"; fail "the server's last word"; }
connect w
append w SET k value
feed w -ERR\smax\x0d\x0a
foreign CLIENT KILL TYPE normal
reply w
E2
grep -q 'rc=0 .*ERR.*max' "$T/word" || { show "$T/word"; fail "the server's last word is lost"; }
ok "an error, and the connection is closed"

MTSHIM_AUDIT_STREAM=audit MTSHIM_AUDIT_MAXLEN=100 case_same "an audit stream" <<'E2'
connect w
repeat 500
cmd w SET k value
end
cmd w SELECT 3
cmd w SET k value
cmd w GET k
E2
n=$(cli XLEN audit)
[ "$n" -ge 100 ] && [ "$n" -le 300 ] || fail "the audit stream has $n entries"
[ "$(cli -n 3 EXISTS audit)" -eq 0 ] || fail "an audit stream in database 3"
ok "the audit stream has $n entries of 501"
