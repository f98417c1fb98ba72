/* resp.c - the request half of RESP; replies are hiredis' business. */
#include "resp.h"

bool resp_parse_number(struct mt_bytes text, uint32_t *number)
{
        uint32_t n = 0;

        if (text.len == 0 || text.len > 10 || (text.ptr[0] == '0' && text.len > 1))
                return false;
        for (size_t i = 0; i < text.len; i++) {
                unsigned digit = (unsigned char)text.ptr[i] - (unsigned)'0';

                if (digit > 9 || n > (INT32_MAX - digit) / 10)
                        return false;
                n = n * 10 + digit;
        }
        *number = n;
        return true;
}

/* "<mark><digits>\r\n" */
static bool resp_take_header(struct mt_bytes *rest, char mark, uint32_t *number)
{
        const char *end;
        size_t      digits;

        if (rest->len < 4 || rest->ptr[0] != mark)
                return false;
        end = memchr(rest->ptr + 1, '\r', rest->len - 1 < 11 ? rest->len - 1 : 11);
        if (!end)
                return false;
        digits = (size_t)(end - rest->ptr) - 1;
        if (rest->len < digits + 3 || end[1] != '\n' || !resp_parse_number(mt_bytes(rest->ptr + 1, digits), number))
                return false;
        rest->ptr += digits + 3;
        rest->len -= digits + 3;
        return true;
}

bool resp_take_count(struct mt_bytes *rest, uint32_t *count)
{
        return resp_take_header(rest, '*', count);
}

bool resp_take_word(struct mt_bytes *rest, struct mt_bytes *word)
{
        uint32_t len;

        if (!resp_take_header(rest, '$', &len) || rest->len < (size_t)len + 2 || rest->ptr[len] != '\r' ||
            rest->ptr[len + 1] != '\n')
                return false;
        *word = mt_bytes(rest->ptr, len);
        rest->ptr += (size_t)len + 2;
        rest->len -= (size_t)len + 2;
        return true;
}
