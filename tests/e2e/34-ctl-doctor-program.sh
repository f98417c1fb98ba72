#!/bin/bash
# mtshim doctor PROGRAM: each thing that keeps a program from being served has its row, and nothing is ever run.
. "$(dirname "$0")/lib.sh"
unset "${!MTSHIM_@}"
cd "$T" || exit 1
HIREDIS_A="$(ldconfig -p | awk '/libhiredis.so.0.14/ { print $NF; exit }')"

# doctor WORD...: rows in $T/rows; the exit status must be the number of FAILs.
doctor() {
        local status

        "$CTL" doctor "$@" >rows 2>err
        status=$?
        [ $status -eq "$(grep -c '^FAIL ' rows)" ] || { show rows err; fail "exit status $status is not the number of FAILs"; }
        [ ! -s err ] || { show rows err; fail "it writes to stderr"; }
        grep -qvE '^(ok|warn|FAIL) +[a-z-]+ +[^ ]' rows && { show rows; fail "a row of another form"; }
        grep -E '^(warn|FAIL) ' rows | grep -qv -- ' -- [^ ]' && { show rows; fail "a row without advice"; }
        return 0
}
# row STATE WHAT PATTERN
row() {
        grep -qE "^$1 +$2 .*$3" rows || { show rows; fail "no row '$1 $2 $3'"; }
}
fails() {
        [ "$(grep -c '^FAIL ' rows)" -eq "$1" ] || { show rows; fail "not $1 FAIL rows"; }
}
# build NAME [word...]: main.c or what is on standard input, and nothing hardened away
build() {
        local name=$1

        shift
        cat >"$name.c"
        cc -o "$name" "$name.c" "$@" 2>err || { show err; fail "cannot build $name"; }
}

build ran <<'E2'
#include <stdio.h>
__attribute__((constructor)) static void ran(void) { fclose(fopen("it-ran", "w")); }
int main(void) { return 0; }
E2
doctor "$T/ran"
row FAIL hiredis 'uses no hiredis'
row ok linking dynamic
row ok privileges none
fails 1
[ ! -e it-ran ] || fail "doctor has run it"
ok "a program without hiredis; it is not run"

# --------------------------------------------------------------------------------------------------------- hiredis

doctor "$BUILD/progs/play"
row ok hiredis "$HIREDIS_A, ABI A"
row ok calls 'play: .*redisCommandArgv.*followed: .*redisConnect'
row ok library "$LIB"
fails 0
ok "hiredis 0.14, and the calls that can be served"
PATH=$BUILD/progs:$PATH doctor play
row ok program "$BUILD/progs/play"
ok "found on PATH"
if [ -d "$BUILD/progs-1.2" ]; then
        LD_LIBRARY_PATH=$(echo "$MATRIX"/usr/lib/*-linux-gnu*) doctor "$BUILD/progs-1.2/play"
        row ok hiredis "$MATRIX.*libhiredis.so.1.1.0, ABI B"
        fails 0
        ok "hiredis 1.2, found by LD_LIBRARY_PATH"
        LD_LIBRARY_PATH='' doctor "$BUILD/progs-1.2/play"
        row warn linking 'libhiredis.so.1.1.0 is not found'
        row warn hiredis 'libhiredis.so.1.1.0 is asked for and not found'
        fails 0
        ok "a library that is missing"
fi
build pipeline -lhiredis <<'E2'
#include <hiredis/hiredis.h>
int main(void) { void *r; redisContext *c = redisConnect("x", 1); redisAppendCommand(c, "GET x"); return redisGetReply(c, &r); }
E2
doctor ./pipeline
row warn calls 'only .*redisAppendCommand'
fails 0
ok "a program that only pipelines"
build unused -Wl,--no-as-needed -lhiredis <<<'int main(void) { return 0; }'
doctor ./unused
row FAIL calls 'none of hiredis'
ok "a program that calls nothing of it"
echo 'void *redisCommand(void *c, const char *f, ...) { return c ? (void *)f : 0; }' >two.c
cc -shared -fPIC -Wl,-soname,libhiredis.so.2.0.0 -o libhiredis.so.2.0.0 two.c || fail "libhiredis.so.2.0.0"
build two-user ./libhiredis.so.2.0.0 -Wl,-rpath,"\$ORIGIN" <<'E2'
void *redisCommand(void *c, const char *f, ...);
int main(void) { return redisCommand(0, "") != 0; }
E2
doctor ./two-user
row FAIL hiredis "$T/libhiredis.so.2.0.0 is of an unknown version"
fails 1
ok "a hiredis of an unknown version"

# ------------------------------------------------------------------------------------------------- out of our reach

user='#include <hiredis/hiredis.h>
int main(void) { return redisCommand(redisConnect("x", 1), "GET x") != 0; }'
if [ -e "$(cc -print-file-name=libhiredis.a)" ] && [ "$(cc -print-file-name=libhiredis.a)" != libhiredis.a ]; then
        build copied -l:libhiredis.a <<<"$user"
        doctor ./copied
        row FAIL copy 'a copy of hiredis is linked into .*copied'
        strip copied
        doctor ./copied
        row FAIL copy 'a copy of hiredis is linked into .*copied'
        ok "hiredis linked in, stripped or not"
        build static -static -l:libhiredis.a <<<"$user"
        doctor ./static
        row FAIL linking 'statically linked'
        row FAIL copy 'hiredis'
        fails 2
        ok "a static program with hiredis"
fi
build plain-static -static <<<'int main(void) { return 0; }'
doctor ./plain-static
row FAIL linking 'statically linked'
fails 1
build static-pie -static-pie -fPIE <<<'int main(void) { return 0; }'
doctor ./static-pie
row FAIL linking 'statically linked'
ok "static programs"
echo 'int nothing(void) { return 0; }' >other.c
cc -shared -fPIC -nostdlib -o other.so other.c
build musl -nostdlib -Wl,-e,main -Wl,-dynamic-linker,/lib/ld-musl-x86_64.so.1 ./other.so <<'E2'
int nothing(void);
int main(void) { return nothing(); }
E2
doctor ./musl
row FAIL linking '/lib/ld-musl-x86_64.so.1, without libc.so.6'
fails 1
ok "another C library"
printf '\177ELF\1\1\1\0\0\0\0\0\0\0\0\0\2\0\3\0' >small
head -c 100 /dev/zero >>small
chmod +x small
doctor ./small
row FAIL file '32-bit x86'
fails 1
ok "a program of another kind"
cp "$BUILD/progs/play" setuid
chmod 4755 setuid
doctor ./setuid
row FAIL privileges "set-uid $(id -un)"
chmod 2755 setuid
doctor ./setuid
row FAIL privileges "set-gid $(id -gn)"
fails 1
ok "set-uid and set-gid"
if [ "$(id -u)" -eq 0 ] && command -v setcap >/dev/null && chmod 755 setuid && setcap cap_net_raw+ep setuid 2>/dev/null; then
        doctor ./setuid
        row FAIL privileges 'file capabilities'
        ok "file capabilities"
fi

# ------------------------------------------------------------------------------------------------ modules and scripts

doctor "$BUILD/progs/real_host"
row warn modules dlopen
fails 0
ok "a host of modules, none of them known"
doctor "$BUILD/progs/real_module"
row ok hiredis "ABI A"
row ok calls 'redisCommand(;|$)'
fails 0
ok "the module itself"
freeradius=$(PATH=$PATH:/usr/sbin command -v freeradius)
if [ -n "$freeradius" ]; then
        doctor "$freeradius"
        row FAIL deepbind 'FreeRADIUS .*RTLD_DEEPBIND'
        ok "FreeRADIUS and RTLD_DEEPBIND"
fi
printf '#!/usr/bin/env -S A=b ran\n' >script
chmod +x script
PATH=$T:$PATH doctor ./script
row ok script "is run by $T/ran"
printf '#! %s/script x\n' "$T" >script2
chmod +x script2
PATH=$T:$PATH doctor ./script2
row ok script "script2 is run by $T/ran"
[ ! -e it-ran ] || fail "doctor has run it"
ok "scripts"

# ------------------------------------------------------------------------------------------------------------ others

echo text >text
chmod +x text
doctor ./text
row FAIL file 'neither ELF nor a script'
doctor ./nosuch
row FAIL program 'No such file'
PATH=/usr/bin:/bin doctor no-such-program-anywhere
row FAIL program 'No such file'
doctor "$T"
row FAIL file .
printf '#!./loop\n' >loop
chmod +x loop
doctor ./loop
row FAIL file .
ok "what is no program"
head -c 3000 "$BUILD/progs/play" >cutshort
chmod +x cutshort
doctor ./cutshort
grep -q '^FAIL' rows || fail "a file that is cut short is well"
ok "a file that is cut short"
LD_PRELOAD=$T/other.so doctor "$BUILD/progs/play"
row warn preload "$T/other.so"
LD_PRELOAD="$LIB" doctor "$BUILD/progs/play"
row ok preload 'nothing else'
ok "an existing preload"
mkdir alone
cp "$CTL" alone
if [ -z "$(alone/mtshim run -- printenv LD_PRELOAD 2>/dev/null)" ]; then
        CTL=$T/alone/mtshim doctor "$BUILD/progs/play"
        row FAIL library 'neither beside this command'
        echo noise >alone/libmtshim.so
        CTL=$T/alone/mtshim doctor "$BUILD/progs/play"
        row FAIL library 'not ours'
        cp other.so alone/libmtshim.so
        CTL=$T/alone/mtshim doctor "$BUILD/progs/play"
        row FAIL library 'not ours'
        ok "our own library missing, or not ours"
fi
"$CTL" doctor ./a ./b >out 2>err
[ $? -eq 2 ] || fail "two programs are no usage error"
ok "usage"
