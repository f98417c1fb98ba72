/* plugin.c - nothing of a table is read before its ABI and its size have been. */
#include "plugin.h"

#include "tier.h"

#include "../base/assert.h"
#include "../base/atomic.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>

/* ------------------------------------------------------------------------------------------------- the table */

/* The first name of a list that has no function; NULL: all are there. */
struct plugin_function {
        const char *name;
        bool        there;
};

static const char *plugin_missing(const struct plugin_function *function, size_t n)
{
        for (size_t i = 0; i < n; i++)
                if (!function[i].there)
                        return function[i].name;
        return NULL;
}

static const char *plugin_missing_of_ops(const struct mt_l2_ops *ops)
{
        const struct plugin_function required[] = {
                {"name", ops->cache.name != NULL},
                {"get", ops->cache.get != NULL},
                {"set_with_ttl", ops->cache.set_with_ttl != NULL},
                {"remove", ops->cache.remove != NULL},
                {"flush", ops->cache.flush != NULL},
                {"health_check", ops->cache.health_check != NULL},
                {"get_with_ttl", ops->get_with_ttl != NULL},
                {"mark (set_marked is there)", ops->mark != NULL || ops->set_marked == NULL},
                {"set_marked (mark is there)", ops->set_marked != NULL || ops->mark == NULL},
        };

        return plugin_missing(required, sizeof required / sizeof required[0]);
}

static const char *plugin_missing_of_streams(const struct mt_stream_ops *ops)
{
        const struct plugin_function required[] = {
                {"stream_add", ops->stream_add != NULL},
                {"stream_read_latest", ops->stream_read_latest != NULL},
                {"stream_read", ops->stream_read != NULL},
                {"stream_create_group", ops->stream_create_group != NULL},
                {"stream_read_group", ops->stream_read_group != NULL},
                {"stream_ack", ops->stream_ack != NULL},
        };

        return plugin_missing(required, sizeof required / sizeof required[0]);
}

static const char *plugin_missing_of(const struct mt_backend *backend)
{
        const struct plugin_function required[] = {
                {"name", backend->name != NULL},
                {"open", backend->open != NULL},
                {"close", backend->close != NULL},
                {"ops", backend->ops != NULL},
        };
        const char *missing = plugin_missing(required, sizeof required / sizeof required[0]);

        if (missing == NULL)
                missing = plugin_missing_of_ops(backend->ops);
        if (missing == NULL && backend->streams != NULL)
                missing = plugin_missing_of_streams(backend->streams);
        return missing;
}

bool plugin_check(const struct mt_backend *backend, char why[MT_BACKEND_WHY_MAX])
{
        const char *missing;

        if (backend->abi != MT_BACKEND_ABI) {
                snprintf(why, MT_BACKEND_WHY_MAX, "it was built for backend ABI %u, this is %u", backend->abi,
                         MT_BACKEND_ABI);
                return false;
        }
        if (backend->size < sizeof *backend) {
                snprintf(why, MT_BACKEND_WHY_MAX, "its table has %u bytes, ABI %u has %zu", backend->size,
                         MT_BACKEND_ABI, sizeof *backend);
                return false;
        }
        missing = plugin_missing_of(backend);
        if (missing != NULL)
                snprintf(why, MT_BACKEND_WHY_MAX, "its table has no %s", missing);
        return missing == NULL;
}

/* -------------------------------------------------------------------------------------------------- the file */

static const struct mt_backend *plugin_load(const char *path, char why[MT_BACKEND_WHY_MAX])
{
        const struct mt_backend *backend = NULL;
        char                     reason[MT_BACKEND_WHY_MAX];
        void                    *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        const char              *error;

        if (handle == NULL) {
                error = dlerror();
                snprintf(why, MT_BACKEND_WHY_MAX, "%s", error != NULL ? error : path);
                return NULL;
        }
        backend = dlsym(handle, PLUGIN_SYMBOL);
        if (backend == NULL)
                snprintf(why, MT_BACKEND_WHY_MAX, "%.160s: it exports no symbol " PLUGIN_SYMBOL, path);
        else if (!plugin_check(backend, reason))
                snprintf(why, MT_BACKEND_WHY_MAX, "%.120s: %.120s", path, reason), backend = NULL;
        if (backend == NULL)
                dlclose(handle);
        return backend;
}

/* The folder of the object that this function is in: the library's where it is preloaded, else the command's. */
static bool plugin_folder(char folder[PATH_MAX])
{
        Dl_info     info;
        const char *slash;

        if (dladdr((const void *)(uintptr_t)plugin_folder, &info) == 0 || info.dli_fname == NULL)
                return false;
        slash = strrchr(info.dli_fname, '/');
        if (slash == NULL)
                return false;
        return snprintf(folder, PATH_MAX, "%.*s", (int)(slash - info.dli_fname), info.dli_fname) < PATH_MAX;
}

/* From other rooms: [R] pairs with [S], whoever sees the number sees the tables. */
enum { PLUGIN_REGISTERED_MAX = 4 };
static const struct mt_backend *plugin_registered[PLUGIN_REGISTERED_MAX];
static _Atomic unsigned         plugin_registered_count;

void tiers_register(const struct mt_backend *backend)
{
        unsigned n = mt_load_relaxed(&plugin_registered_count);

        for (unsigned i = 0; i < n; i++)
                if (plugin_registered[i] == backend)
                        return;
        MT_ASSERT(n < PLUGIN_REGISTERED_MAX);
        if (n == PLUGIN_REGISTERED_MAX)
                return;
        plugin_registered[n] = backend;
        mt_store_release(&plugin_registered_count, n + 1); /* [R] */
}

static const struct mt_backend *plugin_find_registered(struct mt_bytes kind)
{
        unsigned n = mt_load_acquire(&plugin_registered_count); /* [S] */

        for (unsigned i = 0; i < n; i++)
                if (mt_bytes_equal(kind, mt_bytes_of(plugin_registered[i]->name)))
                        return plugin_registered[i];
        return NULL;
}

static const struct mt_backend *plugin_find_own(struct mt_bytes kind, const struct plugin_places *places,
                                                char why[MT_BACKEND_WHY_MAX])
{
        const struct mt_backend *registered = plugin_find_registered(kind);
        char                     folder[PATH_MAX], path[2 * PATH_MAX];
        const char              *where = places->folder;

        if (registered != NULL)
                return registered;
        for (size_t i = 0; places->built_in != NULL && places->built_in[i] != NULL; i++)
                if (mt_bytes_equal(kind, mt_bytes_of(places->built_in[i]->name)))
                        return places->built_in[i];
        if (where == NULL && !plugin_folder(folder)) {
                snprintf(why, MT_BACKEND_WHY_MAX, "%.100s: where the plugins lie is not known", kind.ptr);
                return NULL;
        }
        snprintf(path, sizeof path, "%s/libmtshim-%.*s.so", where != NULL ? where : folder, (int)kind.len, kind.ptr);
        return plugin_load(path, why);
}

const struct mt_backend *plugin_find(const struct spec *spec, const struct plugin_places *places,
                                     char why[MT_BACKEND_WHY_MAX])
{
        const struct mt_backend *backend = NULL;
        int                      saved = errno;

        if (!mt_bytes_equal(spec->kind, mt_bytes_of("plugin")))
                backend = plugin_find_own(spec->kind, places, why);
        else if (spec->address.len == 0 || spec->address.ptr[0] != '/')
                snprintf(why, MT_BACKEND_WHY_MAX, "plugin:%.160s: not an absolute path", spec->address.ptr);
        else
                backend = plugin_load(spec->address.ptr, why);
        errno = saved;
        return backend;
}
