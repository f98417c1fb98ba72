#!/bin/bash
# Many processes, and their leader is killed again and again: there is never more than one listener, in each mode.
. "$(dirname "$0")/lib.sh"
redis_start

# How many at most, in so many looks.
most_listeners() {
        for ((look = 0; look < $1; look++)); do
                printf 'CLIENT LIST\nECHO =\n'
                sleep 0.005
        done | cli | awk -v mine="$2" '
                / cmd=/ && $0 ~ mine { n++ }
                /^=$/ { if (n > most) most = n; n = 0 }
                END { print most + 0 }'
}
for mode in tracking pubsub stream; do
        export MTSHIM_INVALIDATION=$mode MTSHIM_SEGMENT=$SEGMENT-$mode
        mine=' sub=1 '
        [ $mode != stream ] || mine=' cmd=(xread|xinfo)'
        rm -f "$H"
        bare faultloop "$H" report >/dev/null
        pids=()
        for i in 1 2 3 4 5 6; do
                start shim faultloop "$H" watch >"$T/$mode-$i.out" 2>"$T/$mode-$i.err"
                pids+=($!)
        done
        for _ in 1 2; do
                await 10 leader_of "${pids[@]}" >"$T/leader" || fail "$mode: nobody leads"
                leader=$(tail -n 1 "$T/leader")
                most_listeners 60 "$mine" >"$T/most" &
                look=$!
                kill -KILL "$leader"
                wait $look
                [ "$(cat "$T/most")" -eq 1 ] || fail "$mode: $(cat "$T/most") listeners at a time"
        done
        for pid in "${pids[@]}"; do
                kill -KILL "$pid" 2>/dev/null
        done
        ok "$mode: six processes, two leaders killed, never more than one listener"
done
