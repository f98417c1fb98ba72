#!/bin/bash
# The same random commands bare and shimmed, each against a server of its own: every reply is the same to the byte, and L1 really
# took part: at least 95% of the GETs repeated without a write between were hits. COMMANDS=100000 SEEDS="..." change the run.
. "$(dirname "$0")/lib.sh"
export MTSHIM_MAX_STALENESS=1s

for seed in ${SEEDS:-$((RANDOM * 32768 + RANDOM))}; do
        for how in bare shim; do
                redis_start
                "$how" differential "$seed" "${COMMANDS:-100000}" "$T/$how.count" >"$T/$how.out" 2>"$T/$how.err" ||
                        { show "$T/$how.err"; fail "seed $seed, $how"; }
                redis_stop -KILL
        done
        if ! cmp -s "$T/bare.out" "$T/shim.out"; then
                diff "$T/bare.out" "$T/shim.out" | head -n 10
                fail "seed $seed: the replies differ"
        fi
        read -r commands repeated <"$T/shim.count"
        hits=$(stat_of hits)
        "$CTL" flush --all >/dev/null 2>&1
        [ "$repeated" -gt $((commands / 4)) ] || fail "seed $seed: only $repeated GETs were repeated"
        [ "$hits" -ge $((repeated * 95 / 100)) ] || { "$CTL" stat; fail "seed $seed: $hits hits of $repeated repeated GETs"; }
        ok "seed $seed: $commands commands, $(wc -c <"$T/shim.out") bytes of replies, $hits hits of $repeated repeated GETs"
        rm -f /dev/shm/mtshim.*."$SEGMENT".*
done
