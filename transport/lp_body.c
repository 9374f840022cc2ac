/* See lp_body.h. Phoenix splits ndjson at "\n" or "\r\n" and takes a line that does not begin with
 * '[' for base64; we also let V1 objects through and ignore blank lines. */
#include "transport/lp_body.h"

#include "base/base64.h"
#include "base/error.h"

bool plx_lp_body_is_ndjson(plx_slice content_type)
{
    plx_slice type;
    if (!plx_slice_split(&content_type, ';', &type))
        return false;
    static const plx_slice name = PLX_LIT("application/x-ndjson");
    return plx_slice_ieq(plx_slice_trim(type), name);
}

void plx_lp_body_init(plx_lp_body *b, enum plx_vsn vsn, bool ndjson, plx_slice body)
{
    *b = (plx_lp_body){.vsn = vsn, .ndjson = ndjson, .rest = body};
    if (b->rest.data == NULL)
        b->rest.data = "";
    plx_buf_init(&b->bytes, 0);
    plx_buf_init(&b->scratch, 0);
}

void plx_lp_body_fini(plx_lp_body *b)
{
    plx_buf_fini(&b->bytes);
    plx_buf_fini(&b->scratch);
}

/* The next line with something in it; false at the end. */
static bool next_line(plx_lp_body *b)
{
    while (plx_slice_split(&b->rest, '\n', &b->line)) {
        if (b->line.len > 0 && b->line.data[b->line.len - 1] == '\r')
            b->line.len--;
        if (plx_slice_trim(b->line).len > 0)
            return true;
    }
    return false;
}

int plx_lp_body_next(plx_lp_body *b, plx_message *out)
{
    if (!b->ndjson) {
        if (b->rest.data == NULL)
            return 0;
        b->line = b->rest;
        b->rest = plx_slice_make(NULL, 0);
        return plx_decode(b->vsn, false, b->line, &b->scratch, out) ? PLX_E_INVALID : 1;
    }
    if (!next_line(b))
        return 0;
    char first = b->line.data[0];
    if (first == '[' || (b->vsn == PLX_V1 && first == '{'))
        return plx_decode(b->vsn, false, b->line, &b->scratch, out) ? PLX_E_INVALID : 1;
    plx_buf_clear(&b->bytes);
    if (plx_base64_decode(&b->bytes, b->line, PLX_B64_STANDARD) ||
        plx_decode(b->vsn, true, plx_buf_slice(&b->bytes), &b->scratch, out))
        return PLX_E_INVALID;
    return 1;
}

void plx_lp_body_judge(enum plx_vsn vsn, bool ndjson, plx_slice body, plx_lp_body_check *out)
{
    *out = (plx_lp_body_check){.all_refs = true};
    plx_lp_body walk;
    plx_message m;
    int got;
    plx_lp_body_init(&walk, vsn, ndjson, body);
    while ((got = plx_lp_body_next(&walk, &m)) > 0) {
        out->messages++;
        out->all_refs = out->all_refs && m.ref.kind != PLX_TERM_NULL;
        out->usable = (size_t)(walk.line.data + walk.line.len - body.data);
    }
    out->malformed = got < 0;
    plx_lp_body_fini(&walk);
}
