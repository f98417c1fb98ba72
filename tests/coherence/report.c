/* report.c - what is printed about a round, and what must hold. */
#include "chaos.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { REPORT_FINDINGS = 20, REPORT_BEFORE_MS = 3000 };

void chaos_expect(struct chaos *c, bool good, const char *what, const char *format, ...)
{
        va_list ap;

        c->passed += good;
        c->failed += !good;
        printf("  %-4s %-58s ", good ? "ok" : "FAIL", what);
        va_start(ap, format);
        vprintf(format, ap);
        va_end(ap);
        putchar('\n');
}

/* ------------------------------------------------------------------------------------------------------- sums */

struct sums {
        uint64_t reads, nils, writes, refused, lost, errors, connects, step_backs, own_reads, forks, worst_ns;
        uint64_t ages[ORACLE_AGES], verdicts[VERDICTS];
};

static void sums_add(struct sums *s, const struct seat_thread *t)
{
        s->reads += t->reads;
        s->nils += t->nils;
        s->writes += t->writes;
        s->refused += t->refused;
        s->lost += t->lost;
        s->errors += t->errors;
        s->connects += t->connects;
        s->step_backs += t->step_backs;
        s->own_reads += t->own_reads;
        s->worst_ns = t->worst_ns > s->worst_ns ? t->worst_ns : s->worst_ns;
        for (unsigned i = 0; i < ORACLE_AGES; i++)
                s->ages[i] += t->ages[i];
        for (unsigned i = 0; i < VERDICTS; i++)
                s->verdicts[i] += t->verdicts[i];
}

static struct sums sums_of(const struct chaos *c, bool bare)
{
        struct sums s = {0};

        for (unsigned i = 0; i < SEATS_USED; i++) {
                const struct seat *seat = &c->oracle->seat[i];

                if ((seat->role >= SEAT_BARE) != bare)
                        continue;
                s.forks += seat->forks;
                for (unsigned t = 0; t < seat->threads; t++)
                        sums_add(&s, &seat->thread[t]);
        }
        return s;
}

static double ms_of(uint64_t ns)
{
        return (double)ns / 1e6;
}

#define N(x) ((unsigned long long)(x))

static void report_sums(const char *who, const struct sums *s)
{
        printf("  %-8s %llu reads (%llu nil, %llu of own keys), %llu writes, %llu refused, %llu unanswered, %llu "
               "errors, %llu "
               "connections, %llu forks\n",
               who, N(s->reads), N(s->nils), N(s->own_reads), N(s->writes), N(s->refused), N(s->lost), N(s->errors),
               N(s->connects), N(s->forks));
}

static void report_ages(const struct sums *s)
{
        printf("  ages     0: %llu", N(s->ages[0]));
        for (unsigned i = 1; i < ORACLE_AGES - 1; i++)
                printf(", <=%.0f ms: %llu", ms_of(oracle_age_ns[i]), N(s->ages[i]));
        printf(", more: %llu; oldest %.1f ms, %llu steps back\n", N(s->ages[ORACLE_AGES - 1]), ms_of(s->worst_ns),
               N(s->step_backs));
}

static void report_rows(const struct chaos *c)
{
        const struct recovery *r = plan_recovery(c->plan);

        printf("  %-16s %5s  %10s  %s\n", "injection", "times", "oldest ms", "ms until L1 serves again, at most");
        for (unsigned i = 0; i < injection_count; i++) {
                if (r[i].times != 0)
                        printf("  %-16s %5u  %10.1f  %.0f\n", injections[i].name, r[i].times,
                               ms_of(c->oracle->worst_ns[i]), ms_of(r[i].worst_ns));
        }
        printf("  %-16s        %10.1f\n", "(none)", ms_of(c->oracle->worst_ns[ORACLE_ROWS]));
}

/* ---------------------------------------------------------------------------------------------------- violations */

static void report_finding(const struct chaos *c, const struct finding *f)
{
        const struct key *key = &c->oracle->key[f->key];

        printf("VIOLATION %s: key chaos:%u of database %u, ", oracle_verdict_says[f->verdict], key->number,
               key->database);
        if (f->nil)
                printf("nil");
        else
                printf("sequence %llu", N(f->seq));
        printf(" of %llu, own %llu, age %.1f ms, at %.3f to %.3f s, seat %u thread %u pid %d%s, seed %llu, faults:",
               N(f->newest_seq), N(f->own_seq), ms_of(f->age_ns), (double)(f->begin_ns - c->begun_ns) / 1e9,
               (double)(f->end_ns - c->begun_ns) / 1e9, f->seat, f->thread, f->pid, f->bare ? " bare" : "", N(c->seed));
        for (unsigned i = 0; i < injection_count; i++) {
                if (f->faults >> i & 1)
                        printf(" %s", injections[i].name);
        }
        printf("; read '%s'\n", f->text);
}

static void report_findings(const struct chaos *c)
{
        const struct oracle *o = c->oracle;
        uint32_t             n = o->findings < ORACLE_FINDINGS ? o->findings : ORACLE_FINDINGS;

        for (uint32_t i = 0; i < n && i < REPORT_FINDINGS; i++)
                report_finding(c, &o->finding[i]);
        if (o->findings > REPORT_FINDINGS)
                printf("... and %u more\n", o->findings - REPORT_FINDINGS);
        if (n != 0) {
                printf("what was done before the first:\n");
                plan_print(c, o->finding[0].begin_ns - REPORT_BEFORE_MS * ORACLE_MS, o->finding[0].end_ns);
        }
}

/* ------------------------------------------------------------------------------------------------ what must hold */

static void expect_verdicts(struct chaos *c, const struct sums *shimmed, const struct sums *bare)
{
        uint64_t wrong = 0;

        for (unsigned v = VERDICT_GOOD + 1; v < VERDICTS; v++) {
                chaos_expect(c, shimmed->verdicts[v] == 0, oracle_verdict_says[v], "%llu of %llu reads",
                             N(shimmed->verdicts[v]), N(shimmed->reads));
                wrong += bare->verdicts[v];
        }
        chaos_expect(c, wrong == 0 && bare->reads > 0, "what Redis itself answers is never old: the oracle is right",
                     "%llu of %llu reads are not", N(wrong), N(bare->reads));
}

static double percent(uint64_t part, uint64_t whole)
{
        return whole != 0 ? 100.0 * (double)part / (double)whole : 100.0;
}

static void expect_service(struct chaos *c)
{
        struct calm            calm = gauge_calm_so_far(c->gauge);
        const struct recovery *r = plan_recovery(c->plan);
        uint64_t               judged = calm.current + calm.lapsed, worst_ns = 0;
        unsigned               times = 0, late = 0;

        for (unsigned i = 0; i < injection_count; i++) {
                times += r[i].times;
                late += r[i].late;
                worst_ns = r[i].worst_ns > worst_ns ? r[i].worst_ns : worst_ns;
        }
        chaos_expect(c, late == 0 && times > 0, "L1 serves again within the bound and 1 s",
                     "%u of %u do not, slowest %.0f ms", late, times, ms_of(worst_ns));
        chaos_expect(c, judged == 0 || calm.current * 1000 >= judged * 999,
                     "calm: the lease is current 99.9% of the time",
                     "%.2f%% of %.1f s (and %.1f s when the machine was too busy)", percent(calm.current, judged),
                     (double)judged / 1e3, (double)calm.excused / 1e3);
        chaos_expect(c, calm.gets == 0 || calm.hits * 100 >= calm.gets * 95, "calm: 95% of the GETs are hits",
                     "%.2f%% of %llu", percent(calm.hits, calm.gets), N(calm.gets));
}

void report_round(struct chaos *c, bool ended_well)
{
        struct sums shimmed = sums_of(c, false), bare = sums_of(c, true);

        report_findings(c);
        report_sums("shimmed", &shimmed);
        report_ages(&shimmed);
        report_sums("bare", &bare);
        report_rows(c);
        expect_verdicts(c, &shimmed, &bare);
        expect_service(c);
        chaos_expect(c, ended_well && c->odd_ends == 0, "no process ends by itself or hangs",
                     "%u did; %u killed, %u stopped by us", c->odd_ends, c->kills, c->stops);
}
