/* conform.h - does a store do what backend.h says? The same checks for every backend, plugins of others included:
 * behind `mtshim doctor --backend`, and in the tests of our own.
 *
 * Runs in the caller's thread, and in a few of its own where many at once are what is looked at. It stores, under a
 * prefix of its own behind config.prefix, what it removes again; real keys are not touched. Takes about two seconds
 * with a store in memory, for 1.3 of which it waits for a time to live to end, and up to 200 MB of memory, beside what
 * the store takes; the key of 512 MB is pages of zeros, and costs a store that refuses it nothing. A store of less than
 * 16 MB drops what a check still wants. Real time passes: no test may move the store's clock meanwhile. */
#ifndef MT_TIER_CONFORM_H
#define MT_TIER_CONFORM_H

#include "builtin.h"
#include "plugin.h"

enum conform_verdict {
        CONFORM_PASSED,
        CONFORM_FAILED,
        CONFORM_SKIPPED, /* the store cannot do that, and need not; or it was not asked for */
};

/* One line for each check, as soon as it has ended: its name, and what was seen (never empty). */
typedef void conform_report_f(void *arg, const char *check, enum conform_verdict verdict, const char *seen);

struct conform {
        const struct mt_backend *backend; /* sound, as plugin_check() has it */
        struct mt_backend_config config;  /* as a tier would open it; timeout_ms is taken at its word */
        bool                     quick;   /* without what takes long or much: the key of 512 MB, values beyond 4 MiB */
        const char              *only;    /* that check alone; NULL: all */
        const char              *without; /* all but that one; NULL: all */
        /* Stop the store itself (its server), and start it again, keeping or not what it held; true when it is done.
         * NULL: what needs them is skipped. */
        bool (*stop)(void *arg);
        bool (*start)(void *arg);
        conform_report_f *report;
        void             *arg; /* of stop, start and report */
};

struct conform_count {
        unsigned passed, failed, skipped;
};
struct conform_count conform_run(const struct conform *conform);

/* The same for a store as MTSHIM_TIERS would name it (spec.h), found where plugin.h says; built_in may be
 * backends_built_in, or a list of more. False: it could not be loaded, why says so, and nothing was reported. */
bool conform_run_spec(struct mt_bytes spec, const struct plugin_places *places, bool quick, conform_report_f *report,
                      void *arg, struct conform_count *count, char why[MT_BACKEND_WHY_MAX]);

#endif
