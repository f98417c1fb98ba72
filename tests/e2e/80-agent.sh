#!/bin/bash
# mtshim agent: what it is told, how it says that it is ready, how it ends; which servers it leads.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/agent.sh"

# refused STATUS WORDS... -- what it must say
refused() {
        local status=$1 words=()

        shift
        while [ "$1" != -- ]; do words+=("$1") && shift; done
        timeout 10 "$CTL" agent "${words[@]}" >"$T/out" 2>"$T/err"
        [ $? -eq "$status" ] || { show "$T/err"; fail "agent ${words[*]}: not exit status $status"; }
        grep -qF -- "$2" "$T/err" || { show "$T/err"; fail "agent ${words[*]}: does not say '$2'"; }
        [ ! -s "$T/out" ] || fail "agent ${words[*]}: something on standard output"
}
refused 2 --server host:port -- '--server host:port: the port is not a number'
refused 2 --server host:70000 -- '--server host:70000: the port is not in 1..65535'
refused 2 --server host: -- 'the port is not a number'
refused 2 --server '[::1' -- 'a bracket is not closed'
refused 2 --server '[::1]x' -- 'what follows the bracket is no port'
refused 2 --server '' -- '--server : it names no host'
refused 2 --server :6379 -- 'it names no host'
refused 2 --server redis://me:secret@host -- 'MTSHIM_PASSWORD_FILE'
refused 2 --server rediss://host -- 'cannot speak TLS'
refused 2 --server http://host -- 'no such scheme'
refused 2 --server "/$(printf 'x%.0s' {1..120})" -- 'too long for a socket'
refused 2 --server redis://a@h --server redis://b@h -- 'each needs an agent of its own'
refused 2 --ready-fd x -- '--ready-fd x'
refused 2 --ready-fd 77 -- '--ready-fd 77'
refused 2 -s "$(printf 'x%.0s' {1..80})" -- '--segment xxx'
refused 2 stray -- 'stray: not an option'
refused 2 --nothing -- 'usage: mtshim agent'
refused 1 -s a/b -- 'has a slash'
MTSHIM_ENABLE=0 refused 1 -- 'MTSHIM_ENABLE=0'
MTSHIM_INVALIDATION=none refused 1 -- 'MTSHIM_INVALIDATION=none'
MTSHIM_ABORT_CONF=1 MTSHIM_L1_SIZE=x refused 1 -- 'MTSHIM_ABORT_CONF=1'
"$CTL" help agent | grep -q 'usage: mtshim agent \[--server' || fail "no help"
[ -z "$(segments)" ] || fail "a refused agent leaves a segment behind"
ok "bad arguments are named, with option and value; a password on the command line is refused"

redis_start_tcp
port=${MT_REDIS##*:}
for signal in TERM INT HUP; do
        agent_start one --server "$SOCK"
        led || { "$CTL" stat; fail "ready, and does not lead"; }
        "$CTL" stat | grep -q "$SOCK .*listener $AGENT (agent)," || fail "stat does not say that an agent leads"
        [ "$(listeners)" -eq 1 ] || fail "not one connection of a listener"
        grep -q "$SOCK: led by this agent" "$T/one.err" || { show "$T/one.err"; fail "it does not say that it leads"; }
        agent_stop $signal
        led_by_nobody || fail "it ended by SIG$signal, and leadership goes on"
        [ -s "$T/one.out" ] && fail "something on standard output"
done
[ -z "$(find /dev/shm -maxdepth 1 -name "mtshim.*.$SEGMENT-agent")" ] || fail "a file is left"
ok "leads when it is ready, and nobody does when it has ended (TERM, INT, HUP)"

for path in "$T/notify" "@mtshim-$SEGMENT"; do
        bare notified "$path" STOPPING >"$T/notified" &
        manager=$!
        own
        bound() { grep -q "$path" /proc/net/unix; }
        await 5 bound || fail "no manager"
        NOTIFY_SOCKET=$path agent_start told --server "$SOCK"
        await 5 grep -qx READY=1 "$T/notified" || fail "READY=1 is not told to $path"
        grep -qx 'STATUS=leads 1 servers' "$T/notified" || fail "no status: $(cat "$T/notified")"
        agent_stop TERM
        wait $manager || fail "the manager hears no end"
        [ "$(tail -n 1 "$T/notified")" = STOPPING=1 ] || fail "STOPPING=1 is not told"
done
NOTIFY_SOCKET=relative agent_start mute --server "$SOCK"
agent_stop TERM
grep -q NOTIFY_SOCKET "$T/mute.err" || fail "a bad NOTIFY_SOCKET is not named"
ok "READY=1 and STOPPING=1 reach a service manager, by a path and by an abstract name"

# Several servers, several forms: what leads to one server is one listener. The v6 address answers nobody.
redis-server --port 0 --unixsocket "$T/second.sock" --dir "$T" --save '' >/dev/null 2>&1 &
own
await 5 redis-cli -s "$T/second.sock" PING >/dev/null || fail "no second server"
(cd "$T" && exec "$CTL" agent --server localhost:"$port" --server "redis://127.0.0.1:$port/3" --server ./second.sock \
        --server "unix://$SOCK" --ready-fd 1) >"$T/many.out" 2>"$T/many.err" &
AGENT=$!
own
await 10 grep -qx ready "$T/many.out" || { show "$T/many.err"; fail "not ready"; }
for address in "127.0.0.1:$port" "$T/second.sock" "$SOCK"; do
        "$CTL" stat | grep -q "  $address  *fresh .*listener $AGENT (agent)" || { "$CTL" stat; fail "$address is not led"; }
done
[ "$(listeners)" -eq 2 ] || fail "one server by a socket and by a port has $(listeners) listeners"
agent_stop TERM
ok "several servers: names, numbers, paths, URLs"

# Without --server: what the segment names, as soon as it does; and a server that was not there yet.
rm -f /dev/shm/mtshim.*."$SEGMENT".*
agent_start all
[ "$(stat_of servers.listener_pid)" = '' ] || fail "a server comes from nowhere"
for i in 0 1 2 3 4; do cli SET brief:$i "value of brief:$i" >/dev/null; done
MT_REDIS=$SOCK shim brief read || fail "brief"
await 5 led || { "$CTL" stat; show "$T/all.err"; fail "a server that a program uses is not led"; }
agent_stop TERM
agent_start later --server "$T/later.sock" # ready after two seconds, without it
[ "$(stat_of servers.lease_ms_left)" = 0 ] || fail "a lease from nowhere"
redis-server --port 0 --unixsocket "$T/later.sock" --dir "$T" --save '' >/dev/null 2>&1 &
own
later_led() { "$CTL" stat | grep -q "  $T/later.sock  *fresh .*listener $AGENT (agent)"; }
await 10 later_led || { "$CTL" stat; show "$T/later.err"; fail "a server that comes later is not led"; }
ok "without --server it leads what programs use; a server may come later"

# The segment is removed under it: programs make another, and that is the one that counts.
before=$(stat -c %i "$(segments)")
rm "$(segments)"
another() { [ -n "$(segments)" ] && [ "$(stat -c %i "$(segments)")" != "$before" ] && later_led; }
await 10 another || { "$CTL" stat; show "$T/later.err"; fail "it does not follow"; }
agent_stop TERM
ok "a segment that was removed is made anew, and led in"

make -s -C "$ROOT" BUILD="$BUILD" DESTDIR="$T/root" PREFIX=/usr install >"$T/install.log" 2>&1 || { show "$T/install.log"; fail install; }
unit=$T/root/usr/lib/systemd/system/mtshim-agent@.service
grep -qx 'ExecStart=/usr/bin/mtshim agent $MTSHIM_AGENT' "$unit" || { show "$unit"; fail "no unit, or another command"; }
if command -v systemd-analyze >/dev/null; then
        sed "s,=/usr/bin/,=$T/root/usr/bin/," "$unit" >"$T/mtshim-agent@.service"
        systemd-analyze verify "$T/mtshim-agent@me.service" >"$T/verify" 2>&1 || { show "$T/verify"; fail "systemd-analyze"; }
        ! grep mtshim "$T/verify" || fail "systemd-analyze has something to say"
fi
make -s -C "$ROOT" BUILD="$BUILD" DESTDIR="$T/root" PREFIX=/usr uninstall >/dev/null 2>&1
[ -z "$(find "$T/root" -type f)" ] || fail "uninstall leaves $(find "$T/root" -type f)"
ok "a unit is installed, and goes again"
