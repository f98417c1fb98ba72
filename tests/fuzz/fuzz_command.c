/* fuzz_command.c - any bytes as RESP: what is taken as a command must be whole, and its words and keys must lie in it.
 */
#include "shim/command/command.h"

#include <stdlib.h>

static struct mt_bytes input;

static void within(void *arg, struct mt_bytes word)
{
        (void)arg;
        if (word.len > 0 && (word.ptr < input.ptr || word.ptr + word.len > input.ptr + input.len))
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static struct command command;
        size_t                used;

        input = mt_bytes(data, size);
        for (struct mt_bytes rest = input; command_from_resp(&command, rest, &used) == COMMAND_OK;) {
                if (used == 0 || used > rest.len || command.argc == 0 || command.resp.len != used)
                        abort();
                within(NULL, command_word(&command, 0));
                within(NULL, command_word(&command, command.argc - 1));
                if (!command_each_key(&command, within, NULL) && command.class != COMMAND_WRITE &&
                    command.class != COMMAND_SCRIPT)
                        abort();
                rest = mt_bytes(rest.ptr + used, rest.len - used);
        }
        return 0;
}
