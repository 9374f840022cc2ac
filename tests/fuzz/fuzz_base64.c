/* Fuzzing Base64. The first byte chooses the flags, the rest is taken once as bytes and once as
 * text; what must hold:
 * - encoding and decoding gives the bytes back, in every alphabet and with every padding;
 * - a text that decodes is the only one (of its alphabet and padding) that gives these bytes;
 * - what is refused appends nothing; a bound that is one byte short refuses.
 */
#include "base/base64.h"
#include "base/error.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void bytes_there_and_back(plx_slice bytes, int flags)
{
    plx_buf text, back;
    plx_buf_init(&text, 0);
    plx_buf_init(&back, bytes.len);
    must(plx_base64_encode(&text, bytes, flags) == 0);
    must(plx_base64_decode(&back, plx_buf_slice(&text), flags) == 0);
    must(plx_slice_eq(plx_buf_slice(&back), bytes));
    if (bytes.len > 1) {
        plx_buf small;
        plx_buf_init(&small, bytes.len - 1);
        must(plx_base64_decode(&small, plx_buf_slice(&text), flags) == PLX_E_TOOBIG);
        must(small.len == 0);
        plx_buf_fini(&small);
    }
    plx_buf_fini(&text);
    plx_buf_fini(&back);
}

/* Brings a text that decoded to the alphabet that encoding writes. */
static void normalize(plx_buf *text, int flags)
{
    static const char from[2][2] = {{'-', '_'}, {'+', '/'}}, to[2][2] = {{'+', '/'}, {'-', '_'}};
    int url = flags & PLX_B64_URL ? 1 : 0;
    for (size_t i = 0; i < text->len; i++) {
        for (int k = 0; k < 2; k++) {
            if (text->data[i] == from[url][k])
                text->data[i] = to[url][k];
        }
    }
    while (flags & PLX_B64_NOPAD && text->len > 0 && text->data[text->len - 1] == '=')
        text->len--;
}

static void text_there_and_back(plx_slice text, int flags)
{
    plx_buf bytes, again, normal;
    plx_buf_init(&bytes, 0);
    plx_buf_init(&again, 0);
    plx_buf_init(&normal, 0);
    if (plx_base64_decode(&bytes, text, flags) == 0) {
        must(plx_base64_encode(&again, plx_buf_slice(&bytes), flags) == 0);
        plx_buf_add(&normal, text);
        if (flags & PLX_B64_EITHER || flags & PLX_B64_NOPAD)
            normalize(&normal, flags);
        must(plx_slice_eq(plx_buf_slice(&again), plx_buf_slice(&normal)));
    } else {
        must(bytes.len == 0);
    }
    plx_buf_fini(&bytes);
    plx_buf_fini(&again);
    plx_buf_fini(&normal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    int flags = data[0] & (PLX_B64_URL | PLX_B64_NOPAD | PLX_B64_EITHER);
    plx_slice rest = plx_slice_make(data + 1, size - 1);
    bytes_there_and_back(rest, flags & ~PLX_B64_EITHER);
    text_there_and_back(rest, flags);
    return 0;
}
