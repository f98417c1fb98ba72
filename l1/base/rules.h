/* rules.h - MTSHIM_RULES: what is done with which keys. "session:*=ttl:10s;secret:*=bypass": patterns are Redis globs,
 * the first that matches counts. In fixed storage; a set of rules may be copied. ';' ends a rule and the last '=' in it
 * ends the pattern: a pattern writes a ';' of its own as '\;'. */
#ifndef MT_BASE_RULES_H
#define MT_BASE_RULES_H

#include "bytes.h"

enum { RULES_MAX = 64, RULES_TEXT_MAX = 4096 };

enum rule_action {
        RULE_BYPASS, /* never answered from L1, never kept */
        RULE_TTL,    /* longest life in L1 is ttl_ns instead of MTSHIM_L1_TTL */
};

struct rule {
        uint64_t         ttl_ns;
        enum rule_action action;
        uint16_t         at, len;      /* the pattern, in the set's text */
        uint16_t         literal;      /* bytes at its head that stand for themselves */
        bool             rest_is_star; /* behind them stands one star and nothing else */
};

struct rules {
        unsigned    count;
        unsigned    text_len;
        struct rule rule[RULES_MAX];
        char        text[RULES_TEXT_MAX]; /* the patterns, one behind the other */
};

/* Each rule that cannot be taken is handed to complain with the reason; the others hold. "*" alone, the default, and
 * the empty text are no rules at all. */
typedef void rules_complain_f(void *arg, struct mt_bytes rule, const char *why);

void rules_parse(struct rules *rules, struct mt_bytes text, rules_complain_f *complain, void *arg);

/* The rules as they would be written; like snprintf. */
int rules_format(const struct rules *rules, char *out, size_t n);

const struct rule *rules_search(const struct rules *rules, struct mt_bytes key);

/* The rule of a key, or NULL. On the hit path, where mostly there are no rules. */
static inline const struct rule *rules_match(const struct rules *rules, struct mt_bytes key)
{
        return rules->count == 0 ? NULL : rules_search(rules, key);
}

#endif
