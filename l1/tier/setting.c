/* setting.c - "l3=lmdb:/var/cache/x?ttl_scale=2;l4=plugin:/lib/x.so": parts, and the options that are ours. */
#include "setting.h"

#include "../base/atomic.h"
#include "../base/clock.h"
#include "../base/log.h"
#include "../base/units.h"

#include <stdio.h>

#define SETTING_PREFIX      "mtshim:"
#define SETTING_PROMOTE     10
#define SETTING_PROMOTE_MAX 1000000000
#define SETTING_SCALE_MAX   1000 /* times */
#define SETTING_TIMEOUT_MS  250
enum { SETTING_QUOTE_MAX = 200, SETTING_SCALE_DIGITS = 3 };

/* "2", "0.5": up to three digits behind the point, whatever the program's locale says of points. */
static bool setting_scale(struct mt_bytes text, uint32_t *scale)
{
        uint64_t value = 0;
        int      behind = -1;

        for (size_t i = 0; i < text.len; i++) {
                char c = text.ptr[i];

                if (c == '.' && behind < 0 && i > 0)
                        behind = 0;
                else if (c >= '0' && c <= '9' && (behind < 0 || behind++ < SETTING_SCALE_DIGITS) && value < UINT32_MAX)
                        value = 10 * value + (uint64_t)(c - '0');
                else
                        return false;
        }
        for (int i = behind < 0 ? 0 : behind; i < SETTING_SCALE_DIGITS; i++)
                value *= 10;
        *scale = (uint32_t)value;
        return behind != 0 && value > 0 && value <= (uint64_t)SETTING_SCALE_MAX * SETTING_SCALE_ONE;
}

static const char *setting_take_scale(struct tier_setting *s)
{
        struct mt_bytes value;

        s->scale = (s->level == TIER_FIRST ? 2 : 8) * SETTING_SCALE_ONE;
        return !spec_take(&s->spec, "ttl_scale", &value) || setting_scale(value, &s->scale)
                       ? NULL
                       : "ttl_scale is not a number within 0.001..1000";
}

static const char *setting_take_promote(struct tier_setting *s)
{
        struct mt_bytes value;
        uint64_t        n = SETTING_PROMOTE;

        if (spec_take(&s->spec, "promote", &value) && (!units_parse_size(value, &n) || n > SETTING_PROMOTE_MAX))
                return "promote is not a number within 0..1000000000";
        s->promote = (uint32_t)n;
        return NULL;
}

static const char *setting_take_timeout(struct tier_setting *s)
{
        struct mt_bytes value;
        uint64_t        ns = SETTING_TIMEOUT_MS * NS_PER_MS;

        if (spec_take(&s->spec, "timeout", &value) &&
            (!units_parse_duration(value, &ns) || ns < NS_PER_MS || ns > 60 * NS_PER_S))
                return "timeout is not a duration within 1ms..60s";
        s->timeout_ms = (uint32_t)(ns / NS_PER_MS);
        return NULL;
}

/* Ends with ':', so that no tier's flush reaches the keys of another whose prefix begins with its own. */
static const char *setting_take_prefix(struct tier_setting *s)
{
        struct mt_bytes value = mt_bytes_of(SETTING_PREFIX);
        size_t          len;

        s->named = spec_take(&s->spec, "prefix", &value);
        if (value.len == 0)
                return "prefix is empty";
        if (value.len + 2 > sizeof s->prefix_text)
                return "prefix is longer than 254 bytes";
        len = value.len;
        memcpy(s->prefix_text, value.ptr, len);
        if (s->prefix_text[len - 1] != ':')
                s->prefix_text[len++] = ':';
        s->prefix_text[len] = '\0';
        s->prefix = mt_bytes(s->prefix_text, len);
        return NULL;
}

/* In place: a setting points into itself. */
static const char *setting_parse(struct mt_bytes store, struct tier_setting *s)
{
        const char *why = spec_parse(store, &s->spec);

        if (why != NULL || (why = setting_take_scale(s)) != NULL || (why = setting_take_promote(s)) != NULL ||
            (why = setting_take_timeout(s)) != NULL || (why = setting_take_prefix(s)) != NULL)
                return why;
        s->config = spec_config(&s->spec, s->prefix, s->timeout_ms);
        return NULL;
}

static const char *setting_place(struct mt_bytes part, struct tier_setting setting[TIER_MAX])
{
        struct tier_setting *s;
        const char          *why;

        if (part.len < 3 || (part.ptr[0] != 'l' && part.ptr[0] != 'L') || part.ptr[2] != '=')
                return "it does not begin with a level, l3= to l8=";
        if (part.ptr[1] < '0' + TIER_FIRST || part.ptr[1] > '0' + TIER_LAST)
                return "its level is not within 3..8";
        s = &setting[part.ptr[1] - '0' - TIER_FIRST];
        if (s->level != 0)
                return "its level is given twice";
        s->level = (uint8_t)(part.ptr[1] - '0');
        why = setting_parse(mt_bytes(part.ptr + 3, part.len - 3), s);
        if (why != NULL)
                s->level = 0;
        return why;
}

static _Atomic unsigned setting_left_out;

unsigned tiers_left_out(void)
{
        return mt_load_relaxed(&setting_left_out);
}

static void setting_leave_out(struct mt_bytes part, const char *why)
{
        log_line(LOG_WARN, "MTSHIM_TIERS: '%.*s' is left out: %s",
                 (int)(part.len < SETTING_QUOTE_MAX ? part.len : SETTING_QUOTE_MAX), part.ptr, why);
        mt_fetch_add_relaxed(&setting_left_out, 1);
}

bool settings_parse(const char *text, struct tier_setting setting[TIER_MAX])
{
        bool any = false;

        for (unsigned i = 0; i < TIER_MAX; i++)
                setting[i].level = 0;
        while (*text != '\0') {
                size_t          len = strcspn(text, ";");
                struct mt_bytes part = units_trim(mt_bytes(text, len));
                const char     *why = part.len > 0 ? setting_place(part, setting) : NULL;

                if (why != NULL)
                        setting_leave_out(part, why);
                text += len + (text[len] != '\0');
        }
        for (unsigned i = 0; i < TIER_MAX; i++)
                any |= setting[i].level != 0;
        return any;
}
