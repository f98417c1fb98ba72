#!/bin/bash
# Perl with Redis::Fast: the interpreter loads hiredis RTLD_LOCAL with the module, and the module speaks by asynchronous
# calls, which are forwarded: same output, and the program sees its own writes at once.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/real.sh"
need perl perl
perl -MRedis::Fast -e 1 2>/dev/null || need Redis::Fast libredis-fast-perl
redis_start_tcp
cat >"$T/play.pl" <<'END'
use strict;
use warnings;
use Redis::Fast;

my $redis = Redis::Fast->new(server => $ENV{MT_REDIS}, reconnect => 0);
my $same  = 0;

$redis->flushall;
for my $i (1 .. 2000) {
        $redis->set("key", "value $i");
        $same += $redis->get("key") eq "value $i";
}
print "$same writes read back\n";
print join(" ", $redis->rpush("list", 1, 2, 3), $redis->lrange("list", 0, -1)), "\n";
print defined $redis->get("absent") ? "found" : "absent", "\n";
eval { $redis->get("list") };
print $@ =~ /(WRONGTYPE[^,]*)/ ? "$1\n" : "no error\n";
$redis->multi;
$redis->set("key", "in a transaction");
$redis->get("key");
print join(" ", $redis->exec), "\n";

my @late;
$redis->get("key", sub { push @late, $_[0] }) for 1 .. 100;
$redis->wait_all_responses;
print scalar(grep { $_ eq "in a transaction" } @late), " of 100 pipelined\n";
$redis->quit;
END
same "$(command -v perl)" "$T/play.pl" </dev/null || fail "perl prints something else"
grep -q '^2000 writes read back' "$T/shim.out" || { show "$T/shim.out"; fail "a write was not read back"; }
ok "perl and Redis::Fast: the same output, 2000 writes read back"
