/* The reply to a join, kept until the commit, because where its membership begins is certain only
 * then (socket_verbs.c, begin_before) and the reply may tell it (README "History and recovery"). */
#ifndef PLX_TRANSPORT_LP_OPENING_H
#define PLX_TRANSPORT_LP_OPENING_H

#include "channel/socket.h"
#include "transport/serializer.h"

typedef struct plx_lp_opening plx_lp_opening;

/* Copies what it takes to say it once more; owned. NULL when the reply tells no position. */
plx_lp_opening *plx_lp_opening_new(const plx_out *out);
void plx_lp_opening_free(plx_lp_opening *o); /* NULL is fine */

/* Whether the membership begins elsewhere than the reply says. If so, the reply as it should be is
 * in *text (owned), encoded for vsn. o: NULL is fine. */
bool plx_lp_opening_moved(const plx_lp_opening *o, const plx_position *start, enum plx_vsn vsn,
                          plx_slice *text);

#endif
