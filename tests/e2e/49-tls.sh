#!/bin/bash
# Servers that are reached through TLS: served like any other where the listener can secure its connection as the program
# does, forwarded, with one line, where it cannot.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/tls.sh"

issue ca ''
issue stranger ''
issue server ca -addext subjectAltName=IP:127.0.0.1,DNS:redis.test
issue client ca
issue unknown stranger
export MT_TLS=context MT_TLS_CA=$T/ca.pem
tls_start

cat >"$T/served" <<'E2'
foreign SET k value
connect c
warm c k
hit c k
foreign SET k new
await c k new
warm c k
hit c k
cmd c SET k own
cmd c GET k
free c
connect d
warm d k
hit d k
E2
cat >"$T/forwarded" <<E2
foreign SET k value
connect c
repeat 40
travels c k
end
untilsaid c k $T/shim.err
repeat 40
travels c k
end
E2
# served TITLE, forwarded TITLE WORDS: as bare, and by L1 without a word; by the server, with one line that has the words
tls_served() {
        CHECKS=$((CHECKS + 1))
        MTSHIM_SEGMENT=$SEGMENT-$CHECKS same tls_play <"$T/served" || fail "$1"
        [ ! -s "$T/shim.err" ] || { show "$T/shim.err"; fail "$1: it is not silent"; }
        ok "served: $1"
}
tls_forwarded() {
        CHECKS=$((CHECKS + 1))
        bare tls_play <"$T/forwarded" >"$T/bare.out" 2>&1
        : >"$T/shim.err"
        MTSHIM_SEGMENT=$SEGMENT-$CHECKS shim tls_play <"$T/forwarded" >"$T/shim.out" 2>"$T/shim.err" ||
                { show "$T/shim.err"; fail "$1"; }
        cmp "$T/bare.out" "$T/shim.out" || fail "$1"
        [ "$(wc -l <"$T/shim.err")" -eq 1 ] && grep -qF "$2" "$T/shim.err" || { show "$T/shim.err"; fail "$1"; }
        ok "forwarded: $1: $(cut -d: -f2- "$T/shim.err")"
}

tls_served "as the program does, without an option"
MT_TLS_NAME=redis.test tls_served "a server name of the program's"
MTSHIM_TLS_SERVER_NAME=redis.test tls_served "the name in the certificate"
MTSHIM_TLS_SERVER_NAME=127.0.0.1 tls_served "the address in the certificate"
MTSHIM_TLS_SERVER_NAME=other.test tls_forwarded "another name" "certificate verify failed: hostname mismatch"
MTSHIM_TLS_SERVER_NAME=127.0.0.2 tls_forwarded "another address" "certificate verify failed: IP address mismatch"
MTSHIM_TLS_CA_FILE=$T/stranger.pem tls_forwarded "an authority that has not signed it" "certificate verify failed: self-signed"
MTSHIM_TLS_CA_FILE=$T/absent.pem tls_forwarded "no such file" "CA file $T/absent.pem: No such file"
MTSHIM_TLS_CA_FILE=$T/server.key tls_forwarded "a file of something else" "CA file $T/server.key: "
MT_TLS=unverified MT_TLS_CA=$T/stranger.pem tls_served "a program that believes everybody"
MT_TLS=unverified MT_TLS_CA=$T/stranger.pem MTSHIM_TLS_VERIFY=on tls_forwarded "the same, but not its listener" "certificate verify"
MTSHIM_TLS_CA_FILE=$T/stranger.pem MTSHIM_TLS_VERIFY=off tls_served "a listener that believes everybody"
MT_TLS=own tls_forwarded "an SSL object of the program's" "MTSHIM_TLS_CA_FILE"
MT_TLS=own MTSHIM_TLS_CA_FILE=$T/ca.pem tls_served "the same, and whom to believe is said"
(cd "$T" && MT_TLS_CA=ca.pem tls_served "a path from the current directory") || exit 1

sed -i "s,^untilsaid.*,," "$T/forwarded"
MTSHIM_TLS=off same tls_play <"$T/forwarded" && [ ! -s "$T/shim.err" ] || { show "$T/shim.err"; fail "MTSHIM_TLS=off"; }
ok "forwarded: MTSHIM_TLS=off"

# Written by a client that speaks TLS too.
sed "s,^foreign \(SET k new\),run redis-cli -p $TLS_PORT --tls --cacert $T/ca.pem \1," "$T/served" >"$T/script"
same tls_play <"$T/script" || fail "redis-cli --tls"
ok "served: written by redis-cli --tls"
redis_stop

# A server that wants to know who comes.
tls_start --tls-auth-clients yes
export MT_TLS_CERT=$T/client.pem MT_TLS_KEY=$T/client.key
tls_served "a certificate of the client's"
MTSHIM_TLS_CERT_FILE=$T/unknown.pem MTSHIM_TLS_KEY_FILE=$T/unknown.key tls_forwarded "another, that the server does not know" "alert"
MTSHIM_TLS_CERT_FILE=$T/unknown.pem MTSHIM_TLS_KEY_FILE=$T/client.key tls_forwarded "a key of another certificate" "key $T/client.key"
openssl pkey -in "$T/client.key" -aes128 -passout pass:secret -out "$T/locked.key" 2>>"$T/openssl.log"
MTSHIM_TLS_CERT_FILE=$T/client.pem MTSHIM_TLS_KEY_FILE=$T/locked.key tls_forwarded "a key with a passphrase" "key $T/locked.key"
unset MT_TLS_CERT MT_TLS_KEY
redis_stop
