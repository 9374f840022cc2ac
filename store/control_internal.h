/* What the files of the control channel share, and what they show to the rest of store/.
 *
 *   control.c           the caller: a call's life
 *   control_sessions.c  the caller's part for long-poll sessions
 *   control_work.c      a session's inbox is to be worked by whoever does such things
 *   control_called.c    the called
 *   control_errand.c    a program without a worker wants a call made
 */
#ifndef PLX_STORE_CONTROL_INTERNAL_H
#define PLX_STORE_CONTROL_INTERNAL_H

#include "store/control.h"
#include "store/internal.h"

/* Workers whose reports one call takes. */
#define PLX_REPORTS_MAX 1024

struct plx_subscription;

typedef struct plx_calls {
    plx_store *store;
    plx_control *control; /* what this worker does when called; NULL: nothing */
    struct plx_subscription *subscription;
    plx_list open; /* plx_control_call.node */
    uint64_t last_number;
} plx_calls;

enum plx_control_verb { PLX_CONTROL_DISCONNECT, PLX_CONTROL_UNSUBSCRIBE, PLX_CONTROL_REPORT };

typedef struct plx_control_call {
    plx_list node; /* in calls->open, or in no list when it is answered */
    plx_calls *calls;
    enum plx_control_verb verb;
    uint64_t number;
    plx_slice id, topic; /* owned; topic: of REPORT what it is about */
    plx_position after;  /* UNSUBSCRIBE: where the topic stood */
    void (*cb)(void);    /* plx_count_cb or plx_reports_cb */
    void *arg;
    ev_timer timer;
    bool sent, published, answered;
    unsigned in_flight; /* commands that point here */
    plx_list entries;   /* UNSUBSCRIBE: inbox entries whose outcome is awaited */
    uint64_t receivers, answers, sum;
    plx_slice *reports; /* REPORT: owned */
    size_t report_count;
    int err; /* the first one */
} plx_control_call;

/* ---- control.c */

plx_calls *plx_calls_open(plx_store *s);
/* Answers every call that is still open with PLX_E_DOWN. */
void plx_calls_stop(plx_calls *cs);
void plx_calls_free(plx_calls *cs);

/* Answers to calls reach this worker from now on. */
void plx_calls_ready(plx_store *s);
/* A worker answers: so many for the call with this number. */
void plx_calls_count(plx_store *s, uint64_t number, uint64_t count);
/* A worker answers with its report. */
void plx_calls_report(plx_store *s, uint64_t number, plx_slice report);

/* A command of the call was answered (err: what came of it), or another part of it is done. */
void plx_control_command_done(plx_control_call *c, int err);
void plx_control_progress(plx_control_call *c);
/* Publishes to the control channel; answer and done as for plx_conn_send. */
void plx_control_publish(plx_store *s, plx_slice text, plx_answer_fn *answer, plx_done done);

/* ---- control_sessions.c */

/* Finds the long-poll sessions of the call's id and begins what the call asks of each. */
void plx_control_sessions(plx_control_call *c);
/* An inbox entry was worked, with this outcome. */
void plx_calls_done(plx_store *s, plx_slice sid, uint64_t entry, unsigned status);
/* The call waits no longer. */
void plx_control_sessions_forget(plx_control_call *c);

/* ---- control_work.c */

/* Asks others to work a session's inbox. poller: what plx_session_append said; empty: all of them
 * are asked, and the first one does it. cb, never before the return: 0 when it was asked for,
 * whether anybody has heard it or not. */
void plx_control_ask_work(plx_store *s, plx_slice sid, plx_slice poller,
                          void (*cb)(void *arg, int err), void *arg);

/* ---- control_called.c */

/* A message of the control channel. */
void plx_control_called(plx_calls *cs, plx_slice message);
/* This worker is asked to work a session's inbox. */
void plx_calls_work(plx_store *s, plx_slice sid);

/* Appends what this worker leaves in Redis about itself; nothing: it leaves nothing. */
void plx_control_own_tally(const plx_store *s, plx_buf *out);

/* ---- control_errand.c */

/* Somebody wants a call made; body: ID, then TOPIC. False: that is no errand. */
bool plx_control_errand(plx_calls *cs, plx_slice ticket, plx_slice verb, uint64_t id_len,
                        plx_slice body);

#endif
