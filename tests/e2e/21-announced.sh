#!/bin/bash
# pubsub and stream: whatever road a write takes, others have been told of it when the program learns that it has succeeded, and the
# program sees the same replies as without; no announcement is lost or misread.
. "$(dirname "$0")/lib.sh"

for mode in pubsub stream; do
        redis_start
        export MTSHIM_INVALIDATION=$mode MTSHIM_SEGMENT=$SEGMENT-$mode
        MT_STEPS=${STEPS:-40} MT_TOLD=$mode same ryw </dev/null || fail "$mode: own writes"
        for error in announce message listener corrupt; do
                [ "$(stat_of errors.$error)" = 0 ] || fail "$mode: $("$CTL" stat -j)"
        done
        stat_at_least announcements 1000 || fail "$mode: $(stat_of announcements) announcements"
        [ $mode = stream ] || stat_at_least messages 1 || fail "$mode: none was heard: $("$CTL" stat -j)"
        ok "$mode: $(stat_of announcements) announcements, $(stat_of messages) heard, $(stat_of messages_own) of them known"
        redis_stop
done
