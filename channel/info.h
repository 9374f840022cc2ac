/* A message to handle_info on its way to another worker, or waiting in a session's inbox:
 *
 *     "t" SLOT ":" REST            for one membership of a long-poll session: its timer
 *     "s" LENGTH ":" TOPIC REST    for whatever channel a socket has joined on the topic
 *     REST: LENGTH ":" NAME KIND MESSAGE        KIND: j(son), b(inary)
 */
#ifndef PLX_CHANNEL_INFO_H
#define PLX_CHANNEL_INFO_H

#include "base/buf.h"
#include "channel/backend.h"

typedef struct plx_info {
    uint32_t slot;   /* 0: `topic` says for whom */
    plx_slice topic; /* empty with a slot */
    plx_slice name;
    plx_payload message;
} plx_info;

/* Appends the form with a topic. */
void plx_info_pack(plx_buf *out, plx_slice topic, plx_slice name, plx_payload message);
/* Appends what comes after the colon of the form with a slot. */
void plx_info_pack_rest(plx_buf *out, plx_slice name, plx_payload message);
/* Slices point into bytes. PLX_E_INVALID: nothing that these wrote, or no JSON inside. */
int plx_info_unpack(plx_slice bytes, plx_info *out);

#endif
