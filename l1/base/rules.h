/* rules.h - MTSHIM_RULES: what is done with which keys. "session:*=ttl:10s;secret:*=bypass;feed:*=strategy:long,tiers":
 * patterns are Redis globs, the first that matches counts. In fixed storage; a set of rules may be copied. ';' ends a
 * rule, the last '=' in it ends the pattern, and ',' separates the actions behind that: a pattern writes a ';' of its
 * own as '\;'. */
#ifndef MT_BASE_RULES_H
#define MT_BASE_RULES_H

#include "bytes.h"
#include "strategy.h"

enum { RULES_MAX = 64, RULES_TEXT_MAX = 4096 };

enum rule_flag {
        RULE_BYPASS = 1u << 0, /* never answered from L1, never kept; stands alone */
        RULE_TTL = 1u << 1,    /* ttl:DURATION or strategy:NAME: longest life in L1, instead of MTSHIM_L1_TTL */
        RULE_TIERS = 1u << 2,  /* such keys may be in the tiers behind Redis too */
};

struct rule {
        uint64_t         ttl_ns;       /* if RULE_TTL */
        enum mt_strategy strategy;     /* likewise: MT_STRATEGY_CUSTOM if it was written as ttl:DURATION */
        uint32_t         flags;        /* enum rule_flag, at least one */
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

/* Longest life in L1 of a key with this rule, or with none; otherwise_ns is MTSHIM_L1_TTL. */
static inline uint64_t rule_life_ns(const struct rule *rule, uint64_t otherwise_ns)
{
        return rule != NULL && (rule->flags & RULE_TTL) ? rule->ttl_ns : otherwise_ns;
}

#endif
