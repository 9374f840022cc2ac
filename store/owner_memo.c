/* Memberships that have to be reported when their worker dies: a hash of the owner,
 * "<length of topic> <topic><socket>" -> record.
 *
 * What could not be written because Redis was away is repeated when it is back,
 * before anything newer: a note that is missing is a crash that nobody hears of,
 * one too many a report about a membership that ended well.
 */
#include "base/alloc.h"
#include "base/error.h"
#include "store/presence_internal.h"

#include <stdlib.h>

#define RECORD_BYTES (64u << 10)

typedef struct memo {
    plx_owner_memos *memos; /* NULL: it is not repeated (somebody else's) */
    bool forget;
    plx_slice owner, field, record;
    char bytes[];
} memo;

static plx_slice place(char **at, plx_slice s)
{
    plx_slice out = plx_slice_make(*at, s.len);
    if (s.len > 0)
        memcpy(*at, s.data, s.len);
    *at += s.len;
    return out;
}

static memo *new_memo(plx_owner_memos *memos, plx_slice owner, plx_slice field)
{
    memo *m = plx_alloc_zero(1, sizeof *m + owner.len + field.len);
    char *at = m->bytes;
    m->memos = memos;
    m->owner = place(&at, owner);
    m->field = place(&at, field);
    return m;
}

static memo *memo_about(plx_owner_memos *memos, plx_slice owner, plx_slice topic, plx_slice socket)
{
    plx_buf field;
    plx_buf_init(&field, 0);
    plx_buf_u64(&field, topic.len);
    plx_buf_byte(&field, ' ');
    plx_buf_add(&field, topic);
    plx_buf_add(&field, socket);
    memo *m = new_memo(memos, owner, plx_buf_slice(&field));
    plx_buf_fini(&field);
    return m;
}

bool plx_owner_field_parse(plx_slice field, plx_slice *topic, plx_slice *socket)
{
    plx_slice number;
    uint64_t len;
    if (!plx_slice_split(&field, ' ', &number) || !field.data || !plx_decimal_parse(number, &len) ||
        len > field.len)
        return false;
    *topic = plx_slice_make(field.data, (size_t)len);
    *socket = plx_slice_make(field.data + len, field.len - (size_t)len);
    return true;
}

static void free_memo(memo *m)
{
    free((void *)m->record.data);
    free(m);
}

/* A name that was given up keeps nothing. */
static void keep(memo *m)
{
    plx_owner_memos *memos = m->memos;
    if (!plx_slice_eq(m->owner, plx_owner_name(memos->store))) {
        free_memo(m);
        return;
    }
    memo *old = plx_map_put(memos->failed, m->field, m);
    if (old)
        free_memo(old);
}

static void written(const plx_done *done, int err, const redisReply *reply)
{
    memo *m = done->arg;
    (void)reply;
    if ((err == PLX_E_DOWN || err == PLX_E_TIMEOUT) && m->memos)
        keep(m);
    else
        free_memo(m);
}

static void send_memo(plx_store *s, memo *m)
{
    plx_command c;
    plx_command_init(&c, m->forget ? "HDEL" : "HSET");
    plx_owner_key(&c, s, m->owner, ":members");
    plx_command_add(&c, m->field);
    if (!m->forget)
        plx_command_add(&c, m->record);
    if (m->record.len > RECORD_BYTES)
        plx_command_refuse(&c);
    plx_conn_send(s->conn, &c, 0, written, PLX_DONE(NULL, m));
}

void plx_owner_note(plx_store *s, plx_slice topic, plx_slice socket, plx_slice record)
{
    memo *m = memo_about(plx_owner_memos_of(s), plx_owner_name(s), topic, socket);
    m->record = plx_slice_copy(record);
    send_memo(s, m);
}

void plx_owner_forget(plx_store *s, plx_slice topic, plx_slice socket)
{
    memo *m = memo_about(plx_owner_memos_of(s), plx_owner_name(s), topic, socket);
    m->forget = true;
    send_memo(s, m);
}

static void settle(plx_store *s, memo *m)
{
    m->forget = true;
    send_memo(s, m); /* before the sweeper asks what is left; m is answered later */
    plx_owner_sweeper_settled(s->owner_sweeper, m->owner, m->field);
}

void plx_owner_settle(plx_store *s, plx_slice owner, plx_slice topic, plx_slice socket)
{
    settle(s, memo_about(NULL, owner, topic, socket));
}

void plx_owner_settle_field(plx_store *s, plx_slice owner, plx_slice field)
{
    settle(s, new_memo(NULL, owner, field));
}

/* ---- what failed */

void plx_owner_memos_init(plx_owner_memos *m, plx_store *s)
{
    m->store = s;
    m->failed = plx_map_new();
}

void plx_owner_memos_clear(plx_owner_memos *m)
{
    size_t cursor = 0;
    memo *x;
    while ((x = plx_map_next(m->failed, &cursor)) != NULL) {
        plx_map_remove(m->failed, x->field);
        free_memo(x);
    }
}

void plx_owner_memos_fini(plx_owner_memos *m)
{
    plx_owner_memos_clear(m);
    plx_map_free(m->failed);
}

void plx_owner_memos_repeat(plx_owner_memos *m)
{
    size_t cursor = 0;
    memo *x;
    while ((x = plx_map_next(m->failed, &cursor)) != NULL) {
        plx_map_remove(m->failed, x->field);
        send_memo(m->store, x); /* answers later, also when it fails: the map does not grow */
    }
}
