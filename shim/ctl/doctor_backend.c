/* doctor_backend.c - a store, one's own or another's, put through what every store must pass. */
#include "doctor.h"

#include "../../l1/tier/conform.h"
#include "../redis/backend_redis.h"

#include <stdio.h>
#include <string.h>

static void backend_report(void *arg, const char *check, enum conform_verdict verdict, const char *seen)
{
        struct doctor *d = arg;

        switch (verdict) {
        case CONFORM_PASSED: doctor_row(d, DOCTOR_OK, check, NULL, "%s", ctl_printable(seen)); break;
        case CONFORM_SKIPPED: doctor_row(d, DOCTOR_SKIP, check, NULL, "%s", ctl_printable(seen)); break;
        case CONFORM_FAILED:
                doctor_row(d, DOCTOR_FAIL, check, "mtshim/backend.h says what is asked of it", "%s",
                           ctl_printable(seen));
                break;
        }
}

void doctor_backend(struct doctor *d, const char *spec, bool quick)
{
        struct plugin_places places = {.built_in = backends_built_in};
        struct conform_count count;
        char                 why[MT_BACKEND_WHY_MAX], *slash;

        tiers_register(&backend_redis);
        if (ctl_library(d->library) && (slash = strrchr(d->library, '/')) != NULL) {
                *slash = '\0'; /* our own plugins lie beside it */
                places.folder = d->library;
        }
        if (conform_run_spec(mt_bytes_of(spec), &places, quick, backend_report, d, &count, why))
                printf("%u passed, %u failed, %u skipped\n", count.passed, count.failed, count.skipped);
        else
                doctor_row(d, DOCTOR_FAIL, "backend", "kind:address?name=value, or plugin:/path.so?name=value", "%s",
                           ctl_printable(why));
}
