/* identities.c - connections that become this user and that one, in this database and that, while rights and passwords
 * change; every reply is printed: the same seed must print the same bytes bare and shimmed. What is random never
 * depends on a reply.
 *
 *   identities SEED COUNT [FILE]     FILE gets one number: GETs that were sent one by one
 *
 * Needs users alice, bob and carol with the passwords below. The keys a:*, b:* and s:* are those of alice, of bob, and
 * of both; carol may do everything, until her rights change. */
#include "common.h"

#include <signal.h>

enum { CONNECTIONS = 5, USERS = 3, KEYS = 12, WORDS = 8 };

static const char *const names[USERS] = {"alice", "bob", "carol"};
static const char *const passwords[2] = {"Zq7-one", "Zq7-two"};
static const char *const rights[] = {
        "resetkeys ~a:* ~s:*",
        "resetkeys ~b:* ~s:*",
        "resetkeys ~s:*",
        "allkeys",
        "resetkeys",
        "+@all",
        "-get",
        "-@write",
        "-select",
        "off",
        "+@all allkeys on",
        "+@all ~a:* ~s:* on",
        "+@all ~b:* ~s:* on",
        "+@all allkeys on",
};

static redisContext *admin, *c[CONNECTIONS];
static unsigned      password_of[USERS]; /* which of the two */
static uint64_t      state;
static unsigned long done, gets;

static uint32_t draw(uint32_t below)
{
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return (uint32_t)((state >> 32) % below);
}

/* ------------------------------------------------------------------------------------------------------- replies */

/* Whether a new connection needs a password is settled when the server accepts it, which may be after others' commands
 * that were sent later: an answer, which says nothing else, shows that it has. */
static redisContext *accepted(redisContext *which)
{
        if (which->err != 0)
                die("connecting: %s", which->errstr);
        drop_reply(redisCommand(which, "AUTH"));
        return which;
}

/* A connection that the server has closed begins anew. */
static void show(redisContext *which, redisReply *r, bool brief)
{
        printf("%lu ", done);
        if (brief && r != NULL && r->type != REDIS_REPLY_ERROR)
                printf("fine");
        else
                print_reply(stdout, r);
        if (which->err != 0) {
                printf(" err=%d", which->err);
                redisReconnect(which);
                accepted(which);
        }
        putchar('\n');
        drop_reply(r);
}

static int words_of(char *text, const char **argv)
{
        char *save = NULL;
        int   n = 0;

        for (char *w = strtok_r(text, " ", &save); w != NULL && n < WORDS; w = strtok_r(NULL, " ", &save))
                argv[n++] = strcmp(w, "''") == 0 ? "" : w;
        return n;
}

static void run(redisContext *which, const char *line)
{
        char        text[256];
        const char *argv[WORDS];
        int         argc;

        snprintf(text, sizeof(text), "%s", line);
        argc = words_of(text, argv);
        show(which, redisCommandArgv(which, argc, argv, NULL), strcmp(argv[0], "HELLO") == 0);
}

/* ------------------------------------------------------------------------------------------------------ commands */

static const char *key(void)
{
        static char text[16];

        snprintf(text, sizeof(text), "%c:%u", "abs"[draw(3)], draw(KEYS / 3));
        return text;
}

static void make_auth(char line[128])
{
        unsigned    user = draw(USERS);
        const char *right = passwords[password_of[user]], *wrong = passwords[1 - password_of[user]];

        switch (draw(12)) {
        case 0: snprintf(line, 128, "AUTH %s %s", names[user], wrong); break;
        case 1: snprintf(line, 128, "AUTH %s", wrong); break;
        case 2: snprintf(line, 128, "AUTH default Zq7-master"); break;
        case 3: snprintf(line, 128, "AUTH Zq7-master"); break;
        case 4: snprintf(line, 128, "HELLO 2 AUTH %s %s", names[user], right); break;
        case 5: snprintf(line, 128, "HELLO 2 AUTH %s %s SETNAME n", names[user], right); break;
        case 6:
                snprintf(line, 128, "HELLO 2 AUTH %s %s AUTH %s %s", names[user], right, names[(user + 1) % USERS],
                         passwords[password_of[(user + 1) % USERS]]);
                break;
        case 7:
                snprintf(line, 128, draw(2) ? "HELLO 9 AUTH %s %s" : "HELLO 2 AUTH %s %s NOSUCH", names[user], right);
                break;
        default: snprintf(line, 128, "AUTH %s %s", names[user], right);
        }
}

static void make(char line[128])
{
        switch (draw(8)) {
        case 0: make_auth(line); break;
        case 1: snprintf(line, 128, "SELECT %s", draw(5) == 0 ? "99" : draw(2) ? "1" : "0"); break;
        case 2: snprintf(line, 128, "SET %s v%u", key(), draw(1000)); break;
        case 3: snprintf(line, 128, draw(6) == 0 ? "RESET" : "PING"); break;
        default: snprintf(line, 128, "GET %s", key());
        }
}

static void reads(redisContext *which)
{
        for (uint32_t n = 5 + draw(30); n > 0; n--, done++, gets++)
                show(which, redisCommand(which, "GET %s", key()), false);
}

static void pipeline(redisContext *which)
{
        unsigned n = 2 + draw(7);
        char     line[128];

        for (unsigned i = 0; i < n; i++) {
                const char *argv[WORDS];

                do
                        make(line);
                while (strncmp(line, "HELLO", 5) == 0);
                redisAppendCommandArgv(which, words_of(line, argv), argv, NULL);
        }
        for (unsigned i = 0; i < n; i++, done++) {
                void *r = NULL;
                bool  broken = redisGetReply(which, &r) != REDIS_OK;

                show(which, r, false);
                if (broken)
                        return;
        }
}

static void transaction(redisContext *which)
{
        char line[128];

        run(which, "MULTI");
        for (unsigned n = draw(5); n > 0; n--) {
                do
                        make(line);
                while (strncmp(line, "HELLO", 5) == 0 || strcmp(line, "RESET") == 0);
                run(which, line);
        }
        run(which, draw(6) == 0 ? "DISCARD" : "EXEC");
        done += 2;
}

/* Whose connections the server has closed finds out at once: how soon a program notices is not the matter here. */
static void deleted(unsigned user)
{
        char line[128];

        snprintf(line, sizeof(line), "ACL DELUSER %s", names[user]);
        run(admin, line);
        run(admin, "PING");
        for (unsigned i = 0; i < CONNECTIONS; i++)
                run(c[i], "ECHO alive");
        snprintf(line, sizeof(line), "ACL SETUSER %s on >%s ~s:* ~b:* +@all", names[user],
                 passwords[password_of[user]]);
        run(admin, line);
}

static void changed(void)
{
        unsigned user = draw(USERS);
        char     line[128];

        switch (draw(8)) {
        case 0: deleted(user); return;
        case 1:
                password_of[user] ^= 1;
                snprintf(line, sizeof(line), "ACL SETUSER %s resetpass >%s", names[user], passwords[password_of[user]]);
                break;
        case 2: snprintf(line, sizeof(line), "CONFIG SET requirepass %s", draw(2) ? "Zq7-master" : "''"); break;
        case 3: snprintf(line, sizeof(line), "CONFIG SET maxmemory-samples %u", 3 + draw(5)); break;
        default:
                snprintf(line, sizeof(line), "ACL SETUSER %s %s", names[user],
                         rights[draw((uint32_t)NELEMENTS(rights))]);
        }
        run(admin, line);
}

static void begun_anew(redisContext **which)
{
        if (draw(2) == 0) {
                redisReconnect(*which);
        } else {
                redisFree(*which);
                *which = must_connect();
        }
        accepted(*which);
}

int main(int argc, char **argv)
{
        unsigned long count = argc > 2 ? strtoul(argv[2], NULL, 10) : 10000;
        char          line[128];

        state = (strtoul(argc > 1 ? argv[1] : "1", NULL, 10) + 1) * UINT64_C(0x9e3779b97f4a7c15);
        signal(SIGPIPE, SIG_IGN);
        admin = must_connect();
        for (unsigned i = 0; i < CONNECTIONS; i++)
                c[i] = accepted(must_connect());
        if (!warm(admin, admin, "s:0", 3, 5 * NS_PER_S))
                die("L1 never answered");
        while (done < count) {
                redisContext **which = &c[draw(CONNECTIONS)];
                uint32_t       phase = draw(100);

                if (phase < 45)
                        reads(*which);
                else if (phase < 55)
                        pipeline(*which);
                else if (phase < 60)
                        transaction(*which);
                else if (phase < 66)
                        begun_anew(which);
                else if (phase < 74)
                        changed();
                else {
                        make(line);
                        if (phase < 88)
                                make_auth(line);
                        run(*which, line);
                }
                done++;
        }
        if (argc > 3) {
                FILE *out = fopen(argv[3], "w");

                fprintf(out, "%lu\n", gets);
                fclose(out);
        }
        for (unsigned i = 0; i < CONNECTIONS; i++)
                redisFree(c[i]);
        redisFree(admin);
        return 0;
}
