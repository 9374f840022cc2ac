/* The channels that the configuration declares, each with its opened backend. */
#ifndef PLX_CHANNEL_BACKENDS_H
#define PLX_CHANNEL_BACKENDS_H

#include "base/buf.h"
#include "base/config.h"
#include "channel/admission.h"
#include "channel/auth_hook.h"
#include "channel/backend.h"
#include "channel/hook.h"
#include "store/presence.h"

typedef struct plx_channel_entry {
    const plx_channel_config *config;
    plx_presence_rules rules; /* also without a presence section: a module may track */
    const plx_backend *backend;
    void *state;
    void *module; /* dlopen handle, or NULL */
} plx_channel_entry;

/* All channels of one socket section. */
typedef struct plx_channels {
    const plx_socket_config *config;
    plx_channel_entry *entries; /* as many as config->channel_count, in its order */
    plx_admitter admitter;      /* the section's module, asked about every connect */
    plx_auth_hook *auth;        /* auth type hook, from plx_channels_start on; else NULL */
} plx_channels;

/* Opens every backend of every socket section: *out is an array of config->socket_count. On failure
 * returns PLX_E_INVALID and a line for the operator in `problem` (module missing, no symbol,
 * another ABI version, its own refusal). */
int plx_channels_open(const plx_config *config, plx_channels **out, plx_buf *problem);
/* In a worker, before it serves: opens what asks applications, with hooks (borrowed until _stop).
 * Before, and after _stop, backend http answers every join and push with the error "unavailable".
 */
void plx_channels_start(plx_channels *channels, size_t count, plx_hooks *hooks);
/* Closes that again: after all sockets, before hooks, the channels and the store. */
void plx_channels_stop(plx_channels *channels, size_t count);
/* Whether applications are being told of ends of memberships. */
bool plx_channels_telling(const plx_channels *channels, size_t count);
bool plx_channel_is_http(const plx_channel_entry *e);
/* Closes every backend and unloads the modules (NULL is fine). Before plx_store_close, because a
 * backend may answer calls that are still open while it is closed, and after all sockets: no code
 * of a module is called any more. */
void plx_channels_close(plx_channels *channels, size_t count);

/* The entry that routes a topic (exact beats prefix, the longest match wins), or NULL. The empty
 * topic is nobody's. */
const plx_channel_entry *plx_channels_route(const plx_channels *c, plx_slice topic);

/* The rules of a topic's presence, from the first socket section that routes it; NULL: none does.
 */
const plx_presence_rules *plx_channels_presence(const plx_channels *channels, size_t count,
                                                plx_slice topic);

/* The built-in ones. They have no `settings`: they read the channel's options. */
extern const plx_backend plx_relay_backend, plx_echo_backend;
const plx_channel_config *plx_channel_options(const plx_channel *ch);

#endif
