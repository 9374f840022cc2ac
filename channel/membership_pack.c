/* The state of a membership in a long-poll session's record.
 *
 *     KIND LENGTH ":" BYTES   for join_ref and ref; KIND: n(ull), s(tring), j(son)
 *     "a" LENGTH ":" BYTES    the assigns; absent when there are none
 *     "b" LENGTH ":" DECIMAL  the bucket of the rule `rate`; absent before the first push
 *     "t" "w" "d" ...         its presence: see track_record.c
 *
 * Only Pollux writes and reads it, but what comes from Redis is checked like
 * anything else.
 */
#include "base/error.h"
#include "base/json_scan.h"
#include "channel/counters.h"
#include "channel/socket_core.h"
#include <inttypes.h>
#include <stdio.h>

static const char kinds[] = {[PLX_TERM_NULL] = 'n', [PLX_TERM_STRING] = 's', [PLX_TERM_JSON] = 'j'};

static void pack(plx_buf *out, char kind, plx_slice bytes)
{
    plx_buf_byte(out, (unsigned char)kind);
    plx_buf_u64(out, bytes.len);
    plx_buf_byte(out, ':');
    plx_buf_add(out, bytes);
}

static void pack_number(plx_buf *out, char kind, uint64_t n)
{
    char digits[24];
    int len = snprintf(digits, sizeof digits, "%" PRIu64, n);

    pack(out, kind, plx_slice_make(digits, (size_t)len));
}

void plx_membership_pack(const plx_membership *m, plx_buf *out)
{
    pack(out, kinds[m->join_ref.kind], m->join_ref.text);
    pack(out, kinds[m->ref.kind], m->ref.text);
    if (m->assigns.len > 0)
        pack(out, 'a', m->assigns);
    if (m->bucket > 0)
        pack_number(out, 'b', m->bucket);
    plx_tracks_pack(m, out);
}

/* Takes "KIND LENGTH : BYTES" off *rest. */
static int unpack(plx_slice *rest, char *kind, plx_slice *bytes)
{
    size_t i = 1, len = 0;

    if (rest->len == 0)
        return PLX_E_INVALID;
    while (i < rest->len && rest->data[i] >= '0' && rest->data[i] <= '9' && len <= rest->len)
        len = len * 10 + (size_t)(rest->data[i++] - '0');
    if (i == 1 || i >= rest->len || rest->data[i] != ':' || len > rest->len - i - 1)
        return PLX_E_INVALID;
    *kind = rest->data[0];
    *bytes = plx_slice_make(rest->data + i + 1, len);
    *rest = plx_slice_make(bytes->data + len, rest->len - i - 1 - len);
    return 0;
}

static int unpack_term(plx_slice *rest, plx_term *out)
{
    char kind;
    plx_slice text;

    if (unpack(rest, &kind, &text) != 0)
        return PLX_E_INVALID;
    for (size_t i = 0; i < sizeof kinds; i++) {
        if (kinds[i] == kind) {
            *out = (plx_term){(enum plx_term_kind)i, text};
            return 0;
        }
    }
    return PLX_E_INVALID;
}

static int unpack_assigns(plx_membership *m, plx_slice bytes)
{
    plx_json_value value;

    if (m->assigns.len > 0 || plx_json_check(bytes, &value) != 0 || value.type != PLX_JSON_OBJECT)
        return PLX_E_INVALID;
    m->assigns = plx_slice_copy(bytes);
    return 0;
}

static int unpack_number(plx_slice bytes, uint64_t *out)
{
    int64_t n;
    plx_json_value value;

    if (plx_json_check(bytes, &value) != 0 || value.type != PLX_JSON_NUMBER ||
        plx_json_int(value.text, &n) != 0 || n < 0)
        return PLX_E_INVALID;
    *out = (uint64_t)n;
    return 0;
}

/* Whatever follows the refs. */
static int unpack_rest(plx_membership *m, plx_slice rest)
{
    char kind;
    plx_slice bytes;
    int err = 0;

    while (err == 0 && rest.len > 0) {
        err = unpack(&rest, &kind, &bytes);
        if (err == 0 && kind == 'a')
            err = unpack_assigns(m, bytes);
        else if (err == 0 && kind == 'b')
            err = unpack_number(bytes, &m->bucket);
        else if (err == 0)
            err = plx_tracks_unpack(m, kind, bytes);
    }
    return err;
}

plx_membership *plx_socket_restore(plx_socket *s, const plx_slot *slot)
{
    const plx_channel_entry *entry = plx_channels_route(s->channels, slot->topic);
    plx_term join_ref, ref;
    plx_slice state = slot->state;
    plx_membership *m;

    if (!entry || unpack_term(&state, &join_ref) != 0 || unpack_term(&state, &ref) != 0)
        return NULL;
    m = plx_membership_new(s, entry, slot->topic, join_ref, ref);
    m->start = slot->start;
    if (unpack_rest(m, state) != 0) {
        plx_membership_unref(m);
        return NULL;
    }
    m->assigns_changed = false;
    m->state = PLX_JOINED;
    m->accepted = m->opened = m->shown = m->restored = true;
    m->diffs_after = slot->diffs_after;
    m->goes_back = slot->goes_back;
    m->slot = slot->number;
    plx_list_push(&s->memberships, &m->node);
    s->membership_count++;
    plx_counted.memberships++;
    return m;
}
