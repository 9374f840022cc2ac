/* Tokens that others made (tests/lib/foreign_tokens.py), judged as a connect request's: what is
 * genuine gives its claims byte for byte, what was altered is refused, and for the right reason. */
#include "base/error.h"
#include "base/pem.h"
#include "channel/auth.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NOW_MS   1700000000000
#define CURRENT  "0123456789abcdef0123456789abcdef"
#define PREVIOUS "fedcba9876543210fedcba9876543210"

enum { KIND, VERDICT, NAME, TOKEN, CLAIMS, COLUMNS };
typedef struct line {
    plx_slice column[COLUMNS];
} line;

static plx_buf text;
static line lines[512];
static size_t count;
static char *keys[16];
static size_t key_count;

/* The text of a key of that name, with real line breaks. */
static char *key_named(const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (!plx_slice_is(lines[i].column[KIND], "pem") ||
            !plx_slice_is(lines[i].column[NAME], name))
            continue;
        char *key = plx_slice_dup(lines[i].column[TOKEN]);
        for (char *c = key; *c; c++)
            *c = *c == '|' ? '\n' : *c;
        assert_true(key_count < 16);
        keys[key_count++] = key;
        return key;
    }
    fail_msg("no key %s", name);
    return NULL;
}

static int read_lines(void **state)
{
    (void)state;
    FILE *f =
        popen("python3 tests/lib/foreign_tokens.py " CURRENT " " PREVIOUS " 'user socket'", "r");
    char *room;
    size_t n;
    plx_slice rest, one;
    plx_buf_init(&text, 4 << 20);
    while ((room = plx_buf_reserve(&text, 65536)) && (n = fread(room, 1, 65536, f)) > 0)
        plx_buf_commit(&text, n);
    if (pclose(f) != 0)
        return -1;
    rest = plx_buf_slice(&text);
    while (plx_slice_split(&rest, '\n', &one) && one.len > 0) {
        assert_true(count < sizeof lines / sizeof *lines);
        for (int i = 0; i < COLUMNS; i++)
            assert_true(plx_slice_split(&one, '\t', &lines[count].column[i]));
        count++;
    }
    return 0;
}

static int drop_lines(void **state)
{
    (void)state;
    plx_buf_fini(&text);
    for (size_t i = 0; i < key_count; i++)
        free(keys[i]);
    return 0;
}

static char *hs[] = {(char *)"HS256", (char *)"HS384", (char *)"HS512"};
static char *rs[] = {(char *)"RS256"};
static char *es[] = {(char *)"ES256"};

static plx_auth_config config(const char *kind)
{
    plx_auth_config a = {.type = PLX_AUTH_TICKET,
                         .secret = (char *)CURRENT,
                         .previous_secret = (char *)PREVIOUS,
                         .key = (char *)CURRENT,
                         .previous_key = (char *)PREVIOUS,
                         .salt = (char *)"user socket",
                         .key_digest = (char *)"sha256",
                         .key_iterations = 1000,
                         .key_length = 32,
                         .param = (char *)"token",
                         .claim = (char *)"user_id",
                         .algorithms = {hs, 3},
                         .issuer = (char *)"https://login.example",
                         .audience = (char *)"pollux"};
    if (strcmp(kind, "phoenix") == 0)
        a.type = PLX_AUTH_PHOENIX_TOKEN;
    if (strncmp(kind, "jwt", 3) == 0)
        a.type = PLX_AUTH_JWT;
    if (strcmp(kind, "jwt-rsa") == 0) {
        a.algorithms = (plx_strings){rs, 1};
        a.key = key_named("rsa");
        a.previous_key = NULL;
    }
    if (strcmp(kind, "jwt-ec") == 0) {
        a.algorithms = (plx_strings){es, 1};
        a.key = key_named("p256");
        a.previous_key = NULL;
    }
    return a;
}

static int judge(const plx_auth_config *a, plx_slice token, plx_buf *claims, plx_auth_result *r)
{
    plx_buf_clear(claims);
    int err = plx_auth_check(a, NULL, token, NOW_MS, claims, r);
    if (err) {
        assert_int_equal(err, PLX_E_DENIED);
        assert_int_equal(claims->len, 0);
        assert_non_null(r->reason);
        assert_false(r->authenticated);
        assert_int_equal(r->expires_ms, 0);
    }
    return err;
}

/* Whether a reason belongs to a verdict. */
static bool fits(plx_slice verdict, const char *reason)
{
    bool expired = strcmp(reason, "token expired") == 0;
    bool large = strcmp(reason, "token too long") == 0;
    bool invalid = strcmp(reason, "token invalid") == 0 ||
                   strcmp(reason, "token is signed with an algorithm that is not configured") == 0;
    if (plx_slice_is(verdict, "expired"))
        return expired;
    if (plx_slice_is(verdict, "long"))
        return large;
    return plx_slice_is(verdict, "invalid") ? invalid : !expired && !large && !invalid;
}

static void check_line(const plx_auth_config *a, const line *l, plx_buf *claims)
{
    plx_auth_result r;
    int err = judge(a, l->column[TOKEN], claims, &r);
    bool good = plx_slice_is(l->column[VERDICT], "ok");
    if (good && err == 0 && plx_slice_eq(plx_buf_slice(claims), l->column[CLAIMS]) &&
        r.authenticated)
        return;
    if (!good && err != 0 && fits(l->column[VERDICT], r.reason))
        return;
    fail_msg("%.*s, %.*s: expected %.*s, got %s, claims %s", (int)l->column[KIND].len,
             l->column[KIND].data, (int)l->column[NAME].len, l->column[NAME].data,
             (int)l->column[VERDICT].len, l->column[VERDICT].data, err ? r.reason : "ok",
             plx_buf_cstr(claims));
}

/* Every line of a kind; at least so many of them are good and bad. */
static void check_kind(const char *kind, size_t good, size_t bad)
{
    plx_auth_config a = config(kind);
    plx_buf claims;
    plx_buf_init(&claims, 0);
    for (size_t i = 0; i < count; i++) {
        if (!plx_slice_is(lines[i].column[KIND], kind))
            continue;
        check_line(&a, &lines[i], &claims);
        size_t *left = plx_slice_is(lines[i].column[VERDICT], "ok") ? &good : &bad;
        *left -= *left > 0;
    }
    plx_buf_fini(&claims);
    assert_int_equal(good, 0);
    assert_int_equal(bad, 0);
}

static void test_phoenix(void **state)
{
    (void)state;
    check_kind("phoenix", 9, 40);
}

static void test_tickets(void **state)
{
    (void)state;
    check_kind("ticket", 10, 40);
}

static void test_jwts(void **state)
{
    (void)state;
    check_kind("jwt", 13, 40);
}

static void test_public_keys(void **state)
{
    (void)state;
    check_kind("jwt-rsa", 1, 15);
    check_kind("jwt-ec", 1, 9);
}

/* The first genuine token of a kind, cut at every byte, and with every bit turned: never accepted.
 */
static void spoil(const char *kind)
{
    plx_auth_config a = config(kind);
    plx_auth_result r;
    plx_buf claims;
    size_t i = 0;
    plx_buf_init(&claims, 0);
    while (!plx_slice_is(lines[i].column[KIND], kind))
        i++;
    plx_slice token = lines[i].column[TOKEN];
    char *copy = plx_slice_dup(token);
    assert_int_equal(judge(&a, token, &claims, &r), 0);
    /* Of length 0 it is no token. */
    for (size_t cut = 1; cut < token.len; cut++) {
        assert_int_equal(judge(&a, plx_slice_make(token.data, cut), &claims, &r), PLX_E_DENIED);
        assert_int_equal(judge(&a, plx_slice_make(token.data + cut, token.len - cut), &claims, &r),
                         PLX_E_DENIED);
    }
    for (size_t bit = 0; bit < 8 * token.len; bit++) {
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
        assert_int_equal(judge(&a, plx_slice_make(copy, token.len), &claims, &r), PLX_E_DENIED);
        copy[bit / 8] = (char)(copy[bit / 8] ^ 1 << bit % 8);
    }
    free(copy);
    plx_buf_fini(&claims);
}

static void test_spoiled(void **state)
{
    (void)state;
    static const char *const kinds[] = {"phoenix", "ticket", "jwt", "jwt-rsa", "jwt-ec"};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        spoil(kinds[i]);
}

/* What is configured decides, not what the token says. */
static void test_types_apart(void **state)
{
    (void)state;
    static const char *const kinds[] = {"phoenix", "ticket", "jwt", "jwt-rsa", "jwt-ec"};
    plx_buf claims;
    plx_buf_init(&claims, 0);
    for (size_t k = 0; k < 5; k++) {
        plx_auth_config a = config(kinds[k]);
        for (size_t i = 0; i < count; i++) {
            plx_auth_result r;
            if (plx_slice_is(lines[i].column[KIND], kinds[k]) ||
                plx_slice_is(lines[i].column[KIND], "pem") ||
                !plx_slice_is(lines[i].column[VERDICT], "ok"))
                continue;
            assert_int_equal(judge(&a, lines[i].column[TOKEN], &claims, &r), PLX_E_DENIED);
        }
    }
    plx_buf_fini(&claims);
}

static void test_without_an_audience(void **state)
{
    (void)state;
    plx_auth_config a = config("jwt");
    plx_auth_result r;
    plx_buf claims;
    plx_buf_init(&claims, 0);
    a.issuer = a.audience = NULL;
    size_t i = 0;
    while (!plx_slice_is(lines[i].column[KIND], "jwt"))
        i++;
    assert_int_equal(judge(&a, lines[i].column[TOKEN], &claims, &r), PLX_E_DENIED);
    assert_string_equal(r.reason, "token is for an audience, and none is configured");
    plx_buf_fini(&claims);
}

static void test_kinds_of_keys(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        enum plx_pem kind;
    } cases[] = {{"rsa", PLX_PEM_RSA},           {"rsa_weak", PLX_PEM_RSA_WEAK},
                 {"p256", PLX_PEM_P256},         {"k256", PLX_PEM_OTHER},
                 {"p384", PLX_PEM_OTHER},        {"rsa_private", PLX_PEM_OTHER},
                 {"p256_private", PLX_PEM_OTHER}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(plx_pem_kind(plx_slice_of(key_named(cases[i].name))), cases[i].kind);
    plx_slice whole = plx_slice_of(key_named("p256"));
    for (size_t cut = 0; cut < whole.len - 1; cut++) {
        enum plx_pem kind = plx_pem_kind(plx_slice_make(whole.data, cut));
        assert_true(kind == (cut < 10 ? PLX_PEM_NONE : PLX_PEM_OTHER));
    }
    assert_int_equal(plx_pem_kind(plx_slice_of(CURRENT)), PLX_PEM_NONE);
    assert_int_equal(plx_pem_kind(plx_slice_make(NULL, 0)), PLX_PEM_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phoenix),
        cmocka_unit_test(test_tickets),
        cmocka_unit_test(test_jwts),
        cmocka_unit_test(test_public_keys),
        cmocka_unit_test(test_spoiled),
        cmocka_unit_test(test_types_apart),
        cmocka_unit_test(test_without_an_audience),
        cmocka_unit_test(test_kinds_of_keys),
    };
    return cmocka_run_group_tests_name("tokens", tests, read_lines, drop_lines);
}
