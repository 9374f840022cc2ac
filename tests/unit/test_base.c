/* The small pieces of base/: slice, alloc, buf, blob, list, clock, error. */
#include "base/alloc.h"
#include "base/blob.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/list.h"
#include "base/slice.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#define LIT(s) plx_slice_make((s), sizeof(s) - 1)

/* ---- slice ---- */

static void slice_comparisons(void **state)
{
    (void)state;
    static const plx_slice literal = PLX_LIT("room:a");
    assert_int_equal(literal.len, 6);
    assert_true(plx_slice_is(literal, "room:a"));
    assert_false(plx_slice_is(literal, "room:"));
    assert_false(plx_slice_is(literal, "room:b"));
    assert_true(plx_slice_eq(plx_slice_of(NULL), plx_slice_of("")));
    assert_false(plx_slice_eq(plx_slice_of(NULL), LIT("a")));
    assert_true(plx_slice_eq(LIT("a\0b"), LIT("a\0b")));
    assert_false(plx_slice_eq(LIT("a\0b"), LIT("a\0c")));
    assert_true(plx_slice_starts(literal, LIT("room:")));
    assert_true(plx_slice_starts(literal, plx_slice_of(NULL)));
    assert_false(plx_slice_starts(LIT("roo"), LIT("room")));
    assert_false(plx_slice_starts(literal, LIT("Room")));
}

static void slice_ieq_folds_ascii_only(void **state)
{
    (void)state;
    assert_true(plx_slice_ieq(LIT("Sec-WebSocket-Key"), LIT("sec-websocket-KEY")));
    assert_false(plx_slice_ieq(LIT("upgrade"), LIT("upgrad")));
    assert_false(plx_slice_ieq(LIT("upgrade"), LIT("upgradf")));
    assert_true(plx_slice_ieq(plx_slice_of(NULL), LIT("")));
    /* '@' and '`', '[' and '{' differ by the same bit as the cases of a letter. */
    assert_false(plx_slice_ieq(LIT("@"), LIT("`")));
    assert_false(plx_slice_ieq(LIT("["), LIT("{")));
    assert_false(plx_slice_ieq(LIT("\xC3\x89"), LIT("\xC3\xA9")));
}

static void slice_trim_takes_blanks_only(void **state)
{
    (void)state;
    assert_true(plx_slice_is(plx_slice_trim(LIT(" \ta b\t ")), "a b"));
    assert_true(plx_slice_is(plx_slice_trim(LIT("\na\r")), "\na\r"));
    assert_int_equal(plx_slice_trim(LIT(" \t \t")).len, 0);
    assert_int_equal(plx_slice_trim(plx_slice_of(NULL)).len, 0);
}

static void slice_dup_terminates(void **state)
{
    (void)state;
    char *copy = plx_slice_dup(plx_slice_make("a\0bXXX", 3));
    assert_memory_equal(copy, "a\0b\0", 4);
    free(copy);
    copy = plx_slice_dup(plx_slice_of(NULL));
    assert_string_equal(copy, "");
    free(copy);
}

static void slice_place_lays_copies_side_by_side(void **state)
{
    (void)state;
    char room[5] = "....", *end = room;
    plx_slice a = plx_slice_place(&end, LIT("ab")),
              none = plx_slice_place(&end, plx_slice_of(NULL)), b = plx_slice_place(&end, LIT("c"));
    assert_string_equal(room, "abc.");
    assert_ptr_equal(end, room + 3);
    assert_true(plx_slice_is(a, "ab") && none.len == 0 && plx_slice_is(b, "c"));
}

static void slice_among_wants_a_whole_name(void **state)
{
    (void)state;
    static const char *const names[] = {"join", "push"};
    assert_true(plx_slice_among(LIT("push"), names, 2));
    assert_false(plx_slice_among(LIT("push"), names, 1));
    assert_false(plx_slice_among(LIT("pus"), names, 2));
    assert_false(plx_slice_among(LIT("push"), NULL, 0));
}

static void slice_split_gives_every_part(void **state)
{
    (void)state;
    plx_slice rest = LIT("a,,bc,"), part;
    const char *expected[] = {"a", "", "bc", ""};
    for (size_t i = 0; i < 4; i++) {
        assert_true(plx_slice_split(&rest, ',', &part));
        assert_true(plx_slice_is(part, expected[i]));
    }
    assert_false(plx_slice_split(&rest, ',', &part));

    rest = LIT("");
    assert_true(plx_slice_split(&rest, ',', &part));
    assert_int_equal(part.len, 0);
    assert_false(plx_slice_split(&rest, ',', &part));

    rest = plx_slice_of(NULL);
    assert_false(plx_slice_split(&rest, ',', &part));
}

/* ---- alloc ---- */

static void alloc_zero_sizes_are_pointers(void **state)
{
    (void)state;
    char *a = plx_alloc(0), *b = plx_alloc_zero(0, 8), *c = plx_alloc_zero(8, 0);
    assert_non_null(a);
    assert_non_null(b);
    assert_non_null(c);
    assert_ptr_not_equal(a, b);
    a = plx_realloc(a, 0);
    assert_non_null(a);
    free(a);
    free(b);
    free(c);
}

static void alloc_zero_is_zero(void **state)
{
    (void)state;
    static const char zeros[64];
    char *p = plx_alloc_zero(8, 8);
    assert_memory_equal(p, zeros, 64);
    memset(p, 1, 64);
    p = plx_realloc(p, 128);
    assert_int_equal(p[63], 1);
    free(p);
}

static void alloc_strings(void **state)
{
    (void)state;
    char *s = plx_strdup("topic"), *f = plx_asprintf("%s:%d%%", "room", 7);
    assert_string_equal(s, "topic");
    assert_string_equal(f, "room:7%");
    free(s);
    free(f);
}

/* Runs body in a child whose stderr is a pipe; true when it aborted and said why. */
static bool aborts_with(void (*body)(void), const char *words)
{
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGABRT, SIG_DFL);
        dup2(fds[1], 2);
        body();
        _exit(0);
    }
    close(fds[1]);
    char said[256] = "";
    size_t len = 0;
    ssize_t n;
    while (len < sizeof said - 1 && (n = read(fds[0], said + len, sizeof said - 1 - len)) > 0)
        len += (size_t)n;
    close(fds[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT && strstr(said, words);
}

/* Through a volatile, or the compiler sees the absurd size and warns. */
static volatile size_t huge = SIZE_MAX / 2 + 1;

static void ask_for_too_much(void)
{
    free(plx_alloc(huge));
}

static void ask_for_an_overflow(void)
{
    free(plx_alloc_zero(huge, 2));
}

static void grow_to_too_much(void)
{
    free(plx_realloc(NULL, huge));
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif

static void alloc_aborts_when_refused(void **state)
{
    (void)state;
#ifdef SANITIZED
    skip(); /* the sanitizer's own allocator ends the process in its own way */
#endif
    assert_true(aborts_with(ask_for_too_much, "out of memory"));
    assert_true(aborts_with(ask_for_an_overflow, "out of memory"));
    assert_true(aborts_with(grow_to_too_much, "out of memory"));
}

/* ---- buf ---- */

static void buf_appends(void **state)
{
    (void)state;
    plx_buf b;
    plx_buf_init(&b, 0);
    assert_null(b.data);
    assert_int_equal(plx_buf_append(&b, "ab", 2), 0);
    assert_int_equal(plx_buf_append(&b, NULL, 0), 0);
    assert_int_equal(plx_buf_add(&b, LIT("cd")), 0);
    assert_int_equal(plx_buf_str(&b, "ef"), 0);
    assert_int_equal(plx_buf_byte(&b, '\0'), 0);
    assert_int_equal(plx_buf_u64(&b, 0), 0);
    assert_int_equal(plx_buf_byte(&b, ','), 0);
    assert_int_equal(plx_buf_u64(&b, UINT64_MAX), 0);
    assert_int_equal(plx_buf_printf(&b, "<%s:%03d>", "x", 7), 0);
    assert_true(plx_buf_ok(&b));
    assert_true(plx_slice_eq(plx_buf_slice(&b), LIT("abcdef\0"
                                                    "0,18446744073709551615<x:007>")));
    plx_buf_fini(&b);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.cap, 0);
}

static void buf_bound_is_exact(void **state)
{
    (void)state;
    for (size_t max = 1; max < 200; max++) {
        plx_buf b;
        plx_buf_init(&b, max);
        for (size_t i = 0; i < max; i++)
            assert_int_equal(plx_buf_byte(&b, (unsigned char)i), 0);
        assert_true(plx_buf_ok(&b));
        assert_int_equal(plx_buf_byte(&b, 'x'), PLX_E_TOOBIG);
        assert_false(plx_buf_ok(&b));
        assert_int_equal(b.len, max);
        assert_true(b.cap <= (max < 64 ? 64 : max + 1));
        for (size_t i = 0; i < max; i++)
            assert_int_equal((unsigned char)b.data[i], i);
        assert_string_equal(plx_buf_cstr(&b) + max, "");
        plx_buf_fini(&b);
    }
}

static void buf_printf_of_every_length(void **state)
{
    (void)state;
    for (int len = 0; len < 200; len++) {
        plx_buf b;
        plx_buf_init(&b, 199);
        assert_int_equal(plx_buf_printf(&b, "%*s", len, ""), 0);
        assert_int_equal(b.len, len);
        plx_buf_fini(&b);
        plx_buf_init(&b, 198 - (size_t)len % 50);
        int rc = plx_buf_printf(&b, "%*s", len, "");
        assert_int_equal(rc, (size_t)len > b.max ? PLX_E_TOOBIG : 0);
        assert_int_equal(plx_buf_ok(&b), rc == 0);
        assert_int_equal(b.len, rc == 0 ? len : 0);
        plx_buf_fini(&b);
    }
}

static void buf_failure_changes_nothing_but_the_mark(void **state)
{
    (void)state;
    plx_buf b;
    plx_buf_init(&b, 5);
    assert_int_equal(plx_buf_str(&b, "abc"), 0);
    assert_int_equal(plx_buf_str(&b, "def"), PLX_E_TOOBIG);
    assert_int_equal(plx_buf_printf(&b, "%d", 100), PLX_E_TOOBIG);
    assert_int_equal(plx_buf_u64(&b, 100), PLX_E_TOOBIG);
    assert_null(plx_buf_reserve(&b, SIZE_MAX));
    assert_true(plx_slice_is(plx_buf_slice(&b), "abc"));
    assert_false(plx_buf_ok(&b));
    plx_buf_clear(&b);
    assert_true(plx_buf_ok(&b));
    assert_int_equal(plx_buf_printf(&b, "%d", 12345), 0);
    assert_true(plx_slice_is(plx_buf_slice(&b), "12345"));
    plx_buf_fini(&b);
    assert_int_equal(plx_buf_str(&b, "123456"), PLX_E_TOOBIG);
    plx_buf_fini(&b);
}

static void buf_reserve_commit(void **state)
{
    (void)state;
    plx_buf b;
    plx_buf_init(&b, 1000);
    char *at = plx_buf_reserve(&b, 100);
    memset(at, 'x', 100);
    assert_int_equal(b.len, 0);
    plx_buf_commit(&b, 3);
    plx_buf_str(&b, "abc");
    assert_true(plx_slice_is(plx_buf_slice(&b), "xxxabc"));
    assert_string_equal(plx_buf_cstr(&b), "xxxabc");
    assert_non_null(plx_buf_reserve(&b, 0));
    plx_buf_fini(&b);
}

static void buf_cstr_of_nothing(void **state)
{
    (void)state;
    plx_buf b;
    plx_buf_init(&b, 10);
    assert_string_equal(plx_buf_cstr(&b), "");
    assert_int_equal(b.len, 0);
    plx_buf_fini(&b);
}

/* ---- blob ---- */

static void blob_counts_references(void **state)
{
    (void)state;
    char source[] = "bytes";
    plx_blob *b = plx_blob_new(plx_slice_make(source, 5));
    source[0] = 'X';
    assert_memory_equal(b->data, "bytes", 5);
    assert_int_equal(b->refs, 1);
    assert_int_equal(b->tag, 0);
    assert_ptr_equal(plx_blob_ref(b), b);
    plx_blob_unref(b);
    assert_memory_equal(b->data, "bytes", 5);
    plx_blob_unref(b); /* the leak checker sees whether this freed */
    plx_blob_unref(NULL);
}

static void blob_without_bytes_has_room(void **state)
{
    (void)state;
    plx_blob *b = plx_blob_new(plx_slice_make(NULL, 100));
    assert_int_equal(b->len, 100);
    memset(b->data, 1, 100);
    plx_blob_unref(b);
    b = plx_blob_new(plx_slice_of(NULL));
    assert_int_equal(b->len, 0);
    plx_blob_unref(b);
}

/* ---- list ---- */

typedef struct item {
    int number;
    plx_list node;
} item;

static void expect_list(plx_list *head, const int *numbers, size_t count)
{
    plx_list *n = head->next;
    for (size_t i = 0; i < count; i++, n = n->next) {
        assert_ptr_not_equal(n, head);
        assert_int_equal(PLX_CONTAINER(n, item, node)->number, numbers[i]);
        assert_ptr_equal(n->next->prev, n);
    }
    assert_ptr_equal(n, head);
}

static void list_keeps_order(void **state)
{
    (void)state;
    plx_list a, b;
    item items[5];
    plx_list_init(&a);
    plx_list_init(&b);
    assert_true(plx_list_empty(&a));
    assert_null(plx_list_shift(&a));
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        plx_list_push(i < 3 ? &a : &b, &items[i].node);
    }
    expect_list(&a, (int[]){0, 1, 2}, 3);
    plx_list_splice(&a, &b);
    assert_true(plx_list_empty(&b));
    expect_list(&a, (int[]){0, 1, 2, 3, 4}, 5);
    assert_int_equal(plx_list_count(&a), 5);
    assert_int_equal(plx_list_count(&b), 0);
    plx_list_splice(&a, &b);
    plx_list_remove(&items[2].node);
    plx_list_remove(&items[2].node);
    expect_list(&a, (int[]){0, 1, 3, 4}, 4);
    assert_ptr_equal(plx_list_shift(&a), &items[0].node);
    assert_true(plx_list_empty(&items[0].node));
    plx_list_splice(&b, &a);
    expect_list(&b, (int[]){1, 3, 4}, 3);
    assert_true(plx_list_empty(&a));
}

/* ---- clock ---- */

static void clock_stands_still_when_faked(void **state)
{
    (void)state;
    plx_clock_fake(1000, 1700000000123);
    assert_int_equal(plx_now_ms(), 1000);
    assert_int_equal(plx_wall_ms(), 1700000000123);
    plx_clock_fake(1001, 5);
    assert_int_equal(plx_now_ms(), 1001);
    assert_int_equal(plx_wall_ms(), 5);
    plx_clock_real();
    uint64_t before = plx_now_ms();
    assert_true(plx_now_ms() >= before);
    uint64_t wall_s = plx_wall_ms() / 1000, system_s = (uint64_t)time(NULL);
    assert_true(system_s - wall_s <= 1 || wall_s - system_s <= 1);
}

/* ---- error ---- */

static void error_phrases_differ(void **state)
{
    (void)state;
    static const int all[] = {PLX_OK,         PLX_E_INVALID, PLX_E_TOOBIG, PLX_E_DENIED,
                              PLX_E_NOTFOUND, PLX_E_GONE,    PLX_E_BUSY,   PLX_E_DOWN,
                              PLX_E_TIMEOUT,  PLX_E_SYSTEM,  PLX_E_STORE,  PLX_E_LOST};
    const size_t count = sizeof all / sizeof *all;
    for (size_t i = 0; i < count; i++) {
        assert_string_not_equal(plx_strerror(all[i]), "unknown error");
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(plx_strerror(all[i]), plx_strerror(all[k]));
    }
    assert_string_equal(plx_strerror(1), "unknown error");
    assert_string_equal(plx_strerror(-999), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slice_comparisons),
        cmocka_unit_test(slice_ieq_folds_ascii_only),
        cmocka_unit_test(slice_trim_takes_blanks_only),
        cmocka_unit_test(slice_dup_terminates),
        cmocka_unit_test(slice_place_lays_copies_side_by_side),
        cmocka_unit_test(slice_among_wants_a_whole_name),
        cmocka_unit_test(slice_split_gives_every_part),
        cmocka_unit_test(alloc_zero_sizes_are_pointers),
        cmocka_unit_test(alloc_zero_is_zero),
        cmocka_unit_test(alloc_strings),
        cmocka_unit_test(alloc_aborts_when_refused),
        cmocka_unit_test(buf_appends),
        cmocka_unit_test(buf_bound_is_exact),
        cmocka_unit_test(buf_printf_of_every_length),
        cmocka_unit_test(buf_failure_changes_nothing_but_the_mark),
        cmocka_unit_test(buf_reserve_commit),
        cmocka_unit_test(buf_cstr_of_nothing),
        cmocka_unit_test(blob_counts_references),
        cmocka_unit_test(blob_without_bytes_has_room),
        cmocka_unit_test(list_keeps_order),
        cmocka_unit_test(clock_stands_still_when_faked),
        cmocka_unit_test(error_phrases_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
