/* Do the configuration's values go together? */
#include "base/config_parts.h"
#include "base/error.h"

/* ---- Paths ---- */

/* Whether every path that a begins with is also one that b begins with, as far as the shorter goes:
 * a variable may be anything. Equal only when *same. */
static bool paths_meet(const char *a, const char *b, bool *same)
{
    plx_slice rest_a = plx_slice_of(a), rest_b = plx_slice_of(b), x, y;
    bool more_a, more_b;
    for (;;) {
        more_a = plx_slice_split(&rest_a, '/', &x);
        more_b = plx_slice_split(&rest_b, '/', &y);
        if (!more_a || !more_b)
            break;
        bool var_x = x.len > 0 && x.data[0] == ':', var_y = y.len > 0 && y.data[0] == ':';
        if (!var_x && !var_y && !plx_slice_eq(x, y))
            return false;
        if (var_x != var_y)
            *same = false;
    }
    if (more_a != more_b)
        *same = false;
    return true;
}

/* Two sections that differ in the names of their variables only could not be told apart. */
static void check_socket_path(const plx_config *c, const plx_socket_config *s, plx_problems *p)
{
    bool same = true;
    for (const plx_socket_config *other = c->sockets; other < s; other++) {
        same = true;
        if (paths_meet(s->path, other->path, &same) && same)
            plx_problem_add(p, s->line,
                            "socket %s means the same paths as the one in line %u "
                            "(expected each path once)",
                            plx_problem_quote(plx_slice_of(s->path)), other->line);
    }
    if (c->api.path && paths_meet(s->path, c->api.path, &same))
        plx_problem_add(p, s->line,
                        "socket %s and the api's path %s lie inside each other (expected paths of "
                        "which neither begins with the other)",
                        plx_problem_quote(plx_slice_of(s->path)),
                        plx_problem_quote(plx_slice_of(c->api.path)));
}

/* ---- Sockets ---- */

static void check_origins(const plx_socket_config *s, const plx_config_notes *notes,
                          plx_problems *p)
{
    unsigned line = plx_config_line(notes, &s->check_origin, s->line);
    /* Given, and yet none is there: what was wrong with each has been said. */
    if (s->check_origin.count == 0 && plx_config_line(notes, &s->check_origin, 0) == 0)
        plx_problem_add(p, line,
                        "'check_origin' is empty (expected { \"same\" }, { \"any\" }, or "
                        "the origins that may connect)");
    if (s->check_origin.count > 1 && plx_strings_has(&s->check_origin, plx_slice_of("any")))
        plx_problem_add(p, line,
                        "'check_origin' has \"any\" beside others (expected \"any\" "
                        "alone, or origins without it)");
}

/* Length of "NAME=" at the front of a presence meta. */
static size_t meta_name(const char *meta)
{
    return strcspn(meta, "=") + 1;
}

static void check_presence(const plx_channel_config *ch, const plx_config_notes *notes,
                           plx_problems *p)
{
    unsigned line = plx_config_line(notes, &ch->has_presence, ch->line);
    const plx_strings *meta = &ch->presence_meta;
    if (!ch->presence_key)
        plx_problem_add(p, line,
                        "presence has no good 'key' (expected key = a template such as "
                        "\"{params.user_id}\")");
    for (size_t i = 0; i < meta->count; i++)
        for (size_t k = 0; k < i; k++)
            if (strncmp(meta->items[i], meta->items[k], meta_name(meta->items[i])) == 0)
                plx_problem_add(p, plx_config_line(notes, meta, line),
                                "presence has %s beside %s (expected each name once)",
                                plx_problem_quote(plx_slice_of(meta->items[i])),
                                plx_problem_quote(plx_slice_of(meta->items[k])));
}

/* Whether some topic that the template can give belongs to the pattern: looks at what stands before
 * the first variable. */
static bool can_match(const char *template, const char *pattern)
{
    size_t fixed = strcspn(template, "{"), len = strlen(pattern);
    bool prefix = len > 0 && pattern[len - 1] == '*', variable = template[fixed] != '\0';
    size_t most = prefix ? len - 1 : len;

    if ((fixed < most && !variable) || (fixed > most && !prefix))
        return false;
    return strncmp(template, pattern, fixed < most ? fixed : most) == 0;
}

static void check_only_topic(const plx_channel_config *ch, const plx_config_notes *notes,
                             plx_problems *p)
{
    if (!ch->only_topic || can_match(ch->only_topic, ch->pattern))
        return;
    plx_problem_warn(p, plx_config_line(notes, &ch->only_topic, ch->line),
                     "'only_topic' is never a topic of channel %s: nobody can join (expected a "
                     "template that this pattern fits)",
                     plx_problem_quote(plx_slice_of(ch->pattern)));
}

/* A rule that asks for claims where there never are any refuses everybody. */
static void check_rules(const plx_socket_config *s, const plx_channel_config *ch,
                        const plx_config_notes *notes, plx_problems *p)
{
    if (s->auth.type != PLX_AUTH_NONE)
        return;
    if (ch->join == PLX_WHO_AUTHENTICATED)
        plx_problem_warn(p, plx_config_line(notes, &ch->join, ch->line),
                         "join = \"authenticated\" in a socket without auth lets nobody in "
                         "(expected any or none, or an auth section)");
    if (ch->push == PLX_WHO_AUTHENTICATED)
        plx_problem_warn(p, plx_config_line(notes, &ch->push, ch->line),
                         "push = \"authenticated\" in a socket without auth lets nobody push "
                         "(expected any or none, or an auth section)");
    if (ch->only_topic && strstr(ch->only_topic, "{claims."))
        plx_problem_warn(p, plx_config_line(notes, &ch->only_topic, ch->line),
                         "'only_topic' asks for claims in a socket without auth (expected "
                         "{params.NAME}, or an auth section)");
}

static void check_socket(const plx_config *c, const plx_socket_config *s,
                         const plx_config_notes *notes, plx_problems *p)
{
    check_socket_path(c, s, p);
    if (!s->websocket && !s->longpoll)
        plx_problem_add(p, s->line,
                        "socket %s has neither transport (expected websocket or "
                        "longpoll enabled)",
                        plx_problem_quote(plx_slice_of(s->path)));
    check_origins(s, notes, p);
    plx_config_check_auth(s, notes, p);
    if (s->module_settings && !s->module)
        plx_problem_warn(p, plx_config_line(notes, &s->module_settings, s->line),
                         "'settings' has no effect in a socket without 'module'");
    if (s->channel_count == 0)
        plx_problem_warn(p, s->line, "socket %s has no channel: nothing can be joined",
                         plx_problem_quote(plx_slice_of(s->path)));
    for (size_t i = 0; i < s->channel_count; i++) {
        const plx_channel_config *ch = &s->channels[i];
        plx_config_check_backend(ch, notes, p);
        check_only_topic(ch, notes, p);
        check_rules(s, ch, notes, p);
        if (ch->has_presence)
            check_presence(ch, notes, p);
        if (ch->has_history && ch->has_latest)
            plx_problem_add(p, plx_config_line(notes, &ch->has_latest, ch->line),
                            "'latest' beside 'history' (expected one of them: what is kept are the "
                            "last messages, or the last one of each event)");
    }
}

/* ---- The file ---- */

static void check_api(const plx_config *c, const plx_config_notes *notes, plx_problems *p)
{
    unsigned line = plx_config_line(notes, &c->api, 0);
    if (line == 0)
        return;
    if (!c->api.path)
        plx_problem_add(p, line,
                        "api has no good 'path' (expected path = \"/api\" or another "
                        "path)");
    if (c->api.keys.count == 0)
        plx_problem_add(p, line, "api has no good 'keys' (expected at least one key)");
    for (size_t i = 0; i < c->api.keys.count; i++)
        if (strlen(c->api.keys.items[i]) < 16)
            plx_problem_warn(p, plx_config_line(notes, &c->api.keys, line),
                             "an api key is shorter than 16 characters: it could be guessed");
}

static void check_secrets(const plx_config *c, const plx_config_notes *notes, plx_problems *p)
{
    unsigned line = plx_config_line(notes, &c->secret_file, 1),
             previous = plx_config_line(notes, &c->previous_secret_file, 1);
    if (!c->secret && plx_config_line(notes, &c->secret, 0) == 0 &&
        plx_config_line(notes, &c->secret_file, 0) == 0)
        plx_problem_add(p, 1,
                        "there is no 'secret' (expected secret = at least 32 random "
                        "characters, or secret_file = a file with them)");
    plx_config_check_placeholder("'secret'", c->secret, plx_config_line(notes, &c->secret, line),
                                 p);
    plx_config_check_placeholder("'previous_secret'", c->previous_secret,
                                 plx_config_line(notes, &c->previous_secret, previous), p);
}

void plx_config_check(const plx_config *c, const plx_config_notes *notes, plx_problems *p)
{
    check_secrets(c, notes, p);
    if (c->socket_count == 0)
        plx_problem_add(p, 1, "there is no socket section (expected socket \"/PATH\" { ... })");
    check_api(c, notes, p);
    for (size_t i = 0; i < c->socket_count; i++)
        check_socket(c, &c->sockets[i], notes, p);
}
