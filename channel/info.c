/* See info.h. Only Pollux writes it, but what comes from Redis is checked like anything else. */
#include "channel/info.h"

#include "base/error.h"
#include "base/json_scan.h"
#include "channel/message.h"

static void put(plx_buf *out, plx_slice s)
{
    plx_buf_u64(out, s.len);
    plx_buf_byte(out, ':');
    plx_buf_add(out, s);
}

void plx_info_pack_rest(plx_buf *out, plx_slice name, plx_payload message)
{
    put(out, name);
    plx_buf_byte(out, message.kind == PLX_PAYLOAD_BINARY ? 'b' : 'j');
    plx_buf_add(out, message.bytes);
}

void plx_info_pack(plx_buf *out, plx_slice topic, plx_slice name, plx_payload message)
{
    plx_buf_byte(out, 's');
    put(out, topic);
    plx_info_pack_rest(out, name, message);
}

/* Takes "NUMBER:" off *in. */
static bool take_number(plx_slice *in, uint64_t max, uint64_t *n)
{
    size_t i = 0;

    *n = 0;
    while (i < in->len && in->data[i] >= '0' && in->data[i] <= '9' && *n <= max)
        *n = *n * 10 + (uint64_t)(in->data[i++] - '0');
    if (i == 0 || i >= in->len || in->data[i] != ':' || *n > max)
        return false;
    *in = plx_slice_make(in->data + i + 1, in->len - i - 1);
    return true;
}

static bool take(plx_slice *in, uint64_t max, plx_slice *out)
{
    uint64_t len;

    if (!take_number(in, max, &len) || len > in->len)
        return false;
    *out = plx_slice_make(in->data, (size_t)len);
    *in = plx_slice_make(in->data + len, in->len - (size_t)len);
    return true;
}

static bool take_message(plx_slice in, plx_payload *out)
{
    if (in.len == 0 || in.len - 1 > PLX_INFO_MAX || (in.data[0] != 'j' && in.data[0] != 'b'))
        return false;
    *out = (plx_payload){in.data[0] == 'b' ? PLX_PAYLOAD_BINARY : PLX_PAYLOAD_JSON,
                         plx_slice_make(in.data + 1, in.len - 1)};
    return out->kind == PLX_PAYLOAD_BINARY || plx_json_check(out->bytes, NULL) == 0;
}

int plx_info_unpack(plx_slice bytes, plx_info *out)
{
    plx_info info = {.slot = 0};
    plx_slice in = bytes.len > 0 ? plx_slice_make(bytes.data + 1, bytes.len - 1) : bytes;
    uint64_t slot = 0;
    bool good = bytes.len > 0;

    if (good && bytes.data[0] == 't')
        good = take_number(&in, UINT32_MAX, &slot) && slot > 0;
    else
        good = good && bytes.data[0] == 's' && take(&in, PLX_NAME_MAX, &info.topic) &&
               info.topic.len > 0;
    if (!good || !take(&in, PLX_INFO_NAME_MAX, &info.name) || !take_message(in, &info.message))
        return PLX_E_INVALID;
    info.slot = (uint32_t)slot;
    *out = info;
    return 0;
}
