/* check_hash.c - the keyed hash: every byte and the length count, every bit of the result moves, no byte beyond is
 * read. */
#include "l1/base/hash.h"

#include <check.h>
#include <stdlib.h>

#define LEN_MAX 80

static const struct hash_key keys[] = {{{1, 2}},
                                       {{0, 0}},
                                       {{UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210)}}};

#define KEYS (sizeof keys / sizeof *keys)

/* One bit of the input changes each bit of the result in about half of the cases; one bit of the key too. */
START_TEST(avalanche)
{
        unsigned flips[64] = {0}, n = 0;

        for (size_t len = 1; len <= LEN_MAX; len++) {
                unsigned char data[LEN_MAX];

                for (size_t i = 0; i < len; i++)
                        data[i] = (unsigned char)random();
                for (size_t bit = 0; bit < 8 * len + 128; bit++) {
                        struct hash_key key = keys[_i], other = key;
                        uint64_t        h = mt_hash(data, len, key), differ;

                        if (bit < 8 * len)
                                data[bit / 8] ^= (unsigned char)(1u << bit % 8);
                        else
                                other.word[(bit - 8 * len) / 64] ^= UINT64_C(1) << (bit - 8 * len) % 64;
                        differ = h ^ mt_hash(data, len, other);
                        ck_assert(__builtin_popcountll(differ) >= 8);
                        for (unsigned i = 0; i < 64; i++)
                                flips[i] += differ >> i & 1;
                        n++;
                }
        }
        for (unsigned i = 0; i < 64; i++)
                ck_assert(flips[i] > n / 2 - n / 32 && flips[i] < n / 2 + n / 32);
}
END_TEST

/* The same bytes hash alike wherever they stand, in a block of just their size: under asan nothing beyond is read. */
START_TEST(of_the_bytes_alone)
{
        uint64_t seen[2 * LEN_MAX + 1];
        size_t   count = 0;

        for (size_t len = 0; len <= LEN_MAX; len++) {
                char *block = malloc(len + 1), *shifted = malloc(len);

                ck_assert(block != NULL && (shifted != NULL || len == 0));
                memset(block, 0, len + 1);
                if (len > 0)
                        memset(shifted, 0, len);
                ck_assert_uint_eq(mt_hash(block + 1, len, keys[_i]), mt_hash(shifted, len, keys[_i]));
                seen[count++] = mt_hash(shifted, len, keys[_i]);
                free(block);
                free(shifted);
        }
        ck_assert_uint_eq(mt_hash(NULL, 0, keys[_i]), seen[0]);
        for (size_t i = 0; i < count; i++) /* zeros of different lengths */
                for (size_t j = 0; j < i; j++)
                        ck_assert_uint_ne(seen[i], seen[j]);
}
END_TEST

int main(void)
{
        Suite   *suite = suite_create("hash");
        TCase   *tcase = tcase_create("hash");
        SRunner *runner = srunner_create(suite);
        int      failed;

        tcase_add_loop_test(tcase, avalanche, 0, KEYS);
        tcase_add_loop_test(tcase, of_the_bytes_alone, 0, KEYS);
        suite_add_tcase(suite, tcase);
        srunner_run_all(runner, CK_NORMAL);
        failed = srunner_ntests_failed(runner);
        srunner_free(runner);
        return failed != 0;
}
