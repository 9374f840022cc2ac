/* Three workers on one private Redis, and calls of store/session.h that wait for their answer. */
#ifndef PLX_TESTS_SESSION_FIXTURE_H
#define PLX_TESTS_SESSION_FIXTURE_H

#include "redis_fixture.h"

#include "base/crypto.h"
#include "base/error.h"
#include "base/list.h"
#include "store/session.h"
#include "store/session_internal.h"

#define LIFE 30000

static redis r;
static plx_store *a, *b, *c;

/* ---- what the callbacks left */

typedef struct view {
    bool called;
    int err;
    size_t slot_count, q_count;
    plx_slot slots[8];
    char topics[8][32];
    struct {
        uint64_t id, end;
        enum plx_q_kind kind;
        uint32_t slot;
        size_t barrier_count;
        plx_barrier barriers[4];
        char text[64];
    } q[1000];
    char old_worker[32];
    uint64_t old_generation, expires_in_ms;
} view;

static view v;

static UNUSED void on_view(void *arg, int err, const plx_session_view *x)
{
    view *out = arg;
    assert_false(out->called);
    out->called = true;
    out->err = err;
    if (err)
        return;
    out->slot_count = x->slot_count;
    for (size_t i = 0; i < x->slot_count && i < 8; i++) {
        out->slots[i] = x->slots[i];
        assert_int_equal(x->slots[i].state.len, 0);
        snprintf(out->topics[i], 32, "%.*s", (int)x->slots[i].topic.len, x->slots[i].topic.data);
    }
    out->q_count = x->q_count;
    for (size_t i = 0; i < x->q_count && i < 1000; i++) {
        const plx_q_entry *q = &x->q[i];
        out->q[i].id = q->id;
        out->q[i].end = q->end;
        out->q[i].kind = q->kind;
        out->q[i].slot = q->slot.number;
        out->q[i].barrier_count = q->barrier_count;
        for (size_t j = 0; j < q->barrier_count && j < 4; j++)
            out->q[i].barriers[j] = q->barriers[j];
        snprintf(out->q[i].text, 64, "%.*s", (int)q->text.len, q->text.data);
    }
    snprintf(out->old_worker, 32, "%.*s", (int)x->old_worker.len, x->old_worker.data);
    out->old_generation = x->old_generation;
    out->expires_in_ms = x->expires_in_ms;
}

static UNUSED view *poll_of(plx_store *s, const char *sid, uint64_t cursor, uint64_t generation)
{
    memset(&v, 0, sizeof v);
    plx_session_poll(s, plx_slice_of(sid), cursor, generation, 10000, LIFE, on_view, &v);
    assert_false(v.called);
    WAIT(&r, v.called);
    return &v;
}

static UNUSED view *look_of(plx_store *s, const char *sid, uint64_t cursor, uint64_t generation)
{
    memset(&v, 0, sizeof v);
    plx_session_look(s, plx_slice_of(sid), cursor, generation, on_view, &v);
    WAIT(&r, v.called);
    return &v;
}

typedef struct post {
    bool called, has_work, again;
    int err;
    enum plx_post_result result;
    uint64_t entry, fence, work_entry;
    enum plx_entry_kind kind;
    unsigned status, work_status, vsn;
    uint32_t next_slot;
    size_t slot_count;
    char body[128], mount[32], params[64], claims[64], id[32], sid[32], topic[32], state[32],
        note[32];
    uint64_t came_ms;
} post;

static UNUSED void copy(char *out, size_t size, plx_slice s)
{
    snprintf(out, size, "%.*s", (int)s.len, s.data ? s.data : "");
}

static UNUSED void take_work(post *out, const plx_work *w)
{
    out->has_work = w != NULL;
    if (!w)
        return;
    out->again = w->again;
    out->fence = w->fence;
    out->work_entry = w->entry.id;
    out->kind = w->entry.kind;
    out->work_status = w->entry.status;
    out->vsn = w->vsn;
    out->next_slot = w->next_slot;
    out->came_ms = w->entry.came_ms;
    copy(out->note, sizeof out->note, w->note);
    out->slot_count = w->slot_count;
    copy(out->body, sizeof out->body, w->entry.body);
    copy(out->mount, sizeof out->mount, w->mount);
    copy(out->params, sizeof out->params, w->params);
    copy(out->claims, sizeof out->claims, w->claims);
    copy(out->id, sizeof out->id, w->id);
    copy(out->sid, sizeof out->sid, w->sid);
    if (w->slot_count > 0) {
        copy(out->topic, sizeof out->topic, w->slots[0].topic);
        copy(out->state, sizeof out->state, w->slots[0].state);
    }
}

static UNUSED void on_post(void *arg, int err, enum plx_post_result result, uint64_t entry,
                           unsigned status, const plx_work *work)
{
    post *out = arg;
    assert_false(out->called);
    out->called = true;
    out->err = err;
    out->result = result;
    out->entry = entry;
    out->status = status;
    take_work(out, work);
}

static UNUSED post post_with(plx_store *s, const char *sid, const char *digest, unsigned status,
                             const char *body)
{
    post out = {0};
    plx_session_post(s, plx_slice_of(sid), PLX_ENTRY_POST, plx_slice_of(digest), status,
                     plx_slice_of(body), LIFE, on_post, &out);
    assert_false(out.called);
    WAIT(&r, out.called);
    return out;
}

static UNUSED post take_of(plx_store *s, const char *sid, uint64_t entry)
{
    post out = {0};
    plx_session_take(s, plx_slice_of(sid), entry, on_post, &out);
    WAIT(&r, out.called);
    return out;
}

static UNUSED void on_commit(void *arg, int err, const plx_work *next)
{
    post *out = arg;
    assert_false(out->called);
    out->called = true;
    out->err = err;
    take_work(out, next);
}

static UNUSED post commit(plx_store *s, const plx_commit *x)
{
    post out = {0};
    plx_session_commit(s, x, on_commit, &out);
    WAIT(&r, out.called);
    return out;
}

static UNUSED plx_q_entry message(const char *text)
{
    return (plx_q_entry){.kind = PLX_Q_PLAIN, .text = plx_slice_of(text)};
}

/* A commit with so many plain messages and nothing else. */
static UNUSED post commit_messages(plx_store *s, const char *sid, const post *w, size_t count,
                                   const char *text)
{
    static plx_q_entry q[1600];
    for (size_t i = 0; i < count; i++)
        q[i] = message(text);
    return commit(s, &(plx_commit){.sid = plx_slice_of(sid),
                                   .fence = w->fence,
                                   .entry = w->work_entry,
                                   .q = q,
                                   .q_count = count});
}

typedef struct plain {
    bool called;
    int err;
} plain;

static UNUSED void on_plain(void *arg, int err)
{
    plain *out = arg;
    assert_false(out->called);
    *out = (plain){true, err};
}

static UNUSED int create_for(plx_store *s, const char *sid, const char *id, uint64_t life_ms,
                             uint64_t expires_in_ms)
{
    plain out = {0};
    plx_session_init init = {.sid = plx_slice_of(sid),
                             .mount = PLX_LIT("/socket"),
                             .vsn = 2,
                             .params = PLX_LIT("{\"p\":1}"),
                             .claims = PLX_LIT("{\"user_id\":7}"),
                             .id = plx_slice_of(id),
                             .life_ms = life_ms,
                             .expires_in_ms = expires_in_ms};
    plx_session_create(s, &init, on_plain, &out);
    assert_false(out.called);
    WAIT(&r, out.called);
    return out.err;
}

static UNUSED int create(plx_store *s, const char *sid, const char *id, uint64_t life_ms)
{
    return create_for(s, sid, id, life_ms, 0);
}

static UNUSED int end(plx_store *s, const char *sid, const char *reason)
{
    plain out = {0};
    plx_session_end(s, plx_slice_of(sid), reason, on_plain, &out);
    WAIT(&r, out.called);
    return out.err;
}

static UNUSED int drop(plx_store *s, const char *sid, uint64_t fence)
{
    plain out = {0};
    plx_session_drop(s, plx_slice_of(sid), fence, on_plain, &out);
    WAIT(&r, out.called);
    return out.err;
}

static UNUSED int renew(plx_store *s, const char *sid, uint64_t fence)
{
    plain out = {0};
    plx_session_renew(s, plx_slice_of(sid), fence, on_plain, &out);
    WAIT(&r, out.called);
    return out.err;
}

/* ---- mailboxes of the three workers */

typedef struct box {
    plx_mailbox box;
    unsigned wakes, superseded, gone, done;
    char sid[32];
    uint64_t number;
    unsigned status;
} box;

static box boxes[3];

static UNUSED void on_wake(plx_mailbox *m, plx_slice sid, uint64_t generation)
{
    box *x = PLX_CONTAINER(m, box, box);
    x->wakes++;
    copy(x->sid, sizeof x->sid, sid);
    x->number = generation;
}

static UNUSED void on_superseded(plx_mailbox *m, plx_slice sid, uint64_t generation)
{
    box *x = PLX_CONTAINER(m, box, box);
    x->superseded++;
    copy(x->sid, sizeof x->sid, sid);
    x->number = generation;
}

static UNUSED void on_gone(plx_mailbox *m, plx_slice sid, uint64_t generation)
{
    box *x = PLX_CONTAINER(m, box, box);
    x->gone++;
    copy(x->sid, sizeof x->sid, sid);
    x->number = generation;
}

static UNUSED void on_done(plx_mailbox *m, plx_slice sid, uint64_t entry, unsigned status)
{
    box *x = PLX_CONTAINER(m, box, box);
    x->done++;
    copy(x->sid, sizeof x->sid, sid);
    x->number = entry;
    x->status = status;
}

static UNUSED void clear_boxes(void)
{
    redis_idle(&r, 30);
    for (size_t i = 0; i < 3; i++)
        boxes[i] = (box){.box = {on_wake, on_superseded, on_gone, on_done}};
}

static UNUSED int setup(void **state)
{
    (void)state;
    redis_start(&r);
    a = store_up(&r);
    b = store_up(&r);
    c = store_up(&r);
    plx_mailbox_set(a, &boxes[0].box);
    plx_mailbox_set(b, &boxes[1].box);
    plx_mailbox_set(c, &boxes[2].box);
    clear_boxes();
    return 0;
}

static UNUSED int teardown(void **state)
{
    (void)state;
    plx_store_close(a);
    plx_store_close(b);
    plx_store_close(c);
    redis_stop(&r);
    return 0;
}

typedef struct found {
    bool called;
    int err;
    size_t count;
    char first[32];
} found;

static UNUSED void on_found(void *arg, int err, const plx_slice *sids, size_t count)
{
    found *f = arg;
    f->called = true;
    f->err = err;
    f->count = count;
    if (count > 0)
        copy(f->first, sizeof f->first, sids[0]);
}

static UNUSED found by_id(const char *id)
{
    found f = {0};
    plx_session_by_id(a, plx_slice_of(id), on_found, &f);
    WAIT(&r, f.called);
    return f;
}

#endif
