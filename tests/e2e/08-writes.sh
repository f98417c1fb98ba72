#!/bin/bash
# A program reads its own writes, whatever road they took: by each call of the API, in transactions and scripts, across databases,
# asynchronously; the connection that wrote, and any other of the process.
. "$(dirname "$0")/lib.sh"
redis_start

same ryw </dev/null || fail "own writes"
ok "own writes: $(tr '\n' ' ' <"$T/shim.out")"
