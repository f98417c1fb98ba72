/* calls.c - owns what is known beforehand: names, versions, hosts. */
#include "calls.h"

#include <stdlib.h>
#include <string.h>

const char call_fingerprint[] = "Protocol error, got %s as reply type byte";

static const char *const call_answered[] = {"redisCommand", "redisvCommand", "redisCommandArgv"};

/* Parameters are not needed here, so neither are hiredis' headers. */
static const char *const call_followed[] = {
#define NEED(type, name, parameters) #name,
#define MAY(type, name, parameters)  #name,
#include "../hiredis/hooks.def"
#undef NEED
#undef MAY
        "redisAppendCommand",
        "redisAsyncCommand",
};

static const struct {
        const char *prefix, *what;
        bool        certain;
} call_hosts[] = {
        {"libfreeradius-server", "FreeRADIUS opens its modules with RTLD_DEEPBIND", true},
        {"freeradius", "FreeRADIUS opens its modules with RTLD_DEEPBIND", true},
        {"radiusd", "FreeRADIUS opens its modules with RTLD_DEEPBIND", true},
        {"libphp", "PHP before 8.3 opens its extensions with RTLD_DEEPBIND", false},
        {"php", "PHP before 8.3 opens its extensions with RTLD_DEEPBIND", false},
};

enum call_kind call_kind(const char *name)
{
        for (size_t i = 0; i < sizeof call_answered / sizeof call_answered[0]; i++)
                if (strcmp(name, call_answered[i]) == 0)
                        return CALL_ANSWERED;
        for (size_t i = 0; i < sizeof call_followed / sizeof call_followed[0]; i++)
                if (strcmp(name, call_followed[i]) == 0)
                        return CALL_FOLLOWED;
        return CALL_OTHER;
}

const char *call_abi(const char *library)
{
        const char *version = strstr(library, "libhiredis.so.");
        char       *end;

        if (!version)
                return NULL;
        version += strlen("libhiredis.so.");
        if (strncmp(version, "0.13", 4) == 0 || strncmp(version, "0.14", 4) == 0)
                return "A (0.13, 0.14)";
        return strtol(version, &end, 10) == 1 && (*end == '.' || *end == '\0') ? "B (1.0 and later)" : NULL;
}

const char *call_deepbind(const char *name, bool *certain)
{
        const char *slash = strrchr(name, '/');

        name = slash ? slash + 1 : name;
        for (size_t i = 0; i < sizeof call_hosts / sizeof call_hosts[0]; i++) {
                if (strncmp(name, call_hosts[i].prefix, strlen(call_hosts[i].prefix)) == 0) {
                        *certain = call_hosts[i].certain;
                        return call_hosts[i].what;
                }
        }
        return NULL;
}
