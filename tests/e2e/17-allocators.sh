#!/bin/bash
# hiredisSetAllocators is honoured: replies from L1 come from the program's own allocator.
. "$(dirname "$0")/lib.sh"
[ "$HIREDIS" = 1.2 ] || skip "hiredis 1.x has it"
redis_start

same allocators </dev/null || fail "allocators"
ok "$(tr '\n' ';' <"$T/shim.out")"
