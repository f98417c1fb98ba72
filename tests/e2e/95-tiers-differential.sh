#!/bin/bash
# The same random commands, pipelines and transactions bare, and shimmed with a tier that has every key but two (they are how the
# program tells that L1 is there): every reply is the same to the byte. COMMANDS=100000 SEEDS="..." change the run.
. "$(dirname "$0")/lib.sh"
compgen -G "$BUILD/libmtshim-lmdb.so" >/dev/null || skip "no lmdb backend"
export MTSHIM_MAX_STALENESS=1s MTSHIM_RULES='k:0=ttl:300s;settle=ttl:300s;*=tiers'

for seed in ${SEEDS:-$((RANDOM * 32768 + RANDOM))}; do
        rm -rf "$T/disk" && mkdir "$T/disk"
        for how in bare shim; do
                redis_start
                MTSHIM_TIERS="l3=lmdb:$T/disk?sync=0&ttl_scale=1&promote=1" "$how" differential "$seed" "${COMMANDS:-20000}" \
                        "$T/$how.count" >"$T/$how.out" 2>"$T/$how.err" || { show "$T/$how.err"; fail "seed $seed, $how"; }
                redis_stop -KILL
        done
        if ! cmp -s "$T/bare.out" "$T/shim.out"; then
                diff "$T/bare.out" "$T/shim.out" | head -n 10
                fail "seed $seed: the replies differ"
        fi
        row=$("$CTL" stat | grep 'L3 lmdb')
        [[ $row =~ \ ([0-9]+)\ sets,\ ([0-9]+)\ removes ]] || fail "no row: $row"
        [ "${BASH_REMATCH[1]}" -gt 0 ] && [ "${BASH_REMATCH[2]}" -gt 1000 ] || fail "the tier took no part: $row"
        ok "seed $seed: $(wc -c <"$T/shim.out") bytes of replies; $row"
        rm -f /dev/shm/mtshim.*."$SEGMENT".*
done
