/* worker.c - what each process of the torture does.
 *
 * A "server" outside the segment holds a number for each key, which only goes up. Writers raise it, then do what
 * invalidation does: clear the key in L1, and only then say which number has been applied. Fillers do what a miss does:
 * lease, ask the server, fill. Readers note what has been applied before they look. */
#include "torture.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define WORKER_UNTIL_MIN 3000u /* operations between two surprises */
#define WORKER_UNTIL     60000u

/* This process lets go of the segment, or has: what its threads clear from here on may be nobody's any more. */
static _Atomic bool letting_go;

/* ----------------------------------------------------------------------------------------------------------- begin */

void worker_rooms(struct worker *w)
{
        size_t size = torture_item_max() + 4 * TORTURE_PAGE;
        char  *room = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

        if (room == MAP_FAILED)
                abort();
        w->value = room;
        w->copy = room + (size + TORTURE_PAGE - 1) / TORTURE_PAGE * TORTURE_PAGE;
}

bool worker_begin(struct worker *w, struct l1 *l1, struct round round, struct seat *seat, uint64_t seed)
{
        uint64_t user[2];

        if (w->value == NULL)
                worker_rooms(w);
        w->l1 = l1;
        w->round = round;
        w->book = &world->book[round.geometry];
        w->seat = seat;
        w->seed = seed | 1;
        w->until_surprise = WORKER_UNTIL_MIN + below(&w->seed, WORKER_UNTIL);
        l1_user_digest(l1, NULL, 0, user);
        for (unsigned s = 0; s < SERVERS; s++) {
                struct l1_server_id id = {.family = 1, .id = {1, s, 0}};

                w->server[s] = l1_server(l1, &id);
                if (w->server[s] == NULL)
                        return false; /* somebody was stopped while changing the table: another time */
                w->incarnation[s] = mt_load_relaxed(&w->server[s]->incarnation);
                for (uint32_t d = 0; d < DATABASES; d++) {
                        w->ns[s][d] = l1_namespace(l1, w->server[s], d, user);
                        if (w->ns[s][d] == NULL)
                                return false;
                }
        }
        count(w, ATTACHES);
        return true;
}

struct l1_key worker_key(const struct worker *w)
{
        struct mt_bytes bytes = value_key(w->key);

        return (struct l1_key){bytes, l1_hash(w->l1, l1_server_index(w->l1, w->server[w->s]), bytes)};
}

/* ------------------------------------------------------------------------------------------------------------- get */

bool worker_fill(struct worker *w, const struct l1_key *wanted, struct l1_lease *lease)
{
        uint64_t        deadline_ns;
        struct mt_bytes value = value_answer(w, &deadline_ns);
        bool            filled = false;

        if (below(&w->seed, 64) == 0) /* the answer takes a while */
                sched_yield();
        if (below(&w->seed, 64) == 0) {
                l1_release(w->l1, lease);
        } else {
                filled = l1_fill(w->l1, wanted, lease, value, deadline_ns);
                count(w, filled ? FILLS : REFUSED);
        }
        if (w->trap_place == IN_APPEND)
                surprise_clear(w); /* it never came to the copying */
        return filled;
}

/* Has anybody drawn it before in this segment? What stands here came from one of those that fall here. A segment that
 * another thread lets go meanwhile is private zeros, where tokens begin anew. */
static void note_token(const struct worker *w, uint64_t pending)
{
        uint64_t token = pending & ((UINT64_C(1) << 48) - 1);
        uint64_t note = (uint64_t)(w->round.geometry + 1) << 48 | token;

        if (!atomic_load(&letting_go) && mt_exchange_acq_rel(&world->token[token % TOKENS], note) == note)
                count(w, TWICE);
}

static void miss(struct worker *w, const struct l1_key *wanted, uint32_t id)
{
        struct l1_lease lease;

        count(w, MISSES);
        w->filling = true;
        if (l1_lease(w->l1, wanted, id, clock_coarse_ns(), &lease)) {
                note_token(w, lease.pending);
                if (surprise_is(w, STOP_LEASED))
                        surprise_pause(w, LEASED);
                if (surprise_is(w, FORK_LEASED))
                        surprise_fork(w, wanted, &lease);
                else
                        worker_fill(w, wanted, &lease);
        }
        w->filling = false;
}

static void hit(struct worker *w, const struct l1_hit *found)
{
        char *to = w->copy, *page = NULL;

        if (surprise_is(w, STOP_AT_ACCESS))
                surprise_trap_segment(w, found->value);
        if (surprise_is(w, STOP_BEFORE_COPY))
                surprise_pause(w, BEFORE_COPY);
        if (found->len > 1 && surprise_is(w, STOP_IN_COPY)) {
                to = surprise_middle(w->copy, found->len, &page);
                surprise_trap(w, page, IN_COPY);
        }
        if (l1_copy(found, to))
                value_judge(w, found, to);
        else
                count(w, GONE);
        if (w->trap_place == IN_COPY)
                surprise_clear(w);
}

static void get(struct worker *w)
{
        struct l1_key wanted = worker_key(w);
        uint32_t      id;
        struct l1_hit found;

        w->applied = mt_load_acquire(&w->book->applied[w->s][w->key]);
        w->flushed = mt_load_acquire(&w->book->flush_applied[w->s][w->d]);
        w->asked_ns = clock_precise_ns();
        id = l1_namespace_id(w->server[w->s], w->incarnation[w->s], w->ns[w->s][w->d]);
        if (w->fills_only == 0 && l1_find(w->l1, &wanted, id, clock_coarse_ns(), &found))
                hit(w, &found);
        else
                miss(w, &wanted, id);
        w->fills_only -= w->fills_only > 0;
}

/* --------------------------------------------------------------------------------------------------- invalidation */

static void raise_to(_Atomic uint64_t *word, uint64_t v)
{
        uint64_t now = mt_load_relaxed(word);

        while (now < v && !mt_cas_acq_rel(word, &now, v))
                ;
}

static void write_key(struct worker *w, bool by_pattern)
{
        uint64_t number = mt_fetch_add_acq_rel(&w->book->truth[w->s][w->key], 1) + 1;

        if (by_pattern) /* no letter of our keys means more than itself */
                l1_remove_pattern(w->l1, value_key(w->key));
        else
                l1_remove(w->l1, worker_key(w).hash);
        if (!atomic_load(&letting_go))
                raise_to(&w->book->applied[w->s][w->key], number);
        count(w, WRITES);
}

static void flush(struct worker *w)
{
        uint64_t number[DATABASES], d = below(&w->seed, DATABASES + 1);

        for (uint64_t i = 0; i < DATABASES; i++)
                number[i] = mt_fetch_add_acq_rel(&w->book->flush_truth[w->s][i], 1) + 1;
        if (d == DATABASES)
                l1_flush_server(w->l1, w->server[w->s]);
        else
                l1_flush_database(w->l1, w->server[w->s], (uint32_t)d);
        for (uint64_t i = 0; i < DATABASES; i++) {
                if ((d == DATABASES || d == i) && !atomic_load(&letting_go))
                        raise_to(&w->book->flush_applied[w->s][i], number[i]);
        }
        count(w, FLUSHES);
}

/* ------------------------------------------------------------------------------------------------------------ work */

static void choose_key(struct worker *w)
{
        uint32_t hot = w->round.profile->hot;
        bool     cold = w->fills_only > 0 || below(&w->seed, 1000) < w->round.profile->cold;

        w->s = below(&w->seed, SERVERS);
        w->d = below(&w->seed, DATABASES);
        w->key = cold ? hot + below(&w->seed, KEYS - hot) : below(&w->seed, below(&w->seed, hot) + 1);
}

static void surprise_next(struct worker *w)
{
        w->surprise = w->calm ? SURPRISE_NONE : 1 + (unsigned)below(&w->seed, SURPRISES - 1);
        w->until_surprise = WORKER_UNTIL_MIN + below(&w->seed, WORKER_UNTIL);
}

void worker_work(struct worker *w, uint64_t operations)
{
        for (uint64_t i = 0; i < operations && !mt_load_relaxed(&world->stop); i++) {
                uint64_t roll = below(&w->seed, 1000);

                if (--w->until_surprise == 0)
                        surprise_next(w);
                choose_key(w);
                if (w->fills_only == 0 && roll < w->round.profile->writes)
                        write_key(w, roll == 0 && below(&w->seed, 64) == 0);
                else if (roll == 999 && below(&w->seed, 4) == 0)
                        flush(w);
                else
                        get(w);
        }
}

/* ------------------------------------------------------------------------------------------------------------ life */

/* A tidy end, none at all, or as one that must not touch the segment any more: then there is nothing to be found. */
static void leave(struct worker *w)
{
        switch (below(&w->seed, 4)) {
        case 0: break;
        case 1:
                atomic_store(&letting_go, true);
                l1_abandon(w->l1);
                w->calm = w->let_go = true;
                w->surprise = SURPRISE_NONE;
                surprise_clear(w);
                worker_work(w, 100);
                break;
        default: l1_detach(w->l1); break;
        }
}

static void *second_thread(void *arg)
{
        worker_work(arg, UINT64_MAX);
        return NULL;
}

_Noreturn void worker_life(struct l1 *inherited, struct round round, struct seat *seat, uint64_t seed)
{
        static struct worker w, second;
        struct l1_config     config = torture_config(round.geometry);
        pthread_t            thread;
        bool                 two, brief;

        if (inherited != NULL)
                l1_after_fork(inherited);
        w.l1 = inherited != NULL ? inherited : l1_attach(&config);
        if (w.l1 == NULL)
                _exit(1);
        if (!worker_begin(&w, w.l1, round, seat, seed))
                _exit(0);
        brief = below(&w.seed, 4) == 0;
        two = !brief && below(&w.seed, 4) == 0;
        w.alone = !two;
        second = w;
        second.seed = draw(&w.seed) | 1;
        worker_rooms(&second);
        if (two)
                pthread_create(&thread, NULL, second_thread, &second);
        worker_work(&w, brief ? below(&w.seed, 500) : 1000 + below(&w.seed, 300000));
        leave(&w);
        if (two)
                usleep((useconds_t)below(&w.seed, 3000));
        _exit(0);
}
