# shellcheck shell=bash
# tls.sh - what the scripts about TLS share, after lib.sh: certificates, a server that speaks TLS, a foreign client.

# issue NAME CA [openssl option...]: NAME.pem and NAME.key, signed by CA.pem; CA "": by itself, and it may sign others
issue() {
        local name=$1 ca=$2 by=()

        shift 2
        if [ -n "$ca" ]; then
                by=(-CA "$T/$ca.pem" -CAkey "$T/$ca.key" -addext basicConstraints=CA:FALSE)
        fi
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$name" "${by[@]}" \
                -keyout "$T/$name.key" -out "$T/$name.pem" "$@" 2>>"$T/openssl.log" || { show "$T/openssl.log"; fail "openssl"; }
}

# tls_start_at PORT [option...]: as redis_start, and with TLS at that port: MT_REDIS is 127.0.0.1:PORT, MT_FOREIGN the path
# of its clear socket. False: the port is taken.
tls_start_at() {
        TLS_PORT=$1
        SOCK=$T/redis.sock
        redis-server --port 0 --bind 127.0.0.1 --tls-port "$TLS_PORT" --unixsocket "$SOCK" --unixsocketperm 777 --dir "$T" \
                --save '' --appendonly no --enable-debug-command yes --daemonize no --tls-cert-file "$T/server.pem" \
                --tls-key-file "$T/server.key" --tls-ca-cert-file "$T/ca.pem" --tls-auth-clients no "${@:2}" \
                >>"$T/redis.log" 2>&1 &
        REDIS_PID=$!
        await 5 answers_or_gone && answers || return 1
        own "$REDIS_PID"
        export MT_REDIS=127.0.0.1:$TLS_PORT MT_FOREIGN=$SOCK
}
# tls_start [option...]: at a port that is free: the server is the judge of that
tls_start() {
        local tries

        for tries in 1 2 3 4 5 6 7 8 9 10; do
                tls_start_at $((20000 + (RANDOM * 7 + tries) % 12000)) "$@" && return
        done
        show "$T/redis.log"
        fail "redis-server finds no port"
}
# expired NAME CA: the same, over since yesterday
expired() {
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$T/$1.key" -out "$T/$1.csr" \
                2>>"$T/openssl.log" && openssl x509 -req -in "$T/$1.csr" -CA "$T/$2.pem" -CAkey "$T/$2.key" -CAcreateserial \
                -days -1 -out "$T/$1.pem" 2>>"$T/openssl.log" || { show "$T/openssl.log"; fail "openssl"; }
}
