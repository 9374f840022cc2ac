/* Tickets: what two lines of any language's standard library sign.
 *
 *     base64url(JSON) "." lower-case hex(HMAC-SHA256(key, the base64url text))
 *
 * The JSON is an object with `exp` (seconds since 1970). Padding is optional and
 * plain base64 is accepted, too; what was signed is the text as it stands there.
 */
#ifndef PLX_CHANNEL_TICKET_H
#define PLX_CHANNEL_TICKET_H

#include "channel/claims.h"

#define PLX_TICKET_MAX 8192 /* longer ones are refused unread */

/* Verifies a ticket; its object, as it was signed, is appended to claims_json. PLX_E_INVALID:
 * malformed, or signed with another key. PLX_E_DENIED: genuine, but no object, a name twice in it,
 * or no good exp (a number of seconds before the year 10000). PLX_E_GONE: genuine, but expired.
 * PLX_E_TOOBIG: longer than PLX_TICKET_MAX, or claims_json is full. After an error claims_json is
 * as it was and verdict->reason says why. */
int plx_ticket_verify(plx_slice key, plx_slice ticket, uint64_t wall_ms, plx_buf *claims_json,
                      plx_verdict *verdict);

/* Appends a ticket for an object (signed as it is, without padding). PLX_E_INVALID: what
 * plx_ticket_verify would not take, but for its time; PLX_E_TOOBIG. After an error `ticket` is as
 * it was. */
int plx_ticket_sign(plx_slice key, plx_slice claims_json, plx_buf *ticket);

#endif
