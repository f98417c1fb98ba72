#!/bin/bash
# mtshim doctor without a program: options, memory, the segment, and servers with and without what a listener needs.
. "$(dirname "$0")/lib.sh"
cd "$T" || exit 1
: >err

# by command... : "$CTL" doctor by way of it; rows in $T/rows, and the exit status must be the number of FAILs.
by() {
        local status

        "$@" >rows 2>err
        status=$?
        [ $status -eq "$(grep -c '^FAIL ' rows)" ] || { show rows err; fail "exit status $status is not the number of FAILs"; }
        grep -qvE '^(ok|warn|FAIL) +[a-z-]+ +[^ ]' rows && { show rows; fail "a row of another form"; }
        grep -E '^(warn|FAIL) ' rows | grep -qv -- ' -- [^ ]' && { show rows; fail "a row without advice"; }
        return 0
}
doctor() {
        by "$CTL" doctor "$@"
}
row() { # STATE WHAT PATTERN
        grep -qE "^$1 +$2 .*$3" rows || { show rows err; fail "no row '$1 $2 $3'"; }
}
fails() {
        [ "$(grep -c '^FAIL ' rows)" -eq "$1" ] || { show rows; fail "not $1 FAIL rows"; }
}

# ------------------------------------------------------------------------------------------------------- the host

doctor
row ok segment "no segment '$SEGMENT'"
row ok options good
row ok memory '/dev/shm has room for'
fails 0
[ ! -s err ] && [ -z "$(segments)" ] || fail "no segment is not silence"
ok "a host where all is well and nothing has begun"
by env MTSHIM_L1_SIZE=huge "$CTL" doctor
row FAIL options bad
grep -q "MTSHIM_L1_SIZE='huge'" err || fail "the option is not named"
by env MTSHIM_ENABLE=0 "$CTL" doctor
row warn options MTSHIM_ENABLE=0
fails 0
ok "options"
by env LD_PRELOAD=libc.so.6 "$CTL" doctor
row warn preload libc.so.6
ok "an existing preload"
by env MTSHIM_TIERS='l3=process;l4=nosuch:/x;l9=process;l5=process?colour=red' "$CTL" doctor
row ok tier 'L3, process: answers'
row warn tier 'L4, nosuch:/x does not answer'
row warn tier 'L5, process: does not answer'
grep -q "MTSHIM_TIERS: l4=nosuch:/x is not used: .*libmtshim-nosuch.so" err || { show err; fail "why L4 is not used"; }
grep -q "MTSHIM_TIERS: l5=process: is not used: .*colour" err || { show err; fail "why L5 is not used"; }
grep -q "MTSHIM_TIERS: 'l9=process' is left out: its level is not within 3..8" err || { show err; fail "level 9"; }
[ "$(grep -c . err)" -eq 3 ] || { show err; fail "not one line each"; }
ok "further tiers"

in_tmpfs() { # SIZE: doctor in a mount namespace of its own, where /dev/shm has that size
        # shellcheck disable=SC2016
        by unshare -m sh -c 'mount -t tmpfs -o size=$0 none /dev/shm && exec "$@"' "$1" "$CTL" doctor
}
if [ "$(id -u)" -eq 0 ] && unshare -m true 2>/dev/null; then
        in_tmpfs 4m
        row FAIL memory '4.0 ?MiB, not even the index of 64 ?MiB'
        in_tmpfs 32m
        row warn memory 'room for 32 ?MiB'
        in_tmpfs 70m
        row ok memory 'room for 70 ?MiB'
        fails 0
        ok "room in /dev/shm"
fi

# ---------------------------------------------------------------------------------------------------- the segment

redis_start_tcp
printf '%s\n' 'foreign SET k value' 'connect c' 'warm c k' 'cmd c BLPOP go 30' >script
shim play <script >play.out 2>&1 &
program=$!
own
serves() {
        [ "$(stat_of servers.state)" = fresh ] && [ "$(stat_of hits)" -ge 1 ]
}
await 10 serves || { show play.out; fail "the program is not served"; }
doctor
row ok segment "$(segments): version [0-9]+, owner $(id -un), mode 0600"
row ok size 'of 64 MiB taken, [1-9][0-9]* items, 1 processes'
row ok structure sound
row ok lease "$MT_REDIS: fresh"
row ok server "$MT_REDIS answers"
row ok version '[67]\.'
row ok mode 'no cluster'
row ok ttl allowed
row ok tracking allowed
fails 0
[ ! -s err ] || { show err; fail "it writes to stderr"; }
ok "a segment in use, and its server"
by env MTSHIM_L1_SIZE=8M MTSHIM_L1_MAX_ITEM=1M "$CTL" doctor
row warn size 'MTSHIM_L1_SIZE is 8.0 MiB'
ok "another size than was asked for"
MTSHIM_SEGMENT=elsewhere-$$ doctor -s "$SEGMENT"
row ok segment "$(segments):"
ok "-s names the segment"
cli RPUSH go x >/dev/null
wait $program
other=$(segments | sed 's/\.[0-9]*\.[0-9a-f]*$/.999.0123456789abcdef/')
echo noise >"$other"
doctor
row warn segment "also here: $other"
row ok segment "$(segments | grep -v 999):"
fails 0
ok "a segment of another version beside it"
rm "$other"
seg=$(segments)
head -c 70000 /dev/urandom >"$seg"
doctor
row warn segment "not used from here: $seg"
grep -q "^mtshim.*$seg: " err || { show err; fail "the log does not say why"; }
ok "a segment of noise"
rm "$seg"

# ------------------------------------------------------------------------------------------------------ the server

doctor --server "$SOCK"
row ok credentials 'asked as default'
row ok tracking allowed
fails 0
doctor --server "localhost:${MT_REDIS##*:}"
row ok server answers
ok "a server by path, and by name and port"
doctor --server "$T/nosuch.sock"
row FAIL server 'nosuch.sock: '
doctor --server 127.0.0.1:1
row FAIL server '127.0.0.1:1: Connection refused'
fails 1
ok "a server that is not there"

refuses() { # TITLE STATE WHAT PATTERN
        doctor --server "$SOCK"
        row "${@:2}"
        ok "$1"
}
cli ACL SETUSER default -client >/dev/null
refuses "no right to CLIENT" FAIL tracking 'CLIENT ID: NOPERM.* -- ACL SETUSER'
cli ACL SETUSER default +client -subscribe >/dev/null
refuses "no right to SUBSCRIBE" FAIL tracking 'SUBSCRIBE.*NOPERM'
cli ACL SETUSER default +subscribe resetchannels >/dev/null
refuses "no right to the channel" FAIL tracking 'SUBSCRIBE __redis__:invalidate: NOPERM'
cli ACL SETUSER default allchannels -pttl >/dev/null
refuses "no right to PTTL" warn ttl NOPERM
fails 0
cli ACL SETUSER default +pttl -info >/dev/null
refuses "no right to INFO" warn version NOPERM
cli ACL SETUSER default reset on nopass +client\|tracking +client\|id +info +ping +subscribe +acl +auth +shutdown \
        '&__redis__:invalidate' >/dev/null
doctor --server "$SOCK"
row ok tracking allowed
fails 0
ok "the rights that it advises are enough"

cli ACL SETUSER default '~*' '+@all' allchannels '>secret' >/dev/null
CLI_AUTH=(-a secret --no-auth-warning)
refuses "a server that wants a password" warn server 'wants a password'
fails 0
cli ACL SETUSER listener on '>other' '+@all' '~*' '&*' >/dev/null
echo other >password
by env MTSHIM_USER=listener MTSHIM_PASSWORD_FILE="$T/password" "$CTL" doctor --server "$SOCK"
row ok credentials 'asked as listener'
row ok tracking allowed
fails 0
printf 'secret' >password
by env MTSHIM_PASSWORD_FILE="$T/password" "$CTL" doctor --server "$SOCK"
row ok credentials 'asked as default'
by env MTSHIM_USER=listener MTSHIM_PASSWORD_FILE="$T/password" "$CTL" doctor --server "$SOCK"
row FAIL credentials WRONGPASS
fails 1
by env MTSHIM_PASSWORD_FILE="$T/nosuch" "$CTL" doctor --server "$SOCK"
row FAIL credentials 'No such file'
grep -rq secret rows err && fail "a password"
ok "the listener's own credentials"
CLI_AUTH=()
redis_stop

# again WORD...: the server with these options
again() {
        await 5 gone "$REDIS_PID"
        rm -f "$SOCK"
        redis-server --port 0 --unixsocket "$SOCK" --dir "$T" --save '' "$@" >>redis.log 2>&1 &
        REDIS_PID=$!
        own
        await 10 answers || { show redis.log; fail "the server does not start with $*"; }
}
again --rename-command CLIENT ''
refuses "CLIENT renamed away" FAIL tracking "CLIENT ID: ERR unknown command"
redis_stop
again --cluster-enabled yes
refuses "a server of a cluster" FAIL mode cluster
redis_stop

# canned REPLY...: a server that answers each command with the next of these
canned() {
        rm -f "$T/canned.sock" "$T/listens"
        # shellcheck disable=SC2016
        perl -MIO::Socket::UNIX -e '
                my $l = IO::Socket::UNIX->new(Local => shift, Listen => 1) or die;
                open(my $f, ">", shift); my $c = $l->accept; my $in;
                while (@ARGV && sysread($c, $in, 4096)) { my $out = shift; $out =~ s/\\n/\r\n/g; syswrite($c, $out) }
                ' "$T/canned.sock" "$T/listens" "$@" &
        own
        await 5 test -e "$T/listens"
        doctor --server "$T/canned.sock"
}
info='redis_version:5.0.7\nredis_mode:standalone\n'
canned '+PONG\n' '-ERR unknown command\n' "\$44\\n$info\\n" ':-2\n' '-ERR Unknown subcommand\n'
row FAIL version 5.0.7
row FAIL tracking 'Unknown subcommand'
row ok credentials unknown
ok "a server before version 6"
canned '-LOADING Redis is loading the dataset in memory\n'
row FAIL server LOADING
fails 1
canned '*1000000000000\n'
row FAIL server .
canned '+PONG\n' # and no more: it closes
row FAIL tracking .
canned
row FAIL server .
canned '?garbage\n'
row FAIL server 'Protocol error'
ok "a server that answers garbage, or not at all"
