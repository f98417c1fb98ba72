#!/bin/bash
# mtshim doctor PID: a process that is served, and each reason why one is not.
. "$(dirname "$0")/lib.sh"
cd "$T" || exit 1

doctor() { # WORD...: rows in $T/rows; the exit status must be the number of FAILs
        local status

        "$CTL" doctor "$@" >rows 2>err
        status=$?
        [ $status -eq "$(grep -c '^FAIL ' rows)" ] || { show rows err; fail "exit status $status is not the number of FAILs"; }
        [ ! -s err ] || { show rows err; fail "it writes to stderr"; }
        grep -qvE '^(ok|warn|FAIL) +[a-z-]+ +[^ ]' rows && { show rows; fail "a row of another form"; }
        grep -E '^(warn|FAIL) ' rows | grep -qv -- ' -- [^ ]' && { show rows; fail "a row without advice"; }
        return 0
}
row() { # STATE WHAT PATTERN
        grep -qE "^$1 +$2 .*$3" rows || { show rows; fail "no row '$1 $2 $3'"; }
}
fails() {
        [ "$(grep -c '^FAIL ' rows)" -eq "$1" ] || { show rows; fail "not $1 FAIL rows"; }
}
# start COMMAND...: in the background, its input open; PID is the process itself, which says its name
start() {
        local fifo=$T/fifo.$((++starts))

        mkfifo "$fifo"
        "$@" <"$fifo" >"$fifo.out" 2>&1 &
        PID=$!
        own
        exec {input}>"$fifo"
        OUT=$fifo.out
}
starts=0
program_is() {
        [ "$(readlink "/proc/$PID/exe")" = "$(realpath "$1")" ]
}
SHIM=(env MT_SHIMMED=1 LD_PRELOAD="$LIB")
redis_start

# ----------------------------------------------------------------------------------------------------------- served

start "${SHIM[@]}" MTSHIM_RULES='a:*=bypass' "$PROGS/play"
await 5 program_is "$PROGS/play"
doctor "$PID"
row ok process "$PID is .*play, uid $(id -u)"
row ok library "$LIB"
row ok hiredis 'libhiredis.so.0.14, ABI A'
row ok calls 'play: none has been called yet'
row warn segment 'not attached'
row ok option "MTSHIM_RULES=a:\*=bypass"
row ok option "MTSHIM_SEGMENT=$SEGMENT"
fails 0
ok "a process that has not spoken to Redis yet"
printf '%s\n' 'foreign SET k value' 'connect c' 'warm c k' 'cmd c BLPOP go 30' >&"$input"
exec {input}>&-
blocked() {
        [ "$(cli INFO clients | tr -d '\r' | sed -n 's/^blocked_clients://p')" -eq 1 ]
}
await 10 blocked || { show "$OUT"; fail "the program does not get to its stop"; }
doctor "$PID"
row ok calls 'play: [0-9]+ of hiredis. functions reach libmtshim.so'
row ok segment "attached to $(segments)"
row ok listener 'this process listens'
row ok seccomp none
row ok namespace same
row ok preload 'nothing else'
fails 0
ok "a process that is served"
mv "$(segments)" "$(segments).kept"
doctor "$PID"
grep -qE '^(ok|warn) +segment ' rows || { show rows; fail "no row of the segment"; }
rm "$(segments)"
doctor "$PID"
row warn segment 'was removed'
ok "its segment was removed"

# ------------------------------------------------------------------------------------------------------- not served

start sleep 100
doctor "$PID"
row FAIL library 'not in its LD_PRELOAD.*mtshim run'
fails 1
ok "a process without the shim"
start env LD_PRELOAD="$LIB" MTSHIM_ENABLE=0 sleep 100
await 5 program_is "$(command -v sleep)"
doctor "$PID"
row FAIL enable MTSHIM_ENABLE=0
row warn hiredis 'no libhiredis'
fails 1
ok "a process that switched it off"
start env LD_PRELOAD="$T/$(basename "$LIB")" sleep 100
await 5 program_is "$(command -v sleep)"
doctor "$PID"
row FAIL library "not loaded, although LD_PRELOAD=$T/libmtshim.so"
fails 1
ok "a preload that the loader could not find"
cp "$LIB" "$T/libmtshim.so"
start env LD_PRELOAD="$T/libmtshim.so:libm.so.6" sleep 100
await 5 program_is "$(command -v sleep)"
doctor "$PID"
row warn library 'not the one of this command'
row warn preload 'libm.so.6'
rm "$T/libmtshim.so"
doctor "$PID"
row warn library 'was replaced'
fails 0
ok "another library, and one that is gone"

for way in deepbind local; do
        start "${SHIM[@]}" "$PROGS/real_host" "$PROGS/real_module" 5 $way wait
        await 10 grep -q waiting "$OUT" || { show "$OUT"; fail "the host of modules"; }
        doctor "$PID"
        if [ $way = deepbind ]; then
                row FAIL calls 'real_module: redis[A-Za-z]* goes straight to hiredis -- .*RTLD_DEEPBIND'
                row warn segment 'not attached'
                fails 1
        else
                row ok calls 'real_module: [0-9]+ of'
                row ok segment 'attached'
                fails 0
        fi
        ok "a module loaded with RTLD_${way^^}"
done

# A preload of somebody else's that takes the same functions, in front of us.
cat >first.c <<'E2'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
void *redisCommandArgv(void *c, int n, const char **v, const size_t *l)
{
        return ((void *(*)(void *, int, const char **, const size_t *))dlsym(RTLD_NEXT, "redisCommandArgv"))(c, n, v, l);
}
E2
cc -shared -fPIC -o first.so first.c || fail "first.so"
start env LD_PRELOAD="$T/first.so:$LIB" LD_BIND_NOW=1 "$PROGS/play"
await 5 program_is "$PROGS/play"
bound() {
        doctor "$PID" && ! grep -q 'none has been called' rows
}
await 5 bound
row warn calls "play: some go to $T/first.so first"
row warn preload "$T/first.so"
fails 0
ok "a preload in front of us"

start setpriv --no-new-privs "${SHIM[@]}" "$PROGS/play"
await 5 program_is "$PROGS/play"
doctor "$PID"
row warn segment 'not attached.*no-new-privileges'
fails 0
ok "a process that gave up privileges"

# --------------------------------------------------------------------------------------------- where it lives

# shellcheck disable=SC2016
start env LD_PRELOAD="$LIB" perl -e '
        my ($prctl, $filter) = ($ARGV[0], pack("SCCL", 6, 0, 0, 0x7fff0000)); # one instruction: allow
        syscall($prctl, 38, 1, 0, 0, 0) == 0 && syscall($prctl, 22, 2, pack("Sx6P", 1, $filter)) == 0 or die "prctl: $!";
        $| = 1; print "waiting\n"; <STDIN>' "$([ "$(uname -m)" = aarch64 ] && echo 167 || echo 157)"
await 5 grep -q waiting "$OUT" || { show "$OUT"; fail "no seccomp here"; }
doctor "$PID"
row warn seccomp filter
fails 0
ok "a seccomp filter"
doctor 99999999
row FAIL process 'no process'
sleep 0 &
gone=$!
wait $gone
doctor $gone
row FAIL process 'no process'
ok "no process of that number"

if [ "$(id -u)" -ne 0 ]; then
        doctor 1
        row FAIL process 'cannot look'
        ok "another user's process"
        exit 0
fi
unshare -n true 2>/dev/null && {
        start unshare -n -m env LD_PRELOAD="$LIB" sleep 100
        await 5 program_is "$(command -v sleep)"
        doctor "$PID"
        row warn namespace 'its net namespace'
        row warn namespace 'its mnt namespace'
        fails 0
        ok "another container"
}
start setpriv --reuid=65534 --clear-groups env LD_PRELOAD="$LIB" sleep 100
await 5 program_is "$(command -v sleep)"
doctor "$PID"
row ok user 'uid 65534'
row ok library "$LIB"
fails 0
ok "another user's process, seen by root"
cp "$(command -v sleep)" "$T/setuid"
chmod 4755 "$T/setuid"
if [[ ,$(findmnt -no OPTIONS -T "$T" 2>/dev/null), != *,nosuid,* ]]; then
        start setpriv --reuid=65534 --clear-groups env LD_PRELOAD="$LIB" "$T/setuid" 100
        await 5 program_is "$T/setuid"
        doctor "$PID"
        row FAIL library 'set-uid'
        ok "a set-uid process"
fi
# shellcheck disable=SC2016
setpriv --reuid=65534 --clear-groups "$CTL" doctor 1 >rows 2>err
[ $? -eq "$(grep -c '^FAIL ' rows)" ] || { show rows err; fail "exit status is not the number of FAILs"; }
row FAIL process 'cannot look into process 1: Permission denied'
ok "another user's process"
