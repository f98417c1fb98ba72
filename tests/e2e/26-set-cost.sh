#!/bin/bash
# What a SET costs in each mode, against a bare one: server and program on one core, the quickest batch of each, in turns.
# What it must not cost is told by counts, not by this; it prints. BATCHES=100 looks longer.
. "$(dirname "$0")/lib.sh"
redis_start
taskset -pc 0 "$REDIS_PID" >/dev/null 2>&1

quickest() { # bare|shim
        command_of "$1" set_cost "${BATCHES:-60}" 50
        taskset -c 0 "${COMMAND[@]}" | cut -d' ' -f1
}
declare -A best
for _ in 1 2 3; do
        for mode in bare tracking pubsub stream; do
                if [ $mode = bare ]; then
                        ns=$(quickest bare)
                else
                        ns=$(MTSHIM_INVALIDATION=$mode MTSHIM_SEGMENT=$SEGMENT-$mode quickest shim)
                fi
                [ -n "$ns" ] || fail "$mode: no figure"
                [ "${best[$mode]:-999999999}" -le "$ns" ] || best[$mode]=$ns
        done
done
published=$(cli INFO commandstats | sed -n 's/^cmdstat_publish:calls=\([0-9]*\).*/\1/p')
added=$(cli INFO commandstats | sed -n 's/^cmdstat_xadd:calls=\([0-9]*\).*/\1/p')
[ "${published:-0}" -ge 9000 ] && [ "${added:-0}" -ge 9000 ] || fail "${published:-0} PUBLISH, ${added:-0} XADD: not one for each SET"
for mode in tracking pubsub stream; do
        ok "a SET in mode $mode: ${best[$mode]} ns, $(awk "BEGIN { printf \"%.2f\", ${best[$mode]} / ${best[bare]} }") of a bare one"
done
