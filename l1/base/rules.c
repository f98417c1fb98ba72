/* rules.c - from the text of MTSHIM_RULES to the table, and the search in it. A pattern such as "session:*" is decided
 * by one memcmp; only what is behind the literal head of other patterns goes to the glob matcher. */
#include "rules.h"

#include "glob.h"
#include "units.h"

#include <stdio.h>

static const uint64_t RULES_TTL_MIN_NS = NS_PER_MS;
static const uint64_t RULES_TTL_MAX_NS = 365 * 86400 * NS_PER_S;

/* Up to the first ';' that no backslash escapes; *text is moved behind it. */
static struct mt_bytes rules_next(struct mt_bytes *text)
{
        struct mt_bytes rule = *text;
        size_t          n = 0;

        while (n < text->len && text->ptr[n] != ';')
                n += text->ptr[n] == '\\' && n + 1 < text->len ? 2 : 1;
        rule.len = n;
        n += n < text->len;
        text->ptr += n;
        text->len -= n;
        return units_trim(rule);
}

/* The value of "name:value", if it is of that name and not empty. */
static bool rules_value(struct mt_bytes action, const char *name, struct mt_bytes *value)
{
        size_t len = strlen(name);

        if (action.len <= len || memcmp(action.ptr, name, len) != 0)
                return false;
        *value = mt_bytes(action.ptr + len, action.len - len);
        return true;
}

static const char *rules_parse_ttl(struct rule *rule, struct mt_bytes value)
{
        rule->strategy = MT_STRATEGY_CUSTOM;
        if (!units_parse_duration(value, &rule->ttl_ns) || rule->ttl_ns < RULES_TTL_MIN_NS ||
            rule->ttl_ns > RULES_TTL_MAX_NS)
                return "its ttl is not a duration of 1ms..365d";
        return NULL;
}

static const char *rules_parse_strategy(struct rule *rule, struct mt_bytes value)
{
        int strategy = strategy_find(value);

        if (strategy < 0)
                return "its strategy is none of default, realtime, short, medium, long";
        rule->strategy = (enum mt_strategy)strategy;
        rule->ttl_ns = strategy_life_ms(rule->strategy) * NS_PER_MS;
        return NULL;
}

/* The words that an action may be; "name:" wants a value. Those of one flag exclude each other. */
static const struct rules_action {
        const char *name;
        uint32_t    flag;
        const char *(*parse)(struct rule *rule, struct mt_bytes value);
} rules_actions[] = {
        {"bypass", RULE_BYPASS, NULL},
        {"ttl:", RULE_TTL, rules_parse_ttl},
        {"strategy:", RULE_TTL, rules_parse_strategy},
        {"tiers", RULE_TIERS, NULL},
};

/* NULL, or why not. */
static const char *rules_parse_action(struct rule *rule, struct mt_bytes action)
{
        for (size_t i = 0; i < sizeof rules_actions / sizeof rules_actions[0]; i++) {
                const struct rules_action *known = &rules_actions[i];
                struct mt_bytes            value = {0};

                if (known->parse ? !rules_value(action, known->name, &value)
                                 : !mt_bytes_equal(action, mt_bytes_of(known->name)))
                        continue;
                if (rule->flags & known->flag)
                        return "it says the same thing twice";
                rule->flags |= known->flag;
                return known->parse ? known->parse(rule, value) : NULL;
        }
        return "its action is none of bypass, ttl:DURATION, strategy:NAME, tiers";
}

static const char *rules_parse_actions(struct rule *rule, struct mt_bytes actions)
{
        const char *why = NULL, *comma;

        do {
                size_t len;

                comma = memchr(actions.ptr, ',', actions.len);
                len = comma ? (size_t)(comma - actions.ptr) : actions.len;
                why = rules_parse_action(rule, units_trim(mt_bytes(actions.ptr, len)));
                len += comma != NULL;
                actions = mt_bytes(actions.ptr + len, actions.len - len);
        } while (!why && comma);
        if (!why && (rule->flags & RULE_BYPASS) && rule->flags != RULE_BYPASS)
                why = "bypass stands alone";
        return why;
}

static const char *rules_add(struct rules *rules, struct mt_bytes text)
{
        const char     *equals = memrchr(text.ptr, '=', text.len);
        struct mt_bytes pattern, actions;
        struct rule     rule = {0};
        const char     *why;

        if (!equals)
                return "it is not of the form pattern=action";
        pattern = units_trim(mt_bytes(text.ptr, (size_t)(equals - text.ptr)));
        actions = units_trim(mt_bytes(equals + 1, text.len - (size_t)(equals + 1 - text.ptr)));
        if (pattern.len == 0)
                return "its pattern is empty";
        why = rules_parse_actions(&rule, actions);
        if (why)
                return why;
        if (rules->count == RULES_MAX)
                return "there are more than 64 rules";
        if (pattern.len > sizeof rules->text - rules->text_len)
                return "the patterns are longer than 4096 bytes together";

        rule.at = (uint16_t)rules->text_len;
        rule.len = (uint16_t)pattern.len;
        rule.literal = (uint16_t)glob_literal_prefix(pattern);
        rule.rest_is_star = rule.literal + 1u == rule.len && pattern.ptr[rule.literal] == '*';
        memcpy(rules->text + rules->text_len, pattern.ptr, pattern.len);
        rules->text_len += rule.len;
        rules->rule[rules->count++] = rule;
        return NULL;
}

void rules_parse(struct rules *rules, struct mt_bytes text, rules_complain_f *complain, void *arg)
{
        rules->count = 0;
        rules->text_len = 0;
        if (mt_bytes_equal(units_trim(text), mt_bytes_of("*")))
                return;
        while (text.len > 0) {
                struct mt_bytes rule = rules_next(&text);
                const char     *why = rule.len > 0 ? rules_add(rules, rule) : NULL;

                if (why)
                        complain(arg, rule, why);
        }
}

static int rules_format_one(const struct rules *rules, const struct rule *rule, char *out, size_t n)
{
        const char *between = rule == rules->rule ? "" : ";";
        const char *pattern = rules->text + rule->at;
        const char *tiers = rule->flags & RULE_TIERS ? rule->flags & RULE_TTL ? ",tiers" : "tiers" : "";
        char        ttl[UNITS_TEXT_MAX];

        if (rule->flags & RULE_BYPASS)
                return snprintf(out, n, "%s%.*s=bypass", between, rule->len, pattern);
        if (!(rule->flags & RULE_TTL))
                return snprintf(out, n, "%s%.*s=%s", between, rule->len, pattern, tiers);
        if (rule->strategy != MT_STRATEGY_CUSTOM)
                return snprintf(out, n, "%s%.*s=strategy:%s%s", between, rule->len, pattern,
                                strategy_name(rule->strategy), tiers);
        units_format_duration(rule->ttl_ns, ttl);
        return snprintf(out, n, "%s%.*s=ttl:%s%s", between, rule->len, pattern, ttl, tiers);
}

int rules_format(const struct rules *rules, char *out, size_t n)
{
        size_t len = 0;

        if (rules->count == 0)
                return snprintf(out, n, "*");
        for (unsigned i = 0; i < rules->count; i++)
                len += (size_t)rules_format_one(rules, &rules->rule[i], len < n ? out + len : NULL,
                                                len < n ? n - len : 0);
        return (int)len;
}

static bool rules_rule_matches(const struct rules *rules, const struct rule *rule, struct mt_bytes key)
{
        const char *pattern = rules->text + rule->at;
        size_t      literal = rule->literal;

        if (key.len < literal || (literal > 0 && memcmp(key.ptr, pattern, literal) != 0))
                return false;
        if (rule->rest_is_star)
                return true;
        if (rule->len == literal)
                return key.len == literal;
        return glob_match(mt_bytes(pattern + literal, rule->len - literal),
                          mt_bytes(key.len > literal ? key.ptr + literal : "", key.len - literal));
}

const struct rule *rules_search(const struct rules *rules, struct mt_bytes key)
{
        for (unsigned i = 0; i < rules->count; i++)
                if (rules_rule_matches(rules, &rules->rule[i], key))
                        return &rules->rule[i];
        return NULL;
}
