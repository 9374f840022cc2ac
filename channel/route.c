/* Routing: request paths to socket sections, topics to channel sections.
 *
 * A request path and a configured one are walked side by side, part by part, with
 * parts as the text between slashes. Nothing is split into lists: both are short,
 * and sockets are few.
 */
#include "channel/route.h"
#include "base/error.h"
#include "base/url.h"
#include "base/utf8.h"

bool plx_route_pattern_matches(const char *pattern, plx_slice topic)
{
    plx_slice p = plx_slice_of(pattern);
    if (p.len == 0 || p.data[p.len - 1] != '*')
        return plx_slice_eq(p, topic);
    return plx_slice_starts(topic, plx_slice_make(p.data, p.len - 1));
}

const plx_channel_config *plx_route_channel(const plx_socket_config *socket, plx_slice topic)
{
    const plx_channel_config *best = NULL;
    size_t best_len = 0;
    for (size_t i = 0; i < socket->channel_count; i++) {
        const plx_channel_config *c = &socket->channels[i];
        size_t len = strlen(c->pattern);
        if (!plx_route_pattern_matches(c->pattern, topic))
            continue;
        if (c->pattern[len - 1] != '*')
            return c;
        if (!best || len > best_len) {
            best = c;
            best_len = len;
        }
    }
    return best;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void keep(const plx_channel_config *c, plx_route_kept *out)
{
    if (c->has_history) {
        out->history_size = larger(out->history_size, c->history_size);
        out->history_ttl_s = larger(out->history_ttl_s, c->history_ttl_s);
    }
    if (c->has_latest)
        out->latest_ttl_s = larger(out->latest_ttl_s, c->latest_ttl_s);
}

bool plx_route_topic(const plx_config *config, plx_slice topic, plx_route_kept *out)
{
    bool found = false;
    *out = (plx_route_kept){0};
    for (size_t i = 0; i < config->socket_count; i++) {
        const plx_channel_config *c = plx_route_channel(&config->sockets[i], topic);
        found = found || c;
        if (c)
            keep(c, out);
    }
    return found;
}

/* Takes the next part off a path, skipping any number of slashes; false at its end. */
static bool next_part(plx_slice *rest, plx_slice *part)
{
    size_t begin = 0, end;
    while (begin < rest->len && rest->data[begin] == '/')
        begin++;
    for (end = begin; end < rest->len && rest->data[end] != '/';)
        end++;
    if (end == begin)
        return false;
    *part = plx_slice_make(rest->data + begin, end - begin);
    *rest = plx_slice_make(rest->data + end, rest->len - end);
    return true;
}

static bool is_variable(plx_slice part)
{
    return part.data[0] == ':';
}

/* Whether path is the section's path followed by one more part, which goes to *last. */
static bool match_mount(const char *mount, plx_slice path, plx_slice *last)
{
    plx_slice rest = plx_slice_of(mount), want, have;
    while (next_part(&rest, &want)) {
        if (!next_part(&path, &have))
            return false;
        if (!is_variable(want) && !plx_slice_eq(want, have))
            return false;
    }
    return next_part(&path, last) && !next_part(&path, &have);
}

static bool find_transport(const plx_socket_config *s, plx_slice name,
                           enum plx_route_transport *out)
{
    if (s->websocket && plx_slice_is(name, "websocket"))
        *out = PLX_ROUTE_WEBSOCKET;
    else if (s->longpoll && plx_slice_is(name, "longpoll"))
        *out = PLX_ROUTE_LONGPOLL;
    else
        return false;
    return true;
}

/* Of two sections that match the same path: whether a has a fixed part at the first place where
 * they differ. */
static bool more_fixed(const char *a, const char *b)
{
    plx_slice rest_a = plx_slice_of(a), rest_b = plx_slice_of(b), x, y;
    while (next_part(&rest_a, &x) && next_part(&rest_b, &y))
        if (is_variable(x) != is_variable(y))
            return is_variable(y);
    return false;
}

/* Decodes one variable's value to the end of scratch, which has room for it. */
static int read_value(plx_slice raw, plx_buf *scratch, plx_slice *value)
{
    size_t before = scratch->len;
    int err = plx_url_decode(raw, scratch);
    if (err)
        return err;
    *value = plx_slice_make(scratch->data + before, scratch->len - before);
    return plx_utf8_valid(*value) ? 0 : PLX_E_INVALID;
}

static int read_variables(plx_slice path, plx_route *out, plx_buf *scratch)
{
    plx_slice rest = plx_slice_of(out->socket->path), want, have;
    plx_buf_clear(scratch);
    /* All room at once: decoding makes nothing longer, and the values must not move. */
    if (!plx_buf_reserve(scratch, path.len))
        return PLX_E_TOOBIG;
    while (next_part(&rest, &want) && next_part(&path, &have)) {
        if (!is_variable(want) || out->var_count == PLX_ROUTE_VARS)
            continue;
        plx_pair *var = &out->vars[out->var_count++];
        var->name = plx_slice_make(want.data + 1, want.len - 1);
        int err = read_value(have, scratch, &var->value);
        if (err)
            return err;
    }
    return 0;
}

int plx_route_socket(const plx_config *config, plx_slice path, plx_route *out, plx_buf *scratch)
{
    plx_route found = {0};
    if (path.len == 0 || path.len > PLX_ROUTE_PATH || path.data[0] != '/')
        return PLX_E_NOTFOUND;
    for (size_t i = 0; i < config->socket_count; i++) {
        const plx_socket_config *s = &config->sockets[i];
        enum plx_route_transport transport;
        plx_slice last;
        if (!match_mount(s->path, path, &last) || !find_transport(s, last, &transport))
            continue;
        if (!found.socket || more_fixed(s->path, found.socket->path)) {
            found.socket = s;
            found.transport = transport;
        }
    }
    if (!found.socket)
        return PLX_E_NOTFOUND;
    int err = read_variables(path, &found, scratch);
    if (err == 0)
        *out = found;
    return err;
}

/* Whether one is the beginning of the other. A section at "/" is not that of every path. */
static bool overlap(plx_slice place, plx_slice path)
{
    plx_slice want, have;
    bool some = false;
    while (next_part(&place, &want) && next_part(&path, &have)) {
        some = true;
        if (!is_variable(want) && !plx_slice_eq(want, have))
            return false;
    }
    return some;
}

static bool is_section(const plx_socket_config *s, plx_slice path)
{
    plx_slice place = plx_slice_of(s->path), part;
    if (next_part(&place, &part))
        return overlap(plx_slice_of(s->path), path);
    return overlap(plx_slice_of("/longpoll"), path) || overlap(plx_slice_of("/websocket"), path);
}

bool plx_route_is_ours(const plx_config *config, plx_slice path)
{
    for (size_t i = 0; i < config->socket_count; i++)
        if (is_section(&config->sockets[i], path))
            return true;
    return config->api.path && overlap(plx_slice_of(config->api.path), path);
}
