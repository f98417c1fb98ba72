#!/bin/bash
# One GET, answered from shared memory.
. "$(dirname "$0")/lib.sh"
redis_start

case_same "a repeated GET does not reach the server" <<'E2'
foreign SET k value
connect c
warm c k
repeat 10
hit c k
end
E2
[ ! -s "$T/shim.err" ] || fail "it is not silent"

[ "$(segments | wc -l)" -eq 1 ] || fail "no segment"
[ "$(segments -printf '%m %u')" = "600 $(id -un)" ] || fail "its mode or owner: $(segments -printf '%m %u')"
ok "the segment is this user's alone"
stat_at_least hits 10 && stat_at_least fills 1 || fail "stat: $("$CTL" stat -j)"
ok "mtshim stat counts hits and fills"

case_same "one context's value serves another context, and nil is kept too" <<'E2'
foreign SET k value
connect a
connect b
warm a k
hit b k
warm b absent
hit a absent
E2
stat_at_least negative_hits 1 || fail "no negative hits"

start shim play < <(printf 'foreign SET k value\nconnect c\nwarm c k\nsleep 3000\n') >"$T/other.out" 2>&1
await 5 stat_at_least processes 1
printf 'connect c\nwarm c k\nhit c k\n' | shim play >"$T/out" 2>&1 || { show "$T/out"; fail "second process"; }
ok "a value serves other processes"

cat >"$T/script" <<'E2'
foreign SET k value
connect c
repeat 200
travels c k
end
E2
MTSHIM_ENABLE=0 shim play <"$T/script" >"$T/out" 2>&1 || { show "$T/out"; fail "MTSHIM_ENABLE=0 serves"; }
ok "MTSHIM_ENABLE=0 is pure pass-through"
