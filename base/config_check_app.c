/* Do the values go together? Here: who is asked about a socket or a channel, auth and backends. */
#include "base/config_parts.h"
#include "base/pem.h"

void plx_config_check_placeholder(const char *what, const char *secret, unsigned line,
                                  plx_problems *p)
{
    if (secret && (strcasestr(secret, "replace-this") || strcasestr(secret, "change-this")))
        plx_problem_warn(p, line,
                         "%s still looks like an example, which everybody knows (expected random "
                         "characters)",
                         what);
}

/* ---- auth ---- */

/* A key of auth, and the types (bits) that have a use for it. */
typedef struct auth_key {
    const char *name;
    const void *member;
    unsigned types;
} auth_key;

#define FOR(type) (1u << PLX_AUTH_##type)

static void check_strays(const plx_auth_config *a, const plx_config_notes *notes, plx_problems *p)
{
    const auth_key keys[] = {
        {"secret", &a->secret, FOR(PHOENIX_TOKEN) | FOR(HOOK)},
        {"previous_secret", &a->previous_secret, FOR(PHOENIX_TOKEN)},
        {"salt", &a->salt, FOR(PHOENIX_TOKEN)},
        {"max_age_s", &a->max_age_s, FOR(PHOENIX_TOKEN)},
        {"claim", &a->claim, FOR(PHOENIX_TOKEN)},
        /* The application of a hook is asked about everybody; NONE has an error of its own. */
        {"required", &a->required, FOR(PHOENIX_TOKEN) | FOR(JWT) | FOR(TICKET) | FOR(NONE)},
        {"key", &a->key, FOR(JWT) | FOR(TICKET)},
        {"previous_key", &a->previous_key, FOR(JWT) | FOR(TICKET)},
        {"algorithms", &a->algorithms, FOR(JWT)},
        {"issuer", &a->issuer, FOR(JWT)},
        {"audience", &a->audience, FOR(JWT)},
        {"url", &a->url, FOR(HOOK)},
        {"timeout_ms", &a->timeout_ms, FOR(HOOK)},
        {"max_in_flight", &a->max_in_flight, FOR(HOOK)},
        {"headers", &a->headers, FOR(HOOK)},
    };
    static const char *const names[] = {"none", "phoenix_token", "jwt", "ticket", "hook"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        unsigned line = plx_config_line(notes, keys[i].member, 0);
        if (line > 0 && !(keys[i].types & 1u << a->type))
            plx_problem_warn(p, line, "'%s' has no effect with auth type \"%s\"", keys[i].name,
                             names[a->type]);
    }
}

static void check_phoenix_token(const plx_auth_config *a, unsigned line, plx_problems *p)
{
    if (!a->secret)
        plx_problem_add(p, line,
                        "auth has no good 'secret' (expected secret = the application's "
                        "secret_key_base)");
    if (!a->salt)
        plx_problem_add(p, line,
                        "auth has no good 'salt' (expected salt = the one that the "
                        "application signs with, such as \"user socket\")");
}

static bool public_key(const char *algorithm)
{
    return algorithm[0] != 'H';
}

/* What is wrong with a key for an algorithm; NULL: nothing. */
static const char *unfit(const char *algorithm, enum plx_pem kind)
{
    if (!public_key(algorithm))
        return kind == PLX_PEM_NONE ? NULL : "a shared secret for HS..., not a PEM key";
    if (strcmp(algorithm, "ES256") == 0)
        return kind == PLX_PEM_P256 ? NULL : "a PEM public key on the curve P-256 for ES256";
    return kind == PLX_PEM_RSA ? NULL : "a PEM public RSA key of at least 2048 bits for RS256";
}

/* One place for the rule that no public key is ever a shared secret. */
static void check_jwt_key(const plx_auth_config *a, const char *name, char *const *key,
                          const plx_config_notes *notes, plx_problems *p)
{
    for (size_t i = 0; *key && i < a->algorithms.count; i++) {
        const char *expected = unfit(a->algorithms.items[i], plx_pem_kind(plx_slice_of(*key)));
        if (!expected)
            continue;
        plx_problem_add(p, plx_config_line(notes, key, 1),
                        "'%s' does not fit 'algorithms' (expected %s)", name, expected);
        return;
    }
}

static void check_jwt(const plx_auth_config *a, unsigned line, const plx_config_notes *notes,
                      plx_problems *p)
{
    size_t asymmetric = 0;
    if (!a->key)
        plx_problem_add(p, line,
                        "auth has no good 'key' (expected key = the shared secret, a PEM public "
                        "key, or \"file:PATH\")");
    if (a->algorithms.count == 0)
        plx_problem_add(p, line,
                        "auth has no good 'algorithms' (expected those that the application signs "
                        "with, such as algorithms = { \"HS256\" })");
    for (size_t i = 0; i < a->algorithms.count; i++)
        asymmetric += public_key(a->algorithms.items[i]);
    /* Whoever has the public key could sign with it as if it were a shared secret. */
    if (asymmetric > 0 && asymmetric < a->algorithms.count)
        plx_problem_add(p, plx_config_line(notes, &a->algorithms, line),
                        "'algorithms' mixes shared secrets (HS...) with public keys (expected one "
                        "kind, because there is one 'key')");
    check_jwt_key(a, "key", &a->key, notes, p);
    check_jwt_key(a, "previous_key", &a->previous_key, notes, p);
}

static void check_hook(const plx_socket_config *s, unsigned line, const plx_config_notes *notes,
                       plx_problems *p)
{
    const plx_auth_config *a = &s->auth;
    bool ambient = false; /* what a browser sends along, whichever page asks */
    if (!a->url)
        plx_problem_add(p, line,
                        "auth has no good 'url' (expected url = where the application is asked, "
                        "such as \"http://127.0.0.1/pollux\")");
    if (!a->secret)
        plx_problem_add(p, line,
                        "auth has no good 'secret' (expected secret = what the questions are "
                        "signed with, at least 20 characters)");
    for (size_t i = 0; i < a->headers.count; i++)
        ambient = ambient || strcasecmp(a->headers.items[i], "cookie") == 0 ||
                  strcasecmp(a->headers.items[i], "authorization") == 0;
    if (ambient && plx_strings_has(&s->check_origin, plx_slice_of("any")))
        plx_problem_add(p, plx_config_line(notes, &s->check_origin, line),
                        "'check_origin' is \"any\" although cookies or browsers' passwords "
                        "authenticate: every web "
                        "page could open sockets in its visitors' names (expected \"same\" or "
                        "the site's origins)");
}

void plx_config_check_auth(const plx_socket_config *s, const plx_config_notes *notes,
                           plx_problems *p)
{
    const plx_auth_config *a = &s->auth;
    unsigned line = plx_config_line(notes, a, s->line);
    if (a->type == PLX_AUTH_NONE && a->required)
        plx_problem_add(p, plx_config_line(notes, &a->required, line),
                        "'required' without a type of auth (expected type = \"phoenix_token\", "
                        "\"jwt\", \"ticket\" or \"hook\", or required = false)");
    if (a->type == PLX_AUTH_PHOENIX_TOKEN)
        check_phoenix_token(a, line, p);
    else if (a->type == PLX_AUTH_JWT)
        check_jwt(a, line, notes, p);
    else if (a->type == PLX_AUTH_TICKET && !a->key)
        plx_problem_add(p, line,
                        "auth has no good 'key' (expected key = what tickets are signed "
                        "with)");
    else if (a->type == PLX_AUTH_HOOK)
        check_hook(s, line, notes, p);
    if (!a->csrf_param != !a->csrf_cookie)
        plx_problem_add(
            p, plx_config_line(notes, a->csrf_param ? &a->csrf_param : &a->csrf_cookie, line),
            "'csrf_param' and 'csrf_cookie' belong together (expected both: the "
            "parameter must have the cookie's value)");
    check_strays(a, notes, p);
    plx_config_check_placeholder("auth's 'secret'", a->secret,
                                 plx_config_line(notes, &a->secret, line), p);
    plx_config_check_placeholder("auth's 'previous_secret'", a->previous_secret,
                                 plx_config_line(notes, &a->previous_secret, line), p);
    plx_config_check_placeholder("auth's 'key'", a->key, plx_config_line(notes, &a->key, line), p);
}

/* ---- backends ---- */

static void check_module(const plx_channel_config *ch, const plx_config_notes *notes,
                         plx_problems *p)
{
    bool module = strcmp(ch->backend, "module") == 0;
    if (module && !ch->path)
        plx_problem_add(p, ch->line,
                        "a module without 'path' (expected path = \"/PATH/TO/IT.so\")");
    if (!module && ch->path)
        plx_problem_add(p, plx_config_line(notes, &ch->path, ch->line),
                        "'path' with backend %s (expected it with backend = \"module\" only)",
                        plx_problem_quote(plx_slice_of(ch->backend)));
    if (!module && ch->settings)
        plx_problem_warn(p, plx_config_line(notes, &ch->settings, ch->line),
                         "'settings' has no effect with backend %s",
                         plx_problem_quote(plx_slice_of(ch->backend)));
}

/* What only asking an application has a use for. */
static void check_http_strays(const plx_channel_config *ch, const plx_config_notes *notes,
                              plx_problems *p)
{
    const struct {
        const char *name;
        const void *member;
    } keys[] = {
        {"url", &ch->url},
        {"secret", &ch->secret},
        {"timeout_ms", &ch->timeout_ms},
        {"max_in_flight", &ch->max_in_flight},
        {"hooks", &ch->hooks},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        unsigned line = plx_config_line(notes, keys[i].member, 0);
        if (line > 0)
            plx_problem_warn(p, line,
                             "'%s' has no effect with backend %s (expected it with "
                             "backend = \"http\" only)",
                             keys[i].name, plx_problem_quote(plx_slice_of(ch->backend)));
    }
}

static void check_http(const plx_channel_config *ch, const plx_config_notes *notes, plx_problems *p)
{
    bool http = strcmp(ch->backend, "http") == 0;
    if (http && !ch->url)
        plx_problem_add(p, ch->line,
                        "backend \"http\" without a good 'url' (expected url = where the "
                        "application is asked, such as \"http://127.0.0.1/pollux\")");
    if (http && !ch->secret)
        plx_problem_add(p, ch->line,
                        "backend \"http\" without a good 'secret' (expected secret = what the "
                        "questions are signed with, at least 20 characters)");
    plx_config_check_placeholder("a channel's 'secret'", ch->secret,
                                 plx_config_line(notes, &ch->secret, ch->line), p);
    if (!http)
        check_http_strays(ch, notes, p);
    else if (ch->events.count > 0 && ch->hooks.count > 0 &&
             !plx_strings_has(&ch->hooks, plx_slice_of("push")))
        plx_problem_warn(p, plx_config_line(notes, &ch->events, ch->line),
                         "'events' has no effect without \"push\" in 'hooks': every event is "
                         "relayed (expected \"push\" in 'hooks', or no 'events')");
}

void plx_config_check_backend(const plx_channel_config *ch, const plx_config_notes *notes,
                              plx_problems *p)
{
    bool relays = strcmp(ch->backend, "relay") == 0 || strcmp(ch->backend, "http") == 0;
    check_module(ch, notes, p);
    check_http(ch, notes, p);
    if (!relays && (ch->relay_to_others || ch->reply))
        plx_problem_warn(p, ch->line, "'relay_to' and 'reply' have no effect with backend %s",
                         plx_problem_quote(plx_slice_of(ch->backend)));
}
