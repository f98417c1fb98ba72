/* model.c - the slot protocol, all of it: every order in which the steps of a few processes can follow each other.
 *
 *   model [--break NAME] [--trace] [--deep]
 *
 * The rules that the code keeps are kept in steps.c, and each can be broken by name; then the walk must find a lie.
 * Without --break, all of it: no rule broken finds nothing, each broken one finds something.
 *
 * Rule wrap asks how many laps a reader may sleep between its two loads of a slot. Its generations have two bits: three
 * laps of the same log segment are without a lie, after the fourth the same word can stand in the same slot and mean
 * another item. The code's have sixteen (32 GiB) to 31 (2 MiB), 25 for the usual 64 MiB: it takes a multiple of 2^25
 * laps there, and then the same key at the same offset. At any size that is 70 TB of fills (l1/cache/slot.h): an hour
 * at the pace of memory, with no Redis behind it, and eight days at 100 MB/s. Nobody who runs sleeps for that long. One
 * who was stopped in the middle of a copy may, and would have to go on in that very lap. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
        const char *name, *says;
} rules[RULES] = {
        [NONE] = {"none", "the protocol as it is"},
        [RECHECK] = {"recheck", "a reader does not look at the slot again after the copy"},
        [TOKEN] = {"token", "a token is used twice"},
        [EXCHANGE] = {"exchange", "removal clears by compare-and-swap of what it had loaded"},
        [ORDER] = {"order", "fresh_at is renewed before the namespace has its new id"},
        [GENERATION] = {"generation", "a slot's word does not tell the generation"},
        [OWNER] = {"owner", "a log segment is taken from one that only stands still"},
        [PROMOTE] = {"promote", "promotion stores the slot instead of comparing it"},
        [CLEAR] = {"clear", "a reclaimer leaves slots to what it does not keep"},
        [HALF] = {"half", "what a dead reclaimer began is taken for done"},
        [PUBLISH] = {"publish", "[B] a slot is seen before all of its item is"},
        [FENCE] = {"fence", "[R1] a reader's copy is still going on when it looks at the slot again"},
        [LATE] = {"late", "[R2] a cleared slot is seen to be so after bytes that were written later"},
        [WRAP] = {"wrap", "a generation of two bits comes round while a reader sleeps"},
        [REFRESH] = {"refresh", "a value is fetched anew in the place of a word that was seen after GET, not before"},
        [REFRESH_LAP] = {"refresh-lap", "who fetches a value anew does not compare the generation of the word"},
};

enum rule    broken;
struct scope scope;

/* Each scope is small in some directions so that it can be large in others. */
static const struct scope scopes[] = {
        {"fill against fill and removal", .writes = 2, .leases = 2, .deaths = 1},
        {"reclaim and death", .writes = 1, .leases = 2, .reclaims = 2, .deaths = 1},
        {"three fills in two places", .writes = 1, .leases = 3, .reclaims = 1},
        {"loss of the listener", .writes = 2, .leases = 1, .reclaims = 1, .losses = 1},
        {"a little of everything", .writes = 1, .leases = 2, .reclaims = 1, .losses = 1},
        {"two items in a log segment", .writes = 1, .leases = 2, .reclaims = 1, .deaths = 1, .items = 2},
        {"two reclaimers and a death", .writes = 1, .leases = 2, .reclaims = 2, .deaths = 1, .reclaimers = 2},
        {"three laps", .writes = 1, .leases = 2, .reclaims = 3, .empty_laps = true},
        {"four laps", .writes = 1, .leases = 2, .reclaims = 4, .empty_laps = true},
        {"two refreshes", .writes = 1, .leases = 3, .items = 2, .refreshes = true},
        {"three fills, a refresh and a lap", .writes = 1, .leases = 3, .reclaims = 1, .refreshes = true},
        {"one refresh and a death", .writes = 2, .leases = 2, .deaths = 1, .refreshes = true},
        {"a refresh and reclaims", .writes = 1, .leases = 2, .reclaims = 2, .refreshes = true},
        {"a refresh and a loss", .writes = 1, .leases = 2, .losses = 1, .refreshes = true},
        {"three fills and a death", .writes = 2, .leases = 3, .deaths = 1, .deep = true},
        {"three fills, two reclaims", .writes = 1, .leases = 3, .reclaims = 2, .deep = true},
        {"two reclaimers, three reclaims", .writes = 1, .leases = 2, .reclaims = 3, .reclaimers = 2, .deep = true},
        {"three fills, two items", .writes = 1, .leases = 3, .reclaims = 1, .items = 2, .deep = true},
        {"two laps and a refresh", .writes = 1, .leases = 3, .reclaims = 2, .empty_laps = true, .refreshes = true,
         .deep = true},
        {"everything", .writes = 1, .leases = 2, .reclaims = 1, .deaths = 1, .losses = 1, .deep = true},
};

static bool is_walked(const struct scope *s, enum rule rule, bool deep)
{
        switch (rule) {
        case WRAP: return s->empty_laps && !s->refreshes && (deep || !s->deep);
        case REFRESH:
        case REFRESH_LAP: return s->refreshes && (deep || !s->deep);
        default: return deep || !s->deep;
        }
}

static bool run_rule(enum rule rule, bool trace, bool deep)
{
        uint64_t    states = 0, count;
        const char *found = NULL;

        broken = rule;
        for (size_t i = 0; i < sizeof scopes / sizeof scopes[0] && found == NULL; i++) {
                if (!is_walked(&scopes[i], rule, deep))
                        continue;
                scope = scopes[i];
                found = walk(trace, &count);
                states += count;
                if (rule == NONE || rule == WRAP || found != NULL)
                        printf("%-10s  %-30s  %9llu states  %s\n", rules[rule].name, scope.name,
                               (unsigned long long)count, found != NULL ? found : "no lie");
                fflush(stdout);
        }
        if (rule != NONE && found == NULL)
                printf("%-10s  %llu states and no lie found: %s\n", rules[rule].name, (unsigned long long)states,
                       rules[rule].says);
        return (rule == NONE) == (found == NULL);
}

int main(int argc, char **argv)
{
        bool     trace = false, deep = false;
        unsigned passed = 0, failed = 0, first = 0, last = RULES - 1;

        for (int i = 1; i < argc; i++) {
                bool known = strcmp(argv[i], "--trace") == 0 || strcmp(argv[i], "--deep") == 0;

                trace |= strcmp(argv[i], "--trace") == 0;
                deep |= strcmp(argv[i], "--deep") == 0;
                for (unsigned r = 0; r < RULES && i + 1 < argc && strcmp(argv[i], "--break") == 0; r++) {
                        if (strcmp(argv[i + 1], rules[r].name) != 0)
                                continue;
                        first = last = r;
                        known = true;
                }
                if (!known) {
                        fprintf(stderr, "usage: model [--deep] [--trace] [--break recheck|token|exchange|...]\n");
                        return 2;
                }
                i += strcmp(argv[i], "--break") == 0;
        }
        for (unsigned r = first; r <= last; r++) {
                bool good = run_rule((enum rule)r, trace, deep);

                passed += good;
                failed += !good;
        }
        printf("%u passed, %u failed\n", passed, failed);
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
