#!/bin/bash
# Segments that are not what they should be: refused with one line, made anew where nobody uses them, never trusted.
. "$(dirname "$0")/lib.sh"
redis_start

cat >"$T/script" <<'E2'
foreign SET k value
connect c
connect d
cmd c GET k
repeat 300
cmd c GET k
cmd d GET absent
end
E2
bare play <"$T/script" >"$T/bare.out" || fail "bare"
fresh() { # a segment with contents; its path in FILE
        rm -rf /dev/shm/mtshim.*."$SEGMENT".*
        printf 'foreign SET k value\nconnect c\nwarm c k\nhit c k\n' | shim play >"$T/out" 2>&1 || { show "$T/out"; fail "fresh"; }
        FILE=$(segments)
        [ -f "$FILE" ] || fail "no segment"
}
# meets TITLE anew|refused|either: what the program does with FILE as it is now
meets() {
        shim play <"$T/script" >"$T/shim.out" 2>"$T/shim.err" || { show "$T/shim.err"; fail "$1: status $?"; }
        cmp "$T/bare.out" "$T/shim.out" || fail "$1"
        [ "$2" = either ] || [ "$(wc -l <"$T/shim.err")" -eq 1 ] || { show "$T/shim.err"; fail "$1: not one line"; }
        if [ "$2" = anew ]; then
                printf 'connect c\nwarm c k\nhit c k\n' | shim play >"$T/out" 2>&1 || { show "$T/out"; fail "$1: not made anew"; }
        fi
        ok "$1: $(sed -n '1s/^mtshim[^:]*: //p' "$T/shim.err")"
}
noise() { # OFFSET BYTES
        dd if=/dev/urandom of="$FILE" bs=4096 seek=$(($1 / 4096)) count=$((($2 + 4095) / 4096)) conv=notrunc status=none
}

fresh
truncate -s 1000 "$FILE"
meets "truncated within its header" anew
fresh
truncate -s 1M "$FILE"
meets "truncated behind it" anew
fresh
: >"$FILE"
meets "empty" anew
fresh
truncate -s +4096 "$FILE"
meets "longer than it says" anew
fresh
noise 0 "$(stat -c %s "$FILE")"
meets "noise, all of it" anew
fresh
noise 0 4096
meets "noise in its header" anew
fresh
size=$(stat -c %s "$FILE")
for piece in 0 1 2 3 4 5 6 7; do
        noise $((4096 + piece * (size - 4096) / 8)) $(((size - 4096) / 8))
done
meets "noise behind its header" either
for offset in 4096 16384 65536 131072 262144 524288 1048576 2097152 5242880; do
        fresh
        noise "$offset" 65536
        meets "64 KiB of noise at $offset" either
done
fresh
printf '\1' | dd of="$FILE" bs=1 seek=8 conv=notrunc status=none
printf '\377' | dd of="$FILE" bs=1 seek=9 conv=notrunc status=none
meets "another version" anew
fresh
chmod 666 "$FILE"
meets "a mode that lets others write" refused
fresh
rm "$FILE" && mkdir "$FILE"
meets "a directory" refused
rmdir "$FILE"
ln -s "$T/elsewhere" "$FILE"
meets "a symbolic link" refused
[ ! -e "$T/elsewhere" ] || fail "the link was followed"
rm "$FILE"
mkfifo "$FILE"
meets "a pipe" refused
rm "$FILE"
if [ "$(id -u)" -eq 0 ]; then
        fresh
        chown 65534 "$FILE"
        meets "another owner's" refused
        [ "$(stat -c %u "$FILE")" = 65534 ] || fail "another owner's segment was removed"
        rm "$FILE"
fi

# Another size than its creator's: the same segment, as it is, and not a word about it.
for size in 8M 1G; do
        fresh
        before=$(stat -c '%i %s' "$FILE")
        printf 'connect c\nwarm c k\nhit c k\n' | MTSHIM_L1_SIZE=$size shim play >"$T/out" 2>"$T/shim.err" || fail "another size: status $?"
        [ ! -s "$T/shim.err" ] || { show "$T/shim.err"; fail "another size: it has something to say"; }
        [ "$(stat -c '%i %s' "$FILE")" = "$before" ] || fail "another size: $before is now $(stat -c '%i %s' "$FILE")"
        [ "$(stat_of hits)" -ge 3 ] && [ "$(stat_of bytes_total)" -eq $((64 << 20)) ] || fail "another size: it is another segment"
done
ok "a program with another size joins the segment that there is"
rm -f "$FILE"
printf 'connect c\nwarm c k\nhit c k\n' | MTSHIM_L1_SIZE=8M shim play >"$T/out" 2>&1 || fail "8 MiB"
[ "$(stat_of bytes_total)" -eq $((8 << 20)) ] || fail "a new segment is $(stat_of bytes_total) bytes, not 8 MiB"
ok "a new one has the size of the program that makes it"

# While it is in use: every byte read is checked.
fresh
for turn in 1 2 3; do
        start shim play <"$T/script" >"$T/shim.out" 2>"$T/shim.err"
        pid=$!
        for offset in 4096 65536 262144 1048576 4194304; do
                noise $offset 262144
        done
        wait $pid || { show "$T/shim.err"; fail "noise while in use: status $?"; }
        cmp "$T/bare.out" "$T/shim.out" || fail "noise while in use"
        [ $turn -eq 2 ] && fresh
done
ok "noise while in use"
