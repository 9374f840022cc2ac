/* Intercepted events in a poll's answer: what handle_out says about each, for this socket.
 *
 * The worker that answers a poll has no channels of the session, only its cursors. When
 * an answer is to hold events that a backend intercepts, the states of those memberships
 * are read first, without the lease (a POST may be worked meanwhile, here or elsewhere), and
 * used for a moment. Nothing is remembered: the same event is judged again when
 * the client asks again with the same token. Polls without such topics never come here.
 */
#ifndef PLX_TRANSPORT_LP_JUDGE_H
#define PLX_TRANSPORT_LP_JUDGE_H

#include "channel/socket.h"
#include "transport/lp_merge.h"

struct lp_poll;
struct poll_topic;

typedef struct plx_lp_judge {
    plx_socket *socket; /* the memberships as they were read; NULL: not yet */
    uint64_t read_ms;
    bool asking;
    plx_event *last; /* what the last verdict gave */
} plx_lp_judge;

/* How long what was read may be used: an assign that no answer has told the client of is seen by
 * handle_out after that. */
#define PLX_LP_JUDGE_MS 100

/* Whether the poll can be answered from what it holds. When not, the states are being asked for,
 * and the poll is marked dirty when they are there. */
bool plx_lp_judge_ready(struct lp_poll *p);
/* What the poll's socket is to see of an event; borrowed until the next call, NULL: nothing. Only
 * when the judge is ready. */
plx_event *plx_lp_judge_event(struct lp_poll *p, struct poll_topic *t, plx_event *e);
/* What was read does not count any more: the session's record has changed. */
void plx_lp_judge_forget(struct lp_poll *p);

#endif
