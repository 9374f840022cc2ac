/* The configuration file, read with libConfuse into plain structs.
 *
 * Everything is checked here, once: after plx_config_load succeeds the rest of
 * the program may rely on the documented ranges. Unknown keys, wrong types and
 * impossible values are errors that name file, line and what was expected.
 * Templates ({params.NAME}, {claims.NAME}) and topic patterns are kept as text;
 * their syntax has been checked.
 */
#ifndef PLX_BASE_CONFIG_H
#define PLX_BASE_CONFIG_H

#include "base/buf.h"
#include "base/log.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct plx_strings {
    char **items; /* owned, NUL-terminated strings */
    size_t count;
} plx_strings;

/* Whether name is one of them. */
static inline bool plx_strings_has(const plx_strings *list, plx_slice name)
{
    return plx_slice_among(name, (const char *const *)list->items, list->count);
}

enum plx_auth_type {
    PLX_AUTH_NONE,
    PLX_AUTH_PHOENIX_TOKEN,
    PLX_AUTH_JWT,
    PLX_AUTH_TICKET,
    PLX_AUTH_HOOK
};

typedef struct plx_auth_config {
    enum plx_auth_type type;
    /* phoenix_token: the application's secret_key_base. hook: signs the questions. */
    char *secret, *previous_secret;
    char *salt;
    /* How the application derives the signing key (Phoenix.Token's options of the same names). */
    char *key_digest;        /* "sha256" (default) | "sha384" | "sha512": PBKDF2's digest */
    unsigned key_iterations; /* default 1000, 1..1000000 */
    size_t key_length;       /* bytes, default 32, 16..256 */
    char *param;             /* connect parameter, default "token" */
    char *claim;             /* default "user_id" */
    /* Replaces the age that was signed into the token, as Phoenix.Token.verify's max_age does.
     * 0 (default): the token's own counts. */
    uint64_t max_age_s;
    bool required;
    /* ticket, jwt. jwt: the shared secret, a PEM public key, or "file:PATH" of either. */
    char *key, *previous_key;
    plx_strings algorithms;  /* jwt: of HS256 HS384 HS512 RS256 ES256, at least one */
    char *issuer, *audience; /* jwt: what `iss` and `aud` must be, or NULL */
    /* hook: the question goes to url with these headers of the connecting request (lower case). */
    char *url;
    uint64_t timeout_ms;  /* default 3000, 10..60000 */
    size_t max_in_flight; /* default 16, 1..1000; per worker */
    plx_strings headers;  /* default { "cookie" } */
    /* Both or none: the connect parameter must have the value of the cookie. */
    char *csrf_param, *csrf_cookie;
} plx_auth_config;

enum plx_who { PLX_WHO_ANY, PLX_WHO_AUTHENTICATED, PLX_WHO_NONE };

/* channel "PATTERN" { ... } */
typedef struct plx_channel_config {
    char *pattern;        /* "room:*" or an exact topic */
    char *backend;        /* "relay" | "echo" | "module" | "http" */
    char *path;           /* module: the shared object (required there) */
    char *settings;       /* module: free text handed to it, or NULL */
    bool relay_to_others; /* relay_to = "others"; default "all" */
    bool reply;           /* relay: answer each push once it is in the log */
    enum plx_who join;    /* default any */
    enum plx_who push;    /* default any */
    char *only_topic;     /* template, or NULL */
    /* Event names that clients may push; none given: all. http: those that the application is asked
     * about, the others are relayed. */
    plx_strings events;
    size_t max_payload_bytes; /* of a push or join; 0 (default): what the transport lets through */
    bool has_rate;            /* pushes of one socket to one topic: */
    uint64_t rate_per_s;      /* so many a second (1..1000000) in the long run */
    uint64_t rate_burst;      /* and so many at once; default 0: as many as per_s */
    /* http */
    char *url, *secret;   /* both required there */
    uint64_t timeout_ms;  /* default 3000, 10..60000 */
    size_t max_in_flight; /* default 16, 1..1000; per worker */
    plx_strings hooks;    /* of "join" "push" "leave"; none given: join and push */
    bool has_presence;
    char *presence_key;        /* template */
    plx_strings presence_meta; /* NAME=TEMPLATE */
    uint64_t presence_grace_ms, presence_window_ms, presence_count_only_above;
    bool has_history;
    uint64_t history_size;  /* messages that `since` and /history reach back over */
    uint64_t history_ttl_s; /* and seconds of silence after which they are gone */
    bool has_latest;        /* not beside history */
    uint64_t latest_ttl_s;
    unsigned line; /* in the file, for messages */
} plx_channel_config;

/* socket "PATH" { ... } */
typedef struct plx_socket_config {
    char *path; /* "/socket", may hold variables: "/socket/:room"; no slash at the end */
    bool websocket, longpoll;     /* enabled; both default true */
    uint64_t ws_timeout_ms;       /* default 60000 */
    size_t ws_max_frame_bytes;    /* default 1048576 */
    bool ws_compress;             /* default false */
    uint64_t lp_window_ms;        /* default 10000, 100..18000 */
    plx_strings check_origin;     /* "any", "same", or origins; default { "same" } */
    size_t max_channels;          /* default 100 */
    plx_auth_config auth;         /* default none */
    char *id;                     /* template, or NULL */
    char *module;                 /* a shared object that is asked about every connect, or NULL */
    char *module_settings;        /* free text handed to it, or NULL */
    plx_channel_config *channels; /* in the order of the file */
    size_t channel_count;
    unsigned line;
} plx_socket_config;

typedef struct plx_config {
    char *file;
    struct {
        char *url;    /* default "redis://127.0.0.1:6379/0" */
        char *prefix; /* default "plx:"; no braces */
    } redis;
    char *secret;          /* at least 32 characters; from `secret` or `secret_file` */
    char *previous_secret; /* or NULL; from `previous_secret` or `previous_secret_file` */
    char *secret_file, *previous_secret_file; /* as configured, or NULL */
    enum plx_log_level log_level;             /* default info */
    plx_strings trusted_proxies; /* IPv4/IPv6 addresses, CIDR ranges, or "unix"; default none */
    size_t max_body_bytes;       /* request bodies, default 1048576 (1 MiB) */
    uint64_t refuse_delay_ms; /* upper end of the random delay of refusals; default 1000, 0: none */
    size_t queue_bytes;       /* WebSocket: unsent bytes per connection, default 1048576 */
    size_t reader_threads;    /* pollux-fcgi: default 4, 1..64 */
    struct {
        size_t messages; /* kept per topic for delivery, default 1024 */
        size_t bytes;    /* default 8388608 */
        uint64_t ttl_s;  /* a silent topic's log, default 3600 */
    } delivery_log;
    plx_socket_config *sockets;
    size_t socket_count;
    struct {
        char *path; /* NULL: no API */
        plx_strings keys;
    } api;
} plx_config;

/* Reads and checks a file. On success *out is owned by the caller (plx_config_free). On failure
 * (PLX_E_INVALID, PLX_E_SYSTEM when it can't be read) `problems` holds one line for each problem
 * found, "FILE:LINE: what is wrong (expected ...)\n". May append warnings there on success too:
 * lines that begin with "warning: ". */
int plx_config_load(const char *file, plx_config **out, plx_buf *problems);
void plx_config_free(plx_config *c);

/* How a program starts: loads the file that plx_config_path finds and tells on stderr what is wrong
 * with it. Returns as plx_config_load does. Warnings only when asked for: `check` tells them, and
 * the process that starts workers, but not each worker, CGI request or command run by cron. */
int plx_config_open(const char *from_command_line, bool warnings, plx_config **out);

/* FILE given on the command line, else $POLLUX_CONFIG, else /etc/pollux/pollux.conf. */
const char *plx_config_path(const char *from_command_line);

/* A topic pattern: an exact topic or a prefix followed by one '*' at the end. */
bool plx_pattern_valid(plx_slice pattern);

#endif
