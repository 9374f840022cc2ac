/* FastCGI records. What libfcgi would answer itself (management records, refused roles and
 * multiplexing) is written here, because it gets to see complete requests only: see intake.h.
 */
#include "fcgi/record.h"
#include "base/error.h"

#include <stdio.h>

#define VALUES_MAX 512 /* of an FCGI_GET_VALUES record; the three names we know take 44 */

static unsigned big_endian(const unsigned char *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

int plx_record_parse(plx_slice bytes, plx_record *out)
{
    const unsigned char *p = (const unsigned char *)bytes.data;

    if (bytes.len > 0 && p[0] != FCGI_VERSION_1)
        return PLX_E_INVALID;
    if (bytes.len < FCGI_HEADER_LEN)
        return PLX_E_BUSY;
    size_t len = big_endian(p + 4);
    size_t total = FCGI_HEADER_LEN + len + p[6];
    if (bytes.len < total)
        return PLX_E_BUSY;
    out->type = p[1];
    out->id = big_endian(p + 2);
    out->content = plx_slice_make(bytes.data + FCGI_HEADER_LEN, len);
    out->total = total;
    return 0;
}

void plx_record_head(plx_buf *to, unsigned type, unsigned id, size_t len)
{
    unsigned char head[FCGI_HEADER_LEN] = {
        FCGI_VERSION_1,    (unsigned char)type,       (unsigned char)(id >> 8),
        (unsigned char)id, (unsigned char)(len >> 8), (unsigned char)len};

    plx_buf_append(to, head, sizeof head);
}

void plx_record_end(plx_buf *to, unsigned id, unsigned protocol_status)
{
    unsigned char body[8] = {[4] = (unsigned char)protocol_status};

    plx_record_head(to, FCGI_END_REQUEST, id, sizeof body);
    plx_buf_append(to, body, sizeof body);
}

/* One length of a name-value pair (3.4); false when the bytes end within it. */
static bool take_length(plx_slice *rest, size_t *out)
{
    const unsigned char *p = (const unsigned char *)rest->data;
    size_t used = rest->len > 0 && (p[0] & 0x80) ? 4 : 1;

    if (rest->len < used)
        return false;
    *out = used == 1 ? p[0] : (size_t)(p[0] & 0x7f) << 24 | (size_t)p[1] << 16 | big_endian(p + 2);
    *rest = plx_slice_make(rest->data + used, rest->len - used);
    return true;
}

static bool take_name(plx_slice *rest, plx_slice *name)
{
    size_t name_len, value_len;

    if (!take_length(rest, &name_len) || !take_length(rest, &value_len))
        return false;
    if (name_len > rest->len || value_len > rest->len - name_len)
        return false;
    *name = plx_slice_make(rest->data, name_len);
    *rest = plx_slice_make(rest->data + name_len + value_len, rest->len - name_len - value_len);
    return true;
}

static void add_value(plx_buf *values, plx_slice name, size_t value)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%zu", value);

    plx_buf_byte(values, (unsigned char)name.len);
    plx_buf_byte(values, (unsigned char)len);
    plx_buf_add(values, name);
    plx_buf_append(values, digits, (size_t)len);
}

static void answer_values(plx_buf *to, plx_slice names, size_t max)
{
    plx_buf values;
    plx_slice name;

    plx_buf_init(&values, 0);
    if (names.len > VALUES_MAX)
        names.len = 0;
    while (take_name(&names, &name)) {
        if (plx_slice_is(name, FCGI_MPXS_CONNS))
            add_value(&values, name, 0);
        else if (plx_slice_is(name, FCGI_MAX_CONNS) || plx_slice_is(name, FCGI_MAX_REQS))
            add_value(&values, name, max);
    }
    plx_record_head(to, FCGI_GET_VALUES_RESULT, FCGI_NULL_REQUEST_ID, values.len);
    plx_buf_add(to, plx_buf_slice(&values));
    plx_buf_fini(&values);
}

void plx_record_manage(plx_buf *to, const plx_record *record, size_t max)
{
    unsigned char unknown[8] = {(unsigned char)record->type};

    if (record->type == FCGI_GET_VALUES) {
        answer_values(to, record->content, max);
        return;
    }
    plx_record_head(to, FCGI_UNKNOWN_TYPE, FCGI_NULL_REQUEST_ID, sizeof unknown);
    plx_buf_append(to, unknown, sizeof unknown);
}

/* ---- the check of PARAMS ---- */

/* One byte of a length; false when the pair is too long. */
static bool pairs_length_byte(plx_record_pairs *p, unsigned char byte, size_t max)
{
    if (p->more > 0) {
        p->length[p->part] = p->length[p->part] << 8 | byte;
        p->more--;
    } else if (byte & 0x80) {
        p->length[p->part] = byte & 0x7f;
        p->more = 3;
    } else {
        p->length[p->part] = byte;
    }
    if (p->more > 0)
        return true;
    if (++p->part < 2)
        return true;
    p->left = (size_t)p->length[0] + p->length[1];
    if (p->left == 0)
        p->part = 0;
    return p->left <= max;
}

int plx_record_pairs_feed(plx_record_pairs *p, plx_slice bytes, size_t max)
{
    size_t at = 0;

    while (at < bytes.len) {
        if (p->part < 2) {
            if (!pairs_length_byte(p, (unsigned char)bytes.data[at++], max))
                return PLX_E_TOOBIG;
            continue;
        }
        size_t skip = bytes.len - at < p->left ? bytes.len - at : p->left;
        at += skip;
        p->left -= skip;
        if (p->left == 0)
            p->part = 0;
    }
    return 0;
}

bool plx_record_pairs_whole(const plx_record_pairs *p)
{
    return p->part == 0 && p->more == 0;
}
