/* strategy.c - the one table of named lives. */
#include "strategy.h"

static const struct {
        const char *name;
        uint64_t    life_ms;
} strategies[MT_STRATEGY_COUNT] = {
        [MT_STRATEGY_DEFAULT] = {"default", 5 * 60 * 1000},       [MT_STRATEGY_REALTIME] = {"realtime", 10 * 1000},
        [MT_STRATEGY_SHORT] = {"short", 5 * 60 * 1000},           [MT_STRATEGY_MEDIUM] = {"medium", 60 * 60 * 1000},
        [MT_STRATEGY_LONG] = {"long", UINT64_C(3) * 3600 * 1000}, [MT_STRATEGY_CUSTOM] = {"custom", 0},
};

int strategy_find(struct mt_bytes name)
{
        for (int i = 0; i < MT_STRATEGY_CUSTOM; i++)
                if (mt_bytes_equal(name, mt_bytes_of(strategies[i].name)))
                        return i;
        return -1;
}

const char *strategy_name(enum mt_strategy strategy)
{
        return strategies[strategy].name;
}

uint64_t strategy_life_ms(enum mt_strategy strategy)
{
        return strategies[strategy].life_ms;
}

uint64_t strategy_scaled(uint64_t life, uint64_t scale)
{
        unsigned __int128 scaled = (unsigned __int128)life * scale / STRATEGY_ONE;

        return scaled > UINT64_MAX ? UINT64_MAX : (uint64_t)scaled;
}

uint64_t strategy_spread(uint64_t life, uint64_t jitter, uint64_t random)
{
        uint64_t most = strategy_scaled(life, jitter);

        return life - (uint64_t)((unsigned __int128)most * random >> 64);
}

uint64_t strategy_share(uint64_t remains, uint64_t longest, uint64_t scale, uint64_t jitter, uint64_t random)
{
        uint64_t share = strategy_scaled(remains, scale);

        if (share > remains || remains == UINT64_MAX)
                share = remains;
        return strategy_spread(share < longest ? share : longest, jitter, random);
}

uint64_t strategy_ttl_ms(enum mt_strategy strategy, uint64_t custom_ms, uint64_t scale, uint64_t cap_ms,
                         uint64_t jitter, uint64_t random)
{
        uint64_t life_ms = strategy == MT_STRATEGY_CUSTOM ? custom_ms : strategy_life_ms(strategy), ttl_ms;

        if (life_ms == 0)
                return 0;
        ttl_ms = strategy_scaled(life_ms, scale);
        if (cap_ms != 0 && ttl_ms > cap_ms)
                ttl_ms = cap_ms;
        ttl_ms = strategy_spread(ttl_ms, jitter, random);
        return ttl_ms != 0 ? ttl_ms : 1;
}
