/* Which sections and keys a configuration has: kinds, ranges, defaults, judges. */
#include "base/config_parts.h"

#define DAY_S  ((uint64_t)24 * 3600)
#define YEAR_S (366 * DAY_S)
#define MIB    ((uint64_t)1024 * 1024)
#define GIB    (1024 * MIB)

/* One row each. at() is set anew for every table. */
#define STRING(key, member, standard, how)                                                         \
    {                                                                                              \
        .name = key, .kind = PLX_CONFIG_STRING, .offset = at(member), .text = standard,            \
        .judge = how                                                                               \
    }
#define SECRET(key, member, how)                                                                   \
    {                                                                                              \
        .name = key, .kind = PLX_CONFIG_STRING, .offset = at(member), .judge = how, .secret = true \
    }
#define STRINGS(key, member, standard, how)                                                        \
    {                                                                                              \
        .name = key, .kind = PLX_CONFIG_STRINGS, .offset = at(member), .text = standard,           \
        .judge = how                                                                               \
    }
#define BOOLEAN(key, member, standard)                                                             \
    {                                                                                              \
        .name = key, .kind = PLX_CONFIG_BOOL, .offset = at(member), .number = standard             \
    }
#define NUMBER(key, type, member, standard, from, to)                                              \
    {                                                                                              \
        .name = key, .kind = PLX_CONFIG_##type, .offset = at(member), .number = standard,          \
        .min = from, .max = to                                                                     \
    }
#define CHOICE(key, type, member, words, standard)                                                 \
    {                                                                                              \
        .name = key, .kind = PLX_CONFIG_##type, .offset = at(member), .names = words,              \
        .number = standard                                                                         \
    }
#define END                                                                                        \
    {                                                                                              \
        .name = NULL                                                                               \
    }

/* In the order of their enums. */
static const char *const log_levels[] = {"debug", "info", "warning", "error", NULL};
static const char *const auth_types[] = {"none", "phoenix_token", "jwt", "ticket", "hook", NULL};
static const char *const who[] = {"any", "authenticated", "none", NULL};
static const char *const relay_to[] = {"all", "others", NULL};

static const plx_config_section *const no_subs[] = {NULL};

/* ---- channel "PATTERN" { ... } ---- */
#define at(member) offsetof(plx_channel_config, member)

static const plx_config_field presence_fields[] = {
    STRING("key", presence_key, NULL, plx_judge_template),
    STRINGS("meta", presence_meta, NULL, plx_judge_meta),
    NUMBER("grace_ms", U64, presence_grace_ms, 0, 0, 60000),
    NUMBER("window_ms", U64, presence_window_ms, 50, 10, 1000),
    NUMBER("count_only_above", U64, presence_count_only_above, 0, 0, 10000000),
    END,
};
static const plx_config_section presence_section = {
    .name = "presence",
    .fields = presence_fields,
    .subs = no_subs,
    .place = at(has_presence),
    .present = at(has_presence),
};

static const plx_config_field history_fields[] = {
    NUMBER("size", U64, history_size, 100, 1, 1000000),
    NUMBER("ttl_s", U64, history_ttl_s, 600, 1, YEAR_S),
    END,
};
static const plx_config_section history_section = {
    .name = "history",
    .fields = history_fields,
    .subs = no_subs,
    .place = at(has_history),
    .present = at(has_history),
};

static const plx_config_field latest_fields[] = {
    NUMBER("ttl_s", U64, latest_ttl_s, 3600, 1, YEAR_S),
    END,
};
static const plx_config_section latest_section = {
    .name = "latest",
    .fields = latest_fields,
    .subs = no_subs,
    .place = at(has_latest),
    .present = at(has_latest),
};

static const plx_config_field rate_fields[] = {
    NUMBER("per_s", U64, rate_per_s, 10, 1, 1000000),
    NUMBER("burst", U64, rate_burst, 0, 0, 1000000),
    END,
};
static const plx_config_section rate_section = {
    .name = "rate",
    .fields = rate_fields,
    .subs = no_subs,
    .place = at(has_rate),
    .present = at(has_rate),
};

static const plx_config_field channel_fields[] = {
    STRING("backend", backend, "relay", plx_judge_backend),
    STRING("path", path, NULL, plx_judge_module_path),
    {.name = "settings", .kind = PLX_CONFIG_TEXT, .offset = at(settings)},
    CHOICE("relay_to", FLAG, relay_to_others, relay_to, 0),
    BOOLEAN("reply", reply, false),
    CHOICE("join", CHOICE, join, who, PLX_WHO_ANY),
    CHOICE("push", CHOICE, push, who, PLX_WHO_ANY),
    STRING("only_topic", only_topic, NULL, plx_judge_template),
    {.name = "events",
     .kind = PLX_CONFIG_STRINGS,
     .offset = at(events),
     .judge = plx_judge_given,
     .some = "names of events, or push = \"none\" if clients are to push nothing"},
    NUMBER("max_payload_bytes", SIZE, max_payload_bytes, 0, 0, GIB),
    STRING("url", url, NULL, plx_judge_http_url),
    SECRET("secret", secret, plx_judge_token_secret),
    NUMBER("timeout_ms", U64, timeout_ms, 3000, 10, 60000),
    NUMBER("max_in_flight", SIZE, max_in_flight, 16, 1, 1000),
    STRINGS("hooks", hooks, NULL, plx_judge_hook),
    END,
};
static const plx_config_section *const channel_subs[] = {&presence_section, &history_section,
                                                         &latest_section, &rate_section, NULL};
static const plx_config_section channel_section = {
    .name = "channel",
    .fields = channel_fields,
    .subs = channel_subs,
    .place = at(pattern),
    .present = PLX_CONFIG_NOWHERE,
    .size = sizeof(plx_channel_config),
    .title_at = at(pattern),
    .line_at = at(line),
    .judge_title = plx_judge_pattern,
};
#undef at

/* ---- socket "PATH" { ... } ---- */
#define at(member) offsetof(plx_socket_config, member)

static const plx_config_field websocket_fields[] = {
    BOOLEAN("enabled", websocket, true),
    NUMBER("timeout_ms", U64, ws_timeout_ms, 60000, 100, DAY_S * 1000),
    NUMBER("max_frame_bytes", SIZE, ws_max_frame_bytes, MIB, 125, GIB),
    BOOLEAN("compress", ws_compress, false),
    END,
};
static const plx_config_section websocket_section = {
    .name = "websocket",
    .fields = websocket_fields,
    .subs = no_subs,
    .place = at(websocket),
    .present = PLX_CONFIG_NOWHERE,
};

/* phoenix.js gives a poll up after 20 s. */
static const plx_config_field longpoll_fields[] = {
    BOOLEAN("enabled", longpoll, true),
    NUMBER("window_ms", U64, lp_window_ms, 10000, 100, 18000),
    END,
};
static const plx_config_section longpoll_section = {
    .name = "longpoll",
    .fields = longpoll_fields,
    .subs = no_subs,
    .place = at(longpoll),
    .present = PLX_CONFIG_NOWHERE,
};

static const char *const digests[] = {"sha256", "sha384", "sha512", NULL};

static const plx_config_field auth_fields[] = {
    CHOICE("type", CHOICE, auth.type, auth_types, PLX_AUTH_NONE),
    SECRET("secret", auth.secret, plx_judge_token_secret),
    SECRET("previous_secret", auth.previous_secret, plx_judge_token_secret),
    STRING("salt", auth.salt, NULL, plx_judge_given),
    {.name = "key_digest",
     .kind = PLX_CONFIG_STRING,
     .offset = at(auth.key_digest),
     .text = "sha256",
     .names = digests},
    NUMBER("key_iterations", UINT, auth.key_iterations, 1000, 1, 1000000),
    NUMBER("key_length", SIZE, auth.key_length, 32, 16, 256),
    STRING("param", auth.param, "token", plx_judge_name),
    STRING("claim", auth.claim, "user_id", plx_judge_name),
    NUMBER("max_age_s", U64, auth.max_age_s, 0, 0, 100 * YEAR_S),
    BOOLEAN("required", auth.required, false),
    {.name = "key",
     .kind = PLX_CONFIG_TEXT,
     .offset = at(auth.key),
     .judge = plx_judge_key,
     .secret = true},
    {.name = "previous_key",
     .kind = PLX_CONFIG_TEXT,
     .offset = at(auth.previous_key),
     .judge = plx_judge_key,
     .secret = true},
    STRINGS("algorithms", auth.algorithms, NULL, plx_judge_jwt_algorithm),
    STRING("issuer", auth.issuer, NULL, plx_judge_given),
    STRING("audience", auth.audience, NULL, plx_judge_given),
    STRING("url", auth.url, NULL, plx_judge_http_url),
    NUMBER("timeout_ms", U64, auth.timeout_ms, 3000, 10, 60000),
    NUMBER("max_in_flight", SIZE, auth.max_in_flight, 16, 1, 1000),
    STRINGS("headers", auth.headers, "cookie", plx_judge_header),
    STRING("csrf_param", auth.csrf_param, NULL, plx_judge_name),
    STRING("csrf_cookie", auth.csrf_cookie, NULL, plx_judge_header),
    END,
};
static const plx_config_section auth_section = {
    .name = "auth",
    .fields = auth_fields,
    .subs = no_subs,
    .place = at(auth),
    .present = PLX_CONFIG_NOWHERE,
};

static const plx_config_field socket_fields[] = {
    STRINGS("check_origin", check_origin, "same", plx_judge_origin),
    NUMBER("max_channels", SIZE, max_channels, 100, 1, 100000),
    STRING("id", id, NULL, plx_judge_template),
    STRING("module", module, NULL, plx_judge_module_path),
    {.name = "settings", .kind = PLX_CONFIG_TEXT, .offset = at(module_settings)},
    END,
};
static const plx_config_section *const socket_subs[] = {&websocket_section, &longpoll_section,
                                                        &auth_section, NULL};
static const plx_config_section socket_section = {
    .name = "socket",
    .fields = socket_fields,
    .subs = socket_subs,
    .place = at(path),
    .present = PLX_CONFIG_NOWHERE,
    .items = &channel_section,
    .items_at = at(channels),
    .count_at = at(channel_count),
    .size = sizeof(plx_socket_config),
    .title_at = at(path),
    .line_at = at(line),
    .judge_title = plx_judge_socket_path,
};
#undef at

/* ---- The file ---- */
#define at(member) offsetof(plx_config, member)

static const plx_config_field redis_fields[] = {
    {.name = "url",
     .kind = PLX_CONFIG_STRING,
     .offset = at(redis.url),
     .text = "redis://127.0.0.1:6379/0",
     .judge = plx_judge_redis_url,
     .secret = true},
    STRING("prefix", redis.prefix, "plx:", plx_judge_prefix),
    END,
};
static const plx_config_section redis_section = {
    .name = "redis",
    .fields = redis_fields,
    .subs = no_subs,
    .place = at(redis),
    .present = PLX_CONFIG_NOWHERE,
};

static const plx_config_field delivery_log_fields[] = {
    NUMBER("messages", SIZE, delivery_log.messages, 1024, 16, 1000000),
    NUMBER("bytes", SIZE, delivery_log.bytes, 8 * MIB, 64 * 1024, 4 * GIB),
    NUMBER("ttl_s", U64, delivery_log.ttl_s, 3600, 60, YEAR_S),
    END,
};
static const plx_config_section delivery_log_section = {
    .name = "delivery_log",
    .fields = delivery_log_fields,
    .subs = no_subs,
    .place = at(delivery_log),
    .present = PLX_CONFIG_NOWHERE,
};

static const plx_config_field api_fields[] = {
    STRING("path", api.path, NULL, plx_judge_api_path),
    {.name = "keys",
     .kind = PLX_CONFIG_STRINGS,
     .offset = at(api.keys),
     .judge = plx_judge_api_key,
     .secret = true},
    END,
};
static const plx_config_section api_section = {
    .name = "api",
    .fields = api_fields,
    .subs = no_subs,
    .place = at(api),
    .present = PLX_CONFIG_NOWHERE,
};

static const plx_config_field root_fields[] = {
    SECRET("secret", secret, plx_judge_secret),
    STRING("secret_file", secret_file, NULL, plx_judge_given),
    SECRET("previous_secret", previous_secret, plx_judge_secret),
    STRING("previous_secret_file", previous_secret_file, NULL, plx_judge_given),
    CHOICE("log_level", CHOICE, log_level, log_levels, PLX_INFO),
    STRINGS("trusted_proxies", trusted_proxies, NULL, plx_judge_proxy),
    NUMBER("max_body_bytes", SIZE, max_body_bytes, MIB, 1024, GIB),
    /* A refused client gives up on its own after 20 s at most. */
    NUMBER("refuse_delay_ms", U64, refuse_delay_ms, 1000, 0, 10000),
    NUMBER("queue_bytes", SIZE, queue_bytes, MIB, 4096, GIB),
    NUMBER("reader_threads", SIZE, reader_threads, 4, 1, 64),
    END,
};
static const plx_config_section *const root_subs[] = {&redis_section, &delivery_log_section,
                                                      &api_section, NULL};
const plx_config_section plx_config_schema = {
    .name = "",
    .fields = root_fields,
    .subs = root_subs,
    .place = at(file),
    .present = PLX_CONFIG_NOWHERE,
    .items = &socket_section,
    .items_at = at(sockets),
    .count_at = at(socket_count),
    .size = sizeof(plx_config),
};
#undef at
