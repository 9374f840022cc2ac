/* Is this one value possible? Each function returns NULL, or what was expected. */
#include "base/address.h"
#include "base/config_parts.h"
#include "base/error.h"
#include "base/placeholder.h"
#include "base/redis_url.h"
#include "base/url.h"
#include <ctype.h>

#define PATH_PARTS_MAX 16
#define PATH_VARS_MAX  8 /* PLX_ROUTE_VARS of channel/route.h */
#define PATH_MAX_BYTES 512
#define NAME_MAX_BYTES 1024

/* Whether every byte is a visible ASCII character and none of `but`. */
static bool visible(plx_slice v, const char *but)
{
    for (size_t i = 0; i < v.len; i++)
        if (v.data[i] <= ' ' || v.data[i] > '~' || strchr(but, v.data[i]))
            return false;
    return true;
}

const char *plx_judge_redis_url(plx_slice v)
{
    plx_redis_url u;
    const char *expected;
    if (plx_redis_url_parse(v, &u, &expected) != 0)
        return expected;
    plx_redis_url_fini(&u);
    return NULL;
}

/* Redis Cluster would read a brace as a hash tag's, of which our keys have their own. */
const char *plx_judge_prefix(plx_slice v)
{
    return v.len > 0 && v.len <= 64 && visible(v, "{}*?[]\\")
               ? NULL
               : "1 to 64 visible characters without braces and without * ? [ ] \\";
}

const char *plx_judge_secret(plx_slice v)
{
    return v.len >= 32 && v.len <= 4096 ? NULL : "at least 32 random characters";
}

/* Phoenix itself asks for 20 bytes. */
const char *plx_judge_token_secret(plx_slice v)
{
    return v.len >= 20 && v.len <= 4096
               ? NULL
               : "a secret shared with the application, at least 20 characters";
}

const char *plx_judge_proxy(plx_slice v)
{
    plx_address_range r;
    if (plx_slice_is(v, "unix") || plx_address_range_parse(v, &r) == 0)
        return NULL;
    return "an IP address, a range such as 10.0.0.0/8 without bits beyond the prefix, or unix";
}

/* ---- Paths ---- */

static bool variable_name(plx_slice v)
{
    if (v.len == 0 || v.len > PLX_PLACEHOLDER_NAME || isdigit((unsigned char)v.data[0]))
        return false;
    for (size_t i = 0; i < v.len; i++)
        if (!isalnum((unsigned char)v.data[i]) && v.data[i] != '_')
            return false;
    return true;
}

/* What the fixed parts of a path may hold: RFC 3986's unreserved characters and a few more that
 * need no encoding. */
static bool fixed_part(plx_slice v)
{
    for (size_t i = 0; i < v.len; i++)
        if (!isalnum((unsigned char)v.data[i]) && !memchr("-._~@!$+=", v.data[i], 9))
            return false;
    return v.len > 0 && !plx_slice_is(v, ".") && !plx_slice_is(v, "..");
}

/* The parts between slashes; each `:name` must be a new one. */
static const char *judge_path(plx_slice v, size_t vars_max, const char *expected)
{
    plx_slice rest = v, part, vars[PATH_VARS_MAX];
    size_t parts = 0, n = 0;
    if (v.len < 2 || v.len > PATH_MAX_BYTES || v.data[0] != '/' || v.data[v.len - 1] == '/')
        return expected;
    plx_slice_split(&rest, '/', &part);
    while (plx_slice_split(&rest, '/', &part)) {
        if (++parts > PATH_PARTS_MAX)
            return "a path of at most 16 parts";
        if (part.len == 0 || part.data[0] != ':') {
            if (!fixed_part(part))
                return expected;
            continue;
        }
        if (!variable_name(plx_slice_make(part.data + 1, part.len - 1)) || n == vars_max)
            return expected;
        for (size_t i = 0; i < n; i++)
            if (plx_slice_eq(vars[i], part))
                return "a path whose variables have different names";
        vars[n++] = part;
    }
    return NULL;
}

const char *plx_judge_socket_path(plx_slice v)
{
    return judge_path(v, PATH_VARS_MAX,
                      "a path such as /socket or /socket/:room: a slash at its beginning, none at "
                      "its end, at most 8 variables");
}

const char *plx_judge_api_path(plx_slice v)
{
    return judge_path(v, 0, "a path such as /api: a slash at its beginning, none at its end");
}

const char *plx_judge_module_path(plx_slice v)
{
    /* Without a slash the dynamic linker would search its own directories. */
    return v.len > 0 && memchr(v.data, '/', v.len)
               ? NULL
               : "the path of a shared object, with a slash in it";
}

/* ---- Names, patterns, templates ---- */

bool plx_pattern_valid(plx_slice pattern)
{
    const char *star = pattern.len > 0 ? memchr(pattern.data, '*', pattern.len) : NULL;
    if (pattern.len == 0 || pattern.len > NAME_MAX_BYTES)
        return false;
    return !star || star == pattern.data + pattern.len - 1;
}

const char *plx_judge_pattern(plx_slice v)
{
    return plx_pattern_valid(v)
               ? NULL
               : "a topic, or the beginning of topics followed by one * at the end";
}

const char *plx_judge_template(plx_slice v)
{
    return v.len <= NAME_MAX_BYTES && plx_template_valid(v)
               ? NULL
               : "text with {params.NAME} and {claims.NAME} in it, no other braces";
}

const char *plx_judge_meta(plx_slice v)
{
    const char *expected = "NAME=TEXT, TEXT possibly with {params.NAME} and {claims.NAME} in it";
    const char *equals = v.len > 0 ? memchr(v.data, '=', v.len) : NULL;
    if (!equals)
        return expected;
    plx_slice name = plx_slice_make(v.data, (size_t)(equals - v.data));
    plx_slice text = plx_slice_make(equals + 1, v.len - name.len - 1);
    if (plx_slice_starts(name, plx_slice_of("phx_")))
        return "another name: those that begin with phx_ are Phoenix's own";
    return variable_name(name) && (text.len == 0 || !plx_judge_template(text)) ? NULL : expected;
}

const char *plx_judge_name(plx_slice v)
{
    return v.len > 0 && v.len <= PLX_PLACEHOLDER_NAME && visible(v, "{}[]\"\\&=")
               ? NULL
               : "a name of 1 to 64 visible characters";
}

/* A PEM public key has line breaks, and a few hundred bytes. */
const char *plx_judge_key(plx_slice v)
{
    bool file = v.len > 5 && plx_slice_starts(v, plx_slice_of("file:"));
    return file || (v.len >= 16 && v.len <= 16384)
               ? NULL
               : "a key of at least 16 characters (32 random ones are good), or file:PATH";
}

const char *plx_judge_given(plx_slice v)
{
    return v.len > 0 && v.len <= 4096 ? NULL : "some text";
}

/* ---- The rest ---- */

const char *plx_judge_origin(plx_slice v)
{
    const char *expected = "any, same, //HOST[:PORT] or SCHEME://HOST[:PORT], HOST possibly "
                           "*.DOMAIN; hosts in lower case, as browsers send them";
    plx_url u;
    if (plx_slice_is(v, "any") || plx_slice_is(v, "same"))
        return NULL;
    if (plx_url_split(v, &u) != 0 || u.has_userinfo || u.rest.len > 0)
        return expected;
    plx_slice host = u.host;
    if (plx_slice_starts(host, plx_slice_of("*.")))
        host = plx_slice_make(host.data + 2, host.len - 2);
    if (host.len == 0 || memchr(host.data, '*', host.len))
        return expected;
    for (size_t i = 0; i < host.len; i++)
        if (isupper((unsigned char)host.data[i]))
            return expected;
    return NULL;
}

const char *plx_judge_backend(plx_slice v)
{
    bool known = plx_slice_is(v, "relay") || plx_slice_is(v, "echo") || plx_slice_is(v, "module") ||
                 plx_slice_is(v, "http");
    return known ? NULL : "relay, echo, module or http";
}

/* libcurl is given nothing else. */
const char *plx_judge_http_url(plx_slice v)
{
    const char *expected = "http://HOST[:PORT][/PATH] or https://..., without a # part";
    plx_url u;
    if (v.len > 2048 || !visible(v, "#\"<>\\^`{|}") || plx_url_split(v, &u) != 0)
        return expected;
    if (!plx_slice_ieq(u.scheme, plx_slice_of("http")) &&
        !plx_slice_ieq(u.scheme, plx_slice_of("https")))
        return expected;
    return u.has_userinfo ? "a URL without a user: the questions are signed with 'secret'" : NULL;
}

const char *plx_judge_hook(plx_slice v)
{
    bool known = plx_slice_is(v, "join") || plx_slice_is(v, "push") || plx_slice_is(v, "leave");
    return known ? NULL : "join, push or leave";
}

/* RFC 9110 5.1; cookies have names of the same kind (RFC 6265 4.1.1). */
const char *plx_judge_header(plx_slice v)
{
    return v.len > 0 && v.len <= 64 && visible(v, "\"(),/:;<=>?@[\\]{}")
               ? NULL
               : "a name of 1 to 64 letters, digits and the like, such as cookie";
}

const char *plx_judge_jwt_algorithm(plx_slice v)
{
    static const char *const known[] = {"HS256", "HS384", "HS512", "RS256", "ES256"};
    return plx_slice_among(v, known, sizeof known / sizeof *known)
               ? NULL
               : "HS256, HS384, HS512, RS256 or ES256";
}

const char *plx_judge_api_key(plx_slice v)
{
    return v.len > 0 && v.len <= 1024 && visible(v, "")
               ? NULL
               : "a key of visible characters without spaces";
}
