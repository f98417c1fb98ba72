# report.awk - from samples to the figures of HOSTS.md. A sample: row, listeners, load, then what writer.c prints.
#   awk -f report.awk SAMPLES
BEGIN {
        FS = "\t"
        rows = 0
}
{
        id = $1 SUBSEP $2 SUBSEP $3
        n = ++count[id]
        commands = $4 > 0 ? $4 : 1
        keep("rate", $4 / $5)
        keep("cpu", $6 / commands * 1e6)
        keep("share", $6 / $5)
        keep("bytes", $7 / commands)
        keep("writes", $8 / commands)
        keep("wrote", $8 / $5)
        keep("p50", $9)
        keep("p99", $10)
        keep("replica", $11 / commands * 1e6)
        if (n == 1)
                order[++rows] = id
}
function keep(what, value) { sample[id, what, n] = value }

# Quantile q of the samples of one cell.
function at(what, row, listeners, name, q,    cell, i, j, v, sorted, n) {
        cell = row SUBSEP listeners SUBSEP name
        n = count[cell]
        for (i = 1; i <= n; i++) {
                v = sample[cell, what, i]
                for (j = i - 1; j >= 1 && sorted[j] > v; j--)
                        sorted[j + 1] = sorted[j]
                sorted[j + 1] = v
        }
        return n == 0 ? 0 : sorted[1 + int((n - 1) * q + 0.5)]
}
function median(what, row, listeners, name) { return at(what, row, listeners, name, 0.5) }
function spread(what, row, listeners, name,    low, high) {
        low = at(what, row, listeners, name, 0.25)
        high = at(what, row, listeners, name, 0.75)
        return number(low) "–" number(high)
}
function number(v) { return sprintf(v >= 100 ? "%.0f" : v >= 10 ? "%.1f" : v >= 1 ? "%.2f" : "%.3f", v) }

# What each listener gets of a SET: messages, bytes.
function messages(row, listeners, name) {
        return (median("writes", row, listeners, name) - median("writes", "real", 0, name)) / listeners
}
function bytes(row, listeners, name) {
        return (median("bytes", row, listeners, name) - median("bytes", "real", 0, name)) / listeners
}

# ------------------------------------------------------------------------------------------------------------ the fit

# Cells with listeners: CPU per SET less that of none = once + N (messages * message + key). Least squares of the relative
# error, three unknowns.
function fit(    i, part, f, y, w, a, b, r, c, p) {
        for (i = 1; i <= rows; i++) {
                split(order[i], part, SUBSEP)
                if ((part[1] != "real" && part[1] != "bare") || part[2] == 0 || part[3] == "idle")
                        continue
                y = extra(part[1], part[2], part[3])
                if (y <= 0)
                        continue
                f[1] = 1
                f[2] = part[2] * messages(part[1], part[2], part[3])
                f[3] = part[2]
                w = 1 / (y * y)
                for (r = 1; r <= 3; r++) {
                        for (c = 1; c <= 3; c++)
                                a[r, c] += w * f[r] * f[c]
                        b[r] += w * f[r] * y
                }
        }
        for (p = 1; p <= 3; p++)
                for (r = 1; r <= 3; r++) {
                        if (r == p || a[p, p] == 0)
                                continue
                        w = a[r, p] / a[p, p]
                        for (c = 1; c <= 3; c++)
                                a[r, c] -= w * a[p, c]
                        b[r] -= w * b[p]
                }
        once = a[1, 1] != 0 ? b[1] / a[1, 1] : 0
        message = a[2, 2] != 0 ? b[2] / a[2, 2] : 0
        key = a[3, 3] != 0 ? b[3] / a[3, 3] : 0
}
function extra(row, listeners, name) { return median("cpu", row, listeners, name) - median("cpu", "real", 0, name) }
function fitted(row, listeners, name) {
        return median("cpu", "real", 0, name) + once + listeners * (messages(row, listeners, name) * message + key)
}

# ---------------------------------------------------------------------------------------------------------- the tables

function line(text) { print "| " text " |" }
function listened(    i, part, n, p, cell) {
        print "### N listeners on one server\n"
        print "One client with one SET at a time, 50 such clients, and one client with 64 SETs in a pipeline. Medians of " \
              count["real", 0, "single"] " rounds, and what a quarter was below and above.\n"
        line("listeners | load | SET/s | | server CPU per SET, us | | p50, p99 of a round trip, us | keys per message | bytes per SET and listener")
        print "|---|---|---|---|---|---|---|---|---|"
        for (p = 1; p <= 3; p++)
                for (i = 1; i <= rows; i++) {
                        split(order[i], part, SUBSEP)
                        if (part[1] != "real" || part[3] != load[p])
                                continue
                        n = part[2]
                        line(n " | " says[load[p]] " | " number(median("rate", "real", n, load[p])) " | " \
                             spread("rate", "real", n, load[p]) " | " number(median("cpu", "real", n, load[p])) " | " \
                             spread("cpu", "real", n, load[p]) " | " number(median("p50", "real", n, load[p])) ", " \
                             number(median("p99", "real", n, load[p])) " | " \
                             (n ? number(1 / messages("real", n, load[p])) " | " number(bytes("real", n, load[p])) : " | "))
                }
}
function costs(    i, part) {
        print "\n### What a message costs\n"
        print "`CPU per SET = of a server that nobody listens to + once + N (messages x message + key)`, least squares over the " \
              "cells with listeners:\n"
        line("part | us of the server's CPU")
        print "|---|---|"
        line("once: a key is remembered for all who listen | " number(once))
        line("message: one more to one listener, whatever is in it | " number(message))
        line("key: one more key in a message to one listener | " number(key))
        line("a GET, one client at a time; one of 50 clients | " number(median("cpu", "get", 0, "single")) "; " number(get))
        line("a SET, the same | " number(median("cpu", "real", 0, "single")) "; " number(set))
        line("a PING of " pinging " hosts where else nothing happens | " number(ping))
        print "\nHow well that fits (bare: connections of one process that reads and drops, so that hosts cost the machine nothing):\n"
        line("listeners | load | measured, us per SET | by the formula")
        print "|---|---|---|---|"
        for (i = 1; i <= rows; i++) {
                split(order[i], part, SUBSEP)
                if ((part[1] != "real" && part[1] != "bare") || part[2] == 0 || part[3] == "idle")
                        continue
                line(part[2] (part[1] == "bare" ? " bare" : "") " | " says[part[3]] " | " number(median("cpu", part[1], part[2], part[3])) \
                     " | " number(fitted(part[1], part[2], part[3])))
        }
}
# One server's row, when a message costs so much.
function capacity(n, dear, label) {
        line(label " | " number(0.5e6 / (n * (dear + key))) " SET/s | " number(most(n, 1, dear)) " | " number(most(n, 10, dear)) \
             " | " number(most(n, 50, dear)) " | " number(n * dear / 1e3) " | " number(n * 4 * ping / 1e4) "%, " \
             number(n * 4 * get / 1e4) "%; " number(n * 80 * get / 1e4) "%")
}
function most(n, k, dear) { return 1e6 / (set + once + n * (dear / k + key)) }
function model(    i, n, part, hosts, keys, row) {
        print "\n### 1,000 hosts\n"
        print "By the formula, for a server that has a core for itself. k is how many SETs it finds waiting at a time, so keys per message. " \
              "Of a busy core a PING takes what a GET of one of 50 clients takes.\n"
        line("hosts | messages take half a core from | SETs/s that a core can, k = 1 | k = 10 | k = 50 | a turn with one message to each, ms | PINGs at a bound of 1 s: of an idle core, of a busy one; at 50 ms")
        print "|---|---|---|---|---|---|---|"
        n = split("8 64 256 1000", hosts, " ")
        for (i = 1; i <= n; i++)
                capacity(hosts[i], message, hosts[i])
        n = 0
        for (i = 1; i <= rows; i++) {
                split(order[i], part, SUBSEP)
                if (part[1] == "bare" && part[2] > n)
                        n = part[2]
        }
        row = (extra("bare", n, "single") - once) / n - key
        capacity(1000, row, "1000, at the " number(row) " us that a message takes with " n " bare ones")
        print "\nA hit saves the server a GET, a key that is written costs it a message or a share of one, for each host. So many keys " \
              "per hit may be written before L1 costs the server more than it saves, however many hosts there are:\n"
        n = split("1 2 5 10 50", keys, " ")
        row = "keys per message"
        for (i = 1; i <= n; i++)
                row = row " | " keys[i]
        line(row)
        print "|---|---|---|---|---|---|"
        line("keys per hit, busy server" even(get, keys, n))
        line("one that waits for each GET" even(median("cpu", "get", 0, "single"), keys, n))
}
function even(saved, keys, n,    i, row) {
        for (i = 1; i <= n; i++)
                row = row " | " number(saved / (message / keys[i] + key))
        return row
}
function instead(    i, part, id) {
        print "\n### What could be used instead\n"
        print "Bare listeners, so that one row compares with the next; medians.\n"
        line("who listens | how many | load | SET/s | server CPU per SET, us | of the replica")
        print "|---|---|---|---|---|---|"
        for (i = 1; i <= rows; i++) {
                split(order[i], part, SUBSEP)
                if (part[1] == "real" ? part[2] != 0 || part[3] == "pipe" : !(part[1] in what) || part[3] == "pipe")
                        continue
                id = part[1]
                line(what[id] " | " part[2] " | " says[part[3]] " | " number(median("rate", id, part[2], part[3])) " | " \
                     number(median("cpu", id, part[2], part[3])) " | " \
                     (id ~ /^replica/ ? number(median("replica", id, part[2], part[3])) : ""))
        }
        print "\nFrom the acknowledgement of a SET to the announcement, one SET at a time: by the server itself p50 " \
              number(median("p50", "lag, master", 1, "single")) " us, p99 " number(median("p99", "lag, master", 1, "single")) \
              "; by an idle replica beside it p50 " number(median("p50", "lag, replica", 1, "single")) " us, p99 " \
              number(median("p99", "lag, replica", 1, "single")) "."
}
END {
        split("single fifty pipe", load, " ")
        says["single"] = "one client"
        says["fifty"] = "50 clients"
        says["pipe"] = "64 in a pipeline"
        what["real"] = "nobody"
        what["bare"] = "to all keys"
        what["prefix, another"] = "to one PREFIX, in which nothing is written"
        what["prefixes, others"] = "each to a PREFIX of its own, in which nothing is written"
        what["pubsub, this channel"] = "SET and PUBLISH: all to that channel"
        what["pubsub, another channel"] = "SET and PUBLISH: all to another channel"
        what["replica, nobody"] = "nobody, one replica follows"
        what["replica, listeners there"] = "at the replica, to all keys"
        what["minute, before"] = "hosts that read nothing, within their first minute (test clock)"
        what["minute, after"] = "the same hosts, a minute later"
        get = median("cpu", "get", 0, "fifty")
        set = median("cpu", "real", 0, "fifty")
        for (i = 1; i <= rows; i++) {
                split(order[i], part, SUBSEP)
                if (part[3] == "idle") {
                        pinging = part[2]
                        ping = median("share", part[1], pinging, "idle") / median("wrote", part[1], pinging, "idle") * 1e6
                }
        }
        fit()
        listened()
        costs()
        model()
        instead()
}
