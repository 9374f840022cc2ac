/* The record: what a socket is made of, each as LENGTH ":" BYTES (mount, session, id, params,
 * claims), then the membership as membership_pack.c writes it. */
#include "channel/record.h"

#include "base/alloc.h"
#include "base/error.h"
#include "base/log.h"
#include <stdlib.h>

#define RECORD_MAX 65536

static void put(plx_buf *out, plx_slice s)
{
    plx_buf_u64(out, s.len);
    plx_buf_byte(out, ':');
    plx_buf_add(out, s);
}

static int take(plx_slice *rest, plx_slice *out)
{
    size_t i = 0, len = 0;

    while (i < rest->len && rest->data[i] >= '0' && rest->data[i] <= '9' && len <= rest->len)
        len = len * 10 + (size_t)(rest->data[i++] - '0');
    if (i == 0 || i >= rest->len || rest->data[i] != ':' || len > rest->len - i - 1)
        return PLX_E_INVALID;
    *out = plx_slice_make(rest->data + i + 1, len);
    *rest = plx_slice_make(out->data + len, rest->len - i - 1 - len);
    return 0;
}

void plx_record_note(plx_membership *m)
{
    const plx_socket *s = m->socket;
    plx_buf out;

    plx_buf_init(&out, RECORD_MAX);
    put(&out, plx_slice_of(s->channels->config->path));
    put(&out, s->session);
    put(&out, s->id);
    put(&out, s->params);
    put(&out, s->claims);
    plx_membership_pack(m, &out);
    if (plx_buf_ok(&out)) {
        plx_owner_note(s->store, m->topic, s->session, plx_buf_slice(&out));
        m->noted = true;
    } else {
        plx_log_limited(PLX_WARNING,
                        "\"%.*s\": its end would not be reported after a crash, the"
                        " membership's record is over %d bytes",
                        (int)m->topic.len, m->topic.data, RECORD_MAX);
    }
    plx_buf_fini(&out);
}

static void emit_nothing(plx_socket *s, const plx_out *out)
{
    (void)s;
    (void)out;
}

static void closed(plx_socket *s, plx_membership *m)
{
    (void)s;
    (void)m;
}

static const plx_socket_ops ops = {.name = "websocket", .emit = emit_nothing, .closed = closed};

void plx_record_terminate(plx_store *s, const plx_channels *channels, plx_slice topic,
                          plx_slice record, plx_partings *partings)
{
    const plx_config *config = plx_store_config(s);
    plx_socket_init init = {.ops = &ops, .store = s};
    plx_slice mount;
    plx_socket *socket = NULL;

    if (take(&record, &mount) == 0 && take(&record, &init.session) == 0 &&
        take(&record, &init.id) == 0 && take(&record, &init.params) == 0 &&
        take(&record, &init.claims) == 0) {
        for (size_t i = 0; i < config->socket_count && !init.channels; i++)
            if (plx_slice_is(mount, config->sockets[i].path))
                init.channels = &channels[i];
        if (init.channels)
            socket = plx_socket_new(&init);
    }
    const plx_slot slot = {.topic = topic, .state = record};
    if (!socket || !plx_socket_restore(socket, &slot))
        plx_log_limited(PLX_WARNING, "\"%.*s\": the end of a membership could not be reported",
                        (int)topic.len, topic.data);
    if (!socket)
        return;
    socket->keeps_presence = true; /* the sweep untracks it */
    socket->partings = partings;
    plx_socket_free(socket, PLX_END_CLOSED);
}

/* A membership that is being reported: settled when its backend is done with it. */
typedef struct telling {
    plx_partings partings;
    plx_store *store;
    unsigned left;
    bool gone;
    plx_slice owner, topic, socket; /* owned */
} telling;

static void told(telling *t, int err)
{
    t->gone = t->gone || err == PLX_E_GONE;
    if (--t->left > 0)
        return;
    if (!t->gone) /* else somebody else is to do it */
        plx_owner_settle(t->store, t->owner, t->topic, t->socket);
    free((char *)t->owner.data);
    free((char *)t->topic.data);
    free((char *)t->socket.data);
    free(t);
}

static void parting_begun(plx_partings *p)
{
    PLX_CONTAINER(p, telling, partings)->left++;
}

static void parting_ended(plx_partings *p, int err)
{
    told(PLX_CONTAINER(p, telling, partings), err);
}

static void crashed(plx_owner_sweep *sweep, plx_slice owner, plx_slice topic, plx_slice socket,
                    plx_slice record)
{
    plx_record_sweep *rs = PLX_CONTAINER(sweep, plx_record_sweep, sweep);

    telling *t = plx_alloc_zero(1, sizeof *t);

    *t = (telling){.partings = {parting_begun, parting_ended},
                   .store = rs->store,
                   .left = 1,
                   .owner = plx_slice_copy(owner),
                   .topic = plx_slice_copy(topic),
                   .socket = plx_slice_copy(socket)};
    plx_record_terminate(rs->store, rs->channels, topic, record, &t->partings);
    told(t, 0);
}

static const plx_presence_rules *rules(plx_owner_sweep *sweep, plx_slice topic)
{
    const plx_record_sweep *rs = PLX_CONTAINER(sweep, plx_record_sweep, sweep);

    return plx_channels_presence(rs->channels, plx_store_config(rs->store)->socket_count, topic);
}

void plx_record_sweep_start(plx_record_sweep *rs, plx_store *s, const plx_channels *channels)
{
    *rs = (plx_record_sweep){{crashed, rules}, s, channels};
    plx_owner_sweep_start(s, &rs->sweep);
}
