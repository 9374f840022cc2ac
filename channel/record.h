/* What has to be known of a WebSocket's membership when its worker is gone: its backend is told of
 * the end by whoever finds the dead worker's lease (store/presence.h). */
#ifndef PLX_CHANNEL_RECORD_H
#define PLX_CHANNEL_RECORD_H

#include "channel/parting.h"
#include "channel/socket.h"

/* Sweeping of dead workers, for any program that runs channels: started once, kept until the store
 * is closed. */
typedef struct plx_record_sweep {
    plx_owner_sweep sweep;
    plx_store *store;
    const plx_channels *channels; /* of every socket section */
} plx_record_sweep;
/* channels: borrowed for as long. */
void plx_record_sweep_start(plx_record_sweep *rs, plx_store *s, const plx_channels *channels);

/* Notes the membership as it is now with the worker's lease. */
void plx_record_note(plx_membership *m);

/* Calls terminate(PLX_END_CLOSED) of the backend that the record's membership had. channels: of
 * every socket section, parallel to config->sockets. partings: who waits until the backend is done
 * with it, or NULL. A record that is damaged, or whose topic is
 * not configured any more, is logged and passed over. */
void plx_record_terminate(plx_store *s, const plx_channels *channels, plx_slice topic,
                          plx_slice record, plx_partings *partings);

#endif
