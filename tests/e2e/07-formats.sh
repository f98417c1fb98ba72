#!/bin/bash
# GET in every shape, values of every kind; replies that the program owns, under valgrind and built with asan.
. "$(dirname "$0")/lib.sh"
redis_start --proto-max-bulk-len 64mb

same formats </dev/null || fail "formats"
ok "all shapes of GET, all kinds of values, three times each: $(wc -l <"$T/shim.out") lines"

valgrind=(valgrind -q --error-exitcode=99 --leak-check=full "--show-leak-kinds=definite,indirect,possible"
        "--suppressions=$ROOT/tests/e2e/valgrind.supp" "--errors-for-leak-kinds=definite,indirect,possible" --child-silent-after-fork=yes)
env "${WITH[@]}" MT_SHIMMED=1 LD_PRELOAD="$LIB" "${valgrind[@]}" "$PROGS/formats" >"$T/valgrind.out" 2>"$T/valgrind.err" ||
        { show "$T/valgrind.err"; fail "valgrind"; }
cmp "$T/shim.out" "$T/valgrind.out" || fail "under valgrind the replies are others"
ok "valgrind finds nothing"

libs=(-lhiredis)
include=()
if [ "$HIREDIS" = 1.2 ]; then
        include=(-isystem "$MATRIX/usr/include")
        libs=("-L${WITH[0]#LD_LIBRARY_PATH=}" -lhiredis)
fi
"${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -g -O1 -fsanitize=address,undefined "${include[@]}" -o "$T/formats-asan" \
        "$ROOT/tests/progs/formats.c" "${libs[@]}" || fail "asan build"
env "${WITH[@]}" MT_SHIMMED=1 ASAN_OPTIONS=verify_asan_link_order=0 LD_PRELOAD="$LIB" "$T/formats-asan" \
        >"$T/asan.out" 2>"$T/asan.err" || { show "$T/asan.err"; fail "asan"; }
cmp "$T/shim.out" "$T/asan.out" || fail "built with asan the replies are others"
ok "asan finds nothing"
