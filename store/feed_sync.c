/* Bringing a feed up to date: where the topic stands, the hole at its end, pieces of the log for
 * watches that are behind.
 *
 * The position is asked for after every confirmation of the subscription, every
 * few minutes, and whenever something looks strange. Its answer travels on another
 * connection than pub/sub messages, so it may be older than what has come in
 * since: only when it is below what was known at the time of asking has the log
 * really gone back. Then a new epoch is set (one worker of all succeeds), so that
 * no offset is given twice under the same name.
 */
#include "base/alloc.h"
#include "store/feeds.h"
#include "store/topic_internal.h"

#include <stdlib.h>

/* A piece of the log under way for watches that are behind. */
typedef struct piece {
    plx_list node; /* in feed->reads */
    plx_feed *feed;
    uint64_t first;
} piece;

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* ---- the position */

static void positioned(const plx_done *done, int err, const redisReply *reply);

static void ask_position(plx_feed *f)
{
    f->want_check = false;
    f->checking = true;
    f->asked_round = f->round;
    f->asked_offset = f->known ? larger(f->at.offset, f->expected) : 0;
    plx_feeds_command_sent(f);
    plx_topic_ask_position(f->feeds->store, f->topic, positioned, PLX_DONE(NULL, f));
}

static void rewind_log(plx_feed *f)
{
    plx_position seen = f->at;
    seen.offset = f->asked_offset;
    f->checking = true;
    plx_feeds_command_sent(f);
    plx_topic_rewind(f->feeds->store, f->topic, &seen, positioned, PLX_DONE(NULL, f));
}

static void settle(plx_feed *f, const plx_position *position)
{
    if (!f->known) {
        f->known = true;
        f->at = *position;
        f->target = f->logged_to = position->offset;
    } else if (strcmp(position->epoch, f->at.epoch) != 0) {
        plx_feed_jump(f, position);
    }
    f->target = larger(f->target, position->offset);
    f->settled = f->subscribed;
    plx_feed_take_held(f);
    plx_feed_admit(f);
}

static void positioned(const plx_done *done, int err, const redisReply *reply)
{
    plx_feed *f = done->arg;
    plx_position position = {"", 0};
    f->checking = false;
    if (!err && !plx_topic_read_position(reply, &position))
        err = plx_store_odd("position");
    if (f->unfollowed || f->feeds->stopped) {
        /* nobody wants to know any more */
    } else if (err) {
        f->want_check = true;
        plx_feeds_enqueue_later(f);
    } else if (f->asked_round != f->round) {
        /* The subscription was lost or confirmed since: what lies between is not covered. */
        f->want_check = f->want_check || f->subscribed;
        plx_feeds_enqueue(f);
    } else if (f->known && strcmp(position.epoch, f->at.epoch) == 0 &&
               position.offset < f->asked_offset) {
        rewind_log(f);
    } else {
        settle(f, &position);
        plx_feeds_enqueue(f);
    }
    plx_feeds_command_done(f);
}

/* ---- entries of the log */

/* Reads {epoch, offset, entries}. False: an unusable answer. */
static bool read_piece(const redisReply *reply, plx_position *position, const redisReply **entries)
{
    *entries = plx_reply_at(reply, 2);
    if (!plx_reply_is_array(*entries))
        return false;
    if (plx_topic_read_position(reply, position))
        return true;
    /* No epoch at all: another life, the position will tell. */
    position->epoch[0] = '\0';
    position->offset = 0;
    return plx_reply_slice(plx_reply_at(reply, 0)).len == 0;
}

/* The events of an answer that follow each other without a hole, beginning anywhere; at most
 * PLX_FEED_CHUNK. What is damaged ends the row. */
static size_t read_events(const plx_feed *f, const plx_position *position,
                          const redisReply *entries, plx_event **out)
{
    size_t count = 0, n = plx_reply_count(entries);
    while (count < n && count < PLX_FEED_CHUNK) {
        plx_event *e =
            plx_topic_entry_event(f->topic, position->epoch, plx_reply_at(entries, count));
        if (!e) {
            plx_store_odd("entry of a topic's log");
            break;
        }
        if (count > 0 && e->position.offset != out[count - 1]->position.offset + 1) {
            plx_event_unref(e);
            break;
        }
        out[count++] = e;
    }
    return count;
}

/* What an answer holds: at most PLX_FEED_CHUNK events, to be given back with unref_events. False:
 * nothing that can be delivered, and what follows from that was seen to. */
static bool take_piece(plx_feed *f, int err, const redisReply *reply, plx_position *position,
                       plx_event **events, size_t *count)
{
    const redisReply *entries = NULL;
    if (!err && !read_piece(reply, position, &entries))
        err = plx_store_odd("read");
    if (f->unfollowed || f->feeds->stopped)
        return false; /* nobody wants to know any more */
    if (err) {
        plx_feeds_enqueue_later(f);
        return false;
    }
    if (strcmp(position->epoch, f->at.epoch) != 0) {
        f->want_check = true;
        plx_feeds_enqueue(f);
        return false;
    }
    *count = read_events(f, position, entries, events);
    return true;
}

static void unref_events(plx_event **events, size_t count)
{
    for (size_t i = 0; i < count; i++)
        plx_event_unref(events[i]);
}

/* ---- the hole at the end */

/* Gives out what was missing. Returns false when the log does not hold it any more: not when
 * pub/sub has been faster than the answer, as after a pause of this process; then the next piece is
 * asked for.
 */
static bool fill(plx_feed *f, plx_event *const *events, size_t count)
{
    uint64_t before = f->at.offset;
    for (size_t i = 0; i < count; i++) {
        uint64_t offset = events[i]->position.offset;
        if (offset <= f->at.offset)
            continue; /* came by pub/sub meanwhile */
        if (offset > f->at.offset + 1)
            return false;
        f->logged_to = larger(f->logged_to, offset);
        f->feeds->store->counters.gaps++;
        plx_feed_accept(f, events[i]);
    }
    return f->at.offset > before || f->at.offset >= f->filling_from || f->at.offset >= f->target;
}

static void filled(const plx_done *done, int err, const redisReply *reply)
{
    plx_feed *f = done->arg;
    plx_position position = {"", 0};
    plx_event *events[PLX_FEED_CHUNK];
    size_t count;
    f->filling = false;
    if (take_piece(f, err, reply, &position, events, &count)) {
        f->target = larger(f->target, position.offset);
        if (!fill(f, events, count)) {
            /* If the log does not even reach so far it has gone back: the check will see it. */
            position.offset = f->target;
            plx_feed_jump(f, &position);
            f->want_check = true;
        }
        unref_events(events, count);
        plx_feed_take_held(f);
        if (f->at.offset >= f->target)
            plx_feed_tell_caught_up(f);
        plx_feeds_enqueue(f);
    }
    plx_feeds_command_done(f);
}

static void ask_fill(plx_feed *f)
{
    f->filling = true;
    f->filling_from = f->at.offset + 1;
    plx_feeds_command_sent(f);
    plx_topic_read(f->feeds->store, f->topic, f->filling_from, PLX_FEED_CHUNK, PLX_FEED_CHUNK_BYTES,
                   filled, PLX_DONE(NULL, f));
}

/* ---- pieces for watches that are behind */

static bool under_way(const plx_feed *f, uint64_t offset)
{
    for (const plx_list *n = f->reads.next; n != &f->reads; n = n->next) {
        uint64_t first = PLX_CONTAINER(n, piece, node)->first;
        if (offset >= first && offset - first < PLX_FEED_CHUNK)
            return true;
    }
    return false;
}

/* The next offset that somebody waits for and nobody reads; 0: none. */
static uint64_t wanted_offset(const plx_feed *f)
{
    for (const plx_list *n = f->behind.next; n != &f->behind; n = n->next) {
        uint64_t next = PLX_CONTAINER(n, plx_feed_watch, node)->after + 1;
        if (!under_way(f, next))
            return next;
    }
    return 0;
}

static void piece_read(const plx_done *done, int err, const redisReply *reply)
{
    piece *p = done->arg;
    plx_feed *f = p->feed;
    plx_position position = {"", 0};
    plx_event *events[PLX_FEED_CHUNK];
    size_t count;
    plx_list_remove(&p->node);
    f->read_count--;
    if (take_piece(f, err, reply, &position, events, &count)) {
        plx_feed_serve_behind(f, p->first, events, count);
        unref_events(events, count);
        plx_feeds_enqueue(f);
    }
    free(p);
    plx_feeds_command_done(f);
}

static void ask_piece(plx_feed *f, uint64_t first)
{
    piece *p = plx_alloc_zero(1, sizeof *p);
    p->feed = f;
    p->first = first;
    plx_list_push(&f->reads, &p->node);
    f->read_count++;
    plx_feeds_command_sent(f);
    plx_topic_read(f->feeds->store, f->topic, first, PLX_FEED_CHUNK, PLX_FEED_CHUNK_BYTES,
                   piece_read, PLX_DONE(NULL, p));
}

bool plx_feed_issue(plx_feed *f)
{
    uint64_t first;
    if (f->want_check && !f->checking && f->subscribed)
        ask_position(f);
    else if (f->known && !f->filling && f->at.offset < f->target)
        ask_fill(f);
    else if (f->known && f->read_count < PLX_FEED_READS && (first = wanted_offset(f)) != 0)
        ask_piece(f, first);
    else
        return false;
    return true;
}
