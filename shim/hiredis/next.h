/* next.h - the real hiredis behind our exports: its functions and its layout.
 *
 * A process may hold more than one: hiredis in the global scope (the usual case, RTLD_NEXT), or others that came with
 * modules loaded RTLD_LOCAL, each seen by its own module alone. A context belongs to the one that made it. */
#ifndef MT_NEXT_H
#define MT_NEXT_H

#include "abi.h"

#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <stdarg.h>
#include <stdbool.h>

/* One library, resolved once and pinned for good (RTLD_NODELETE). Read-only after next_of() has returned it. */
struct hiredis {
#define NEED(ret, name, params)   ret(*name) params;
#define MAY(ret, name, params)    ret(*name) params;
#define CALLED(ret, name, params) ret(*name) params;
#include "hooks.def"
#undef NEED
#undef MAY
#undef CALLED
        bool visible;   /* its calls of its own exports come to our doors (it was not linked -Bsymbolic or the like) */
        struct abi abi; /* abi.known is false when the layout is none of ours: then everything is passed on */
};

/* Does this address lie in our own image? */
bool next_is_ours(const void *address);

/* The hiredis that everybody reaches, once it is known; NULL: not yet, or each module has its own. */
extern _Atomic(const struct hiredis *) next_global;

/* The hiredis that the code at this return address would reach without us; NULL (with one line) if there is none.
 * Thread-safe. The first call for a library reads its symbols; later ones compare an address. Keeps errno. */
const struct hiredis *next_of(const void *caller);
/* Some hiredis whose layout is known, for connections of our own: the program's, else one that a module has brought,
 * else the system's, opened for good. NULL: there is none, asked anew each time. Thread-safe, waits for the dynamic
 * linker: not for a constructor. Keeps errno. */
const struct hiredis *next_any(void);
/* A library of the same version in the same folder: infix "_ssl" is libhiredis_ssl. Opened for good; a handle for
 * dlsym(). A hiredis that nobody but a module could see is everybody's from then on. NULL: there is none. Keeps
 * errno. */
void *next_sibling(const struct hiredis *h, const char *infix);
/* A function of a library that stands beside hiredis (libhiredis_ssl), as the caller would reach it without us; looked
 * up each time. NULL: there is none. Keeps errno. */
void *next_beside(const void *caller, const char *name);
/* The same for freeReplyObject(): quick where only the reader of a hiredis is used, which is not probed for it, and
 * good for a caller that does not see hiredis itself, since such calls are the last thing that a function does, and may
 * come as a jump. *h: the library, or NULL if it was not looked into. NULL: none is to be found; a block leaks. Keeps
 * errno. */
typedef void next_free_f(void *);
next_free_f *next_free_of(const void *caller, const struct hiredis **h);

#endif
