/* stream_entries.h - from a reply to whoever takes entries. */
#ifndef MT_REDIS_STREAM_ENTRIES_H
#define MT_REDIS_STREAM_ENTRIES_H

#include "store.h"

/* Who gets entries, and what became of them. */
struct stream_taker {
        mt_entry_f *f;
        void       *arg;
        size_t      handed;
        bool        enough; /* f wants no more */
        bool        torn;   /* the server sent something else */
};

/* What XREAD and XREADGROUP say of the one stream that was asked for. NULL: no entries. */
const void *stream_entries(const struct exchange *x, const void *reply);
/* An array of [id, [name, value, ...]]; gone: told of each that has no fields any more (NULL: there are none such). */
void stream_hand(const struct exchange *x, const void *entries, struct stream_taker *t,
                 void (*gone)(void *arg, struct mt_bytes id), void *arg);
/* The id of the last entry of an array that has some; as it is if that is no entry. */
void stream_last(const struct exchange *x, const void *entries, char id[STORE_ID_MAX]);

#endif
