/* What the parts of the long-poll transport share; nobody else includes this. */
#ifndef PLX_TRANSPORT_LP_INTERNAL_H
#define PLX_TRANSPORT_LP_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "channel/route.h"
#include "channel/record.h"
#include "channel/socket.h"
#include "store/control.h"
#include "store/session.h"
#include "transport/connect.h"
#include "transport/longpoll.h"
#include "transport/lp_pace.h"
#include "transport/lp_token.h"

/* How long a connect waits for an absent Redis before it is told to come back. */
#define PLX_LP_CONNECT_WAIT_MS 5000
/* How long a stopping worker waits for applications that are asked. */
#define PLX_LP_DRAIN_MS 2500
/* A client notices a lost answer only after 20 s, so a session lives at least this long. */
#define PLX_LP_MIN_LIFE_MS 30000
/* Joined topics of one session: the token has a mark for each, and must go through web servers. */
#define PLX_LP_CHANNELS 800

struct plx_longpoll {
    unsigned refs; /* the owner's, and one for each object that a store call may still point to */
    plx_store *store;
    const plx_config *config;
    const plx_channels *channels; /* parallel to config->sockets */
    struct ev_loop *loop;
    plx_mailbox mailbox;
    plx_session_sweep sweep;
    plx_session_due due;
    plx_control control;
    plx_record_sweep owners;
    plx_store_watch up;
    plx_list connects, polls, posts, works; /* everything that is under way, by node */
    unsigned cleanups;                      /* sessions being cleaned up after */
    plx_map *poll_by_key;                   /* "<sid>:<generation>" -> lp_poll */
    plx_map *posts_by_sid;                  /* session id -> its waiting POSTs */
    size_t topics;                          /* of the polls that are held */
    plx_list dirty;                         /* polls that got something this loop turn */
    ev_prepare flush;                       /* answers them once, before the loop waits */
    plx_lp_pace pace;                       /* of answers to polls that a newer one took over */
    uint64_t generation;
    uint64_t skipped_binary;               /* events that can't reach a long-poll client */
    uint64_t opened, refused, unavailable; /* connects */
    uint64_t expired; /* sessions whose token ran out, of those that this worker swept */
    bool draining;
    ev_timer drain_check;
    void (*drained)(void *arg);
    void *drained_arg;
};

/* longpoll.c */
/* Returns lp. */
plx_longpoll *plx_lp_ref(plx_longpoll *lp);
void plx_lp_unref(plx_longpoll *lp);

/* A request on its way through the transport, and the mount it is for. */
typedef struct plx_lp_request {
    plx_longpoll *lp;
    plx_http_request *http;
    const plx_socket_config *socket;
    const plx_channels *channels;
    const plx_route *route;
    plx_slice token;    /* the session token's text; empty: none was given */
    size_t token_index; /* of its query pair, SIZE_MAX when it came in the header */
} plx_lp_request;

/* lp_answer.c: every answer the transport gives; the request is its receiver's again. */
/* HTTP 200 and {"status":N}. */
void plx_lp_answer_status(plx_http_request *r, unsigned status);
/* HTTP 503 and {"status":500}, at which clients come back later. */
void plx_lp_answer_overload(plx_http_request *r);
/* {"status":410,...} with the token of a new session. */
void plx_lp_answer_open(plx_http_request *r, plx_slice token);
/* messages: elements of a JSON array, separated by commas. */
void plx_lp_answer_poll(plx_http_request *r, unsigned status, plx_slice token, plx_slice messages);
/* What OPTIONS asks for, and the answer to methods that nobody has. */
void plx_lp_answer_preflight(plx_http_request *r);
void plx_lp_answer_method(plx_http_request *r);

/* lp_connect.c: opens a session. */
void plx_lp_connect(const plx_lp_request *r);
void plx_lp_connect_up(plx_longpoll *lp);
/* Answers a refusal after a random delay, because clients retry without any. */
void plx_lp_refuse(plx_longpoll *lp, plx_http_request *http);
void plx_lp_connects_end(plx_longpoll *lp);
/* The worker stops: applications that are asked have little time left. */
void plx_lp_connects_drain(plx_longpoll *lp);

/* lp_poll.c: a poll. Takes the cursor (moves its memory) and the genuine token's text. */
void plx_lp_poll_start(const plx_lp_request *r, plx_lp_cursor *cursor);
void plx_lp_poll_up(plx_longpoll *lp);
void plx_lp_polls_flush(plx_longpoll *lp);
void plx_lp_polls_end(plx_longpoll *lp);
/* How many of the polls that are held have this topic. */
size_t plx_lp_polls_with(const plx_longpoll *lp, plx_slice topic);
void plx_lp_poll_wake(plx_longpoll *lp, plx_slice sid, uint64_t generation);
void plx_lp_poll_superseded(plx_longpoll *lp, plx_slice sid, uint64_t generation);
void plx_lp_poll_gone(plx_longpoll *lp, plx_slice sid, uint64_t generation);

/* lp_post.c: a POST, waiting until its inbox entry is worked, or until its window ends. */
void plx_lp_post_start(const plx_lp_request *r, const plx_lp_cursor *cursor);
void plx_lp_post_up(plx_longpoll *lp);
/* Entries whose POSTs are answered are not asked for any more: others do, or the sweep. */
void plx_lp_posts_drain(plx_longpoll *lp);
void plx_lp_posts_end(plx_longpoll *lp);
void plx_lp_post_done(plx_longpoll *lp, plx_slice sid, uint64_t entry, unsigned status);
void plx_lp_post_gone(plx_longpoll *lp, plx_slice sid);

/* lp_work.c: works a session's inbox with the channel core, under the lease. */
void plx_lp_work_start(plx_longpoll *lp, const plx_work *work);
void plx_lp_work_sweep(plx_longpoll *lp, const plx_work *work, const char *reason);
void plx_lp_works_end(plx_longpoll *lp);

/* The life of a session without a sign of its client, in ms. */
static inline uint64_t plx_lp_life_ms(const plx_socket_config *socket)
{
    uint64_t life = socket->lp_window_ms + socket->lp_window_ms / 2;
    return life > PLX_LP_MIN_LIFE_MS ? life : PLX_LP_MIN_LIFE_MS;
}

/* For libev's timers. */
static inline ev_tstamp plx_lp_seconds(uint64_t ms)
{
    return (ev_tstamp)ms / 1000.0;
}

#endif
