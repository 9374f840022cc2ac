/* Fuzzing WebSocket frames. The first byte chooses rules and how the rest, the bytes of a
 * connection, is cut into pieces; what must hold:
 * - the events are the same whether the bytes come at once, in pieces, or one by one;
 * - no message is longer than allowed, a text that is not compressed is UTF-8, a close code is one
 *   that may be sent;
 * - between messages nothing is held;
 * - inflating stays within its bound, and what is deflated again comes back.
 */
#include "base/buf.h"
#include "base/error.h"
#include "base/utf8.h"
#include "transport/ws_deflate.h"
#include "transport/ws_frame.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static plx_ws_zip *zip;

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void try_inflate(const plx_ws_message *m, size_t max)
{
    plx_slice out, packed, back;
    plx_buf copy;
    if (plx_ws_inflate(zip, m->payload, max, &out) != 0)
        return;
    must(out.len <= max);
    plx_buf_init(&copy, 0);
    plx_buf_add(&copy, out);
    if (plx_ws_deflate_message(zip, plx_buf_slice(&copy), &packed) == 0) {
        must(packed.len < copy.len);
        must(plx_ws_inflate(zip, packed, copy.len, &back) == 0);
        must(plx_slice_eq(back, plx_buf_slice(&copy)));
    }
    plx_buf_fini(&copy);
}

static void check(enum plx_ws_event event, const plx_ws_message *m, const plx_ws_rules *rules)
{
    switch (event) {
    case PLX_WS_TEXT:
        must(m->compressed || plx_utf8_valid(m->payload));
        must(m->payload.len <= rules->max_bytes);
        break;
    case PLX_WS_BINARY:
        must(m->payload.len <= rules->max_bytes);
        break;
    case PLX_WS_PING:
    case PLX_WS_PONG:
        must(m->payload.len <= 125);
        break;
    case PLX_WS_CLOSE:
        must(m->code >= 1000 && m->code < 5000 && m->payload.len <= 123);
        must(plx_utf8_valid(m->payload));
        break;
    case PLX_WS_FAULT:
        must(m->code == 1002 || m->code == 1007 || m->code == 1009);
        break;
    case PLX_WS_MORE:
        break;
    }
    must(!m->compressed || rules->deflate);
}

/* Feeds all in pieces of `step` bytes and writes down what came. */
static void run(const uint8_t *data, size_t size, size_t step, const plx_ws_rules *rules,
                plx_buf *log)
{
    plx_ws_reader r = {0};
    plx_ws_message m;
    enum plx_ws_event event = PLX_WS_MORE;
    for (size_t at = 0; at < size && event != PLX_WS_FAULT; at += step) {
        size_t len = size - at < step ? size - at : step;
        char *piece = malloc(len), *p = piece;
        memcpy(piece, data + at, len);
        do {
            m = (plx_ws_message){.code = 0};
            event = plx_ws_read(&r, rules, &p, &len, &m);
            check(event, &m, rules);
            if (event == PLX_WS_MORE)
                break;
            plx_buf_printf(log, "%d %u %d ", event, m.code, m.compressed);
            plx_buf_add(log, m.payload);
            if (m.compressed)
                try_inflate(&m, rules->max_bytes);
        } while (event != PLX_WS_FAULT);
        must(event == PLX_WS_FAULT || len == 0);
        free(piece);
    }
    plx_ws_reader_fini(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    if (!zip)
        zip = plx_ws_zip_new();
    const plx_ws_rules rules = {data[0] & 2 ? 100 : 70000, data[0] & 1};
    size_t steps[] = {size, 1, (size_t)(data[0] >> 2) + 1};
    plx_buf whole, pieces;
    plx_buf_init(&whole, 0);
    plx_buf_init(&pieces, 0);
    run(data + 1, size - 1, steps[0], &rules, &whole);
    for (int i = 1; i < 3; i++) {
        plx_buf_clear(&pieces);
        run(data + 1, size - 1, steps[i], &rules, &pieces);
        must(plx_slice_eq(plx_buf_slice(&whole), plx_buf_slice(&pieces)));
    }
    plx_buf_fini(&whole);
    plx_buf_fini(&pieces);
    return 0;
}
