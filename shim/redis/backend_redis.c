/* backend_redis.c - values in Redis.
 *
 * Why a late set is refused. set_marked() compares the number of the key's group with the mark, and sets, in one
 * script, so before or after any other command as a whole. A removal takes the number away, then the key, then the
 * number that somebody may have drawn meanwhile. A set with a mark from before it: if it comes before the number is
 * taken, its value goes with the key; after that it finds no number, or another one, drawn from 2^64. A mark from in
 * between ends with the removal; a set with it that comes in between, too, stores what was read after the removal had
 * begun: that is what it would find if the removal had been a moment earlier. A pattern is the same with all numbers
 * and many keys: what was set before the numbers were taken was there before the scan began, and SCAN finds every key
 * that is there from its beginning to its end.
 *
 * None of this is in MULTI: a server that is full (maxmemory) queues nothing, and must still remove. HDEL and UNLINK,
 * and what only reads, it always does. */
#include "backend_redis.h"

#include "../../l1/base/clock.h"
#include "../../l1/base/hash.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

enum { BACKEND_GROUPS = 4096 };
#define BACKEND_TTL_MAX    (UINT64_C(1) << 62)
#define BACKEND_SCAN_COUNT "1000"
#define BACKEND_MARKS      mt_bytes("\0marks", 6)
#define BACKEND_MARKS_MS   "86400000" /* they do not outlive a tier that nobody uses any more by more than a day */

/* Every host that shares the store must find the same group: the hash and its secret are a part of the format. */
static uint64_t backend_group(struct mt_bytes key)
{
        return mt_hash(key.ptr, key.len, (struct hash_key){{1, 1}}) % BACKEND_GROUPS;
}

static bool backend_too_long(struct mt_bytes key)
{
        return key.len > STORE_KEY_MAX;
}

static const char *backend_name(const void *self)
{
        (void)self;
        return "redis";
}

/* --------------------------------------------------------------------------------------------------------- values */

static enum mt_status backend_give(struct redis_store *store, const struct exchange *x, const void *reply,
                                   struct mt_sink *out)
{
        struct mt_bytes value;
        char           *room;

        if (abi_reply_type(reply) == ABI_REPLY_NIL)
                return MT_MISS;
        if (abi_reply_type(reply) != ABI_REPLY_STRING)
                return store_refused(store, x, reply);
        value = exchange_bytes(x, reply);
        room = out->room(out, value.len);
        if (room == NULL)
                return MT_ERROR;
        memcpy(room, value.ptr, value.len);
        return MT_OK;
}

static enum mt_status backend_get(void *self, struct mt_bytes key, struct mt_sink *out)
{
        struct redis_store *store = self;
        struct store_name   name;
        struct exchange     x;
        enum mt_status      status;

        if (backend_too_long(key))
                return MT_MISS;
        if (!store_name(store, key, WORD(""), &name))
                return MT_ERROR;
        status = store_ask(store, &x, &EXCHANGE_COMMAND(((struct mt_bytes[]){WORD("GET"), name.name})), 1);
        if (status == MT_OK)
                status = backend_give(store, &x, x.reply[0], out);
        exchange_end(&x);
        store_name_end(&name);
        return status;
}

/* What remains of that many ms, which were told between sent_ns and now. 0: nothing. */
static uint64_t backend_left_ms(long long pttl_ms, uint64_t sent_ns)
{
        uint64_t passed_ms = (clock_precise_ns() - sent_ns + NS_PER_MS - 1) / NS_PER_MS;

        return pttl_ms > 0 && (uint64_t)pttl_ms > passed_ms ? (uint64_t)pttl_ms - passed_ms : 0;
}

/* Both, as the script returns them. */
static enum mt_status backend_give_with_ttl(struct redis_store *store, const struct exchange *x, const void *both,
                                            struct mt_sink *out, uint64_t sent_ns, uint64_t *ttl_ms)
{
        const void *pttl;
        long long   ms;

        if (abi_reply_type(both) != ABI_REPLY_ARRAY || abi_reply_elements(x->abi, both) != 2)
                return store_refused(store, x, both);
        pttl = abi_reply_element(x->abi, both, 0);
        if (abi_reply_type(pttl) != ABI_REPLY_INTEGER)
                return store_refused(store, x, pttl);
        ms = abi_reply_integer(x->abi, pttl);
        *ttl_ms = ms == -1 ? MT_TTL_NONE : backend_left_ms(ms, sent_ns);
        return *ttl_ms > 0 ? backend_give(store, x, abi_reply_element(x->abi, both, 1), out) : MT_MISS;
}

/* In one round trip, and in one script: nobody's write comes between the two, which would give a value the time of
 * another one. (A miss of L1, in shim/request/read.c, needs no script: there an invalidation undoes it.) PTTL first, as
 * there: where a time ends between them it is a miss, and not a value whose time is not known. */
static const char backend_read_script[] = "return {redis.call('PTTL',KEYS[1]),redis.call('GET',KEYS[1])}";

static enum mt_status backend_get_with_ttl(void *self, struct mt_bytes key, struct mt_sink *out, uint64_t *ttl_ms)
{
        struct redis_store *store = self;
        struct store_name   name;
        struct exchange     x;
        enum mt_status      status;
        uint64_t            sent_ns;

        if (backend_too_long(key))
                return MT_MISS;
        if (!store_name(store, key, WORD(""), &name))
                return MT_ERROR;
        sent_ns = clock_precise_ns();
        status = store_ask(store, &x,
                           &EXCHANGE_COMMAND(
                                   ((struct mt_bytes[]){WORD("EVAL"),
                                                        mt_bytes(backend_read_script, sizeof backend_read_script - 1),
                                                        WORD("1"), name.name})),
                           1);
        if (status == MT_OK)
                status = backend_give_with_ttl(store, &x, x.reply[0], out, sent_ns, ttl_ms);
        exchange_end(&x);
        store_name_end(&name);
        return status;
}

/* --------------------------------------------------------------------------------------------------------- removal */

/* UNLINK, whose work a thread of the server does; DEL where it does not know that, which is found out once. */
static struct mt_bytes backend_unlink(const struct redis_store *store)
{
        return mt_load_relaxed(&store->no_unlink) ? WORD("DEL") : WORD("UNLINK");
}

/* True: it was that; ask again. */
static bool backend_learns(struct redis_store *store, const struct exchange *x, const void *reply)
{
        if (mt_load_relaxed(&store->no_unlink) || !exchange_is_error(x, reply, "ERR unknown command"))
                return false;
        mt_store_relaxed(&store->no_unlink, true);
        return true;
}

/* UNLINK of one name or more: word[0] is left for the verb. */
static enum mt_status backend_drop(struct redis_store *store, struct mt_bytes *word, size_t words)
{
        struct exchange x;
        enum mt_status  status;
        bool            again;

        do {
                again = false;
                word[0] = backend_unlink(store);
                status = store_ask(store, &x, &(struct exchange_command){word, words}, 1);
                if (status == MT_OK && abi_reply_type(x.reply[0]) != ABI_REPLY_INTEGER) {
                        again = backend_learns(store, &x, x.reply[0]);
                        if (!again)
                                status = store_refused(store, &x, x.reply[0]);
                }
                exchange_end(&x);
        } while (again);
        return status;
}

/* The key alone: its mark stays. */
static enum mt_status backend_discard(struct redis_store *store, struct mt_bytes name)
{
        struct mt_bytes word[2] = {[1] = name};

        return backend_drop(store, word, 2);
}

static enum mt_status backend_take_both(struct redis_store *store, struct mt_bytes name, struct mt_bytes marks,
                                        struct mt_bytes group)
{
        const struct exchange_command hdel = EXCHANGE_COMMAND(((struct mt_bytes[]){WORD("HDEL"), marks, group}));
        struct exchange               x;
        enum mt_status                status;
        bool                          again;

        do {
                again = false;
                status = store_ask(store, &x,
                                   (struct exchange_command[]){
                                           hdel, EXCHANGE_COMMAND(((struct mt_bytes[]){backend_unlink(store), name})),
                                           hdel},
                                   3);
                for (unsigned i = 0; i < 3 && status == MT_OK && !again; i++) {
                        if (abi_reply_type(x.reply[i]) == ABI_REPLY_INTEGER)
                                continue;
                        again = backend_learns(store, &x, x.reply[i]);
                        if (!again)
                                status = store_refused(store, &x, x.reply[i]);
                }
                exchange_end(&x);
        } while (again);
        return status;
}

static enum mt_status backend_remove(void *self, struct mt_bytes key)
{
        struct redis_store    *store = self;
        struct store_name      name, marks;
        struct exchange_number group;
        enum mt_status         status = MT_ERROR;

        if (backend_too_long(key))
                return MT_OK;
        if (!store_name(store, key, WORD(""), &name))
                return MT_ERROR;
        if (store_name(store, WORD(""), BACKEND_MARKS, &marks)) {
                status = backend_take_both(store, name.name, marks.name, exchange_number(&group, backend_group(key)));
                store_name_end(&marks);
        }
        store_name_end(&name);
        return status;
}

/* ------------------------------------------------------------------------------------------------------------ sets */

/* A key of Redis' is still there in the ms in which its time ends: one less, so that it never is late. 0: it is
 * over. */
static uint64_t backend_life_ms(uint64_t ttl_ms)
{
        if (ttl_ms == MT_TTL_NONE || ttl_ms == 0)
                return ttl_ms;
        return ttl_ms < BACKEND_TTL_MAX ? ttl_ms - 1 : BACKEND_TTL_MAX;
}

/* "PX" and its number; none for ever. Returns how many words that is. */
static size_t backend_words_of_ttl(struct mt_bytes word[2], struct exchange_number *n, uint64_t ttl_ms)
{
        if (ttl_ms == MT_TTL_NONE)
                return 0;
        word[0] = WORD("PX");
        word[1] = exchange_number(n, ttl_ms);
        return 2;
}

static enum mt_status backend_put(struct redis_store *store, struct mt_bytes name, struct mt_bytes value,
                                  uint64_t ttl_ms)
{
        struct mt_bytes        word[5] = {WORD("SET"), name, value};
        struct exchange_number n;
        struct exchange        x;
        size_t                 words = 3 + backend_words_of_ttl(word + 3, &n, ttl_ms);
        enum mt_status         status = store_ask(store, &x, &(struct exchange_command){word, words}, 1);

        if (status == MT_OK && !exchange_is_status(&x, x.reply[0], "OK"))
                status = store_refused(store, &x, x.reply[0]);
        exchange_end(&x);
        return status;
}

static enum mt_status backend_set_with_ttl(void *self, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms)
{
        struct redis_store *store = self;
        struct store_name   name;
        uint64_t            life_ms = backend_life_ms(ttl_ms);
        enum mt_status      status;

        if (backend_too_long(key))
                return MT_REFUSED;
        if (ttl_ms == 0)
                return backend_remove(self, key);
        if (!store_name(store, key, WORD(""), &name))
                return MT_ERROR;
        if (value.len > store->item_max)
                status = backend_discard(store, name.name) == MT_OK ? MT_REFUSED : MT_ERROR;
        else if (life_ms == 0)
                status = backend_discard(store, name.name);
        else
                status = backend_put(store, name.name, value, life_ms);
        store_name_end(&name);
        return status;
}

/* ----------------------------------------------------------------------------------------------------------- marks */

static bool backend_random(uint64_t *number)
{
        return getrandom(number, sizeof *number, 0) == (ssize_t)sizeof *number;
}

/* What HGET said. MT_MISS: no number. */
static enum mt_status backend_read_mark(struct redis_store *store, const struct exchange *x, const void *reply,
                                        uint64_t *mark)
{
        struct mt_bytes digits;

        if (abi_reply_type(reply) == ABI_REPLY_NIL)
                return MT_MISS;
        if (abi_reply_type(reply) != ABI_REPLY_STRING)
                return store_refused(store, x, reply);
        digits = exchange_bytes(x, reply);
        *mark = 0;
        for (size_t i = 0; i < digits.len; i++) /* what nobody of ours has written is no worse than another number */
                *mark = *mark * 10 + (uint64_t)(unsigned char)(digits.ptr[i] - '0');
        return MT_OK;
}

/* Somebody else's number, if it came first. If a removal came since, in between too, there is none, and the mark is one
 * that is void: so is ours, if it was never there. */
static enum mt_status backend_draw_mark(struct redis_store *store, struct mt_bytes marks, struct mt_bytes group,
                                        uint64_t *mark)
{
        struct exchange_number n;
        struct exchange        x;
        enum mt_status         status;

        if (!backend_random(mark))
                return MT_ERROR;
        status = store_ask(store, &x,
                           (struct exchange_command[]){
                                   EXCHANGE_COMMAND(((struct mt_bytes[]){WORD("HSETNX"), marks, group,
                                                                         exchange_number(&n, *mark)})),
                                   EXCHANGE_COMMAND(
                                           ((struct mt_bytes[]){WORD("PEXPIRE"), marks, WORD(BACKEND_MARKS_MS)})),
                                   EXCHANGE_COMMAND(((struct mt_bytes[]){WORD("HGET"), marks, group})),
                           },
                           3);
        if (status == MT_OK && abi_reply_type(x.reply[0]) != ABI_REPLY_INTEGER)
                status = store_refused(store, &x, x.reply[0]);
        else if (status == MT_OK && abi_reply_integer(x.abi, x.reply[0]) == 0)
                status = backend_read_mark(store, &x, x.reply[2], mark);
        exchange_end(&x);
        return status == MT_MISS ? MT_OK : status;
}

/* A number that is there is read alone: on the server a mark is a write only after a removal. */
static enum mt_status backend_mark(void *self, struct mt_bytes key, uint64_t *mark)
{
        struct redis_store    *store = self;
        struct store_name      marks;
        struct exchange_number n;
        struct mt_bytes        group = exchange_number(&n, backend_group(key));
        struct exchange        x;
        enum mt_status         status;

        *mark = 0;
        if (backend_too_long(key))
                return MT_OK; /* nothing is ever set there */
        if (!store_name(store, WORD(""), BACKEND_MARKS, &marks))
                return MT_ERROR;
        status = store_ask(store, &x, &EXCHANGE_COMMAND(((struct mt_bytes[]){WORD("HGET"), marks.name, group})), 1);
        if (status == MT_OK)
                status = backend_read_mark(store, &x, x.reply[0], mark);
        exchange_end(&x);
        if (status == MT_MISS)
                status = backend_draw_mark(store, marks.name, group, mark);
        store_name_end(&marks);
        return status;
}

/* KEYS: the key, the marks. ARGV: the group, the mark, what to do: "set" value [PX ms], "drop" (the key alone), or
 * "remove". */
static const char backend_script[] = "if redis.call('HGET',KEYS[2],ARGV[1])~=ARGV[2] then return 0 end "
                                     "if ARGV[3]=='set' then redis.call('SET',KEYS[1],unpack(ARGV,4)) return 1 end "
                                     "if ARGV[3]=='remove' then redis.call('HDEL',KEYS[2],ARGV[1]) end "
                                     "redis.call('DEL',KEYS[1]) return 1";

/* word: what the script is to do, from ARGV[3] on. */
static enum mt_status backend_run_script(struct redis_store *store, struct mt_bytes name, struct mt_bytes group,
                                         uint64_t mark, const struct mt_bytes *todo, size_t words)
{
        struct exchange_number n;
        struct mt_bytes word[11] = {WORD("EVAL"), mt_bytes(backend_script, sizeof backend_script - 1), WORD("2"), name};
        struct store_name marks;
        struct exchange   x;
        enum mt_status    status;

        if (!store_name(store, WORD(""), BACKEND_MARKS, &marks))
                return MT_ERROR;
        word[4] = marks.name;
        word[5] = group;
        word[6] = exchange_number(&n, mark);
        memcpy(word + 7, todo, words * sizeof *todo);
        status = store_ask(store, &x, &(struct exchange_command){word, 7 + words}, 1);
        if (status == MT_OK && abi_reply_type(x.reply[0]) != ABI_REPLY_INTEGER)
                status = store_refused(store, &x, x.reply[0]);
        else if (status == MT_OK && abi_reply_integer(x.abi, x.reply[0]) != 1)
                status = MT_STALE;
        exchange_end(&x);
        store_name_end(&marks);
        return status;
}

static enum mt_status backend_set_marked(void *self, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms,
                                         uint64_t mark)
{
        struct redis_store    *store = self;
        struct exchange_number of_group, of_life;
        struct store_name      name;
        uint64_t               life_ms = backend_life_ms(ttl_ms);
        bool                   refused = value.len > store->item_max;
        struct mt_bytes        todo[4] = {ttl_ms == 0 ? WORD("remove") : WORD("drop")};
        size_t                 words = 1;
        enum mt_status         status;

        if (backend_too_long(key))
                return MT_REFUSED;
        if (!store_name(store, key, WORD(""), &name))
                return MT_ERROR;
        if (!refused && life_ms > 0) {
                todo[0] = WORD("set");
                todo[1] = value;
                words = 2 + backend_words_of_ttl(todo + 2, &of_life, life_ms);
        }
        status =
                backend_run_script(store, name.name, exchange_number(&of_group, backend_group(key)), mark, todo, words);
        store_name_end(&name);
        return status == MT_OK && refused ? MT_REFUSED : status;
}

/* -------------------------------------------------------------------------------------------------------- patterns */

/* Prefix and glob, as one glob whose beginning stands for itself. */
static bool backend_glob(const struct redis_store *store, struct mt_bytes glob, struct store_name *whole)
{
        char *p = malloc(2 * store->prefix.len + glob.len + 1);

        whole->memory = p;
        if (p == NULL)
                return false;
        for (size_t i = 0; i < store->prefix.len; i++) {
                if (memchr("*?[]\\", store->prefix.ptr[i], 5) != NULL)
                        *p++ = '\\';
                *p++ = store->prefix.ptr[i];
        }
        if (glob.len > 0)
                p = mempcpy(p, glob.ptr, glob.len);
        whole->name = mt_bytes(whole->memory, (size_t)(p - whole->memory));
        return true;
}

/* The names that one step of SCAN brought. */
static enum mt_status backend_drop_found(struct redis_store *store, const struct exchange *x, const void *names)
{
        size_t           n = abi_reply_elements(x->abi, names);
        struct mt_bytes *word;
        enum mt_status   status;

        if (n == 0)
                return MT_OK;
        word = malloc((n + 1) * sizeof *word);
        if (word == NULL)
                return MT_ERROR;
        for (size_t i = 0; i < n; i++)
                word[i + 1] = exchange_bytes(x, abi_reply_element(x->abi, names, i));
        status = backend_drop(store, word, n + 1);
        free(word);
        return status;
}

/* *cursor: where to begin, and then where to go on; "0": the end. */
static enum mt_status backend_scan_step(struct redis_store *store, struct mt_bytes glob, struct exchange_number *cursor)
{
        struct mt_bytes word[] = {WORD("SCAN"),  mt_bytes_of(cursor->text), WORD("MATCH"), glob,
                                  WORD("COUNT"), WORD(BACKEND_SCAN_COUNT)};
        struct exchange x;
        enum mt_status  status = store_ask(store, &x, &EXCHANGE_COMMAND(word), 1);
        const void     *reply = x.reply[0], *next;

        if (status == MT_OK && (abi_reply_type(reply) != ABI_REPLY_ARRAY || abi_reply_elements(x.abi, reply) != 2 ||
                                abi_reply_type(next = abi_reply_element(x.abi, reply, 0)) != ABI_REPLY_STRING ||
                                abi_reply_len(x.abi, next) >= sizeof cursor->text)) {
                status = store_refused(store, &x, reply);
        } else if (status == MT_OK) {
                strcpy(cursor->text, abi_reply_str(x.abi, next));
                status = backend_drop_found(store, &x, abi_reply_element(x.abi, reply, 1));
        }
        exchange_end(&x);
        return status;
}

static enum mt_status backend_scan(struct redis_store *store, struct mt_bytes glob)
{
        struct exchange_number cursor = {"0"};
        enum mt_status         status;

        do
                status = backend_scan_step(store, glob, &cursor);
        while (status == MT_OK && strcmp(cursor.text, "0") != 0);
        return status;
}

static enum mt_status backend_remove_pattern(void *self, struct mt_bytes glob)
{
        struct redis_store *store = self;
        struct store_name   marks, whole;
        enum mt_status      status = MT_ERROR;

        if (!store_name(store, WORD(""), BACKEND_MARKS, &marks))
                return MT_ERROR;
        if (backend_glob(store, glob, &whole)) {
                status = backend_discard(store, marks.name);
                if (status == MT_OK)
                        status = backend_scan(store, whole.name);
                if (status == MT_OK)
                        status = backend_discard(store, marks.name);
                store_name_end(&whole);
        }
        store_name_end(&marks);
        return status;
}

static enum mt_status backend_flush(void *self)
{
        return backend_remove_pattern(self, WORD("*"));
}

static bool backend_health_check(void *self)
{
        struct redis_store *store = self;
        struct exchange     x;
        bool                well;

        well = store_ask(store, &x, &EXCHANGE_COMMAND(((struct mt_bytes[]){WORD("PING")})), 1) == MT_OK;
        if (well && !exchange_is_status(&x, x.reply[0], "PONG")) {
                store_refused(store, &x, x.reply[0]);
                well = false;
        }
        exchange_end(&x);
        return well;
}

const struct mt_l2_ops redis_l2_ops = {
        .cache =
                {
                        .name = backend_name,
                        .get = backend_get,
                        .set_with_ttl = backend_set_with_ttl,
                        .remove = backend_remove,
                        .remove_pattern = backend_remove_pattern,
                        .flush = backend_flush,
                        .health_check = backend_health_check,
                },
        .get_with_ttl = backend_get_with_ttl,
        .mark = backend_mark,
        .set_marked = backend_set_marked,
};
