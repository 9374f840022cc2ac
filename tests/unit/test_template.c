/* channel/template, and the syntax in base/placeholder. */
#include "channel/template.h"
#include "base/error.h"
#include "base/placeholder.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define PARAMS                                                                                     \
    "{\"user_id\":\"ann\",\"n\":42,\"big\":123456789012345678901234567890,\"f\":1.0,"              \
    "\"empty\":\"\",\"null\":null,\"t\":true,\"o\":{\"user_id\":\"inner\"},\"a\":[1],"             \
    "\"nul\":\"a\\u0000b\",\"esc\":\"\\u00e9\\n\\\"\",\"brace\":\"{claims.user_id}\","             \
    "\"a-b_9\":\"dash\",\"twice\":1,\"twice\":2}"
#define CLAIMS "{\"user_id\":7}"

typedef struct expansion {
    const char *tmpl;
    int err;
    const char *result;
} expansion;

static void check(const expansion *x, const char *params, const char *claims)
{
    plx_buf out;
    plx_buf_init(&out, 0);
    plx_buf_str(&out, "before:");
    int err = plx_template_expand(x->tmpl, plx_slice_of(params), plx_slice_of(claims), &out);
    if (err != x->err)
        print_error("template %s\n", x->tmpl);
    assert_int_equal(err, x->err);
    const char *want = err ? "" : x->result;
    assert_memory_equal(plx_buf_cstr(&out), "before:", 7);
    assert_string_equal(plx_buf_cstr(&out) + 7, want);
    plx_buf_fini(&out);
}

static void test_values(void **state)
{
    (void)state;
    static const expansion cases[] = {
        {"plain", 0, "plain"},
        {"user_socket:{params.user_id}", 0, "user_socket:ann"},
        {"{params.user_id}", 0, "ann"},
        {"{claims.user_id}{params.user_id}", 0, "7ann"},
        {"{params.n}/{claims.user_id}/", 0, "42/7/"},
        {"{params.big}", 0, "123456789012345678901234567890"},
        {"{params.f}", 0, "1.0"},
        {"<{params.empty}>", 0, "<>"},
        {"{params.esc}", 0, "\xc3\xa9\n\""},
        {"{params.a-b_9}", 0, "dash"},
        {"{params.twice}", 0, "2"},
        /* What a value holds is not looked at again. */
        {"{params.brace}", 0, "{claims.user_id}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(&cases[i], PARAMS, CLAIMS);
}

static void test_missing(void **state)
{
    (void)state;
    static const char *const templates[] = {
        "{params.nobody}", "a{claims.nobody}", "{params.null}",   "{params.t}",
        "{params.o}",      "{params.a}",       "{params.nul}",    "{params.user_id}{params.nobody}",
        "{claims.n}",      "{params.user}",    "{params.User_id}"};
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++)
        check(&(expansion){templates[i], PLX_E_NOTFOUND, NULL}, PARAMS, CLAIMS);
    check(&(expansion){"{params.user_id}", PLX_E_NOTFOUND, NULL}, "", "");
    check(&(expansion){"{params.user_id}", PLX_E_NOTFOUND, NULL}, "{}", CLAIMS);
}

static void test_invalid(void **state)
{
    (void)state;
    static const char *const templates[] = {
        "{user_id}",    "{params.}",  "{params.a b}", "{params.a",          "a}", "{", "{}",
        "{{params.n}}", "{Params.n}", "{params.n.m}", "{params.{claims.n}}"};
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        check(&(expansion){templates[i], PLX_E_INVALID, NULL}, PARAMS, CLAIMS);
        assert_false(plx_template_valid(plx_slice_of(templates[i])));
    }
    check(&(expansion){"{params.n}", PLX_E_INVALID, NULL}, "[1]", "{}");
    check(&(expansion){"{params.n}", PLX_E_INVALID, NULL}, "{\"n\":1", "{}");
}

static void test_valid_syntax(void **state)
{
    (void)state;
    char name[PLX_PLACEHOLDER_NAME + 12];
    assert_true(plx_template_valid(plx_slice_of("a")));
    assert_true(plx_template_valid(plx_slice_of("a:{params.x}{claims.y-Z_1}b")));
    assert_false(plx_template_valid(plx_slice_of("")));
    memset(name, 'x', sizeof name);
    memcpy(name, "{params.", 8);
    name[8 + PLX_PLACEHOLDER_NAME] = '}';
    assert_true(plx_template_valid(plx_slice_make(name, 9 + PLX_PLACEHOLDER_NAME)));
    name[8 + PLX_PLACEHOLDER_NAME] = 'x';
    name[9 + PLX_PLACEHOLDER_NAME] = '}';
    assert_false(plx_template_valid(plx_slice_make(name, 10 + PLX_PLACEHOLDER_NAME)));
}

/* Every beginning of a template is a template or refused, never read past its end. */
static void test_cut_short(void **state)
{
    (void)state;
    static const char whole[] = "ab{params.user_id}c{claims.x}";
    for (size_t len = 0; len < sizeof whole; len++) {
        const char *open = NULL;
        for (size_t i = 0; i < len; i++)
            open = whole[i] == '{' ? whole + i : whole[i] == '}' ? NULL : open;
        assert_int_equal(plx_template_valid(plx_slice_make(whole, len)),
                         len > 0 && !open && len < sizeof whole);
    }
}

static void test_bounds(void **state)
{
    (void)state;
    static char params[PLX_TEMPLATE_MAX + 64];
    for (size_t len = PLX_TEMPLATE_MAX - 3; len <= PLX_TEMPLATE_MAX + 1; len++) {
        plx_buf out;
        plx_buf_init(&out, 0);
        memcpy(params, "{\"x\":\"", 6);
        memset(params + 6, 'y', len);
        memcpy(params + 6 + len, "\"}", 3);
        int err =
            plx_template_expand("{params.x}z", plx_slice_of(params), plx_slice_of("{}"), &out);
        assert_int_equal(err, len + 1 <= PLX_TEMPLATE_MAX ? 0 : PLX_E_TOOBIG);
        assert_int_equal(out.len, err ? 0 : len + 1);
        plx_buf_fini(&out);
    }
    plx_buf small;
    plx_buf_init(&small, 3);
    assert_int_equal(
        plx_template_expand("{params.user_id}:", plx_slice_of(PARAMS), plx_slice_of(""), &small),
        PLX_E_TOOBIG);
    assert_int_equal(small.len, 0);
    plx_buf_fini(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),    cmocka_unit_test(test_missing),
        cmocka_unit_test(test_invalid),   cmocka_unit_test(test_valid_syntax),
        cmocka_unit_test(test_cut_short), cmocka_unit_test(test_bounds),
    };
    return cmocka_run_group_tests_name("template", tests, NULL, NULL);
}
