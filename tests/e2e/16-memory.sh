#!/bin/bash
# No room in /dev/shm, or no /dev/shm: the program runs as without the shim, and one line says why.
. "$(dirname "$0")/lib.sh"
[ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null || skip "needs a mount namespace of its own"
redis_start

cat >"$T/script" <<'E2'
connect c
repeat 400
cmd c GET k
end
E2
seq 1 3000 | awk '{ printf "cmd c SET k%d %02000d\nfmt c GET k%d\nfmt c GET k%d\n", $1, $1, $1, $1 - 50 }' >>"$T/script"
cli SET k value >/dev/null
bare play <"$T/script" >"$T/bare.out" || fail "bare"

# in_mount TITLE LINES COMMAND...: the program, after the command in a mount namespace of its own
in_mount() {
        cli FLUSHALL >/dev/null
        cli SET k value >/dev/null
        printf 'set -e\n%s\nshift 2\nexec "$@"\n' "${*:3}" >"$T/mount"
        command_of shim play
        unshare -m bash "$T/mount" - - "${COMMAND[@]}" <"$T/script" >"$T/shim.out" 2>"$T/shim.err" ||
                { show "$T/shim.err"; fail "$1: status $?"; }
        cmp "$T/bare.out" "$T/shim.out" || fail "$1"
        [ "$(wc -l <"$T/shim.err")" -eq "$2" ] || { show "$T/shim.err"; fail "$1: not $2 lines"; }
        ok "$1: $(sed -n '1s/^mtshim[^:]*: //p' "$T/shim.err")"
}
in_mount "one page" 1 mount -t tmpfs -o size=4k tmpfs /dev/shm
in_mount "no inode left" 1 mount -t tmpfs -o nr_inodes=1 tmpfs /dev/shm
in_mount "room for a part of the index" 1 mount -t tmpfs -o size=2m tmpfs /dev/shm
in_mount "room for the index and a little" 1 mount -t tmpfs -o size=8m tmpfs /dev/shm
export MTSHIM_L1_SIZE=32G # an index of 2.7 GB
in_mount "a ceiling far beyond the memory there is" 1 mount -t tmpfs -o size=64m tmpfs /dev/shm
MTSHIM_L1_SIZE=2G
in_mount "a ceiling beyond the memory there is, but not beyond what is needed" 0 mount -t tmpfs -o size=512m tmpfs /dev/shm
unset MTSHIM_L1_SIZE
in_mount "read-only" 1 mount -t tmpfs -o ro tmpfs /dev/shm
in_mount "no /dev/shm" 1 'mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 666 /dev/urandom c 1 9'
in_mount "not tmpfs at all" 0 'mkdir -p '"$T/shm"' && mount --bind '"$T/shm"' /dev/shm'
