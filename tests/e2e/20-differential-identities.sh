#!/bin/bash
# Random changes of user, database, rights and passwords between random GETs, bare and shimmed, each against a server of its own:
# every reply is the same to the byte, and L1 took part. COMMANDS=100000 SEEDS="..." change the run.
. "$(dirname "$0")/lib.sh"
export MTSHIM_MAX_STALENESS=1s MTSHIM_USER=listener MTSHIM_PASSWORD_FILE=$T/password
printf 'Zq7-listener\n' >"$T/password"

for seed in ${SEEDS:-$((RANDOM * 32768 + RANDOM))}; do
        for how in bare shim; do
                redis_start
                for line in 'listener on >Zq7-listener &__redis__:invalidate +client|tracking +client|id +subscribe +ping +info' \
                        'alice on >Zq7-one ~a:* ~s:* +@all' 'bob on >Zq7-one ~b:* ~s:* +@all' 'carol on >Zq7-one ~* +@all'; do
                        # shellcheck disable=SC2086
                        cli ACL SETUSER $line >/dev/null || fail "ACL SETUSER $line"
                done
                "$how" identities "$seed" "${COMMANDS:-12000}" "$T/$how.count" >"$T/$how.out" 2>"$T/$how.err" ||
                        { show "$T/$how.err"; fail "seed $seed, $how"; }
                redis_stop -KILL
        done
        if ! cmp -s "$T/bare.out" "$T/shim.out" || [ -s "$T/shim.err" ]; then
                diff "$T/bare.out" "$T/shim.out" | head -n 10
                show "$T/shim.err"
                fail "seed $seed: the replies differ"
        fi
        gets=$(cat "$T/shim.count") hits=$(stat_of hits)
        [ "$hits" -ge $((gets / 50)) ] || { "$CTL" stat; fail "seed $seed: $hits hits of $gets GETs"; }
        ok "seed $seed: $(wc -l <"$T/shim.out") replies, $(grep -cE ' s=[0-9]*:(NOPERM|NOAUTH|WRONGPASS)' "$T/shim.out") of them" \
                "refusals; $hits hits of $gets GETs"
        rm -f /dev/shm/mtshim.*."$SEGMENT".*
done
