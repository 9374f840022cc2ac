/* Judging and answering handshakes; statuses after the recordings, texts for people our own. */
#include "transport/ws_handshake.h"
#include "base/base64.h"
#include "base/crypto.h"
#include "base/error.h"

#include <assert.h>

#define TOKEN_PREFIX "base64url.bearer.phx."

/* Phoenix sends it with every answer; it keeps caches from meddling. */
#define NO_CACHE "cache-control: max-age=0, private, must-revalidate\r\n"

/* Whether a comma-separated list holds a word, whatever its case. */
static bool list_has(plx_slice list, const char *word)
{
    plx_slice part;
    while (plx_slice_split(&list, ',', &part)) {
        if (plx_slice_ieq(plx_slice_trim(part), plx_slice_of(word)))
            return true;
    }
    return false;
}

void plx_ws_read_subprotocols(plx_slice offered, plx_ws_subprotocol *out, plx_buf *token)
{
    const plx_slice prefix = PLX_LIT(TOKEN_PREFIX);
    plx_slice part, encoded = {0};
    bool phoenix = false;
    unsigned tokens = 0;
    while (plx_slice_split(&offered, ',', &part)) {
        part = plx_slice_trim(part);
        if (plx_slice_starts(part, prefix)) {
            encoded = plx_slice_make(part.data + prefix.len, part.len - prefix.len);
            tokens++;
        } else if (plx_slice_is(part, "phoenix")) {
            phoenix = true;
        }
    }
    out->has_token = tokens == 1;
    out->phoenix = phoenix && out->has_token;
    if (out->has_token && plx_base64_decode(token, encoded, PLX_B64_URL | PLX_B64_NOPAD) != 0)
        plx_buf_add(token, encoded);
}

const char *plx_ws_handshake_check(const plx_ws_head *h)
{
    plx_slice v;
    plx_ws_head_get(h, "connection", &v);
    if (!list_has(v, "upgrade"))
        return "the Connection header must contain \"upgrade\"";
    plx_ws_head_get(h, "upgrade", &v);
    if (!list_has(v, "websocket"))
        return "the Upgrade header must contain \"websocket\"";
    plx_ws_head_get(h, "sec-websocket-version", &v);
    if (!plx_slice_is(v, "13"))
        return "Sec-WebSocket-Version must be 13";
    plx_ws_head_get(h, "sec-websocket-key", &v);
    if (v.len == 0)
        return "the Sec-WebSocket-Key header is missing";
    if (memchr(v.data, ',', v.len)) /* two lines, joined (RFC 6455 11.3.1) */
        return "the Sec-WebSocket-Key header must appear once";
    if (plx_ws_head_has_body(h))
        return "a handshake has no body";
    return NULL;
}

void plx_ws_accept(plx_slice key, char out[PLX_WS_ACCEPT_LEN + 1])
{
    uint8_t digest[20];
    plx_buf b;
    plx_buf_init(&b, 0);
    plx_buf_add(&b, key);
    plx_buf_str(&b, "258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    plx_sha1(plx_buf_slice(&b), digest);
    plx_buf_clear(&b);
    plx_base64_encode(&b, plx_slice_make(digest, sizeof digest), PLX_B64_STANDARD);
    assert(b.len == PLX_WS_ACCEPT_LEN);
    memcpy(out, plx_buf_cstr(&b), PLX_WS_ACCEPT_LEN + 1);
    plx_buf_fini(&b);
}

void plx_ws_handshake_answer(const plx_ws_head *h, bool phoenix, plx_slice extensions, plx_buf *out)
{
    char accept[PLX_WS_ACCEPT_LEN + 1];
    plx_slice key;
    plx_ws_head_get(h, "sec-websocket-key", &key);
    plx_ws_accept(key, accept);
    plx_buf_printf(out,
                   "HTTP/1.1 101 Switching Protocols\r\n"
                   "upgrade: websocket\r\n"
                   "connection: Upgrade\r\n"
                   "sec-websocket-accept: %s\r\n" NO_CACHE,
                   accept);
    if (phoenix)
        plx_buf_str(out, "sec-websocket-protocol: phoenix\r\n");
    if (extensions.len > 0) {
        plx_buf_str(out, "sec-websocket-extensions: ");
        plx_buf_add(out, extensions);
        plx_buf_str(out, "\r\n");
    }
    plx_buf_str(out, "\r\n");
}

static const char *reason_of(unsigned status)
{
    switch (status) {
    case 400:
        return "Bad Request";
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 408:
        return "Request Timeout";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    }
    return "Error";
}

void plx_ws_http_answer(unsigned status, const char *type, plx_slice body, bool head_only,
                        plx_buf *out)
{
    plx_buf_printf(out,
                   "HTTP/1.1 %u %s\r\n"
                   "content-length: %zu\r\n"
                   "connection: close\r\n" NO_CACHE,
                   status, reason_of(status), body.len);
    if (type)
        plx_buf_printf(out, "content-type: %s\r\n", type);
    if (status == 400)
        plx_buf_str(out, "sec-websocket-version: 13\r\n"); /* RFC 6455 4.4 */
    plx_buf_str(out, "\r\n");
    if (!head_only)
        plx_buf_add(out, body);
}
