/* hash.h - the keyed hash of L1: two secret words, 64 bits out.
 * Built from 64x64->128 bit multiplications folded by xor, the "mum" step that wyhash and its kin use
 * (https://github.com/wangyi-fudan/wyhash describes it). Keyed so that somebody who can choose keys cannot aim at
 * one bucket; it is not a MAC. Two processes of one host must agree: the byte order is fixed to little-endian loads. */
#ifndef MT_BASE_HASH_H
#define MT_BASE_HASH_H

#include <endian.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct hash_key {
        uint64_t word[2];
};

static inline uint64_t hash_load64(const char *p)
{
        uint64_t v;

        memcpy(&v, p, sizeof v);
        return le64toh(v);
}

static inline uint64_t hash_load32(const char *p)
{
        uint32_t v;

        memcpy(&v, p, sizeof v);
        return le32toh(v);
}

static inline uint64_t hash_fold(uint64_t a, uint64_t b)
{
        __uint128_t product = (__uint128_t)a * b;

        return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Sixteen bytes a step, the last step overlapping the one before: three multiplications for a key of 17 to 32 bytes.
 * The constants keep a key of small numbers (names and fingerprints have such) from multiplying little by little. */
static inline uint64_t mt_hash(const void *data, size_t len, struct hash_key key)
{
        const char *p = data, *end;
        uint64_t    k0 = key.word[0] ^ UINT64_C(0x9e3779b97f4a7c15), k1 = key.word[1] ^ UINT64_C(0xd6e8feb86659fd93);
        uint64_t    a = 0, b = 0, seed = k0;
        __uint128_t product;

        if (len > 16) {
                end = p + len;
                for (; __builtin_expect(end - p > 32, 0); p += 16)
                        seed = hash_fold(hash_load64(p) ^ k1, hash_load64(p + 8) ^ seed);
                seed = hash_fold(hash_load64(p) ^ k1, hash_load64(p + 8) ^ seed);
                a = hash_load64(end - 16);
                b = hash_load64(end - 8);
        } else if (len >= 8) {
                a = hash_load64(p);
                b = hash_load64(p + len - 8);
        } else if (len >= 4) {
                a = hash_load32(p);
                b = hash_load32(p + len - 4);
        } else if (len > 0) {
                a = (uint64_t)(unsigned char)p[0] << 16 | (uint64_t)(unsigned char)p[len >> 1] << 8 |
                    (unsigned char)p[len - 1];
        }
        product = (__uint128_t)(a ^ k1) * (b ^ seed);
        return hash_fold((uint64_t)product ^ k0 ^ len, (uint64_t)(product >> 64) ^ k1);
}

#endif
