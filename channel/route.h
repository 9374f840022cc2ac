/* Which socket section a request path means, and which channel section a topic means. */
#ifndef PLX_CHANNEL_ROUTE_H
#define PLX_CHANNEL_ROUTE_H

#include "base/buf.h"
#include "base/config.h"
#include "base/pair.h"

#define PLX_ROUTE_VARS 8    /* variables in one socket path; the configuration is held to it */
#define PLX_ROUTE_PATH 4096 /* longer request paths lead nowhere */

/* The channel section for a topic: an exact pattern beats every prefix, of prefixes the longest
 * wins. NULL: unmatched topic. */
const plx_channel_config *plx_route_channel(const plx_socket_config *socket, plx_slice topic);

/* Whether the topic is one that the pattern ("room:*" or exact) means. */
bool plx_route_pattern_matches(const char *pattern, plx_slice topic);

/* What is kept of a topic: the most that any socket section wants. */
typedef struct plx_route_kept {
    uint64_t history_size, history_ttl_s; /* how far back its log reaches; 0: it has no history */
    uint64_t latest_ttl_s; /* seconds for the last message of each event; 0: it is not kept */
} plx_route_kept;

/* Returns false when no section routes the topic; *out is written in any case. */
bool plx_route_topic(const plx_config *config, plx_slice topic, plx_route_kept *out);

enum plx_route_transport { PLX_ROUTE_WEBSOCKET, PLX_ROUTE_LONGPOLL };

typedef struct plx_route {
    const plx_socket_config *socket;
    enum plx_route_transport transport;
    plx_pair vars[PLX_ROUTE_VARS]; /* names point into the configuration, values into scratch */
    size_t var_count;
} plx_route;

/* Finds the socket section and transport for a request path as it was sent (no query):
 * SOCKET-PATH "/websocket" or "/longpoll". Repeated slashes count as one, a slash at the end is
 * allowed; fixed parts are compared as they stand, byte for byte (Phoenix: "web%73ocket" is
 * another path). Where several sections match, the one with a fixed part at the first differing
 * place wins, whatever their order in the file. Variables are percent-decoded into `scratch`
 * (emptied first; *out is valid until it changes).
 *
 * PLX_E_NOTFOUND (404): no section, or that transport is not enabled there. PLX_E_INVALID (400): a
 * variable's value is broken ("%zz", not UTF-8, NUL). */
int plx_route_socket(const plx_config *config, plx_slice path, plx_route *out, plx_buf *scratch);

/* Whether a path leads to, into, or out of a place that the configuration names (a socket
 * section's, api.path): one of the two is the beginning of the other, by whole parts. */
bool plx_route_is_ours(const plx_config *config, plx_slice path);

#endif
