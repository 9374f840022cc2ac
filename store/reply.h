/* Reading what Redis answered, without trusting it.
 *
 * Keys may have been tampered with or written by another version: every access
 * checks type and bounds, and a wrong shape reads as absent.
 */
#ifndef PLX_STORE_REPLY_H
#define PLX_STORE_REPLY_H

#include "base/slice.h"
#include <hiredis/hiredis.h>
#include <stdint.h>

/* Element i of an array, or NULL. */
const redisReply *plx_reply_at(const redisReply *r, size_t i);
/* Elements of an array, else 0. */
size_t plx_reply_count(const redisReply *r);
bool plx_reply_is_array(const redisReply *r);
/* The bytes of a string or status, else the empty slice. Valid as long as the reply. */
plx_slice plx_reply_slice(const redisReply *r);
/* A number that is not negative, as an integer or in decimal text. */
bool plx_reply_u64(const redisReply *r, uint64_t *out);
/* Whether it is that string or status. */
bool plx_reply_is(const redisReply *r, const char *text);
/* Decimal text: digits only, no overflow. */
bool plx_decimal_parse(plx_slice text, uint64_t *out);
/* A stream id "<n>-0". */
bool plx_stream_id_parse(plx_slice text, uint64_t *out);

#endif
