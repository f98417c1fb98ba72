#!/bin/bash
# Seccomp filters that refuse threads and sockets or kill for them, seen by the shim (prctl) or not (raw system calls, for
# all threads at once); another uid in the middle of the run.
. "$(dirname "$0")/lib.sh"
redis_start
stepper_start

within() {
        MT_BOUND_MS=50 bare faultloop "$H" "$1" >"$T/bare.out" 2>"$T/bare.err" || { show "$T/bare.err"; fail "$1, bare"; }
        shim faultloop "$H" "$1" >"$T/shim.out" 2>"$T/shim.err" || { show "$T/shim.err"; fail "$1: status $?"; }
        cmp "$T/bare.out" "$T/shim.out" || fail "$1"
        true_to_bound "$1"
}

for fault in seccomp seccomp-kill seccomp-raw seccomp-raw-kill seccomp-tsync seccomp-tsync-kill seccomp-strict; do
        within $fault
done

if [ "$(id -u)" -ne 0 ]; then
        ok "another uid: not tried, not root"
        exit 0
fi
within setuid
[ "$(segments -user 65534 | wc -l)" -eq 1 ] || fail "nobody has no segment of its own: $(segments -printf '%u %p\n')"
[ "$(segments -user 0 | wc -l)" -eq 1 ] || fail "root's segment"
within seteuid
ok "each user has a segment of its own"
