/* same.c - states that differ in names alone, or in bytes that nobody can reach, are one state: a few times fewer.
 *
 * Each of these maps a state to one from which the same can happen, so that the walk loses nothing. */
#include "model.h"

#include <string.h>

/* ---------------------------------------------------------------------------------------------------------- names */

static void swap(void *a, void *b, size_t n)
{
        unsigned char room[64];

        memcpy(room, a, n);
        memcpy(a, b, n);
        memcpy(b, room, n);
}

/* Two owners change names. */
static void rename_owners(struct state *s, unsigned first)
{
        for (unsigned i = 0; i < SEGS; i++) {
                if (s->seg[i].owner == first || s->seg[i].owner == first + 1)
                        s->seg[i].owner = (uint8_t)(2 * first + 1 - s->seg[i].owner);
        }
}

static void sort_processes(struct state *s)
{
        if (memcmp(&s->filler[0], &s->filler[1], sizeof s->filler[0]) > 0) {
                swap(&s->filler[0], &s->filler[1], sizeof s->filler[0]);
                rename_owners(s, FILLER);
        }
        if (scope.reclaimers > 1 && memcmp(&s->reclaimer[0], &s->reclaimer[1], sizeof s->reclaimer[0]) > 0) {
                swap(&s->reclaimer[0], &s->reclaimer[1], sizeof s->reclaimer[0]);
                rename_owners(s, RECLAIMER);
        }
}

static void turn_word(uint8_t *word)
{
        if (IS_LIVE(*word))
                *word ^= 1 << LIVE_SEG_BIT;
}

static void sort_segs(struct state *s)
{
        if (memcmp(&s->seg[0], &s->seg[1], sizeof s->seg[0]) <= 0)
                return;
        swap(&s->seg[0], &s->seg[1], sizeof s->seg[0]);
        for (unsigned i = 0; i < SLOTS; i++)
                turn_word(&s->slot[i]);
        turn_word(&s->l_word);
        turn_word(&s->r_word);
        turn_word(&s->late_word);
        for (unsigned i = 0; i < FILLERS; i++) {
                s->filler[i].seg ^= s->filler[i].at > 3;
                turn_word(&s->filler[i].lease);
        }
        for (unsigned i = 0; i < RECLAIMERS; i++) {
                struct reclaimer *c = &s->reclaimer[i];

                turn_word(&c->word);
                c->seg ^= c->at != 0;
        }
}

/* ---------------------------------------------------------------------------------------------------------- bytes */

static bool points_at(uint8_t word, unsigned seg, unsigned item)
{
        return IS_LIVE(word) && LIVE_SEG(word) == seg && LIVE_ITEM(word) == item;
}

/* By a slot, by one who has read that slot, or by the one who writes it. */
static bool is_reached(const struct state *s, unsigned seg, unsigned item)
{
        bool reached = s->seg[seg].owner != NOBODY && s->seg[seg].owner != DEAD;

        for (unsigned i = 0; i < SLOTS; i++)
                reached |= points_at(s->slot[i], seg, item);
        for (unsigned i = 0; i < RECLAIMERS; i++)
                reached |= points_at(s->reclaimer[i].word, seg, item);
        return reached || points_at(s->r_word, seg, item);
}

void same_settle(struct state *s)
{
        for (unsigned seg = 0; seg < SEGS; seg++) {
                for (unsigned item = 0; item < ITEMS; item++) {
                        if (!is_reached(s, seg, item))
                                s->seg[seg].item[item] = (struct item){0};
                }
        }
        sort_processes(s);
        sort_segs(s);
}
