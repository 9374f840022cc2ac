/* Careful reading of hiredis replies. */
#include "store/reply.h"

bool plx_reply_is_array(const redisReply *r)
{
    return r && r->type == REDIS_REPLY_ARRAY;
}

size_t plx_reply_count(const redisReply *r)
{
    return plx_reply_is_array(r) ? r->elements : 0;
}

const redisReply *plx_reply_at(const redisReply *r, size_t i)
{
    return i < plx_reply_count(r) ? r->element[i] : NULL;
}

plx_slice plx_reply_slice(const redisReply *r)
{
    if (!r || (r->type != REDIS_REPLY_STRING && r->type != REDIS_REPLY_STATUS))
        return plx_slice_make(NULL, 0);
    return plx_slice_make(r->str, r->len);
}

bool plx_decimal_parse(plx_slice text, uint64_t *out)
{
    if (text.len == 0 || text.len > 20)
        return false;
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned char)text.data[i] - (unsigned)'0';
        if (digit > 9 || n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    *out = n;
    return true;
}

bool plx_stream_id_parse(plx_slice text, uint64_t *out)
{
    if (text.len < 3 || text.data[text.len - 2] != '-' || text.data[text.len - 1] != '0')
        return false;
    return plx_decimal_parse(plx_slice_make(text.data, text.len - 2), out);
}

bool plx_reply_u64(const redisReply *r, uint64_t *out)
{
    if (r && r->type == REDIS_REPLY_INTEGER && r->integer >= 0) {
        *out = (uint64_t)r->integer;
        return true;
    }
    return plx_decimal_parse(plx_reply_slice(r), out);
}

bool plx_reply_is(const redisReply *r, const char *text)
{
    return plx_slice_is(plx_reply_slice(r), text);
}
