/* Calls to all workers: disconnect and unsubscribe by socket id, and what each of them has to
 * report.
 *
 * One control channel that every worker listens to. A call carries a reply
 * channel; each WebSocket worker answers with its local count, long-poll sessions
 * are found through the set of their id and ended by the caller itself; the caller
 * sums what arrives within 500 ms (earlier when as many have answered as received
 * the call).
 *
 * A session's channel is closed by an entry in its inbox, which is worked like a
 * POST, in its turn: by the caller when it works sessions, else by whichever worker
 * does and gets the lease first.
 */
#ifndef PLX_STORE_CONTROL_H
#define PLX_STORE_CONTROL_H

#include "store/session.h"
#include "store/store.h"

/* err: PLX_E_DOWN (nothing was done), PLX_E_TIMEOUT or PLX_E_STORE (it may have been). */
typedef void plx_count_cb(void *arg, int err, unsigned count);

/* Disconnects every socket with this id, on both transports; gives their number. */
void plx_control_disconnect(plx_store *s, plx_slice id, plx_count_cb *cb, void *arg);

/* Closes the channel of this topic on every socket with this id; gives the number of channels.
 * Their sockets are told after everything that was published before the call. A channel that is
 * being joined is refused, and counts. */
void plx_control_unsubscribe(plx_store *s, plx_slice id, plx_slice topic, plx_count_cb *cb,
                             void *arg);

/* Longest report of one worker; a longer one is left out. */
#define PLX_REPORT_BYTES 65536

/* What each worker has to report (this one included), in no order; silent: workers that did not
 * answer in time. The slices are valid until the return. about: handed to each of them. */
typedef void plx_reports_cb(void *arg, int err, const plx_slice *reports, size_t count,
                            size_t silent);
void plx_control_reports(plx_store *s, plx_slice about, plx_reports_cb *cb, void *arg);

/* What a worker does when called; each may be NULL. */
typedef struct plx_control {
    /* Returns how many local sockets it closed. */
    unsigned (*disconnect)(struct plx_control *c, plx_slice id);
    /* Closes the local channels, each after what its topic held at `after`; returns how many. */
    unsigned (*unsubscribe)(struct plx_control *c, plx_slice id, plx_slice topic,
                            const plx_position *after);
    /* A message for the local channels of this id; the body is plx_inform's. */
    void (*inform)(struct plx_control *c, plx_slice id, plx_slice body);
    /* Works a session's inbox: the lease is held. The work is borrowed. */
    void (*work)(struct plx_control *c, const plx_work *work);
    /* Appends its report; nothing: it has none. */
    void (*report)(struct plx_control *c, plx_slice about, plx_buf *out);
    /* Appends what it leaves in Redis about itself (store/tally.h), a JSON object; nothing: it
     * leaves nothing. Called without being asked, every few seconds: must be cheap. */
    void (*tally)(struct plx_control *c, plx_buf *out);
} plx_control;
void plx_control_set(plx_store *s, plx_control *c);

/* Appends this worker's own report, without asking anybody. */
void plx_control_own_report(const plx_store *s, plx_buf *out);

#endif
