/* FastCGI records: cutting them out of bytes, and the few that libfcgi does not write for us.
 *
 * No I/O, no state. Section numbers are those of the FastCGI Specification 1.0;
 * the constants come from libfcgi's fastcgi.h.
 */
#ifndef PLX_FCGI_RECORD_H
#define PLX_FCGI_RECORD_H

#include "base/buf.h"
#include <fastcgi.h>

typedef struct plx_record {
    unsigned type; /* FCGI_BEGIN_REQUEST, ... or any other byte */
    unsigned id;   /* 0: a management record */
    plx_slice content;
    size_t total; /* header, content and padding: at most PLX_RECORD_MAX */
} plx_record;

#define PLX_RECORD_MAX (FCGI_HEADER_LEN + 65535 + 255)

/* Reads the record at the start of `bytes` (3.3); content points into them. Returns 0, PLX_E_BUSY
 * when the record is not complete yet (*out unwritten), PLX_E_INVALID for another protocol
 * version. */
int plx_record_parse(plx_slice bytes, plx_record *out);

/* Appends a record's header, without padding. len: at most 65535. */
void plx_record_head(plx_buf *to, unsigned type, unsigned id, size_t len);

/* Appends FCGI_END_REQUEST (5.5) with application status 0 and FCGI_REQUEST_COMPLETE,
 * FCGI_CANT_MPX_CONN, FCGI_OVERLOADED or FCGI_UNKNOWN_ROLE. */
void plx_record_end(plx_buf *to, unsigned id, unsigned protocol_status);

/* Appends the answer to a management record (4.1, 4.2): what FCGI_GET_VALUES asks for and we know,
 * FCGI_UNKNOWN_TYPE for any other type. `max` is told as FCGI_MAX_CONNS and FCGI_MAX_REQS. */
void plx_record_manage(plx_buf *to, const plx_record *record, size_t max);

/* Checks that PARAMS content, in pieces of any size, consists of whole name-value pairs (3.4), none
 * longer than `max`: libfcgi allocates what a length says before it has seen the bytes. Start with
 * a zeroed struct. */
typedef struct plx_record_pairs {
    uint32_t length[2]; /* of the name and the value */
    unsigned part;      /* 0, 1: reading that length; 2: skipping name and value */
    unsigned more;      /* bytes of a four-byte length still to come */
    size_t left;        /* bytes of name and value still to come */
} plx_record_pairs;
/* Returns 0 or PLX_E_TOOBIG. */
int plx_record_pairs_feed(plx_record_pairs *p, plx_slice bytes, size_t max);
/* Whether what was fed so far ends at the end of a pair. */
bool plx_record_pairs_whole(const plx_record_pairs *p);

#endif
