/* What a poll gives of a topic's presence: the state in the place of the diff with the own entry,
 * then the diffs behind it. The slot's record says what is waited for; the token says what became
 * of it, so that a repeated poll with an old token comes to an equivalent answer.
 */
#include "transport/lp_poll.h"

#include "base/json_scan.h"
#include "base/log.h"
#include "channel/track.h"

#include <stdlib.h>

/* The join_ref as it stands in a message that is itself a JSON string. */
static void set_join_ref(poll_topic *t, plx_slice json)
{
    plx_buf quoted;
    plx_buf_init(&quoted, 0);
    plx_json_quote(&quoted, json);
    t->join_ref = plx_slice_dup(plx_slice_make(quoted.data + 1, quoted.len - 2));
    if (t->poll->cursor.vsn == PLX_V2)
        t->merge.join_ref = plx_slice_make(t->join_ref, quoted.len - 2);
    plx_buf_fini(&quoted);
}

void plx_lp_presence_init(poll_topic *t, plx_slice bytes)
{
    const plx_lp_mark *mark = plx_lp_cursor_mark(&t->poll->cursor, t->merge.slot);
    plx_hint hint;
    plx_list_init(&t->state.node);
    if (plx_hint_unpack(bytes, &hint) != 0)
        plx_log_limited(PLX_WARNING, "the presence of a slot is damaged");
    t->merge.diffs = hint.diffs;
    memcpy(t->awaited, hint.ref.data ? hint.ref.data : "", hint.ref.len);
    if (hint.join_ref.len > 0)
        set_join_ref(t, hint.join_ref);
    if (hint.diffs.mode != PLX_DIFFS_PLAIN && t->merge.delivered > t->merge.diffs.at)
        t->merge.diffs.at = t->merge.delivered;
    if (mark && mark->state != PLX_LP_STATE_NONE)
        t->merge.diffs = (plx_diffs){
            mark->state == PLX_LP_STATE_DUE ? PLX_DIFFS_DUE : PLX_DIFFS_HAS, mark->state_at};
}

static void settled(poll_topic *t)
{
    if (t->owed) {
        t->owed = false;
        t->poll->unsettled--;
    }
    plx_lp_poll_dirty(t->poll);
}

void plx_lp_presence_fini(poll_topic *t)
{
    plx_roster_wait_stop(&t->state);
    if (t->roster)
        plx_roster_close(t->roster);
    t->roster = NULL;
    free(t->join_ref);
    t->join_ref = NULL;
}

static void on_state(plx_roster_wait *w, plx_roster *r)
{
    poll_topic *t = PLX_CONTAINER(w, poll_topic, state);
    t->asked = false;
    if (t->merge.diffs.mode != PLX_DIFFS_DUE)
        return;
    if (w->position.offset < t->merge.diffs.at) { /* more was withheld meanwhile */
        plx_lp_presence_ask(t);
        return;
    }
    plx_event *state = plx_roster_state(r);
    t->merge.state = state ? plx_event_ref(state) : NULL;
    settled(t);
}

void plx_lp_presence_ask(poll_topic *t)
{
    lp_poll *p = t->poll;
    enum plx_diffs_mode mode = t->merge.diffs.mode;
    if (mode == PLX_DIFFS_PLAIN || !t->entry)
        return;
    /* Also when it has its state: somebody has to see to it that changes are published. */
    if (!t->roster)
        t->roster =
            plx_roster_open(p->lp->store, plx_slice_make(t->name, t->name_len), &t->entry->rules);
    if (mode == PLX_DIFFS_HAS)
        return;
    if (!ev_is_active(&p->patience))
        ev_timer_start(p->lp->loop, &p->patience);
    if (p->state == OPENING && !t->owed) { /* worth waiting for: it saves the client a poll */
        t->owed = true;
        p->unsettled++;
    }
    if (mode != PLX_DIFFS_DUE || t->asked || t->merge.state)
        return;
    t->asked = true;
    t->state.ready = on_state;
    memcpy(t->state.position.epoch, t->epoch, sizeof t->epoch);
    t->state.position.offset = t->merge.diffs.at;
    plx_roster_wait_start(t->roster, &t->state, &t->state.position);
}

bool plx_lp_presence_take(poll_topic *t, plx_event *e)
{
    plx_diffs *d = &t->merge.diffs;
    if (t->deaf)
        return false;
    bool answers = d->mode == PLX_DIFFS_WAITS &&
                   plx_diff_joins(e, plx_slice_make(t->awaited, PLX_PHX_REF_LEN));
    if (t->merge.state && e->position.offset > t->merge.state->position.offset) {
        plx_event_unref(t->merge.state); /* not given yet: a newer one is */
        t->merge.state = NULL;
    }
    bool take = plx_diffs_take(d, e, answers);
    if (d->mode == PLX_DIFFS_DUE)
        plx_lp_presence_ask(t);
    return take;
}

void plx_lp_poll_impatient(lp_poll *p)
{
    for (plx_list *n = p->merge.topics.next; n != &p->merge.topics; n = n->next) {
        poll_topic *t = PLX_CONTAINER(n, poll_topic, merge.node);
        if (t->merge.diffs.mode != PLX_DIFFS_WAITS)
            continue;
        t->merge.diffs.mode = PLX_DIFFS_DUE;
        if (t->merge.seen > t->merge.diffs.at)
            t->merge.diffs.at = t->merge.seen;
        plx_lp_presence_ask(t);
    }
}
