/* pollux token sign | verify: tokens as the configuration's sockets take them. */
#include "base/clock.h"
#include "base/error.h"
#include "base/json.h"
#include "base/json_scan.h"
#include "base/pem.h"
#include "channel/auth.h"
#include "channel/cli/cli.h"
#include "channel/cli/token.h"
#include "channel/jwt.h"
#include "channel/phoenix_token.h"
#include "channel/ticket.h"
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define INPUT_MAX    65536
#define EXPIRES_IN_S 3600  /* what a ticket or JWT gets that says nothing else */
#define MAX_AGE_S    86400 /* Phoenix.Token.sign's own default */

static int help(void)
{
    puts("Usage: pollux token sign [OPTIONS] JSON\n"
         "       pollux token verify [OPTIONS] TOKEN\n"
         "\n"
         "Makes and checks tokens as sockets take them. sign prints {\"token\":\"...\"}; verify "
         "prints\n"
         "{\"claims\":{...},\"expires_ms\":...} (null: never), or says why it refuses. JSON is an "
         "object,\n"
         "for phoenix any value. - reads JSON or TOKEN from standard input. TOKEN may be what sign "
         "prints.\n"
         "\n"
         "  --type TYPE         phoenix, ticket or jwt\n"
         "\n"
         "The key comes from the configuration, or from one of these:\n"
         "  --config FILE       the configuration; else $POLLUX_CONFIG, else "
         "/etc/pollux/pollux.conf\n"
         "  --socket PATH       the socket whose auth counts; else the first one of that type\n"
         "  --key-file PATH     the key or secret is in this file (- is standard input)\n"
         "  --key-env NAME      ... in this environment variable\n"
         "  --key TEXT          ... here, where everybody on this machine can see it\n"
         "\n"
         "  --salt TEXT         phoenix: as in Phoenix.Token.sign\n"
         "  --max-age S         phoenix: sign: for so many seconds (86400), or infinity;\n"
         "                      verify: instead of the age signed into the token\n"
         "  --claim NAME        phoenix: verify: what a value that is no map is called (user_id)\n"
         "  --expires-in S      ticket, jwt: sign: for so many seconds (3600), if JSON has no exp\n"
         "  --algorithm NAME    jwt: HS256 HS384 HS512 RS256 ES256; signing with the last two "
         "wants\n"
         "                      the PEM private key, verifying the public one\n"
         "  --issuer TEXT, --audience TEXT   jwt: what iss and aud are to be\n"
         "\n"
         "--secret, --secret-file and --secret-env are other names of --key...\n"
         "Exit status: 0 done, 1 refused, 2 wrong command line.");
    return PLX_CLI_OK;
}

/* ---- input and output ---- */

static int read_argument(const plx_token_options *o, const char *argument, plx_buf *out)
{
    char *room;
    size_t n = 0;
    if (strcmp(argument, "-") != 0)
        return plx_buf_str(out, argument) == 0
                   ? 0
                   : plx_cli_usage_error("token", "the argument is too long");
    if (o->key_file && strcmp(o->key_file, "-") == 0)
        return plx_cli_usage_error("token", "standard input can't be both");
    while ((room = plx_buf_reserve(out, 4096)) && (n = fread(room, 1, 4096, stdin)) > 0)
        plx_buf_commit(out, n);
    if (!room)
        return plx_cli_usage_error("token", "standard input has more than %d bytes", INPUT_MAX);
    while (out->len > 0 && strchr(" \t\r\n", out->data[out->len - 1]))
        out->len--;
    return 0;
}

static int print(json_object *document)
{
    plx_buf text;
    plx_buf_init(&text, 0);
    plx_json_write(&text, document);
    json_object_put(document);
    printf("%s\n", plx_buf_cstr(&text));
    plx_buf_fini(&text);
    if (fflush(stdout) == 0)
        return PLX_CLI_OK;
    perror("pollux: standard output");
    return PLX_CLI_REFUSED;
}

static int refuse(const plx_token_options *o, const char *why)
{
    fprintf(stderr, "pollux %s: %s\n", o->command, why);
    return PLX_CLI_REFUSED;
}

/* ---- sign ---- */

/* Puts a member into the text of an object. */
static void add_member(plx_buf *json, const char *name, plx_slice value)
{
    plx_buf out;
    plx_slice rest = plx_slice_make(json->data + 1, json->len - 1);
    plx_buf_init(&out, 0);
    plx_buf_printf(&out, "{\"%s\":%.*s", name, (int)value.len, value.data);
    if (rest.data[strspn(rest.data, " \t\r\n")] != '}')
        plx_buf_byte(&out, ',');
    plx_buf_add(&out, rest);
    plx_buf_clear(json);
    plx_buf_add(json, plx_buf_slice(&out));
    plx_buf_cstr(json);
    plx_buf_fini(&out);
}

static void add_text(plx_buf *json, const char *name, const char *text)
{
    plx_buf quoted;
    plx_buf_init(&quoted, 0);
    plx_json_quote(&quoted, plx_slice_of(text));
    add_member(json, name, plx_buf_slice(&quoted));
    plx_buf_fini(&quoted);
}

static bool has_member(plx_slice object, const char *name)
{
    plx_json_value v;
    return plx_json_cut_object(object, &name, &v, 1) == 0 && v.type != PLX_JSON_NONE;
}

/* Adds what the token needs and the object does not say: exp, and a JWT's iss and aud. */
static int complete(const plx_token_options *o, const plx_auth_config *auth, plx_buf *json)
{
    uint64_t seconds = EXPIRES_IN_S;
    plx_slice object;
    char exp[24];
    if (plx_claims_open(plx_buf_slice(json), &object) != 0)
        return plx_cli_usage_error("token", "expected a JSON object without a name given twice");
    memmove(json->data, object.data, object.len);
    json->len = object.len;
    plx_buf_cstr(json);
    bool timed = has_member(plx_buf_slice(json), "exp");
    if (timed && o->expires_in)
        return plx_cli_usage_error("token", "--expires-in beside the JSON's own exp");
    int status =
        o->expires_in ? plx_token_seconds("--expires-in", o->expires_in, NULL, &seconds) : 0;
    if (status)
        return status;
    snprintf(exp, sizeof exp, "%llu", (unsigned long long)(plx_wall_ms() / 1000 + seconds));
    if (!timed)
        add_member(json, "exp", plx_slice_of(exp));
    if (auth->type != PLX_AUTH_JWT)
        return 0;
    if (auth->issuer && !has_member(plx_buf_slice(json), "iss"))
        add_text(json, "iss", auth->issuer);
    if (auth->audience && !has_member(plx_buf_slice(json), "aud"))
        add_text(json, "aud", auth->audience);
    return 0;
}

static enum plx_digest digest_of(const char *name)
{
    if (strcmp(name, "sha384") == 0)
        return PLX_SHA384;
    return strcmp(name, "sha512") == 0 ? PLX_SHA512 : PLX_SHA256;
}

static int sign_phoenix(const plx_token_options *o, const plx_auth_config *auth, plx_slice json,
                        plx_buf *token, int *err)
{
    const plx_phoenix_key key = {.secret = plx_slice_of(auth->secret),
                                 .salt = plx_slice_of(auth->salt),
                                 .digest = digest_of(auth->key_digest),
                                 .iterations = auth->key_iterations,
                                 .length = auth->key_length};
    uint64_t age = auth->max_age_s > 0 ? auth->max_age_s : MAX_AGE_S;
    if (plx_json_check(json, NULL) != 0)
        return plx_cli_usage_error("token", "expected a JSON value");
    int status = o->max_age ? plx_token_seconds("--max-age", o->max_age, "infinity", &age) : 0;
    if (status == 0)
        *err = plx_phoenix_token_sign(&key, PLX_SHA256, json, plx_wall_ms(), age, token);
    return status;
}

/* libjwt would sign with the text of a public key as if it were a secret, or tell nothing. */
static const char *unfit(const char *algorithm, const char *key)
{
    bool pem = plx_pem_kind(plx_slice_of(key)) != PLX_PEM_NONE;
    if (algorithm[0] == 'H')
        return pem ? "the key is PEM, HS... wants a shared secret" : NULL;
    return pem && strstr(key, "PRIVATE KEY") ? NULL
                                             : "this algorithm signs with a PEM private key "
                                               "(--key-file)";
}

static int make(const plx_token_options *o, const plx_auth_config *auth, plx_buf *json,
                plx_buf *token)
{
    int err = 0, status;
    if (auth->type == PLX_AUTH_PHOENIX_TOKEN) {
        status = sign_phoenix(o, auth, plx_buf_slice(json), token, &err);
    } else {
        status = complete(o, auth, json);
        if (status == 0 && auth->type == PLX_AUTH_TICKET)
            err = plx_ticket_sign(plx_slice_of(auth->key), plx_buf_slice(json), token);
        else if (status == 0 && unfit(auth->algorithms.items[0], auth->key))
            status = refuse(o, unfit(auth->algorithms.items[0], auth->key));
        else if (status == 0)
            err = plx_jwt_sign(auth->algorithms.items[0], plx_slice_of(auth->key),
                               plx_buf_slice(json), token);
    }
    if (status)
        return status;
    if (err == PLX_E_TOOBIG)
        return refuse(o, "the token would be longer than sockets take (8192 bytes)");
    return err ? refuse(o, "this can't be signed: the key, the algorithm or a value in the JSON is "
                           "not fit for it")
               : 0;
}

static int sign(const plx_token_options *o, const plx_auth_config *auth, plx_buf *json)
{
    plx_buf token;
    plx_buf_init(&token, 0);
    int status = make(o, auth, json, &token);
    if (status == 0) {
        json_object *document = plx_json_new_object();
        plx_json_put(document, "token", plx_json_new_text(plx_buf_slice(&token)));
        status = print(document);
    }
    plx_buf_fini(&token);
    return status;
}

/* ---- verify ---- */

/* What sign prints is as good as the token in it; no token looks like that. */
static void unwrap(plx_buf *token)
{
    const char *name = "token";
    plx_json_value v;
    plx_buf plain;

    if (plx_json_cut_object(plx_buf_slice(token), &name, &v, 1) != 0 || v.type != PLX_JSON_STRING)
        return;
    plx_buf_init(&plain, 0);
    plx_json_unquote(v.text, &plain);
    plx_buf_clear(token);
    plx_buf_add(token, plx_buf_slice(&plain));
    plx_buf_fini(&plain);
}

static int verify(const plx_token_options *o, plx_auth_config *auth, plx_buf *token)
{
    plx_auth_result result;
    plx_buf claims;
    int status = 0;
    if (o->max_age)
        status = plx_token_seconds("--max-age", o->max_age, NULL, &auth->max_age_s);
    if (status)
        return status;
    unwrap(token);
    if (token->len == 0)
        return plx_cli_usage_error("token", "the token is empty");
    plx_buf_init(&claims, 0);
    if (plx_auth_check(auth, NULL, plx_buf_slice(token), plx_wall_ms(), &claims, &result) != 0) {
        status = refuse(o, result.reason);
    } else {
        json_object *document = plx_json_new_object();
        plx_json_put(document, "claims", plx_json_new_verbatim(plx_buf_slice(&claims)));
        plx_json_put(document, "expires_ms",
                     result.expires_ms > 0 ? plx_json_new_number(result.expires_ms) : NULL);
        status = print(document);
    }
    plx_buf_fini(&claims);
    return status;
}

/* ---- the command line ---- */

/* Where an option's value goes. */
static const char **place_of(plx_token_options *o, int option)
{
    switch (option) {
    case 't':
        return &o->type;
    case 's':
        return &o->socket;
    case 'k':
        return &o->key;
    case 'f':
        return &o->key_file;
    case 'e':
        return &o->key_env;
    case 'S':
        return &o->salt;
    case 'a':
        return &o->algorithm;
    case 'i':
        return &o->issuer;
    case 'A':
        return &o->audience;
    case 'c':
        return &o->claim;
    case 'm':
        return &o->max_age;
    case 'x':
        return &o->expires_in;
    }
    return NULL;
}

/* Reads the options behind the word. Returns -1 to go on, else the exit status. */
static int read_options(int argc, char **argv, plx_token_options *o)
{
    static const struct option known[] = {{"type", required_argument, NULL, 't'},
                                          {"socket", required_argument, NULL, 's'},
                                          {"key", required_argument, NULL, 'k'},
                                          {"key-file", required_argument, NULL, 'f'},
                                          {"key-env", required_argument, NULL, 'e'},
                                          {"secret", required_argument, NULL, 'k'},
                                          {"secret-file", required_argument, NULL, 'f'},
                                          {"secret-env", required_argument, NULL, 'e'},
                                          {"salt", required_argument, NULL, 'S'},
                                          {"algorithm", required_argument, NULL, 'a'},
                                          {"issuer", required_argument, NULL, 'i'},
                                          {"audience", required_argument, NULL, 'A'},
                                          {"claim", required_argument, NULL, 'c'},
                                          {"max-age", required_argument, NULL, 'm'},
                                          {"expires-in", required_argument, NULL, 'x'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":h", known, NULL)) != -1) {
        const char **place = place_of(o, option);
        if (option == 'h')
            return help();
        if (option == ':')
            return plx_cli_usage_error("token", "%s needs a value", argv[optind - 1]);
        if (!place)
            return plx_cli_usage_error("token", "unknown option \"%s\"", argv[optind - 1]);
        *place = optarg;
    }
    return -1;
}

static bool is_algorithm(const char *name)
{
    static const char *const names[] = {"HS256", "HS384", "HS512", "RS256", "ES256"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

static int run(const plx_token_options *o, bool signing, const char *argument,
               const char *config_path)
{
    plx_token_auth a;
    plx_buf input;
    plx_buf_init(&input, INPUT_MAX);
    int status = plx_token_auth_find(o, config_path, &a);
    if (status == 0)
        status = read_argument(o, argument, &input);
    if (status == 0)
        status = signing ? sign(o, &a.auth, &input) : verify(o, &a.auth, &input);
    plx_token_auth_fini(&a);
    plx_buf_fini(&input);
    return status;
}

int plx_cli_token(int argc, char **argv, const char *config_path)
{
    plx_token_options o = {.command = "token"};
    int status = read_options(argc, argv, &o);
    if (status >= 0)
        return status;
    const char *word = optind < argc ? argv[optind] : "";
    bool signing = strcmp(word, "sign") == 0;
    if (!signing && strcmp(word, "verify") != 0)
        return plx_cli_usage_error("token", "expected sign or verify");
    o.command = signing ? "token sign" : "token verify";
    if (argc - optind != 2)
        return plx_cli_usage_error("token",
                                   signing ? "sign: expected JSON" : "verify: expected TOKEN");
    if (o.algorithm && !is_algorithm(o.algorithm))
        return plx_cli_usage_error("token", "unknown algorithm \"%s\"", o.algorithm);
    return run(&o, signing, argv[optind + 1], config_path);
}
