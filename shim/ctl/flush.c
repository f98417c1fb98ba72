/* flush.c - `mtshim flush`: takes things out of L1, never out of Redis. */
#include "ctl.h"

#include <err.h>
#include <getopt.h>
#include <stdio.h>

struct flush_order {
        const char *key, *pattern, *segment;
        unsigned choices; /* of --key, --pattern and --all: one is wanted, and with neither of the first it is --all */
};

static unsigned flush_key(struct l1 *l1, const char *key)
{
        unsigned cleared = 0;

        for (uint32_t i = 0; i < SERVER_MAX; i++)
                if (l1_server_at(l1, i))
                        cleared += l1_remove(l1, l1_hash(l1, i, mt_bytes_of(key)));
        return cleared;
}

static uint64_t flush_all(struct l1 *l1)
{
        struct l1_totals totals;

        l1_totals(l1, true, &totals);
        l1_flush_all(l1);
        return totals.items;
}

static int flush_perform(const struct flush_order *order)
{
        static struct options options;
        uint64_t              cleared;

        ctl_options(&options);
        struct l1 *l1 = ctl_open(&options, order->segment, true);

        if (!l1) {
                warnx("%s: nothing to flush", ctl_no_segment(&options, order->segment));
                return CTL_FAILED;
        }
        if (order->key)
                cleared = flush_key(l1, order->key);
        else if (order->pattern)
                cleared = l1_remove_pattern(l1, mt_bytes_of(order->pattern));
        else
                cleared = flush_all(l1);
        printf("%llu removed\n", (unsigned long long)cleared);
        return CTL_OK;
}

int flush_command(int argc, char **argv)
{
        static const struct option long_options[] = {
                {"key", required_argument, NULL, 'k'}, {"pattern", required_argument, NULL, 'p'},
                {"all", no_argument, NULL, 'a'},       {"segment", required_argument, NULL, 's'},
                {"help", no_argument, NULL, 'h'},      {0},
        };
        struct flush_order order = {0};
        int                c;

        while ((c = getopt_long(argc, argv, "k:p:as:h", long_options, NULL)) != -1) {
                switch (c) {
                case 'k': order.key = optarg; break;
                case 'p': order.pattern = optarg; break;
                case 'a': break;
                case 's': order.segment = optarg; continue;
                case 'h': return ctl_help(argv[0]);
                default: return ctl_usage(argv[0]);
                }
                order.choices++;
        }
        if (order.choices != 1 || optind < argc)
                return ctl_usage(argv[0]);
        return flush_perform(&order);
}
