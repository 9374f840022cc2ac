/* The texts of diffs and states: as Phoenix wrote them, and as they are kept in memory. */
#include "presence_topic.h"

static void test_texts(void **state)
{
    (void)state;
    size_t seen = 0;
    follow(&f, b, "texts");
    plx_roster *roster = plx_roster_open(c, S("texts"), &rules);
    assert_slice(roster_state(c, roster, "texts")->payload, "{}");

    assert_int_equal(track(a, "texts", "s1", "r1", "u1", "{\"name\":\"u1\"}"), 0);
    expect_event(&f, &seen, "presence_diff",
                 DIFF("\"u1\":{\"metas\":[" M(R1, ",\"name\":\"u1\"") "]}", ""));
    assert_true(plx_diff_joins(f.event[0], ref_of("r1")));
    assert_false(plx_diff_joins(f.event[0], ref_of("r2")));
    assert_false(plx_diff_joins(f.event[0], S("r1")));

    /* A second meta of the same key, without members; keys are quoted as JSON has it. */
    assert_int_equal(track(b, "texts", "s2", "r2", "u1", " { } "), 0);
    expect_event(&f, &seen, "presence_diff", DIFF("\"u1\":{\"metas\":[" M(R2, "") "]}", ""));
    assert_int_equal(track(b, "texts", "s2", "r3", "a\"\\\n\xE2\x80\xA8", "{}"), 0);
    expect_event(&f, &seen, "presence_diff",
                 DIFF("\"a\\\"\\\\\\n\\u2028\":{\"metas\":[" M(R3, "") "]}", ""));
    assert_slice(roster_state(c, roster, "texts")->payload,
                 "{\"u1\":{\"metas\":[" M(R1, ",\"name\":\"u1\"") "," M(
                     R2, "") "]},"
                             "\"a\\\"\\\\\\n\\u2028\":{\"metas\":[" M(R3, "") "]}}");

    /* An update: the new one knows its predecessor, the old one leaves as it was. */
    assert_int_equal(update(a, "texts", "s1", "r4", "r1", "u1", "{\"name\":\"U\"}"), 0);
    expect_event(
        &f, &seen, "presence_diff",
        DIFF("\"u1\":{\"metas\":[" M(R4, ",\"phx_ref_prev\":\"" R1 "\",\"name\":\"U\"") "]}",
             "\"u1\":{\"metas\":[" M(R1, ",\"name\":\"u1\"") "]}"));
    assert_true(plx_diff_joins(f.event[3], ref_of("r4")));
    assert_false(plx_diff_joins(f.event[3], ref_of("r1")));
    assert_int_equal(untrack(a, "texts", "s1", NULL, NULL, false), 0);
    expect_event(
        &f, &seen, "presence_diff",
        DIFF("", "\"u1\":{\"metas\":[" M(R4, ",\"phx_ref_prev\":\"" R1 "\",\"name\":\"U\"") "]}"));
    plx_event *now = roster_state(c, roster, "texts");
    assert_slice(now->event, "presence_state");
    assert_slice(now->payload, "{\"u1\":{\"metas\":[" M(
                                   R2, "") "]},"
                                           "\"a\\\"\\\\\\n\\u2028\":{\"metas\":[" M(R3, "") "]}}");
    assert_int_equal(now->position.offset, f.event[4]->position.offset);
    assert_ptr_equal(plx_roster_state(roster), now); /* made once for each change */

    /* The same by a snapshot, and by the API. */
    plx_roster *late = plx_roster_open(a, S("texts"), &rules);
    assert_true(
        same(picture_of(roster_state(a, late, "texts")->payload), picture_of(now->payload)));
    assert_true(same(read_state(b, "texts"), picture_of(now->payload)));
    plx_roster_close(late);
    plx_roster_close(roster);
    unfollow(&f);
}

/* A meta's bytes are relayed as they came. */
static void test_verbatim(void **state)
{
    (void)state;
    size_t seen = 0;
    follow(&f, b, "verbatim");
    const char *meta = " {  \"n\" : 1.0e2 ,\"a\":1,\"a\" :[ ],\"\\u0070\":\"\\/\",\"o\":"
                       "{\"phx_ref\":\"inner\"}\n} ";
    assert_int_equal(track(a, "verbatim", "s1", "r1", "", meta), 0);
    expect_event(&f, &seen, "presence_diff",
                 DIFF("\"\":{\"metas\":[" M(R1, ",  \"n\" : 1.0e2 ,\"a\":1,\"a\" :[ ],\"\\u0070\":"
                                                "\"\\/\",\"o\":{\"phx_ref\":\"inner\"}\n") "]}",
                      ""));
    picture p = read_state(a, "verbatim");
    plx_roster *roster = plx_roster_open(c, S("verbatim"), &rules);
    assert_true(same(roster_picture(c, roster, "verbatim"), p));
    assert_int_equal(p.count, 1);
    plx_roster_close(roster);
    unfollow(&f);
}

/* ---- what was recorded from Phoenix */

/* Exchanges each phx_ref for a number in the order in which they appear. */
static void rename_refs(json_object *o, plx_map *names)
{
    if (json_object_is_type(o, json_type_array)) {
        for (size_t i = 0; i < json_object_array_length(o); i++)
            rename_refs(json_object_array_get_idx(o, i), names);
        return;
    }
    if (!json_object_is_type(o, json_type_object))
        return;
    json_object_object_foreach(o, name, value)
    {
        if (strncmp(name, "phx_ref", 7) != 0) {
            rename_refs(value, names);
            continue;
        }
        plx_slice ref = vector_text(o, name);
        char *known = plx_map_get(names, ref);
        if (!known) {
            known = malloc(ref.len + 16);
            snprintf(known, 16, "ref %zu", plx_map_count(names) + 1);
            memcpy(known + 16, ref.data, ref.len);
            plx_map_put(names, plx_slice_make(known + 16, ref.len), known);
        }
        json_object_set_string(value, known);
    }
}

static void free_names(plx_map *names)
{
    size_t cursor = 0;
    char *x;
    while ((x = plx_map_next(names, &cursor)) != NULL)
        free(x);
    plx_map_free(names);
}

/* Compares the events of f with the diffs that client a received. */
static void compare_recording(const char *name)
{
    json_object *recording = vector_load(name), *steps = vector_steps(recording);
    plx_map *ours = plx_map_new(), *theirs = plx_map_new();
    size_t seen = 0;
    for (size_t i = 0; i < json_object_array_length(steps); i++) {
        json_object *step = json_object_array_get_idx(steps, i), *recv;
        if (!json_object_object_get_ex(step, "recv", &recv) ||
            !json_object_is_type(recv, json_type_array) ||
            !plx_slice_is(vector_text(step, "client"), "a"))
            continue;
        json_object *event = json_object_array_get_idx(recv, 3);
        if (strcmp(json_object_get_string(event), "presence_diff") != 0)
            continue;
        json_object *expected = json_object_array_get_idx(recv, 4);
        if (f.count <= seen)
            fail_msg("%s: a diff is missing", name);
        char *text = plx_slice_dup(f.event[seen++]->payload);
        json_object *got = json_tokener_parse(text);
        rename_refs(expected, theirs);
        rename_refs(got, ours);
        if (!json_object_equal(got, expected))
            fail_msg("%s: expected %s\n got %s", name, json_object_to_json_string(expected),
                     json_object_to_json_string(got));
        json_object_put(got);
        free(text);
    }
    if (seen == 0 || seen != f.count)
        fail_msg("%s: %zu diffs compared, %zu came", name, seen, f.count);
    free_names(ours);
    free_names(theirs);
    json_object_put(recording);
}

enum verb { END, JOIN, UPDATE, DROP };

typedef struct act {
    enum verb verb;
    const char *socket, *ref, *prev, *key, *meta;
} act;

static void play(const char *name, const act *acts)
{
    follow(&f, b, name);
    for (size_t i = 0; acts[i].verb != END; i++) {
        const act *x = &acts[i];
        int err = x->verb == DROP   ? untrack(a, name, x->socket, NULL, NULL, false)
                  : x->verb == JOIN ? track(a, name, x->socket, x->ref, x->key, x->meta)
                                    : update(a, name, x->socket, x->ref, x->prev, x->key, x->meta);
        assert_int_equal(err, 0);
        WAIT(&r, f.count == i + 1);
    }
    compare_recording(name);
    unfollow(&f);
}

static void test_recordings(void **state)
{
    (void)state;
    const char *u1 = "{\"name\":\"u1\",\"online_at\":1}", *u2 = "{\"name\":\"u2\",\"online_at\":1}";
    play("presence_join", (act[]){{JOIN, "1", "x1", 0, "u1", u1}, {0}});
    play("presence_nil_key",
         (act[]){{JOIN, "1", "x1", 0, "", "{\"name\":null,\"online_at\":1}"}, {0}});
    play("presence_untrack", (act[]){{JOIN, "1", "x1", 0, "u1", u1}, {DROP, "1", 0, 0, 0, 0}, {0}});
    play("presence_two_users", (act[]){{JOIN, "1", "x1", 0, "u1", u1},
                                       {JOIN, "2", "x2", 0, "u2", u2},
                                       {DROP, "2", 0, 0, 0, 0},
                                       {0}});
    play("presence_socket_drop", (act[]){{JOIN, "1", "x1", 0, "u1", u1},
                                         {JOIN, "2", "x2", 0, "u2", u2},
                                         {DROP, "2", 0, 0, 0, 0},
                                         {0}});
    play("presence_same_key_twice", (act[]){{JOIN, "1", "x1", 0, "u1", u1},
                                            {JOIN, "2", "x2", 0, "u1", u1},
                                            {DROP, "2", 0, 0, 0, 0},
                                            {0}});
    play("presence_update", (act[]){{JOIN, "1", "x1", 0, "u1", u1},
                                    {JOIN, "2", "x2", 0, "u2", u2},
                                    {UPDATE, "1", "x3", "x1", "u1",
                                     "{\"name\":\"u1\",\"online_at\":2,\"status\":\"away\"}"},
                                    {UPDATE, "1", "x4", "x3", "u1", "{\"online_at\":3}"},
                                    {0}});
}

/* Counts without a Redis: the texts of people.c. */
static void test_people(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"joins\":{}}",
        "{\"joins\":[],\"leaves\":{}}",
        "{\"joins\":{\"u\":1},\"leaves\":{}}",
        "{\"joins\":{\"u\":{}},\"leaves\":{}}",
        "{\"joins\":{\"u\":{\"metas\":{}}},\"leaves\":{}}",
        "{\"joins\":{\"u\":{\"metas\":[1]}},\"leaves\":{}}",
        "{\"joins\":{\"u\":{\"metas\":[{}]}},\"leaves\":{}}",
        "{\"joins\":{\"u\":{\"metas\":[{\"x\":1}]}},\"leaves\":{}}",
        "{\"joins\":{\"u\":{\"metas\":[{\"phx_ref\":\"short\"}]}},\"leaves\":{}}",
        "{\"joins\":{\"u\":{\"metas\":[{\"phx_ref\":1234567890123456}]}},\"leaves\":{}",
    };
    plx_people p;
    plx_people_init(&p);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(plx_people_apply(&p, S(bad[i])), PLX_E_INVALID);
    assert_int_equal(plx_people_count(&p), 0);
    assert_int_equal(plx_people_apply(&p, S(DIFF("\"u\":{\"metas\":[" M(R1, "") "," M(R2, "") "]}",
                                                 "\"v\":{\"metas\":[" M(R3, "") "]}"))),
                     0);
    assert_int_equal(
        plx_people_apply(&p, S(DIFF("\"u\":{\"metas\":[" M(R1, ",\"again\":1") "]}", ""))), 0);
    assert_int_equal(plx_people_count(&p), 2);
    plx_buf json;
    plx_buf_init(&json, 0);
    plx_people_json(&p, &json);
    assert_slice(plx_buf_slice(&json),
                 "{\"u\":{\"metas\":[" M(R2, "") "," M(R1, ",\"again\":1") "]}}");
    plx_buf_fini(&json);
    assert_int_equal(
        plx_people_apply(&p, S(DIFF("", "\"u\":{\"metas\":[" M(R1, "") "," M(R2, "") "]}"))), 0);
    assert_int_equal(plx_people_count(&p), 0);
    plx_people_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_people),
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_verbatim),
        cmocka_unit_test(test_recordings),
    };
    return cmocka_run_group_tests(tests, workers_up, workers_down);
}
