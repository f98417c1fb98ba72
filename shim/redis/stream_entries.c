/* stream_entries.c - whatever a server sends: what is no entry is no crash. */
#include "stream_entries.h"

#include <stdio.h>
#include <stdlib.h>

enum { ENTRIES_FIELDS_ON_STACK = 32 };

static bool entries_is_string(const void *reply)
{
        return abi_reply_type(reply) == ABI_REPLY_STRING || abi_reply_type(reply) == ABI_REPLY_STATUS;
}

static bool entries_hand_fields(const struct exchange *x, struct mt_bytes id, const void *list, struct stream_taker *t)
{
        struct mt_field  on_stack[ENTRIES_FIELDS_ON_STACK], *field = on_stack;
        size_t           n = abi_reply_elements(x->abi, list) / 2;
        struct mt_field *memory = NULL;
        bool             good = true;

        if (n > ENTRIES_FIELDS_ON_STACK) {
                field = memory = malloc(n * sizeof *field);
                if (memory == NULL)
                        return false;
        }
        for (size_t i = 0; good && i < n; i++) {
                const void *name = abi_reply_element(x->abi, list, 2 * i),
                           *value = abi_reply_element(x->abi, list, 2 * i + 1);

                good = entries_is_string(name) && entries_is_string(value);
                if (good)
                        field[i] = (struct mt_field){exchange_bytes(x, name), exchange_bytes(x, value)};
        }
        if (good) {
                t->handed++;
                t->enough = !t->f(t->arg, id, field, n);
        }
        free(memory);
        return good;
}

void stream_hand(const struct exchange *x, const void *entries, struct stream_taker *t,
                 void (*gone)(void *arg, struct mt_bytes id), void *arg)
{
        size_t n = abi_reply_elements(x->abi, entries);

        for (size_t i = 0; i < n && !t->enough && !t->torn; i++) {
                const void *entry = abi_reply_element(x->abi, entries, i), *id, *list;

                if (abi_reply_type(entry) != ABI_REPLY_ARRAY || abi_reply_elements(x->abi, entry) != 2 ||
                    !entries_is_string(id = abi_reply_element(x->abi, entry, 0))) {
                        t->torn = true;
                        break;
                }
                list = abi_reply_element(x->abi, entry, 1);
                if (abi_reply_type(list) == ABI_REPLY_NIL && gone != NULL)
                        gone(arg, exchange_bytes(x, id));
                else
                        t->torn = abi_reply_type(list) != ABI_REPLY_ARRAY ||
                                  !entries_hand_fields(x, exchange_bytes(x, id), list, t);
        }
}

const void *stream_entries(const struct exchange *x, const void *reply)
{
        const void *one;

        if (abi_reply_type(reply) != ABI_REPLY_ARRAY || abi_reply_elements(x->abi, reply) != 1)
                return NULL;
        one = abi_reply_element(x->abi, reply, 0);
        if (abi_reply_type(one) != ABI_REPLY_ARRAY || abi_reply_elements(x->abi, one) != 2)
                return NULL;
        one = abi_reply_element(x->abi, one, 1);
        return abi_reply_type(one) == ABI_REPLY_ARRAY ? one : NULL;
}

void stream_last(const struct exchange *x, const void *entries, char id[STORE_ID_MAX])
{
        const void *last = abi_reply_element(x->abi, entries, abi_reply_elements(x->abi, entries) - 1);

        if (abi_reply_type(last) == ABI_REPLY_ARRAY && abi_reply_elements(x->abi, last) > 0 &&
            entries_is_string(abi_reply_element(x->abi, last, 0)))
                snprintf(id, STORE_ID_MAX, "%s", abi_reply_str(x->abi, abi_reply_element(x->abi, last, 0)));
}
