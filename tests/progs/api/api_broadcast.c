/* api_broadcast.c - an example: a program that keeps something of its own, made from a key, until it is told.
 *
 *   api_broadcast SERVER write KEY VALUE    sets it and tells the others
 *   api_broadcast SERVER forget KEY         tells them that it is no longer true; its value in Redis stays
 *   api_broadcast SERVER forgetall GLOB
 * The message is on MTSHIM_CHANNEL: MESSAGES.md has its form, redis-cli SUBSCRIBE shows it. */
#include <mtshim.h>

#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
        struct mtshim_config config = mtshim_defaults(argc > 3 ? argv[1] : NULL);
        struct mtshim       *m;
        enum mtshim_status   status = mtshim_open(&config, &m);
        struct mtshim_bytes  key = mtshim_text(argc > 3 ? argv[3] : "");

        if (status == MTSHIM_OK && strcmp(argv[2], "write") == 0)
                status = mtshim_update_and_broadcast(m, key, mtshim_text(argc > 4 ? argv[4] : ""),
                                                     mtshim_strategy_ttl_ms(MTSHIM_MEDIUM, 0));
        else if (status == MTSHIM_OK && strcmp(argv[2], "forget") == 0)
                status = mtshim_invalidate(m, key);
        else if (status == MTSHIM_OK)
                status = mtshim_invalidate_pattern(m, key);
        if (status != MTSHIM_OK)
                fprintf(stderr, "api_broadcast: %s%s\n", status == MTSHIM_UNTOLD ? "done, but not told: " : "",
                        mtshim_error());
        mtshim_close(&m);
        return status != MTSHIM_OK;
}
