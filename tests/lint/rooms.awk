# rooms.awk - reads pairs "file included-file", prints those that LAYOUT forbids.
# Five rooms, one direction: a layer may include what stands to its right, nothing else.
#   shim:         ctl | interpose, api > request > connection > runtime > redis > command > hiredis
#   invalidation
#   l1:           tier > cache > segment > base
# A room is entered by its facade (l1 has two: l1.h, and tier/tier.h for what is not in shared memory; the command knows
# tier/conform.h too, which looks at stores); l1/base is for everybody. Tests and benches may include anything; nothing includes them.

function room(path)  { return path ~ /^(shim|invalidation|l1|tests|bench)\// ? substr(path, 1, index(path, "/") - 1) : "" }
function layer(path) { return split(path, part, "/") > 2 ? part[2] : "" }
function forbid(why) { print $1 " includes " $2 ": " why }

BEGIN {
        split("hiredis command redis runtime connection request api interpose", order, " ")
        for (i in order) rank["shim/" order[i]] = i
        split("base segment cache tier", order, " ")
        for (i in order) rank["l1/" order[i]] = i
        height["l1"] = 1; height["invalidation"] = 2; height["shim"] = 3
}
{
        from = room($1); to = room($2)
        if (from == "tests" || from == "bench" || from == "") next
        if (to == "") { forbid("not found in the tree"); next }
        if (to == "tests" || to == "bench") { forbid("the product includes no test"); next }
        if (from != to) {
                if (height[to] > height[from]) { forbid(to " stands above " from); next }
                if ($2 ~ /^l1\/base\// || $2 == "l1/l1.h" || $2 == "l1/tier/tier.h" || $2 == "invalidation/invalidation.h" || $2 ~ /\.def$/) next
                if ($2 == "l1/tier/conform.h" && from "/" layer($1) == "shim/ctl") next
                forbid("not the facade of " to)
                next
        }
        here = from "/" layer($1); there = to "/" layer($2)
        if (here == "shim/ctl" && (there == "shim/interpose" || there == "shim/request")) forbid("ctl never needs the doors")
        if ((here in rank) && (there in rank) && rank[there] + 0 > rank[here] + 0) forbid(there " stands above " here)
        if (here == "shim/interpose" && there == "shim/api") forbid("the doors know nothing of the C interface")
        if (there == "shim/ctl" && here != "shim/ctl") forbid("nothing includes the command")
}
