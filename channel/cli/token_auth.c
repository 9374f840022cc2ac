/* Which key `pollux token` works with. */
#include "base/error.h"
#include "channel/cli/cli.h"
#include "channel/cli/token.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_MAX 16384

static const struct {
    const char *name;
    enum plx_auth_type type;
} types[] = {{"phoenix", PLX_AUTH_PHOENIX_TOKEN},
             {"phoenix_token", PLX_AUTH_PHOENIX_TOKEN},
             {"ticket", PLX_AUTH_TICKET},
             {"jwt", PLX_AUTH_JWT}};

static int refuse(const plx_token_options *o, const char *what, const char *which)
{
    fprintf(stderr, "pollux %s: %s%s%s\n", o->command, what, which ? " " : "", which ? which : "");
    return PLX_CLI_REFUSED;
}

/* PLX_AUTH_NONE when no type was given. */
static int read_type(const plx_token_options *o, enum plx_auth_type *type)
{
    *type = PLX_AUTH_NONE;
    if (!o->type)
        return 0;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, o->type) == 0)
            *type = types[i].type;
    if (*type != PLX_AUTH_NONE)
        return 0;
    return plx_cli_usage_error("token", "unknown type \"%s\": phoenix, ticket or jwt", o->type);
}

int plx_token_seconds(const char *option, const char *text, const char *word, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    if (word && strcmp(text, word) == 0) {
        *out = 0;
        return 0;
    }
    if (digits == 0 || digits > 10 || text[digits] != '\0' || strtoull(text, NULL, 10) == 0)
        return plx_cli_usage_error("token", "%s needs a number of seconds%s%s", option,
                                   word ? " or " : "", word ? word : "");
    *out = strtoull(text, NULL, 10);
    return 0;
}

/* ---- the key ---- */

static int read_key_file(const plx_token_options *o, plx_token_auth *a)
{
    FILE *f = strcmp(o->key_file, "-") == 0 ? stdin : fopen(o->key_file, "r");
    char *room;
    size_t n = 0;
    if (!f) {
        fprintf(stderr, "pollux %s: %s: %s\n", o->command, o->key_file, strerror(errno));
        return PLX_CLI_REFUSED;
    }
    while ((room = plx_buf_reserve(&a->key, 1024)) && (n = fread(room, 1, 1024, f)) > 0)
        plx_buf_commit(&a->key, n);
    bool bad = ferror(f) || !room;
    if (f != stdin)
        fclose(f);
    if (bad)
        return refuse(o, "the key can't be read from", o->key_file);
    while (a->key.len > 0 && isspace((unsigned char)a->key.data[a->key.len - 1]))
        a->key.len--;
    if (a->key.len == 0 || memchr(a->key.data, 0, a->key.len))
        return refuse(o, "there is no key in", o->key_file);
    return 0;
}

/* Whatever way it was given; *key stays NULL when it was not. */
static int read_key(const plx_token_options *o, plx_token_auth *a, const char **key)
{
    int given = (o->key != NULL) + (o->key_file != NULL) + (o->key_env != NULL);
    int status;
    if (given > 1)
        return plx_cli_usage_error("token", "one of --key, --key-file and --key-env");
    *key = o->key;
    if (o->key_env && !(*key = getenv(o->key_env)))
        return refuse(o, "there is no environment variable", o->key_env);
    if (o->key_file) {
        status = read_key_file(o, a);
        if (status)
            return status;
        *key = plx_buf_cstr(&a->key);
    }
    return *key && **key == '\0' ? plx_cli_usage_error("token", "the key is empty") : 0;
}

/* ---- the configuration's section ---- */

static bool is_token_type(enum plx_auth_type type)
{
    return type == PLX_AUTH_PHOENIX_TOKEN || type == PLX_AUTH_TICKET || type == PLX_AUTH_JWT;
}

static const plx_auth_config *find_section(const plx_token_options *o, const plx_config *c,
                                           enum plx_auth_type type)
{
    for (size_t i = 0; i < c->socket_count; i++) {
        const plx_auth_config *auth = &c->sockets[i].auth;
        bool fits = type == PLX_AUTH_NONE ? is_token_type(auth->type) : auth->type == type;
        if (fits && (!o->socket || strcmp(o->socket, c->sockets[i].path) == 0))
            return auth;
    }
    return NULL;
}

static int load_section(const plx_token_options *o, const char *path, enum plx_auth_type type,
                        plx_token_auth *a)
{
    if (plx_config_open(path, false, &a->config) != 0)
        return PLX_CLI_REFUSED;
    const plx_auth_config *auth = find_section(o, a->config, type);
    if (!auth) {
        fprintf(stderr, "pollux %s: no socket%s%s in %s has auth of type %s\n", o->command,
                o->socket ? " " : "", o->socket ? o->socket : "", path,
                o->type ? o->type : "phoenix_token, ticket or jwt");
        return PLX_CLI_REFUSED;
    }
    a->auth = *auth;
    return 0;
}

/* ---- together ---- */

static void set_key(plx_auth_config *auth, const char *key)
{
    /* One is what phoenix_token reads, the other what the rest does. The options are never changed
     * through these pointers. */
    auth->key = auth->secret = (char *)(uintptr_t)key;
    auth->previous_key = auth->previous_secret = NULL;
}

static void set_text(char **place, const char *text)
{
    if (text)
        *place = (char *)(uintptr_t)text;
}

static int take_options(const plx_token_options *o, plx_token_auth *a)
{
    set_text(&a->auth.salt, o->salt);
    set_text(&a->auth.issuer, o->issuer);
    set_text(&a->auth.audience, o->audience);
    set_text(&a->auth.claim, o->claim);
    if (o->algorithm) {
        a->algorithm[0] = (char *)(uintptr_t)o->algorithm;
        a->auth.algorithms = (plx_strings){a->algorithm, 1};
    }
    if (a->auth.type == PLX_AUTH_PHOENIX_TOKEN && !a->auth.salt)
        return plx_cli_usage_error("token", "--salt is missing");
    return 0;
}

int plx_token_auth_find(const plx_token_options *o, const char *config_path, plx_token_auth *out)
{
    enum plx_auth_type type;
    const char *key = NULL;
    *out = (plx_token_auth){.algorithm = {(char *)"HS256"}};
    plx_buf_init(&out->key, KEY_MAX);
    int status = read_type(o, &type);
    if (status == 0)
        status = read_key(o, out, &key);
    if (status == 0 && key && !config_path && type == PLX_AUTH_NONE)
        status = plx_cli_usage_error("token", "--type is missing");
    if (status)
        return status;
    if (!key || config_path)
        status = load_section(o, plx_config_path(config_path), type, out);
    else
        out->auth = (plx_auth_config){.type = type,
                                      .key_digest = (char *)"sha256",
                                      .key_iterations = 1000,
                                      .key_length = 32,
                                      .param = (char *)"token",
                                      .claim = (char *)"user_id",
                                      .algorithms = {out->algorithm, 1}};
    if (status == 0 && key)
        set_key(&out->auth, key);
    return status ? status : take_options(o, out);
}

void plx_token_auth_fini(plx_token_auth *a)
{
    plx_config_free(a->config);
    plx_buf_fini(&a->key);
}
