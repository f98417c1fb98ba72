#!/bin/bash
# What programs do to themselves: the program goes on, nothing it reads is older than the bound, and L1 serves again in time.
. "$(dirname "$0")/lib.sh"
redis_start
stepper_start

for fault in none closefrom daemon fork fork-both raw-fork raw-fork-both spawn exec signalfd pthread_exit; do
        # A child may outlive the process that was started: its output ends when the last of them does.
        { MT_BOUND_MS=50 bare faultloop "$H" $fault; echo $?; } 2>"$T/bare.err" | cat >"$T/bare.out"
        { shim faultloop "$H" $fault; echo $?; } 2>"$T/shim.err" | cat >"$T/shim.out"
        cmp -s "$T/bare.out" "$T/shim.out" || { show "$T"/{bare,shim}.{out,err}; fail "$fault"; }
        ! grep -q '^mtshim' "$T/shim.err" || { show "$T/shim.err"; fail "$fault: it is not silent"; }
        true_to_bound "$fault"
done
