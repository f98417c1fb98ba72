#!/bin/bash
# pubsub and stream, with a tier: what a process of this host has stored there outlives that the listener of another hears of the very
# write; what anybody else announces does not.
. "$(dirname "$0")/lib.sh"
LIB=$CLOCKLIB
compgen -G "$(dirname "$CLOCKLIB")/libmtshim-lmdb.so" >/dev/null || skip "no lmdb backend"
redis_start
export MTSHIM_RULES='doc:*=tiers'

play_of() {
        { echo "connect c"; cat; } | shim play 2>"$T/err" | sed -nE 's/^(rc=0 )?[0-9]+ (cmd|reply) //p'
}
tell() { # MESSAGE: to all, by nobody's program
        if [ "$MTSHIM_INVALIDATION" = pubsub ]; then
                cli PUBLISH mtshim:invalidate "$1"
        else
                cli XADD mtshim:invalidations '*' m "$1"
        fi >/dev/null
}
# Whatever was announced before has been applied: the listener takes one message after the other.
TOLD=0
heard() {
        local before

        before=$(stat_of messages)
        TOLD=$((TOLD + 1))
        tell "$(printf '1U sh.%d.%d 1\n6:nobody' $$ $TOLD)"
        await 10 stat_at_least messages $((before + 1)) || fail "nobody hears"
}
# is WHAT VALUE: of doc:k, when Redis has lost it
is() {
        local got

        heard
        cli DEL doc:k >/dev/null
        got=$(play_of <<<'cmd c GET doc:k' | sed 's/^4$/nil/; s/^1 s=[0-9]*://')
        [ "$got" = "$2" ] || { show "$T/err"; fail "$MTSHIM_INVALIDATION: $1: '$got', not '$2'"; }
        ok "$MTSHIM_INVALIDATION: $1"
}

for mode in pubsub stream; do
        mkdir -p "$T/$mode" "$T/other"
        export MTSHIM_INVALIDATION=$mode MTSHIM_SEGMENT=$SEGMENT-$mode MTSHIM_TIERS="l3=lmdb:$T/$mode?sync=0&promote=0"
        printf 'connect c\nforeign SET warm x\nwarm c warm\ntell %s\nexists %s\n' "$T/$mode.leads" "$T/$mode.end" >"$T/leader"
        start shim play <"$T/leader" 2>"$T/$mode.err"
        leader=$!
        await 20 test -e "$T/$mode.leads" || { show "$T/$mode.err"; fail "$mode: nobody leads"; }

        play_of <<<'cmd c SET doc:k first' >/dev/null
        is "stored by another process than the one that listens" first
        play_of <<<$'cmd c DEL doc:k\ncmd c SET doc:k second EX 100' >/dev/null
        is "stored right after a removal" second
        play_of <<<'cmd c APPEND doc:k x' >/dev/null
        is "written, and not stored" nil
        play_of <<<'cmd c SET doc:k third' >/dev/null
        tell "$(printf '1U sh.other.%d 1\n5:doc:k' $$)"
        is "written elsewhere" nil
        play_of <<<'cmd c SET doc:k fourth' >/dev/null
        tell "$(printf '1U 0123456789abcdef.0123456789abcdef 1\n5:doc:k')"
        is "written by a program of another host" nil
        play_of <<<'cmd c SET doc:k fifth' >/dev/null
        MTSHIM_TIERS='' play_of <<<'cmd c SET doc:k sixth' >/dev/null
        is "written here without the tier" nil
        play_of <<<'cmd c SET doc:k seventh' >/dev/null
        MTSHIM_RULES='doc:j=tiers' play_of <<<'cmd c SET doc:k eighth' >/dev/null
        is "written here with other rules" nil
        play_of <<<'cmd c SET doc:k fifth' >/dev/null
        MTSHIM_TIERS="l3=lmdb:$T/other?sync=0" play_of <<<'cmd c SET doc:k sixth' >/dev/null
        is "written here with another tier" nil
        play_of <<<'cmd c SET doc:k ninth' >/dev/null
        MTSHIM_SEGMENT=$SEGMENT-other play_of <<<'cmd c SET doc:k tenth' >/dev/null
        is "written by a program with a segment of its own" nil
        [ "$(stat_of message_gaps)" = 0 ] || fail "$mode: $(stat_of message_gaps) gaps"
        : >"$T/$mode.end"
        wait "$leader"
done
rm -f /dev/shm/mtshim.*."$SEGMENT"-*
