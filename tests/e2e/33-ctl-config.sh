#!/bin/bash
# mtshim by itself: usage, help, version; and config: each option, its value, and where it came from.
. "$(dirname "$0")/lib.sh"
unset "${!MTSHIM_@}"

# status WHAT N command...: standard output in $T/out, errors in $T/err
status() {
        local got

        "${@:3}" >"$T/out" 2>"$T/err"
        got=$?
        [ $got -eq "$2" ] || { show "$T/out" "$T/err"; fail "$1: exit status $got instead of $2"; }
        ok "$1"
}
# row VARIABLE ORIGIN VALUE
row() {
        local got

        got=$(awk -v n="$1" '$1 == n { sub(/^[^ ]+ +/, ""); sub(/ +/, " "); sub(/ +$/, ""); print }' "$T/out")
        [ "$got" = "$2${3:+ $3}" ] || { show "$T/out" "$T/err"; fail "$1: '$got' instead of '$2 $3'"; }
}
# told N PATTERN: so many lines on stderr, one of which matches
told() {
        [ "$(wc -l <"$T/err")" -eq "$1" ] && { [ "$1" -eq 0 ] || grep -qE "$2" "$T/err"; } ||
                { show "$T/err"; fail "not $1 lines with '${2:-}'"; }
}

status "no command: usage" 2 "$CTL"
grep -q '^usage: ' "$T/err" && [ ! -s "$T/out" ] || fail "usage is not on stderr"
status "an unknown command: usage" 2 "$CTL" frobnicate
grep -q frobnicate "$T/err" || fail "it is not named"
status "help" 0 "$CTL" help
for command in run stat flush config doctor; do
        "$CTL" help | grep -q "^  $command " || fail "help does not list $command"
        status "$command --help" 0 "$CTL" $command --help
        grep -q "^usage: mtshim $command" "$T/out" || fail "no usage"
        status "help $command" 0 "$CTL" help $command
        status "$command with an unknown option" 2 "$CTL" $command --nosuch
        grep -q "^usage: mtshim $command" "$T/err" && [ ! -s "$T/out" ] || fail "usage is not on stderr"
done
status "--version" 0 "$CTL" --version
grep -qE '^mtshim [0-9.]+, segment ABI [0-9]+, hiredis [0-9.]+, mimalloc [0-9.]+$' "$T/out" || fail "version: $(cat "$T/out")"
"$CTL" help >/dev/full 2>"$T/err" && fail "a full disk is not noticed"
ok "a full disk is an error"

# ----------------------------------------------------------------------------------------------------------- config

status "config" 0 "$CTL" config
told 0
row MTSHIM_L1_SIZE default 64M
row MTSHIM_ENABLE default 1
row MTSHIM_INVALIDATION default tracking
row MTSHIM_PASSWORD_FILE default
[ "$(wc -l <"$T/out")" -eq "$("$CTL" config -v | grep -c '^MTSHIM_')" ] || fail "-v has other rows"
ok "the defaults"

cat >"$T/conf" <<'E2'
# a comment
l1_size = 32M
max_staleness = 250ms
rules = a:*=bypass
password_file = /etc/secret
E2
echo "hunter2" >"$T/secret"
status "config of three layers" 0 env MTSHIM_CONF="$T/conf" MTSHIM_MAX_STALENESS=2s MTSHIM_PASSWORD_FILE="$T/secret" \
        MTSHIM_LOG_LEVEL=info "$CTL" config
row MTSHIM_L1_SIZE file 32M
row MTSHIM_RULES file 'a:*=bypass'
row MTSHIM_MAX_STALENESS environment 2s
row MTSHIM_LOG_LEVEL environment info
row MTSHIM_PASSWORD_FILE environment "$T/secret"
row MTSHIM_CONF environment "$T/conf"
row MTSHIM_NEGATIVE default 1
grep -q hunter2 "$T/out" "$T/err" && fail "a password"
ok "each row says where it came from; no password is printed"

status "a bad value" 1 env MTSHIM_L1_SIZE=lots "$CTL" config
told 1 "MTSHIM_L1_SIZE='lots'.*64M"
row MTSHIM_L1_SIZE default 64M
status "a bad value over a good one" 1 env MTSHIM_CONF="$T/conf" MTSHIM_L1_SIZE=lots "$CTL" config
row MTSHIM_L1_SIZE file 32M
status "an unknown variable" 1 env MTSHIM_NOSUCH=1 "$CTL" config
told 1 MTSHIM_NOSUCH
status "a bad value, and a log elsewhere" 1 env MTSHIM_L1_SIZE=lots MTSHIM_LOG="$T/log" "$CTL" config
told 1 "$T/log"
grep -q "MTSHIM_L1_SIZE='lots'" "$T/log" || fail "the log does not name it"
status "a terminal is not written to by values" 0 env MTSHIM_LOG="$(printf '/x\033[2J')" "$CTL" config
grep -q "$(printf '\033')" "$T/out" && fail "an escape sequence"
status "config takes no argument" 2 "$CTL" config x
