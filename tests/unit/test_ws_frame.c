/* Frames: every case whole, at every split point and byte by byte; and the recordings. */
#include "tests/unit/vectors.h"
#include "transport/ws_frame.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static const uint8_t key[4] = {0x12, 0xFE, 0x00, 0x9D};

/* Appends a frame as a client sends it. bits: FIN and the reserved ones, as in the first byte. */
static void add_frame(plx_buf *b, unsigned bits, unsigned opcode, plx_slice payload, bool masked)
{
    uint64_t n = payload.len;
    unsigned more = n < 126 ? 0 : n <= 0xFFFF ? 2 : 8;
    plx_buf_byte(b, (unsigned char)(bits | opcode));
    plx_buf_byte(b, (unsigned char)((masked ? 0x80 : 0) | (more == 0 ? n : more == 2 ? 126 : 127)));
    for (unsigned i = 0; i < more; i++)
        plx_buf_byte(b, (unsigned char)(n >> 8 * (more - 1 - i)));
    if (masked)
        plx_buf_append(b, key, 4);
    size_t at = b->len;
    plx_buf_add(b, payload);
    /* Not with the function under test. */
    for (size_t i = 0; masked && i < payload.len; i++)
        b->data[at + i] = (char)(b->data[at + i] ^ key[i % 4]);
}

/* Writes an event as "T:payload;" or "F1002;". */
static void describe(plx_buf *out, enum plx_ws_event event, const plx_ws_message *m)
{
    static const char letters[] = "?TBPOCF";
    plx_buf_printf(out, "%s%c", m->compressed ? "z" : "", letters[event]);
    if (event == PLX_WS_CLOSE || event == PLX_WS_FAULT)
        plx_buf_printf(out, "%u", m->code);
    if (event != PLX_WS_FAULT) {
        plx_buf_byte(out, ':');
        plx_buf_add(out, m->payload);
    }
    plx_buf_byte(out, ';');
}

/* Feeds what ends at `end`, from a copy of exactly that size; false after a fault. */
static bool feed(plx_ws_reader *r, const plx_ws_rules *rules, plx_slice all, size_t at, size_t end,
                 plx_buf *out)
{
    char *piece = malloc(end - at + 1), *p = piece;
    size_t len = end - at;
    memcpy(piece, all.data + at, len);
    plx_ws_message m;
    enum plx_ws_event event;
    while ((event = plx_ws_read(r, rules, &p, &len, &m)) != PLX_WS_MORE && event != PLX_WS_FAULT)
        describe(out, event, &m);
    if (event == PLX_WS_FAULT)
        describe(out, event, &m);
    else
        assert_int_equal(len, 0);
    free(piece);
    return event != PLX_WS_FAULT;
}

static void run_split(const plx_ws_rules *rules, plx_slice all, size_t i, size_t j, plx_buf *out)
{
    plx_ws_reader r = {0};
    const size_t ends[] = {i, j, all.len};
    size_t at = 0;
    plx_buf_clear(out);
    for (int k = 0; k < 3; k++) {
        if (!feed(&r, rules, all, at, ends[k], out))
            break;
        at = ends[k];
    }
    plx_ws_reader_fini(&r);
}

static void check(const plx_ws_rules *rules, plx_slice all, const char *expected)
{
    plx_buf out;
    plx_buf_init(&out, 0);
    /* All pairs of split points for short inputs, else some. */
    size_t step_j = all.len < 90 ? 1 : 1 + all.len / 7,
           step_i = all.len < 3000 ? 1 : 1 + all.len / 50;
    for (size_t i = 0; i <= all.len; i += step_i) {
        for (size_t j = i; j <= all.len; j += step_j) {
            run_split(rules, all, i, j, &out);
            if (!plx_slice_is(plx_buf_slice(&out), expected))
                fail_msg("split %zu %zu: \"%.100s\" instead of \"%.100s\"", i, j,
                         plx_buf_cstr(&out), expected);
        }
    }
    /* Byte by byte. */
    plx_ws_reader r = {0};
    plx_buf_clear(&out);
    for (size_t i = 0; all.len < 100000 && i < all.len; i++) {
        if (!feed(&r, rules, all, i, i + 1, &out))
            break;
    }
    if (all.len < 100000 && !plx_slice_is(plx_buf_slice(&out), expected))
        fail_msg("bytewise: \"%.100s\" instead of \"%.100s\"", plx_buf_cstr(&out), expected);
    plx_ws_reader_fini(&r);
    plx_buf_fini(&out);
}

enum { FIN = 0x80, R1 = 0x40, R2 = 0x20, R3 = 0x10, U = 0x100 /* unmasked */ };
typedef struct part {
    unsigned bits, opcode;
    const char *payload;
    size_t len; /* 0: that of the string */
} part;

static void build(plx_buf *b, const part *parts)
{
    plx_buf_clear(b);
    for (; parts->payload; parts++) {
        size_t len = parts->len ? parts->len : strlen(parts->payload);
        add_frame(b, parts->bits & 0xFF, parts->opcode, plx_slice_make(parts->payload, len),
                  !(parts->bits & U));
    }
}

static const struct {
    part parts[6];
    bool deflate;
    const char *events;
} cases[] = {
    {{{FIN, 1, "hello", 0}}, false, "T:hello;"},

    {{{FIN, 1, "", 0}, {FIN, 1, "a", 0}}, false, "T:;T:a;"},
    {{{0, 1, "[1,", 0}, {0, 0, "", 0}, {FIN, 9, "p", 0}, {FIN, 0, "2]", 0}}, false, "P:p;T:[1,2];"},
    {{{0, 1, "a", 0}, {FIN, 10, "", 0}, {FIN, 0, "", 0}, {FIN, 1, "b", 0}}, false, "O:;T:a;T:b;"},
    {{{0, 2, "a", 0}, {FIN, 0, "b", 0}}, false, "B:ab;"},
    {{{FIN, 8,
       "\x03\xE8"
       "bye",
       0}},
     false,
     "C1000:bye;"},
    {{{FIN, 8, "", 0}}, false, "C1005:;"},
    {{{0, 1, "a", 0}, {FIN, 8, "\x0F\xA0", 0}}, false, "C4000:;"},
    {{{FIN, 8, "\x03", 0}}, false, "F1002;"},
    {{{FIN, 8, "\x03\xE7", 0}}, false, "F1002;"}, /* 999 */
    {{{FIN, 8, "\x03\xEC", 0}}, false, "F1002;"}, /* 1004 */
    {{{FIN, 8, "\x03\xED", 0}}, false, "F1002;"}, /* 1005 */
    {{{FIN, 8, "\x03\xEE", 0}}, false, "F1002;"}, /* 1006 */
    {{{FIN, 8, "\x03\xEF", 0}}, false, "C1007:;"},
    {{{FIN, 8, "\x03\xF6", 0}}, false, "C1014:;"},
    {{{FIN, 8, "\x03\xF7", 0}}, false, "F1002;"}, /* 1015 */
    {{{FIN, 8, "\x0B\xB7", 0}}, false, "F1002;"}, /* 2999 */
    {{{FIN, 8, "\x13\x88", 0}}, false, "F1002;"}, /* 5000 */
    {{{FIN, 8, "\x03\xE8\xFF", 0}}, false, "F1007;"},
    {{{FIN, 1, "a\xFF", 0}}, false, "F1007;"},
    {{{FIN, 1, "\xC3", 0}}, false, "F1007;"},
    {{{0, 1, "\xC3", 0}, {FIN, 0, "\xA9", 0}}, false, "T:\xC3\xA9;"},
    {{{0, 1, "\xC3", 0}, {FIN, 0, "", 0}}, false, "F1007;"},
    {{{0, 1, "\xE2\x82", 0}, {0, 0, "x", 0}}, false, "F1007;"}, /* before the message ends */
    {{{0, 1, "\xED\xA0", 0}}, false, "F1007;"},                 /* a surrogate, fail fast */
    {{{0, 1, "ok", 0}, {FIN, 1, "x", 0}}, false, "F1002;"},
    {{{FIN, 0, "x", 0}}, false, "F1002;"},
    {{{FIN, 1, "a", 0}, {FIN, 0, "x", 0}}, false, "T:a;F1002;"},
    {{{FIN, 3, "x", 0}}, false, "F1002;"},
    {{{FIN, 7, "x", 0}}, false, "F1002;"},
    {{{FIN, 11, "x", 0}}, false, "F1002;"},
    {{{FIN, 15, "x", 0}}, false, "F1002;"},
    {{{0, 9, "x", 0}}, false, "F1002;"},
    {{{0, 8, "", 0}}, false, "F1002;"},
    {{{FIN | R1, 1, "x", 0}}, false, "F1002;"},
    {{{FIN | R2, 1, "x", 0}}, true, "F1002;"},
    {{{FIN | R3, 1, "x", 0}}, true, "F1002;"},
    {{{FIN | R1, 9, "x", 0}}, true, "F1002;"},
    {{{0, 1, "x", 0}, {FIN | R1, 0, "x", 0}}, true, "F1002;"},
    {{{FIN | R1, 1, "\xFF", 0}}, true, "zT:\xFF;"}, /* text is judged after inflating */
    {{{R1, 1, "a", 0}, {FIN, 9, "", 0}, {FIN, 0, "\xFF", 0}}, true, "P:;zT:a\xFF;"},
    {{{FIN | U, 1, "x", 0}}, false, "F1002;"},
    {{{FIN | U, 9, "", 0}}, false, "F1002;"},
};

static void test_cases(void **state)
{
    (void)state;
    plx_buf b;
    plx_buf_init(&b, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const plx_ws_rules rules = {100, cases[i].deflate};
        build(&b, cases[i].parts);
        check(&rules, plx_buf_slice(&b), cases[i].events);
    }
    plx_buf_fini(&b);
}

static void test_binary_with_nul(void **state)
{
    (void)state;
    const plx_ws_rules rules = {100, false};
    plx_ws_reader r = {0};
    plx_ws_message m;
    plx_buf b;
    plx_buf_init(&b, 0);
    build(&b, (const part[]){{FIN, 2, "\xFF\0x", 3}, {0}});
    char *p = b.data;
    size_t len = b.len;
    assert_int_equal(plx_ws_read(&r, &rules, &p, &len, &m), PLX_WS_BINARY);
    assert_memory_equal(m.payload.data, "\xFF\0x", 3);
    assert_ptr_equal(m.payload.data + 3, b.data + b.len); /* in place */
    assert_null(r.partial);
    plx_buf_fini(&b);
}

/* 16 and 64 bit lengths, their minimal form, and the limits. */
static void test_lengths(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 125, 126, 127, 1000, 65535, 65536, 70001};
    plx_buf b, expected, text;
    plx_buf_init(&b, 0);
    plx_buf_init(&expected, 0);
    plx_buf_init(&text, 0);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        plx_buf_clear(&text);
        for (size_t k = 0; k < sizes[i]; k++)
            plx_buf_byte(&text, (unsigned char)('a' + k % 26));
        plx_buf_clear(&b);
        add_frame(&b, FIN, 1, plx_buf_slice(&text), true);
        plx_buf_clear(&expected);
        plx_buf_printf(&expected, "T:%s;", plx_buf_cstr(&text));
        check(&(plx_ws_rules){b.len, false}, plx_buf_slice(&b), plx_buf_cstr(&expected));
        if (sizes[i] > 0)
            check(&(plx_ws_rules){b.len - 1, false}, plx_buf_slice(&b), "F1009;");
    }
    static const char not_minimal[][14] = {"\x81\xFE\x00\x7D", "\x81\xFF\0\0\0\0\0\0\xFF\xFF",
                                           "\x81\xFF\x80\0\0\0\0\1\0\0"};
    for (size_t i = 0; i < 3; i++)
        check(&(plx_ws_rules){1 << 20, false}, plx_slice_make(not_minimal[i], 14), "F1002;");
    /* A control frame's length never has the long form. */
    check(&(plx_ws_rules){1 << 20, false}, plx_slice_make("\x89\xFE\x00\x7E", 4), "F1002;");
    plx_buf_fini(&text);
    plx_buf_fini(&expected);
    plx_buf_fini(&b);
}

/* The sum of the fragments counts; 1009 comes with the header, before anything more is kept. */
static void test_message_limit(void **state)
{
    (void)state;
    const plx_ws_rules rules = {50, false};
    static const char forty[] = "aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd";
    plx_buf b;
    plx_buf_init(&b, 0);
    build(&b, (const part[]){{0, 1, forty, 0}, {FIN, 0, "0123456789", 0}, {0}});
    check(&rules, plx_buf_slice(&b), "T:aaaaaaaaaabbbbbbbbbbccccccccccdddddddddd0123456789;");
    build(&b, (const part[]){{0, 1, forty, 0}, {0, 0, "0123456789", 0}, {FIN, 0, "x", 0}, {0}});
    check(&rules, plx_buf_slice(&b), "F1009;");
    /* Only the second header of it. */
    build(&b, (const part[]){{0, 1, forty, 0}, {FIN, 0, "0123456789x", 0}, {0}});
    check(&rules, plx_slice_make(b.data, b.len - 11), "F1009;");
    check(&rules, plx_slice_make("\x81\xFF\0\0\0\0\xFF\xFF\xFF\xFF", 10), "F1009;");
    plx_buf_fini(&b);
}

/* Between messages nothing is held, also when pieces of them were. */
static void test_idle_holds_nothing(void **state)
{
    (void)state;
    const plx_ws_rules rules = {100, false};
    plx_buf b, out;
    plx_buf_init(&b, 0);
    plx_buf_init(&out, 0);
    for (int kind = 0; kind < 4; kind++) {
        static const part kinds[][3] = {{{FIN, 1, "hello", 0}},
                                        {{FIN, 9, "hello", 0}},
                                        {{0, 1, "he", 0}, {FIN, 0, "llo", 0}},
                                        {{FIN, 1, "", 0}}};
        build(&b, kinds[kind]);
        for (size_t i = 0; i <= b.len; i++) {
            plx_ws_reader r = {0};
            plx_buf_clear(&out);
            assert_true(feed(&r, &rules, plx_buf_slice(&b), 0, i, &out));
            assert_true(feed(&r, &rules, plx_buf_slice(&b), i, b.len, &out));
            assert_null(r.partial);
        }
    }
    plx_buf_fini(&b);
    plx_buf_fini(&out);
}

static void test_unmask(void **state)
{
    (void)state;
    char bytes[64], plain[64];
    for (size_t len = 0; len <= 40; len++) {
        for (size_t offset = 0; offset < 9; offset++) {
            for (uint64_t at = 0; at < 9; at++) {
                for (size_t i = 0; i < sizeof plain; i++)
                    bytes[i] = plain[i] = (char)(i * 37);
                plx_ws_unmask(bytes + offset, len, key, at);
                for (size_t i = 0; i < sizeof plain; i++) {
                    bool inside = i >= offset && i < offset + len;
                    char x = inside ? (char)key[(at + i - offset) % 4] : 0;
                    assert_int_equal(bytes[i], (char)(plain[i] ^ x));
                }
            }
        }
    }
}

static void test_header(void **state)
{
    (void)state;
    char h[PLX_WS_HEADER_MAX];
    assert_int_equal(plx_ws_header(h, PLX_WS_OP_TEXT, false, 125), 2);
    assert_memory_equal(h, "\x81\x7D", 2);
    assert_int_equal(plx_ws_header(h, PLX_WS_OP_TEXT, true, 126), 4);
    assert_memory_equal(h, "\xC1\x7E\0\x7E", 4);
    assert_int_equal(plx_ws_header(h, PLX_WS_OP_BINARY, false, 65535), 4);
    assert_memory_equal(h, "\x82\x7E\xFF\xFF", 4);
    assert_int_equal(plx_ws_header(h, PLX_WS_OP_CLOSE, false, 0), 2);
    assert_memory_equal(h, "\x88\0", 2);
    assert_int_equal(plx_ws_header(h, PLX_WS_OP_BINARY, false, 65536), 10);
    assert_memory_equal(h, "\x82\x7F\0\0\0\0\0\1\0\0", 10);
}

/* ---- the recordings ---- */

static bool add_recorded(json_object *step, plx_buf *b)
{
    json_object *f = json_object_object_get(step, "send_frame"), *v;
    json_object *close_step = json_object_object_get(step, "send_close");
    plx_buf payload;
    plx_buf_init(&payload, 0);
    if (close_step) {
        if (json_object_object_get_ex(close_step, "code", &v)) {
            int code = json_object_get_int(v);
            plx_buf_byte(&payload, (unsigned char)(code >> 8));
            plx_buf_byte(&payload, (unsigned char)code);
            plx_buf_add(&payload, vector_text(close_step, "reason"));
        } else {
            plx_base64_decode(&payload, vector_text(close_step, "raw_base64"), PLX_B64_STANDARD);
        }
        add_frame(b, FIN, 8, plx_buf_slice(&payload), true);
    } else if (f) {
        bool fin = !json_object_object_get_ex(f, "fin", &v) || json_object_get_boolean(v);
        bool masked = !json_object_object_get_ex(f, "mask", &v) || json_object_get_boolean(v);
        unsigned rsv =
            json_object_object_get_ex(f, "rsv", &v) ? (unsigned)json_object_get_int(v) : 0;
        json_object *size = NULL;
        json_object *base64 = json_object_object_get(f, "payload_base64");
        if (json_object_is_type(base64, json_type_object) &&
            json_object_object_get_ex(base64, "bytes", &size)) {
            for (int64_t i = 0; i < json_object_get_int64(size); i++)
                plx_buf_byte(&payload, 'x');
        } else {
            plx_base64_decode(&payload, vector_text(f, "payload_base64"), PLX_B64_STANDARD);
        }
        add_frame(b, (fin ? FIN : 0) | rsv << 4,
                  (unsigned)json_object_get_int(json_object_object_get(f, "opcode")),
                  plx_buf_slice(&payload), masked);
    }
    plx_buf_fini(&payload);
    return f || close_step;
}

/* The code with which the server ends: our answer to a close frame is 1000 (recorded). 0: none. */
static unsigned code_of(const char *events)
{
    const char *last = strchr(events, 'F');
    if (last)
        return (unsigned)atoi(last + 1);
    return strchr(events, 'C') ? 1000 : 0;
}

static unsigned check_recorded(const char *name)
{
    json_object *recording = vector_load(name), *steps = vector_steps(recording), *close_step;
    const char *path = json_object_get_string(json_object_object_get(
        json_object_object_get(json_object_array_get_idx(steps, 0), "connect"), "path"));
    const plx_ws_rules rules = {strncmp(path, "/limited", 8) == 0 ? 1000 : 8000000, false};
    unsigned expected = 0;
    plx_buf b, out;
    plx_buf_init(&b, 0);
    plx_buf_init(&out, 0);
    for (size_t i = 0; i < json_object_array_length(steps); i++) {
        json_object *step = json_object_array_get_idx(steps, i);
        add_recorded(step, &b);
        if (json_object_object_get_ex(step, "close", &close_step))
            expected = (unsigned)json_object_get_int(json_object_object_get(close_step, "code"));
    }
    /* Deliberately different: max_frame_bytes is the whole message's. */
    if (strcmp(name, "ws_frame_size_fragments") == 0)
        expected = 1009;
    for (size_t i = 0; i <= b.len; i += b.len < 3000 ? 1 : 1 + b.len / 5) {
        run_split(&rules, plx_buf_slice(&b), i, i, &out);
        if (code_of(plx_buf_cstr(&out)) != expected)
            fail_msg("%s split at %zu: \"%.80s\" instead of %u", name, i, plx_buf_cstr(&out),
                     expected);
    }
    plx_buf_fini(&b);
    plx_buf_fini(&out);
    json_object_put(recording);
    return 1;
}

static void test_recordings(void **state)
{
    (void)state;
    DIR *d = opendir("tests/vectors");
    assert_non_null(d);
    unsigned seen = 0;
    for (struct dirent *e; (e = readdir(d));) {
        char name[256];
        if (strncmp(e->d_name, "ws_frame_", 9) != 0)
            continue;
        snprintf(name, sizeof name, "%.*s", (int)(strlen(e->d_name) - strlen(".json")), e->d_name);
        seen += check_recorded(name);
    }
    closedir(d);
    assert_true(seen >= 25);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_binary_with_nul),
        cmocka_unit_test(test_lengths),
        cmocka_unit_test(test_message_limit),
        cmocka_unit_test(test_idle_holds_nothing),
        cmocka_unit_test(test_unmask),
        cmocka_unit_test(test_header),
        cmocka_unit_test(test_recordings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
