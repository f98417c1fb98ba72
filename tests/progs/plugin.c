/* plugin.c - the example of a plugin, spoilt as PLUGIN_FAULT says while it is loaded: abi, size, ops, late, pattern. */
// build: -shared -fPIC -fvisibility=hidden -pthread
#define mtshim_backend plugin_good
#include "../../l1/tier/backend_process.c"
#undef mtshim_backend

static struct mt_l2_ops plugin_ops;

__attribute__((visibility("default"))) struct mt_backend mtshim_backend;

static enum mt_status plugin_late(void *self, struct mt_bytes key, struct mt_bytes value, uint64_t ttl_ms)
{
        return process_set_with_ttl(self, key, value, ttl_ms == 1 ? 100 : ttl_ms);
}

static enum mt_status plugin_pattern(void *self, struct mt_bytes glob)
{
        (void)glob;
        (void)self;
        return MT_OK;
}

__attribute__((constructor)) static void plugin_load(void)
{
        const char *fault = getenv("PLUGIN_FAULT");

        if (fault == NULL)
                fault = "";
        mtshim_backend = plugin_good;
        plugin_ops = process_ops;
        mtshim_backend.ops = &plugin_ops;
        if (strcmp(fault, "abi") == 0)
                mtshim_backend.abi++;
        if (strcmp(fault, "size") == 0)
                mtshim_backend.size -= 8;
        if (strcmp(fault, "ops") == 0)
                plugin_ops.cache.remove = NULL;
        if (strcmp(fault, "late") == 0)
                plugin_ops.cache.set_with_ttl = plugin_late;
        if (strcmp(fault, "pattern") == 0)
                plugin_ops.cache.remove_pattern = plugin_pattern;
}
