/* One FastCGI connection's incoming side: gathers the records of one request at a time.
 *
 * No I/O: bytes in (in pieces of any size), events out. A request is handed on
 * only when all of it is there, so that nobody ever waits for a slow web server
 * but this buffer. Its bounds: PLX_INTAKE_PARAMS_MAX of parameters, max_body of
 * body, and PLX_INTAKE_OVERHEAD times that with all headers. A request past one of
 * them is refused: what it still sends is dropped as it comes, without being kept, and the event
 * comes at its end, because a web server that is answered in the middle of a body may report a
 * broken connection instead of the answer.
 *
 *            BEGIN            PARAMS, empty       STDIN, empty
 *   idle ------------> params ------------> stdin ------------> busy
 *     ^                   | abort             | abort             | answered: plx_intake_done
 *     +-------------------+-------------------+-------------------+
 *
 * Multiplexing (a request with another id on a busy connection) is refused with
 * FCGI_CANT_MPX_CONN, other roles than responder with FCGI_UNKNOWN_ROLE,
 * management records are answered at any time. A request with the same id waits, unexamined, until
 * the one before it is answered.
 */
#ifndef PLX_FCGI_INTAKE_H
#define PLX_FCGI_INTAKE_H

#include "base/buf.h"
#include "fcgi/record.h"

#define PLX_INTAKE_PARAMS_MAX 65536 /* names, values and their lengths */
#define PLX_INTAKE_OVERHEAD   2     /* allowed ratio of records to their content */
#define PLX_INTAKE_MAX_CONNS  10000 /* what FCGI_GET_VALUES is told; any number will do */

enum plx_intake_state { PLX_INTAKE_IDLE, PLX_INTAKE_PARAMS, PLX_INTAKE_STDIN, PLX_INTAKE_BUSY };

enum plx_intake_event {
    PLX_INTAKE_MORE,    /* nothing to do before further bytes come */
    PLX_INTAKE_REQUEST, /* a complete request: plx_intake_take; busy now */
    PLX_INTAKE_REFUSED, /* the end of one that must not be: answer `refused`; busy now */
    PLX_INTAKE_ABORTED, /* the web server gave up the request that is being answered */
    PLX_INTAKE_CLOSE,   /* the web server wants the connection closed after `replies` */
    PLX_INTAKE_BROKEN   /* this is no FastCGI (or nonsense in it): close now */
};

typedef struct plx_intake {
    plx_buf bytes; /* [0, staged): the request's records; [next, len): not looked at yet */
    size_t staged, next;
    size_t max_body;
    size_t params, body; /* content seen of this request */
    plx_record_pairs pairs;
    enum plx_intake_state state;
    unsigned id;      /* of the request, unless idle */
    unsigned refused; /* 0, or the HTTP status that this request gets: 400, 413, 431 */
    bool keep;        /* FCGI_KEEP_CONN: the connection stays after the answer */
    bool waiting;     /* busy, and what is next in `bytes` is for afterwards */
} plx_intake;

/* Allocates nothing; an idle intake holds no memory. */
void plx_intake_init(plx_intake *in, size_t max_body);
void plx_intake_fini(plx_intake *in);

/* Adds what came from the web server; then call plx_intake_next until it says PLX_INTAKE_MORE. What
 * is held afterwards is bounded by the limits above and one record. */
void plx_intake_feed(plx_intake *in, const char *bytes, size_t len);

/* Works on what was fed. Records for the web server are appended to replies. After
 * PLX_INTAKE_CLOSE and PLX_INTAKE_BROKEN only plx_intake_fini may follow. */
enum plx_intake_event plx_intake_next(plx_intake *in, plx_buf *replies);

/* After PLX_INTAKE_REQUEST: moves the request's records to *out (initialised, empty): BEGIN, PARAMS
 * and STDIN of one id, well formed, and nothing else. in->body tells the body's length. */
void plx_intake_take(plx_intake *in, plx_buf *out);

/* The request was answered (or ended): ready for the next one. If `waiting` was set, call
 * plx_intake_next. */
void plx_intake_done(plx_intake *in);

/* Bytes held now. */
static inline size_t plx_intake_held(const plx_intake *in)
{
    return in->bytes.len;
}

/* Whether a request has begun and is not complete. */
static inline bool plx_intake_partial(const plx_intake *in)
{
    return in->state == PLX_INTAKE_PARAMS || in->state == PLX_INTAKE_STDIN ||
           (in->state == PLX_INTAKE_IDLE && in->bytes.len > 0);
}

#endif
