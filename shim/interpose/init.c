/* init.c - load and unload. Loading does next to nothing: most programs that we are preloaded into never call hiredis.
 */
#include "../runtime/runtime.h"

#include "../../invalidation/invalidation.h"
#include "../../l1/base/log.h"

__attribute__((constructor)) static void init_loaded(void)
{
        log_setup();
        invalidation_loaded();
}

/* The process ends: threads may still run, ours and the program's, so nothing is unmapped or joined. */
__attribute__((destructor)) static void init_unloaded(void)
{
        runtime_exit();
}

#ifdef MT_TEST_CLOCK
/* Only in the flavour for tests: a program looks it up with dlsym() and moves the clock of its process. */
void                                        mtshim_test_clock_advance_ns(int64_t ns);
__attribute__((visibility("default"))) void mtshim_test_clock_advance_ns(int64_t ns)
{
        atomic_fetch_add(&clock_test_offset_ns, ns);
}
#endif
