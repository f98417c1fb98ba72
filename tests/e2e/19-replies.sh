#!/bin/bash
# Replies whose blocks are kept for the next hit: nothing that a program does to one may reach another.
. "$(dirname "$0")/lib.sh"
redis_start

same replies </dev/null || fail "replies"
ok "$(tr '\n' ';' <"$T/shim.out")"
MALLOC_PERTURB_=165 shim replies >"$T/perturb.out" 2>"$T/perturb.err" </dev/null || { show "$T/perturb.err"; fail "perturbed"; }
cmp "$T/bare.out" "$T/perturb.out" || fail "perturbed"
ok "blocks that are free are written over: still the same"

# The library as it is keeps nothing under a checker, so that the checker sees each free when it happens; the flavour for
# tests does, so that the checker sees what keeping does.
valgrind=(valgrind -q --error-exitcode=99 --leak-check=full "--show-leak-kinds=definite,indirect,possible"
        "--suppressions=$ROOT/tests/e2e/valgrind.supp" "--errors-for-leak-kinds=definite,indirect,possible" --child-silent-after-fork=yes)
for lib in "$LIB" "$CLOCKLIB"; do
        [ -e "$lib" ] || continue
        env "${WITH[@]}" MT_SHIMMED=1 LD_PRELOAD="$lib" "${valgrind[@]}" "$PROGS/replies" >"$T/valgrind.out" 2>"$T/valgrind.err" ||
                { show "$T/valgrind.err"; fail "valgrind, $lib"; }
        cmp "$T/bare.out" "$T/valgrind.out" || fail "under valgrind the replies are others"
        ok "valgrind finds nothing (${lib#"$BUILD"/})"
done

cat >"$T/late.c" <<'END'
#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
        redisContext *c = redisConnectUnix(getenv("MT_REDIS"));
        redisReply   *r = redisCommand(c, "SET k %s", "0123456789012345678901234567890123456789");

        freeReplyObject(r);
        for (int i = 0; i < 3000 && (r = redisCommand(c, "GET k")) != NULL; i++)
                if (i < 2999)
                        freeReplyObject(r);
        freeReplyObject(r);
        return r->str[3] == '3'; /* a use after the free */
}
END
include=()
libs=(-lhiredis)
if [ "$HIREDIS" = 1.2 ]; then
        include=(-isystem "$MATRIX/usr/include")
        libs=("-L${WITH[0]#LD_LIBRARY_PATH=}" -lhiredis)
fi
"${CC:-gcc}" -g -O0 -w "${include[@]}" -o "$T/late" "$T/late.c" "${libs[@]}" || fail "build"
"${CC:-gcc}" -g -O0 -w -fsanitize=address "${include[@]}" -o "$T/late-asan" "$T/late.c" "${libs[@]}" || fail "build"
env "${WITH[@]}" LD_PRELOAD="$LIB" ASAN_OPTIONS=verify_asan_link_order=0 "$T/late-asan" >"$T/out" 2>&1
grep -q heap-use-after-free "$T/out" || { show "$T/out"; fail "asan no longer finds a use after the free"; }
ok "a program's use after the free is found by asan as ever"
env "${WITH[@]}" LD_PRELOAD="$LIB" valgrind -q --error-exitcode=99 "$T/late" >"$T/out" 2>&1
grep -q "Invalid read" "$T/out" || { show "$T/out"; fail "valgrind no longer finds a use after the free"; }
ok "and by valgrind"
