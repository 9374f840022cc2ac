/* Fuzzing request heads, and everything that reads what stands in them; what must hold:
 * - the verdict and the number of bytes taken are the same whole and byte by byte;
 * - an accepted head is within its bounds and has a Host;
 * - a query that is accepted gives valid JSON; extensions are answered or not; an answer to the
 *   handshake holds no line that the request smuggled in.
 */
#include "base/error.h"
#include "base/json_scan.h"
#include "transport/proxy.h"
#include "transport/query.h"
#include "transport/ws_handshake.h"
#include "transport/ws_http.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static enum plx_ws_head_state feed(plx_ws_head *h, plx_slice text, size_t step, size_t *total)
{
    enum plx_ws_head_state state = PLX_WS_HEAD_MORE;
    size_t at = 0, used = 0;
    while (at < text.len && state == PLX_WS_HEAD_MORE) {
        size_t n = text.len - at < step ? text.len - at : step;
        state = plx_ws_head_feed(h, plx_slice_make(text.data + at, n), &used);
        must(used <= n && (state != PLX_WS_HEAD_MORE || used == n));
        at += used;
    }
    *total = at;
    return state;
}

static void read_query(plx_slice query)
{
    json_object *object = NULL;
    plx_buf json;
    if (plx_query_json(query, NULL, NULL, NULL, 0, &object) != 0) {
        must(!object);
        return;
    }
    plx_json_value v;
    plx_buf_init(&json, 0);
    must(plx_json_write(&json, object) == 0);
    must(plx_json_check(plx_buf_slice(&json), &v) == 0 && v.type == PLX_JSON_OBJECT);
    plx_buf_fini(&json);
    json_object_put(object);
}

static void read_client(const plx_ws_head *h)
{
    static char loopback[] = "127.0.0.1", private_range[] = "10.0.0.0/8";
    char *items[] = {loopback, private_range};
    const plx_strings trusted = {items, 2};
    plx_slice xff, proto;
    plx_client client;
    plx_ws_head_get(h, "x-forwarded-for", &xff);
    plx_ws_head_get(h, "x-forwarded-proto", &proto);
    plx_proxy_client(&trusted, plx_slice_of(loopback), false, xff, proto, &client);
    must(client.ip.len > 0 && client.ip.len <= 50);
}

static void read_handshake(const plx_ws_head *h)
{
    plx_slice offers, subprotocols;
    plx_ws_deflate agreed;
    plx_ws_subprotocol sub;
    plx_buf extensions, token, answer;
    plx_buf_init(&extensions, 0);
    plx_buf_init(&token, 0);
    plx_buf_init(&answer, 0);
    plx_ws_head_get(h, "sec-websocket-extensions", &offers);
    plx_ws_deflate_negotiate(offers, &agreed, &extensions);
    must(agreed.on == (extensions.len > 0));
    must(!agreed.on || (agreed.window_bits >= 8 && agreed.window_bits <= 15));
    plx_ws_head_get(h, "sec-websocket-protocol", &subprotocols);
    plx_ws_read_subprotocols(subprotocols, &sub, &token);
    must(sub.has_token || token.len == 0);
    if (!plx_ws_handshake_check(h)) {
        plx_ws_handshake_answer(h, sub.phoenix, plx_buf_slice(&extensions), &answer);
        unsigned lines = 0;
        for (size_t i = 0; i < answer.len; i++)
            lines += answer.data[i] == '\n';
        must(lines == 6u + sub.phoenix + agreed.on);
    }
    plx_buf_fini(&extensions);
    plx_buf_fini(&token);
    plx_buf_fini(&answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    plx_slice text = plx_slice_make(data, size), host;
    plx_ws_head *whole = plx_ws_head_new(), *bytes = plx_ws_head_new();
    size_t taken, taken_by_bytes;
    const char *why, *why_by_bytes;
    enum plx_ws_head_state state = feed(whole, text, size + 1, &taken);
    must(feed(bytes, text, 1, &taken_by_bytes) == state && taken == taken_by_bytes);
    if (state == PLX_WS_HEAD_REFUSED) {
        unsigned status = plx_ws_head_refusal(whole, &why);
        must(status == 400 || status == 431 || status == 505);
        must(plx_ws_head_refusal(bytes, &why_by_bytes) == status && why == why_by_bytes);
    } else if (state == PLX_WS_HEAD_DONE) {
        must(taken <= PLX_WS_HEAD_MAX && plx_ws_head_get(whole, "Host", &host));
        must(plx_ws_head_method(whole).len > 0);
        read_query(plx_ws_head_query(whole));
        read_client(whole);
        read_handshake(whole);
        plx_ws_head_has_body(whole);
    }
    plx_ws_head_free(whole);
    plx_ws_head_free(bytes);
    return 0;
}
