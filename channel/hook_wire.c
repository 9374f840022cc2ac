/* The signature of questions, and what answers are worth. */
#include "channel/hook_wire.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/json_scan.h"
#include <stdio.h>

void plx_hook_sign(plx_slice secret, plx_slice body, char out[PLX_HOOK_SIGNATURE_SIZE])
{
    plx_buf text;
    int n;

    plx_buf_init(&text, 0);
    plx_buf_u64(&text, plx_wall_ms() / 1000);
    n = snprintf(out, PLX_HOOK_SIGNATURE_SIZE, "t=%s,v1=", plx_buf_cstr(&text));
    plx_buf_byte(&text, '.');
    plx_buf_add(&text, body);
    plx_hmac_sha256_hex(secret, plx_buf_slice(&text), out + n);
    out[n + PLX_SHA256_HEX] = '\0';
    plx_buf_fini(&text);
}

/* The web server before the application says that this one can't be reached (RFC 9110 15.6.3 to
 * 15.6.5): php-fpm or a WSGI server that starts again. */
static bool is_gateway(unsigned status)
{
    return status >= 502 && status <= 504;
}

int plx_hook_judge(const plx_http_result *r, plx_slice *json, const char **why)
{
    plx_json_value value;
    size_t i = 0;

    *why = r->why;
    if (r->err != 0)
        return r->err == PLX_E_TOOBIG ? PLX_E_INVALID : r->err;
    *why =
        r->status >= 300 && r->status < 400 ? "it redirects" : "its status is neither 200 nor 204";
    if (r->status != 200 && r->status != 204)
        return is_gateway(r->status) ? PLX_E_DOWN : PLX_E_INVALID;
    while (i < r->body.len && strchr(" \t\r\n", r->body.data[i]) && r->body.data[i])
        i++;
    *json = plx_slice_make(NULL, 0);
    if (r->status == 204 || i == r->body.len)
        return 0;
    *why = "its answer is no JSON object";
    if (plx_json_check(r->body, &value) != 0 || value.type != PLX_JSON_OBJECT)
        return PLX_E_INVALID;
    *json = value.text;
    return 0;
}

bool plx_hook_is_sick(const plx_http_result *r)
{
    return r->err == PLX_E_DOWN || r->err == PLX_E_TIMEOUT || r->status >= 500;
}
