#!/bin/bash
# Apache with mod_auth_openidc, prefork, two children, sessions in Redis: a page for members is served, the sessions
# come from L1, and when redis-cli deletes a session no child lets its owner in later than the bound; nor keeps her out
# when she is back. Started as root the children serve as www-data, from a segment that is www-data's.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/real.sh"
need apache2 apache2
need /usr/lib/apache2/modules/mod_auth_openidc.so libapache2-mod-auth-openidc
redis_start_tcp
PORT=$(free_port)
REDIS_ADDRESS=$MT_REDIS
export T PORT REDIS_ADDRESS
CONF=$(cd "$(dirname "$0")" && pwd)/apache/httpd.conf
APACHE=(apache2 -f "$CONF" -DFOREGROUND)
USER_OF_L1=$(id -un)
if [ "$(id -u)" -eq 0 ]; then
        APACHE+=(-DROOT)
        USER_OF_L1=www-data
        # The segment is found by whoever owns it, and www-data may be unable to walk to where the build is.
        cp "$CTL" "$T/mtshim.bin"
        printf '#!/bin/sh\nexec setpriv --reuid www-data --regid www-data --clear-groups "%s" "$@"\n' "$T/mtshim.bin" \
                >"$T/mtshim"
        chmod 755 "$T/mtshim"
        CTL=$T/mtshim
fi
LOGS=("$T/apache.err" "$T/error.log")
mkdir -p "$T/htdocs/members"
echo 'for members only' >"$T/htdocs/members/page.txt"

# A session as the module itself would have written it: user, expiry, id, cookie domain, provider, end of the session.
now=$(date +%s)
cat >"$T/session" <<END
{"r":"alice","e":$((now + 3600)),"i":"abcd","cd":"localhost","sid":"one","iss":"https://issuer.example",
"se":"$((now + 7200))","idc":"{\"sub\":\"alice\"}"}
END
LOGIN="redis-cli -s $SOCK -x SETEX s:abcd 3600 <$T/session >>$T/cli.log"
LOGOUT="redis-cli -s $SOCK DEL s:abcd >>$T/cli.log"

children() {
        pgrep -r D,R,S,T -P "$PID" | sort
}
two_children() {
        [ "$(children | wc -l)" -eq 2 ]
}
apache_start() {
        : >"$T/access.log"
        start "$@" "${APACHE[@]}" 2>"$T/apache.err"
        await 10 listening "$PORT" && await 10 two_children || { show "${LOGS[@]}"; fail "no Apache: $*"; }
}
# in_and_out WHAT [LOGOUT]: over one kept connection to each child
in_and_out() {
        visit "$1" "$PORT" /members/page.txt 'Cookie: mod_auth_openidc_session=abcd' \
                '200 for members only' "$LOGIN" 401 "${2:-$LOGOUT}" '200 for members only' "$LOGIN"
        [ "$(awk '{ print $1, $2 }' "$T/access.log" | sort -u | wc -l)" -ge 4 ] ||
                fail "$1: not both children were asked"
        : >"$T/access.log"
}

apache_start "${BARE[@]}"
in_and_out bare
[ "$GETS" -ge "$REQUESTS" ] || fail "bare: $REQUESTS requests, but $GETS GETs"
stop "$PID"
ok "bare: $REQUESTS requests, $GETS GETs"

apache_start "${SHIM[@]}"
in_and_out preloaded
served preloaded
[ "$(stat_of hits)" -gt 0 ] || fail "no hits"
[ "$(stat_of processes)" -eq 2 ] || fail "$(stat_of processes) processes in the segment"
leader=$(stat_of servers.listener_pid)
children | grep -x "$leader" >/dev/null || fail "the listener's process $leader is none of the children"
[ "$(segments -printf '%u %m\n')" = "$USER_OF_L1 600" ] || { segments -ls; fail "the segment is not $USER_OF_L1's"; }
ok "$(stat_of hits) hits, two processes, one listener; the segment is $USER_OF_L1's"

in_and_out cut-off "redis-cli -s $SOCK CLIENT KILL TYPE pubsub >>$T/cli.log; $LOGOUT"
served cut-off

kill -KILL "$leader"
await 10 two_children || fail "Apache does not replace its child"
in_and_out killed
served killed
children | grep -x "$(stat_of servers.listener_pid)" >/dev/null || fail "nobody listens after that"
ok "the child that listened was killed, another listens"

reloaded() {
        two_children && ! children | grep -xF "$old" >/dev/null
}
old=$(children)
kill -USR1 "$PID"
await 10 reloaded || fail "Apache does not restart"
in_and_out reloaded
served reloaded
stop "$PID"
grep -h -e mtshim -e 'exit signal' "${LOGS[@]}" | grep -v 'Killed (9)' &&
        { show "${LOGS[@]}"; fail "the shim had something to say, or a child crashed"; }
ok "modules unloaded and loaded again by a graceful restart"

apache_start "${RUN[@]}"
in_and_out run
served run
stop "$PID"
[ "$(id -u)" -eq 0 ] || skip "the change of user, which needs root; the rest passed"
