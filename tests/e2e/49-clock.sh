#!/bin/bash
# The real-time clock steps, the programs' or the server's: nothing is older than the bound, and L1 goes on serving. What the
# server's clock does to times to live is the server's affair (README).
. "$(dirname "$0")/lib.sh"

export MT_CLOCKSTEP=$T/step
step() { # days, of whoever has the file mapped
        local ns=$(($1 * 86400000000000)) i bytes=

        for i in 0 8 16 24 32 40 48 56; do
                bytes+=$(printf '\\x%02x' $((ns >> i & 255)))
        done
        printf %b "$bytes" | dd of="$MT_CLOCKSTEP" conv=notrunc status=none
}
days() {
        LD_PRELOAD=$PROGS/clockstep date +%s
}
head -c 8 /dev/zero >"$MT_CLOCKSTEP"
now=$(days)
step 2
[ $(($(days) - now)) -ge 172800 ] || fail "the clock does not step"
step 0

for whose in program server; do
        plain=$LIB
        case $whose in
        program)
                LIB=$plain:$PROGS/clockstep
                redis_start
                ;;
        server) LD_PRELOAD=$PROGS/clockstep redis_start ;;
        esac
        stepper_start
        watch_start
        for days in 3 -4000 0; do
                before=$(report | sed 's/.* \([0-9]*\) errors.*/\1/')
                step $days
                served_again "after $days days L1"
                [ "$(report | sed 's/.* \([0-9]*\) errors.*/\1/')" = "$before" ] || fail "the program saw an error"
        done
        true_to_bound "the clock of the $whose steps"
        bare faultloop "$H" stop
        await 5 gone "$WATCH_PID" || fail "the program does not end"
        redis_stop
        LIB=$plain
done
redis_start
LIB=$LIB:$PROGS/clockstep
case_same "a time to live goes by no clock that steps" <<E2
foreign SET k v PX 500
foreign SET stays v PX 60000
connect c
warm c k
warm c stays
hit c k
run printf '\\0\\0\\0\\0\\0\\0\\0\\377' | dd of=$MT_CLOCKSTEP conv=notrunc status=none
hit c stays
sleep 600
cmd c GET k
run printf '\\0\\0\\0\\0\\0\\0\\0\\1' | dd of=$MT_CLOCKSTEP conv=notrunc status=none
cmd c GET stays
E2
