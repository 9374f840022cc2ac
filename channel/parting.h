/* The end of a membership of which somebody outside has to be told (a backend's terminate that is
 * not done when it returns), and what is kept until that one knows.
 *
 * While a parting lasts, whatever would report the membership again stays: the inbox entry of a
 * long-poll session is not committed, its record is not dropped, a WebSocket's note stays with its
 * worker's lease. So when this worker dies, another one calls terminate once more: at least once.
 */
#ifndef PLX_CHANNEL_PARTING_H
#define PLX_CHANNEL_PARTING_H

#include "channel/backend.h"

typedef struct plx_parting plx_parting;

/* Whoever ends a whole socket and must not forget it before its partings are over: embedded, set as
 * plx_socket.partings before plx_socket_free. Must live until as many have ended as had begun. */
typedef struct plx_partings {
    void (*begun)(struct plx_partings *p);
    void (*ended)(struct plx_partings *p, int err);
} plx_partings;

/* From inside terminate only. Never NULL; to be given back with plx_parting_end. */
plx_parting *plx_parting_begin(plx_channel *ch);
/* It was reported, or is given up (err 0), or is left to other workers (PLX_E_GONE). Also waits for
 * the broadcasts of the parting. Before plx_store_close. */
void plx_parting_end(plx_parting *p, int err);
/* It may take long: a long-poll session goes on in the meantime. */
void plx_parting_let_go(plx_parting *p);

/* The same for each repetition of this end after a crash: "<session>:leave:<16 hex digits>". Valid
 * until the end. */
plx_slice plx_parting_id(const plx_parting *p);

/* Broadcasts as the membership's socket, on any topic (empty: its own), `index` counting from 0.
 * The same index is broadcast once, however often the end is reported. check: what it would say: 0,
 * PLX_E_TOOBIG or PLX_E_INVALID, as plx_channel_broadcast_to; JSON must have been checked. */
int plx_parting_check(const plx_parting *p, plx_slice topic, plx_slice event, plx_payload payload);
void plx_parting_broadcast(plx_parting *p, uint32_t index, plx_slice topic, plx_slice event,
                           plx_payload payload, bool to_others);

#endif
