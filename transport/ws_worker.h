/* One worker process of pollux-ws: an event loop with its own connections to Redis. */
#ifndef PLX_TRANSPORT_WS_WORKER_H
#define PLX_TRANSPORT_WS_WORKER_H

#include <stdint.h>

/* Loads the configuration, opens the channel backends and serves from listen_fd (listening,
 * non-blocking; stays open) until SIGTERM, then drains: see plx_ws_server_drain. A second SIGTERM
 * ends it at once. Returns 0, or PLX_E_INVALID when configuration or backends can't be used (told
 * on stderr), or PLX_E_SYSTEM. */
int plx_ws_worker_serve(const char *config_file, int listen_fd, uint64_t drain_ms);

/* The same as far as it can fail by what the operator wrote: for the parent, so that it is told
 * once, warnings included, and before anything is started. Also sets the log's level. */
int plx_ws_worker_check(const char *config_file);

#endif
