/* Cleaning up after workers that have died.
 *
 *   due? --> claim (one of all workers wins) --> a job: the owner's topics and
 *   memberships, a few at a time, until nothing is left --> off the list
 *
 * Nothing is removed before it is done, and the claim is a deadline that the winner
 * renews: if it dies, another worker wins the rest. Nobody is declared dead because
 * Redis stood still: a worker sweeps only after its connections have worked for a
 * whole lease period and Redis took writes, which gave the living time for a sign of
 * life, and a claim that took long to arrive claims nobody.
 *
 * Entries go by the owner that is written in them, not by an index: one that is in
 * the list of topics for nothing, or was lost from some index, does no harm.
 */
#include "base/alloc.h"
#include "base/crypto.h"
#include "base/error.h"
#include "base/log.h"
#include "store/presence_internal.h"

#include <stdlib.h>

#define EVERY_MS     400
#define JITTER_MS    100
#define MAX_DELAY_MS 2000
#define JOBS         4  /* owners at the same time */
#define TOPICS       16 /* of one owner at the same time */
#define MEMBERS      64 /* the same, not settled yet */
#define RENEW_S      2.0

typedef struct job {
    plx_list node;
    plx_owner_sweeper *sweeper;
    plx_slice owner;   /* owned */
    plx_map *reported; /* fields of memberships that are not settled (member) */
    unsigned topics;   /* being worked */
    unsigned in_flight;
    bool asking;  /* for what is left */
    bool settled; /* ... and something was settled meanwhile */
    bool over;    /* to be freed when nothing is in flight */
    ev_timer renew;
} job;

typedef struct member {
    plx_slice field;
    char bytes[];
} member;

/* One topic of a dead owner. */
typedef struct errand {
    job *job;
    plx_presence_rules rules;
    bool known; /* rules were given */
    plx_slice topic;
    char bytes[];
} errand;

struct plx_owner_sweeper {
    plx_store *store;
    plx_owner_sweep *sweep; /* the upper layer's */
    ev_timer timer;
    plx_list jobs;
    unsigned job_count;
    bool asking, stopped;
};

static void ask_left(job *j);
static void look(plx_owner_sweeper *sw, plx_slice seen_ms);

/* ---- jobs */

static void free_job(job *j)
{
    size_t cursor = 0;
    member *m;
    while ((m = plx_map_next(j->reported, &cursor)) != NULL) {
        plx_map_remove(j->reported, m->field);
        free(m);
    }
    plx_map_free(j->reported);
    free((void *)j->owner.data);
    free(j);
}

/* Every answer comes through here at last. */
static void answered(job *j)
{
    j->in_flight--;
    if (j->over && j->in_flight == 0)
        free_job(j);
}

static void end_job(job *j)
{
    if (j->over)
        return;
    j->over = true;
    ev_timer_stop(j->sweeper->store->loop, &j->renew);
    plx_list_remove(&j->node);
    j->sweeper->job_count--;
}

static job *find_job(plx_owner_sweeper *sw, plx_slice owner)
{
    for (plx_list *n = sw->jobs.next; n != &sw->jobs; n = n->next) {
        job *j = PLX_CONTAINER(n, job, node);
        if (plx_slice_eq(j->owner, owner))
            return j;
    }
    return NULL;
}

static void renewed(const plx_done *done, int err, const redisReply *reply)
{
    job *j = done->arg;
    uint64_t there;
    if (!err && plx_reply_u64(reply, &there) && !there)
        end_job(j); /* somebody else has finished it */
    else if (!j->over && !j->asking && j->topics == 0)
        ask_left(j); /* also after something failed */
    answered(j);
}

static void on_renew(struct ev_loop *loop, ev_timer *w, int revents)
{
    job *j = w->data;
    (void)loop, (void)revents;
    j->in_flight++;
    plx_owner_send_beat(j->sweeper->store, j->owner, ":dead", PLX_OWNER_DEADLINE_MS, false, renewed,
                        PLX_DONE(NULL, j));
}

static void start_job(plx_owner_sweeper *sw, plx_slice owner)
{
    job *j = find_job(sw, owner);
    if (j)
        return; /* our own claim had run out: going on */
    j = plx_alloc_zero(1, sizeof *j);
    j->sweeper = sw;
    j->owner = plx_slice_copy(owner);
    j->reported = plx_map_new();
    plx_list_push(&sw->jobs, &j->node);
    sw->job_count++;
    sw->store->counters.owners_swept++;
    ev_timer_init(&j->renew, on_renew, RENEW_S, RENEW_S);
    j->renew.data = j;
    ev_timer_start(sw->store->loop, &j->renew);
    plx_log(PLX_WARNING, "presence: cleaning up after worker %.*s", (int)owner.len, owner.data);
    ask_left(j);
}

/* ---- topics */

static void off_the_list(const plx_done *done, int err, const redisReply *reply)
{
    errand *e = done->arg;
    job *j = e->job;
    (void)reply;
    j->topics--;
    if (!err && !j->over && !j->asking && j->topics < TOPICS / 2)
        ask_left(j);
    free(e);
    answered(j);
}

static void send_off_the_list(errand *e)
{
    plx_store *s = e->job->sweeper->store;
    plx_command c;
    plx_command_init(&c, "SREM");
    plx_owner_key(&c, s, e->job->owner, ":topics");
    plx_command_add(&c, e->topic);
    plx_conn_send(s->conn, &c, 0, off_the_list, PLX_DONE(NULL, e));
}

static void dropped(const plx_done *done, int err, const redisReply *reply);

static void send_drop(errand *e, plx_slice phase, plx_slice cursor)
{
    plx_store *s = e->job->sweeper->store;
    plx_command c;
    plx_pres_begin(&c, s, PLX_SCRIPT_PRESENCE_DROP, e->topic, PLX_PRES_KEYS);
    plx_pres_add_rules(&c, s, e->topic, &e->rules, e->known);
    plx_command_add(&c, e->job->owner);
    plx_command_add(&c, phase);
    plx_command_add(&c, cursor);
    plx_script_send(s, &c, dropped, PLX_DONE(NULL, e));
}

/* {due in, mine, phase, cursor} */
static void dropped(const plx_done *done, int err, const redisReply *reply)
{
    errand *e = done->arg;
    job *j = e->job;
    plx_presence *p = j->sweeper->store->presence;
    plx_slice phase = plx_reply_slice(plx_reply_at(reply, 2));
    int64_t due_in_ms = -1;
    if (!err && !plx_pres_read_due(reply, 0, &due_in_ms))
        err = plx_store_odd("entries of an owner");
    if (err || j->sweeper->stopped || j->over) {
        j->topics--;
        free(e); /* the renewal asks again */
        answered(j);
        return;
    }
    /* This worker has claimed the owner, and so the flush. */
    plx_pres_topic *t = plx_pres_topic_get(p, e->topic, e->known ? &e->rules : NULL);
    plx_pres_due(t, due_in_ms, true);
    plx_pres_topic_release(t);
    if (phase.len > 0)
        send_drop(e, phase, plx_reply_slice(plx_reply_at(reply, 3)));
    else
        send_off_the_list(e);
}

static void start_errand(job *j, plx_slice topic)
{
    plx_owner_sweep *sweep = j->sweeper->sweep;
    const plx_presence_rules *rules = sweep->rules ? sweep->rules(sweep, topic) : NULL;
    errand *e = plx_alloc_zero(1, sizeof *e + topic.len);
    e->job = j;
    e->known = rules != NULL;
    e->rules = plx_pres_rules(rules);
    memcpy(e->bytes, topic.data, topic.len);
    e->topic = plx_slice_make(e->bytes, topic.len);
    j->topics++;
    j->in_flight++;
    send_drop(e, plx_slice_of("f"), plx_slice_of("0"));
}

/* ---- memberships */

static void report(job *j, plx_slice field, plx_slice record)
{
    plx_owner_sweep *sweep = j->sweeper->sweep;
    plx_slice topic, socket;
    if (plx_map_get(j->reported, field) || plx_map_count(j->reported) >= MEMBERS)
        return;
    member *m = plx_alloc(sizeof *m + field.len);
    memcpy(m->bytes, field.data, field.len);
    m->field = plx_slice_make(m->bytes, field.len);
    plx_map_put(j->reported, m->field, m);
    if (!plx_owner_field_parse(m->field, &topic, &socket))
        plx_owner_settle_field(j->sweeper->store, j->owner, m->field);
    else if (sweep->crashed)
        sweep->crashed(sweep, j->owner, topic, socket, record);
    else
        plx_owner_settle(j->sweeper->store, j->owner, topic, socket);
}

void plx_owner_sweeper_settled(plx_owner_sweeper *sw, plx_slice owner, plx_slice field)
{
    job *j = sw ? find_job(sw, owner) : NULL;
    member *m = j ? plx_map_remove(j->reported, field) : NULL;
    if (!m)
        return;
    free(m);
    j->settled = true;
    if (!j->over && !j->asking && plx_map_count(j->reported) < MEMBERS / 2)
        ask_left(j);
}

/* ---- what is left */

static void finished(const plx_done *done, int err, const redisReply *reply)
{
    job *j = done->arg;
    (void)reply;
    if (!err)
        end_job(j);
    answered(j);
}

static void send_finished(job *j)
{
    plx_store *s = j->sweeper->store;
    plx_command c;
    plx_command_init(&c, "ZREM");
    plx_owners_key(&c, s, ":dead");
    plx_command_add(&c, j->owner);
    j->in_flight++;
    plx_conn_send(s->conn, &c, 0, finished, PLX_DONE(NULL, j));
}

/* {topics, fields and records of memberships} */
static void left(const plx_done *done, int err, const redisReply *reply)
{
    job *j = done->arg;
    const redisReply *topics = plx_reply_at(reply, 0), *members = plx_reply_at(reply, 1);
    size_t n = plx_reply_count(topics), m = plx_reply_count(members) / 2;
    if (!err && (!plx_reply_is_array(topics) || !plx_reply_is_array(members)))
        err = plx_store_odd("what an owner has left");
    if (!err && !j->over && !j->sweeper->stopped) {
        if (n == 0 && m == 0)
            send_finished(j);
        /* One topic may be in work twice: that does no harm. */
        for (size_t i = 0; i < n && j->topics < TOPICS; i++)
            start_errand(j, plx_reply_slice(plx_reply_at(topics, i)));
        for (size_t i = 0; i < m; i++)
            report(j, plx_reply_slice(plx_reply_at(members, 2 * i)),
                   plx_reply_slice(plx_reply_at(members, 2 * i + 1)));
    }
    j->asking = false; /* not before: what is settled in `report` must not ask */
    if (!err && !j->over && j->settled)
        ask_left(j);
    answered(j);
}

static void ask_left(job *j)
{
    plx_store *s = j->sweeper->store;
    plx_command c;
    if (j->sweeper->stopped)
        return;
    plx_script_begin(&c, PLX_SCRIPT_OWNER_LEFT, 2);
    plx_owner_key(&c, s, j->owner, ":topics");
    plx_owner_key(&c, s, j->owner, ":members");
    plx_command_u64(&c, TOPICS);
    plx_command_u64(&c, MEMBERS);
    j->asking = true;
    j->settled = false;
    j->in_flight++;
    plx_script_send(s, &c, left, PLX_DONE(NULL, j));
}

/* ---- finding them */

/* {now, somebody is due, claimed} */
static void looked(const plx_done *done, int err, const redisReply *reply)
{
    plx_owner_sweeper *sw = done->arg;
    plx_slice now = plx_reply_slice(plx_reply_at(reply, 0));
    plx_slice name = plx_reply_slice(plx_reply_at(reply, 2));
    uint64_t due = 0;
    sw->asking = false;
    if (!err && !plx_reply_u64(plx_reply_at(reply, 1), &due))
        err = plx_store_odd("owners");
    if (err || sw->stopped)
        return;
    if (name.len > 0)
        start_job(sw, name);
    if (due && sw->job_count < JOBS &&
        plx_store_writable_for_ms(sw->store) >= PLX_OWNER_DEADLINE_MS)
        look(sw, now);
}

static void look(plx_owner_sweeper *sw, plx_slice seen_ms)
{
    plx_command c;
    plx_script_begin(&c, PLX_SCRIPT_OWNER_CLAIM, 2);
    plx_owners_key(&c, sw->store, "");
    plx_owners_key(&c, sw->store, ":dead");
    plx_command_u64(&c, PLX_OWNER_DEADLINE_MS);
    plx_command_add(&c, seen_ms);
    plx_command_u64(&c, MAX_DELAY_MS);
    sw->asking = true;
    plx_script_send(sw->store, &c, looked, PLX_DONE(NULL, sw));
}

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents)
{
    plx_owner_sweeper *sw = w->data;
    (void)revents;
    w->repeat = (EVERY_MS + plx_random_below(JITTER_MS)) / 1000.0;
    ev_timer_again(loop, w);
    if (!sw->asking && sw->job_count < JOBS &&
        plx_store_up_for_ms(sw->store) >= PLX_OWNER_DEADLINE_MS)
        look(sw, plx_slice_of("0"));
}

/* ---- life */

void plx_owner_sweep_start(plx_store *s, plx_owner_sweep *sweep)
{
    plx_owner_sweeper *sw = s->owner_sweeper;
    if (!sw) {
        sw = s->owner_sweeper = plx_alloc_zero(1, sizeof *sw);
        sw->store = s;
        plx_list_init(&sw->jobs);
        ev_timer_init(&sw->timer, on_timer, 0., EVERY_MS / 1000.0);
        sw->timer.data = sw;
        ev_timer_again(s->loop, &sw->timer);
    }
    sw->sweep = sweep;
}

void plx_owner_sweeper_stop(plx_owner_sweeper *sw)
{
    if (!sw)
        return;
    sw->stopped = true;
    ev_timer_stop(sw->store->loop, &sw->timer);
    for (plx_list *n = sw->jobs.next; n != &sw->jobs; n = n->next)
        ev_timer_stop(sw->store->loop, &PLX_CONTAINER(n, job, node)->renew);
}

/* Every command has been answered. */
void plx_owner_sweeper_free(plx_owner_sweeper *sw)
{
    plx_list *node;
    if (!sw)
        return;
    while ((node = plx_list_shift(&sw->jobs)) != NULL)
        free_job(PLX_CONTAINER(node, job, node));
    free(sw);
}
