/* calls.h - which functions of hiredis a program may call, and what the shim makes of each (by hooks.def). */
#ifndef MT_CTL_CALLS_H
#define MT_CTL_CALLS_H

#include <stdbool.h>

enum call_kind {
        CALL_OTHER,    /* passes us by: formatting, readers, a function that is not hiredis' */
        CALL_FOLLOWED, /* interposed, forwarded: connections, pipelines, asynchronous commands */
        CALL_ANSWERED  /* a GET through it may be answered from L1 */
};
enum call_kind call_kind(const char *name);

/* "A (0.13, 0.14)" or "B (1.0 and later)" by the name of the library's file; NULL: not a version known to work. */
const char *call_abi(const char *library);

/* Text that every hiredis holds and nothing else does: it betrays a copy that was linked in. */
extern const char call_fingerprint[];

/* Does this host open its modules with RTLD_DEEPBIND? name: its soname or file. What to say of it, or NULL. */
const char *call_deepbind(const char *name, bool *certain);

#endif
