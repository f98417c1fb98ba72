#!/bin/bash
# mtshim run: the program takes the command's place, with the library in front and its options in the environment.
. "$(dirname "$0")/lib.sh"
unset "${!MTSHIM_@}"

# says WHAT WANTED command...: its standard output
says() {
        local what=$1 wanted=$2 got

        got=$("${@:3}" 2>"$T/err") || { show "$T/err"; fail "$what: exit status $?"; }
        [ "$got" = "$wanted" ] || { show "$T/err"; fail "$what: '$got' instead of '$wanted'"; }
        ok "$what"
}
# status WHAT N command...
status() {
        local got

        "${@:3}" >"$T/out" 2>"$T/err"
        got=$?
        [ $got -eq "$2" ] || { show "$T/out" "$T/err"; fail "$1: exit status $got instead of $2"; }
        ok "$1"
}
quiet() {
        [ ! -s "$T/err" ] || { show "$T/err"; fail "$1: it has something to say"; }
}

# ------------------------------------------------------------------------------------------------------ in its place

# shellcheck disable=SC2016 # $0, $1, $$ are the inner shell's
{
        says "arguments arrive as they are" "-o| |a b|--" "$CTL" run -- sh -c 'printf "%s|%s|%s|%s" "$@"' sh -o ' ' 'a b' --
        says "-- may be left out" "x" "$CTL" run echo x
        status "the exit status is the program's" 7 "$CTL" run -- sh -c 'exit 7'
        quiet "a program that ends with 7"
        status "a signal's too" 143 sh -c '"$0" run -- sh -c "kill -TERM \$\$"; exit $?' "$CTL"
        "$CTL" run -- sh -c 'echo $$; exec sleep 100' >"$T/pid" &
        own
        await 5 test -s "$T/pid"
        [ "$(cat "$T/pid")" = "$!" ] || fail "another pid"
        ok "the pid is the program's"
        await 5 grep -qx sleep "/proc/$!/comm"
        kill -TERM $!
        wait $!
        [ $? -eq 143 ] || fail "SIGTERM did not reach it"
        ok "a signal to that pid reaches the program"
        says "standard input is the program's" "line" sh -c 'echo line | "$0" run -- cat' "$CTL"
}
status "not found is 127" 127 "$CTL" run -- "$T/nosuch"
status "not found on PATH is 127" 127 env PATH=/usr/bin:/bin "$CTL" run -- mtshim-no-such-program
echo text >"$T/text"
status "not executable is 126" 126 "$CTL" run -- "$T/text"
status "a folder is 126" 126 "$CTL" run -- "$T"
status "no program is a usage error" 2 "$CTL" run -o l1_size=8M
grep -q '^usage: mtshim run' "$T/err" || fail "no usage on stderr"
[ ! -s "$T/out" ] || fail "usage on stdout"
status "--help is none" 0 "$CTL" run --help
grep -q '^usage: mtshim run' "$T/out" || fail "no usage on stdout"

# ---------------------------------------------------------------------------------------------------------- options

for name in l1_size L1-SIZE MTSHIM_L1_SIZE mtshim_l1-size; do
        says "-o $name=8M" 8M "$CTL" run -o "$name=8M" -- printenv MTSHIM_L1_SIZE
done
says "an option goes before the environment" 8M env MTSHIM_L1_SIZE=4M "$CTL" run -o l1_size=8M -- printenv MTSHIM_L1_SIZE
says "a value may hold anything" 'a=b;c=ttl:1s' "$CTL" run -o 'rules=a=b;c=ttl:1s' -- printenv MTSHIM_RULES
says "an unknown option does not stop it" x "$CTL" run -o nosuch=1 -- echo x
[ "$(grep -c nosuch "$T/err")" -eq 1 ] || { show "$T/err"; fail "it is not named in one line"; }
status "an option without a value is a usage error" 2 "$CTL" run -o l1_size -- echo x
redis_start
says "a bad value does not stop it" "" "$CTL" run -o max_staleness=soon -- "$PROGS/play" < <(echo connect c)
[ "$(grep -c "MTSHIM_MAX_STALENESS='soon'" "$T/err")" -eq 1 ] || { show "$T/err"; fail "it is not named in one line"; }

# ------------------------------------------------------------------------------------------------------- LD_PRELOAD

echo 'int ctl_nothing;' >"$T/other.c"
cc -shared -fPIC -o "$T/other.so" "$T/other.c" || fail "no compiler"
ln -s "$LIB" "$T/link.so"
says "the library is preloaded" "$LIB" "$CTL" run -- printenv LD_PRELOAD
says "... really" 1 "$CTL" run -- sh -c 'grep -q libmtshim.so /proc/self/maps && echo 1'
says "what was preloaded stays, behind it" "$LIB:$T/other.so" env LD_PRELOAD="$T/other.so" "$CTL" run -- printenv LD_PRELOAD
says "... separated in any way" "$LIB:$T/other.so:libc.so.6" env LD_PRELOAD=" $T/other.so  libc.so.6:" "$CTL" run -- \
        printenv LD_PRELOAD
says "the library comes once, first" "$LIB:$T/other.so" env LD_PRELOAD="$T/other.so:$LIB" "$CTL" run -- printenv LD_PRELOAD
says "... by another name too" "$LIB" env LD_PRELOAD="$T/link.so" "$CTL" run -- printenv LD_PRELOAD
says "a run inside a run" "$LIB" "$CTL" run -- "$CTL" run -- printenv LD_PRELOAD

# ------------------------------------------------------------------------------------------------ where the library is

mkdir -p "$T/p/bin" "$T/p/lib/mtshim" "$T/q r"
cp "$CTL" "$T/p/bin/mtshim"
cp "$CTL" "$LIB" "$T/q r"
installed=$("$T/p/bin/mtshim" run -- printenv LD_PRELOAD 2>"$T/err")
if [ -z "$installed" ]; then
        [ "$(wc -l <"$T/err")" -eq 1 ] || { show "$T/err"; fail "no library: not one line"; }
        says "without the library it runs, after one line" x "$T/p/bin/mtshim" run -- echo x
fi
cp "$LIB" "$T/p/lib/mtshim"
says "the library in ../lib/mtshim" "$T/p/lib/mtshim/libmtshim.so" "$T/p/bin/mtshim" run -- printenv LD_PRELOAD
cp "$LIB" "$T/p/bin"
says "one beside the command goes before that" "$T/p/bin/libmtshim.so" "$T/p/bin/mtshim" run -- printenv LD_PRELOAD
ln -s "$T/p/bin/mtshim" "$T/mtshim"
says "beside the command itself, not its link" "$T/p/bin/libmtshim.so" "$T/mtshim" run -- printenv LD_PRELOAD
says "a path that LD_PRELOAD cannot hold: it runs" x "$T/q r/mtshim" run -- echo x
grep -q 'space' "$T/err" || { show "$T/err"; fail "it is not said"; }

# ----------------------------------------------------------------------------------------------------------- set-uid

if [ "$(id -u)" -eq 0 ]; then
        cp /bin/echo "$T/setuid"
        chown nobody "$T/setuid"
        chmod 4755 "$T/setuid"
        says "a set-uid program runs" x "$CTL" run -- "$T/setuid" x
        grep -q 'set-uid nobody' "$T/err" || { show "$T/err"; fail "it is not said that it runs without the shim"; }
        printf '#!%s\n' "$T/setuid" >"$T/script"
        chmod 755 "$T/script"
        says "a script of one runs" "$T/script x" "$CTL" run -- "$T/script" x
        grep -q 'set-uid nobody' "$T/err" || { show "$T/err"; fail "it is not said"; }
fi
says "a program without privileges: silence" x "$CTL" run -- echo x
quiet "echo"
