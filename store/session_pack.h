/* Slots and queue entries as bytes in Redis: a version, LEB128 numbers, length-prefixed strings.
 * The scripts move them around without looking inside.
 */
#ifndef PLX_STORE_SESSION_PACK_H
#define PLX_STORE_SESSION_PACK_H

#include "base/buf.h"
#include "store/session.h"

/* Topic and start; number and state are kept beside it. */
void plx_slot_pack(plx_buf *out, const plx_slot *slot);
/* Slices point into bytes. PLX_E_INVALID: not what plx_slot_pack writes. */
int plx_slot_unpack(plx_slice bytes, plx_slot *out);

/* All but the id. */
void plx_q_pack(plx_buf *out, const plx_q_entry *q);
/* Reads out->barrier_count; then barriers (unless NULL) must have room for as many, and
 * out->barriers points there. */
int plx_q_unpack(plx_slice bytes, plx_q_entry *out, plx_barrier *barriers);

#endif
