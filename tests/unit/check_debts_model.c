/* check_debts_model.c - every interleaving of the steps of debt.h, with one store, one key and one removal of it,
 * beside a debt that somebody else has left: is a value ever given out by a look-up that began after a removal of it
 * had been acknowledged, or its process had died? And each rule that is left out must be missed.
 *
 *   remover  begin | the store does it, or fails | done: word away; lost: debt, word away | acknowledged; the caller
 *            may stop waiting before; dies anywhere
 *   burier   a word of the dead: debt | word away; dies in between
 *   flusher  paid | debt | the store flushes, or fails | paid by compare-and-swap
 *   writer   mark | set, if the mark holds
 *   reader   words, one after the other | debt | paid | the store
 *
 * A value knows which removals had begun when its mark was taken: all others make it void. Accesses are sequentially
 * consistent here; what debt.h says of acquire and release keeps them in this order. */
#include <check.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REMOVERS = 1, FLUSHERS = 2, FLUSHES = 2, READS = 1, WRITES = 1, BURIALS = 2 };
enum rule {
        RULE_NONE,
        RULE_LOST_ORDER, /* the debt stands before the word goes */
        RULE_BURY,       /* a word of the dead becomes a debt */
        RULE_BURY_ORDER, /* ... before it goes */
        RULE_PAY,        /* what is paid is what was read before the flush */
        RULE_FAILED,     /* a flush that failed pays nothing */
        RULE_WORDS,      /* a reader looks at the words */
        RULE_DEBTS,      /* ... and at the debt */
        RULE_READ_ORDER, /* ... at the words before the debt */
        RULE_BEFORE,     /* ... and before it asks the store */
        RULE_DONE,       /* a word goes when the store has done it */
        RULE_BEGIN,      /* a removal is noted before it is begun */
        RULE_MARK,       /* a writer sets if its mark holds */
        RULE_COUNT
};

struct state {
        uint8_t has, before;    /* the store's: a value, and the removals that had begun at its mark */
        uint8_t word[REMOVERS]; /* of remover i: 1 it stands */
        uint8_t debt, paid;
        uint8_t begun, gone; /* removals that have begun; that are acknowledged, or whose process is dead */
        uint8_t remover[REMOVERS], dead;
        uint8_t burier, buries, burials;
        struct {
                uint8_t at, paid, debt, failed;
        } flusher[FLUSHERS];
        uint8_t flushes;
        uint8_t writer, mark_holds, mark_begun, writes;
        uint8_t reader, closed, saw_debt, gone_then, got, reads;
};

static enum rule without;
static bool      wrong;

/* ------------------------------------------------------------------------------------------------ states seen */

enum { TABLE_BITS = 20 };
static struct state *table;
static bool         *taken;
static struct state *stack;
static size_t        depth, states;

static void reach(const struct state *s)
{
        uint64_t       hash = UINT64_C(0xcbf29ce484222325);
        const uint8_t *byte = (const uint8_t *)s;
        size_t         at;

        for (size_t i = 0; i < sizeof *s; i++)
                hash = (hash ^ byte[i]) * UINT64_C(0x100000001b3);
        hash ^= hash >> 32;
        for (at = hash & ((1u << TABLE_BITS) - 1); taken[at]; at = (at + 1) & ((1u << TABLE_BITS) - 1))
                if (memcmp(&table[at], s, sizeof *s) == 0)
                        return;
        taken[at] = true;
        table[at] = *s;
        stack[depth++] = *s;
        ck_assert_uint_lt(++states, (1u << TABLE_BITS) / 4 * 3);
}

/* ----------------------------------------------------------------------------------------------------------- steps */

static void forget(struct state *s)
{
        s->has = s->mark_holds = 0;
}

enum { BEGIN, DO, DONE, LOST_DEBT, LOST_WORD, ENDED };

static void remover_ends(struct state *s, int i)
{
        s->remover[i] = ENDED;
        s->gone |= (uint8_t)(1 << i);
}

static void step_remover(const struct state *from, int i)
{
        struct state s = *from;
        bool         order = without != RULE_LOST_ORDER;

        if (s.dead & 1 << i || s.remover[i] == ENDED)
                return;
        if (s.remover[i] != BEGIN) {
                s.dead |= (uint8_t)(1 << i); /* it dies here */
                s.gone |= (uint8_t)(1 << i);
                reach(&s);
                s = *from;
                s.gone |= (uint8_t)(1 << i); /* its caller waits no longer */
                if (s.word[i])
                        reach(&s);
                s = *from;
        }
        switch (s.remover[i]) {
        case BEGIN:
                s.word[i] = without != RULE_BEGIN;
                s.begun |= (uint8_t)(1 << i);
                s.remover[i] = DO;
                break;
        case DO:
                s.remover[i] = LOST_DEBT; /* the store fails */
                reach(&s);
                s = *from;
                if (without == RULE_DONE && s.word[i]) {
                        s.word[i] = 0;
                        break;
                }
                forget(&s);
                s.remover[i] = DONE;
                break;
        case DONE:
                s.word[i] = 0;
                remover_ends(&s, i);
                break;
        case LOST_DEBT:
                if (order)
                        s.debt++;
                else
                        s.word[i] = 0;
                s.remover[i] = LOST_WORD;
                break;
        case LOST_WORD:
                if (order)
                        s.word[i] = 0;
                else
                        s.debt++;
                remover_ends(&s, i);
                break;
        default: return;
        }
        reach(&s);
}

static void step_burier(const struct state *from)
{
        struct state s = *from;
        bool         order = without != RULE_BURY_ORDER;

        if (s.burier == 0) {
                for (int i = 0; i < REMOVERS; i++) {
                        if (!(s.dead & 1 << i) || !s.word[i] || s.burials == BURIALS)
                                continue;
                        s = *from;
                        s.burials++;
                        s.buries = (uint8_t)i;
                        s.burier = 1;
                        if (!order)
                                s.word[i] = 0;
                        else if (without != RULE_BURY)
                                s.debt++;
                        reach(&s);
                        s = *from;
                }
                return;
        }
        s.burier = s.buries = 0; /* it dies, and another one begins anew */
        reach(&s);
        if (order)
                s.word[from->buries] = 0;
        else
                s.debt++;
        reach(&s);
}

static void step_flusher(const struct state *from, int i)
{
        struct state s = *from;

        switch (s.flusher[i].at) {
        case 0:
                if (s.flushes == FLUSHES || s.paid >= s.debt)
                        return;
                s.flushes++;
                s.flusher[i].paid = s.paid;
                s.flusher[i].at = 1;
                break;
        case 1:
                s.flusher[i].debt = s.debt;
                s.flusher[i].at = 2;
                break;
        case 2:
                s.flusher[i].at = without == RULE_FAILED ? 3 : 0;
                s.flusher[i].paid = without == RULE_FAILED ? s.flusher[i].paid : 0;
                s.flusher[i].debt = without == RULE_FAILED ? s.flusher[i].debt : 0;
                reach(&s);
                s = *from;
                forget(&s);
                s.flusher[i].at = 3;
                break;
        default:
                if (without == RULE_PAY)
                        s.flusher[i].debt = s.debt;
                if (s.paid == s.flusher[i].paid)
                        s.paid = s.flusher[i].debt;
                s.flusher[i].at = s.flusher[i].paid = s.flusher[i].debt = 0;
        }
        reach(&s);
}

static void step_writer(const struct state *from)
{
        struct state s = *from;

        if (s.writer == 0) {
                if (s.writes == WRITES)
                        return;
                s.writes++;
                s.mark_holds = 1;
                s.mark_begun = s.begun;
                s.writer = 1;
        } else {
                if (s.mark_holds || without == RULE_MARK) {
                        s.has = 1;
                        s.before = s.mark_begun;
                }
                s.writer = s.mark_holds = s.mark_begun = 0;
        }
        reach(&s);
}

static void reader_gets(struct state *s)
{
        s->got = s->has;
        if (s->has && !s->closed && (s->gone_then & ~s->before) != 0 && without != RULE_BEFORE)
                wrong = true;
        if (s->has && without == RULE_BEFORE)
                s->got = (uint8_t)(1 + (s->gone_then & ~s->before)); /* to be judged when it has looked */
}

/* What is looked at in which order; the store is asked last. */
enum look { LOOK_WORD, LOOK_DEBT, LOOK_PAID, LOOK_STORE, LOOKS };
static const enum look reader_order[][LOOKS] = {
        {LOOK_WORD, LOOK_DEBT, LOOK_PAID, LOOK_STORE},
        {LOOK_DEBT, LOOK_PAID, LOOK_WORD, LOOK_STORE}, /* without RULE_READ_ORDER */
        {LOOK_STORE, LOOK_WORD, LOOK_DEBT, LOOK_PAID}, /* without RULE_BEFORE */
};

static void step_reader(const struct state *from)
{
        struct state s = *from;
        int          order = without == RULE_READ_ORDER ? 1 : without == RULE_BEFORE ? 2 : 0;

        if (s.reader == 0) {
                if (s.reads == READS)
                        return;
                s.reads++;
                s.gone_then = s.gone;
        }
        switch (reader_order[order][s.reader]) {
        case LOOK_WORD: s.closed |= s.word[0] && without != RULE_WORDS; break;
        case LOOK_DEBT: s.saw_debt = s.debt; break;
        case LOOK_PAID: s.closed |= s.paid < s.saw_debt && without != RULE_DEBTS; break;
        default: reader_gets(&s);
        }
        if (++s.reader == LOOKS) {
                if (without == RULE_BEFORE && !s.closed && s.got > 1)
                        wrong = true;
                s.reader = s.closed = s.saw_debt = s.gone_then = s.got = 0;
        }
        reach(&s);
}

static void walk(void)
{
        struct state s = {.has = 1, .debt = 1};

        wrong = false;
        depth = states = 0;
        memset(taken, 0, sizeof *taken << TABLE_BITS);
        reach(&s);
        while (depth > 0 && !wrong) {
                s = stack[--depth];
                if (s.closed || (s.reads == READS && s.reader == 0))
                        continue; /* nothing that is given out is to come */
                for (int i = 0; i < REMOVERS; i++)
                        step_remover(&s, i);
                step_burier(&s);
                for (int i = 0; i < FLUSHERS; i++)
                        step_flusher(&s, i);
                step_writer(&s);
                step_reader(&s);
        }
}

static void model_begin(void)
{
        table = malloc(sizeof *table << TABLE_BITS);
        taken = malloc(sizeof *taken << TABLE_BITS);
        stack = malloc(sizeof *stack << TABLE_BITS);
        ck_assert(table != NULL && taken != NULL && stack != NULL);
}

static void model_end(void)
{
        free(table);
        free(taken);
        free(stack);
}

START_TEST(every_interleaving)
{
        without = RULE_NONE;
        walk();
        ck_assert(!wrong);
        printf("%zu states\n", states);
        ck_assert_uint_gt(states, 100000);
}
END_TEST

START_TEST(each_rule_is_missed)
{
        without = (enum rule)_i;
        walk();
        ck_assert(wrong);
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("debts, every interleaving");
        TCase   *model = tcase_create("model");
        SRunner *runner;
        int      failed;

        tcase_set_timeout(model, 60);
        tcase_add_checked_fixture(model, model_begin, model_end);
        tcase_add_test(model, every_interleaving);
        tcase_add_loop_test(model, each_rule_is_missed, RULE_NONE + 1, RULE_COUNT);
        suite_add_tcase(suite, model);
        runner = srunner_create(suite);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
