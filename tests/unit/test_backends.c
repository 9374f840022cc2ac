/* Opening backends: what a module can have wrong, and routing to the right entry. */
#include "base/error.h"
#include "channel/backends.h"

#include <libgen.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char module_dir[PATH_MAX];
static char temp_dir[] = "/tmp/pollux-test-backends-XXXXXX";

/* The modules lie beside this program: build/VARIANT/{unit,modules}. */
static int find_modules(void **state)
{
    char self[PATH_MAX] = "";

    (void)state;
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        return -1;
    if (getenv("PLX_TEST_MODULES"))
        snprintf(module_dir, sizeof module_dir, "%s", getenv("PLX_TEST_MODULES"));
    else
        snprintf(module_dir, sizeof module_dir, "%.4000s/modules", dirname(dirname(self)));
    return mkdtemp(temp_dir) ? 0 : -1;
}

static int remove_temp(void **state)
{
    (void)state;
    return rmdir(temp_dir);
}

static char *module_path(const char *name)
{
    static char path[PATH_MAX];

    snprintf(path, sizeof path, "%.4000s/%.80s.so", module_dir, name);
    return path;
}

/* A configuration with one socket section. */
typedef struct fixture {
    plx_channel_config channels[4];
    plx_socket_config socket;
    plx_config config;
} fixture;

static void fixture_init(fixture *f, size_t count)
{
    memset(f, 0, sizeof *f);
    f->config.file = (char *)"pollux.conf";
    f->config.sockets = &f->socket;
    f->config.socket_count = 1;
    f->socket.path = (char *)"/socket";
    f->socket.channels = f->channels;
    f->socket.channel_count = count;
    for (size_t i = 0; i < count; i++)
        f->channels[i].line = (unsigned)i + 7;
}

static void fixture_module(fixture *f, size_t i, const char *pattern, const char *path,
                           const char *settings)
{
    f->channels[i].pattern = (char *)pattern;
    f->channels[i].backend = (char *)"module";
    f->channels[i].path = (char *)path;
    f->channels[i].settings = (char *)settings;
}

/* Opening a module from `path` fails with a line that begins like every problem and holds `part`.
 */
static void assert_problem(const char *path, const char *settings, const char *part)
{
    fixture f;
    plx_channels *channels = NULL;
    plx_buf problem;

    plx_buf_init(&problem, 0);
    fixture_init(&f, 1);
    fixture_module(&f, 0, "shop:*", path, settings);
    assert_int_equal(plx_channels_open(&f.config, &channels, &problem), PLX_E_INVALID);
    assert_null(channels);
    if (strncmp(plx_buf_cstr(&problem), "pollux.conf:7: channel \"shop:*\": ", 33) != 0 ||
        !strstr(problem.data, part) || problem.data[problem.len - 1] != '\n')
        fail_msg("problem is: %s", plx_buf_cstr(&problem));
    plx_buf_fini(&problem);
}

static void test_module_faults(void **state)
{
    char text[PATH_MAX];
    FILE *f;

    (void)state;
    assert_problem(module_path("no_such_module"), NULL, "No such file");
    assert_problem("/", NULL, "can't be loaded");
    assert_problem("recorded.so", NULL, "slash");
    assert_problem(NULL, NULL, "slash");
    assert_problem(module_path("fault_no_symbol"), NULL, "no function pollux_backend");
    assert_problem(module_path("fault_unresolved"), NULL, "nobody_has_this");
    assert_problem(module_path("fault_abi"), NULL, "made for version 3 of the interface");
    assert_problem(module_path("fault_old"), NULL,
                   "made for version 1 of the interface, this is version 2: compile it");
    assert_problem(module_path("fault_intercept"), NULL, "no handle_out");
    assert_problem(module_path("fault_null"), NULL, "returned NULL");
    assert_problem(module_path("picky"), "no", "refuses to start: I do not like these settings");
    assert_problem(module_path("picky"), "silent", "refuses to start: it gives no reason");
    snprintf(text, sizeof text, "%s/text.so", temp_dir);
    f = fopen(text, "w");
    assert_non_null(f);
    fputs("not a shared object", f);
    fclose(f);
    assert_problem(text, NULL, "can't be loaded");
    unlink(text);
}

static void test_unknown_backend(void **state)
{
    fixture f;
    plx_channels *channels = NULL;
    plx_buf problem;

    (void)state;
    plx_buf_init(&problem, 0);
    fixture_init(&f, 1);
    f.channels[0].pattern = (char *)"a:*";
    f.channels[0].backend = (char *)"telepathy";
    assert_int_equal(plx_channels_open(&f.config, &channels, &problem), PLX_E_INVALID);
    assert_string_equal(plx_buf_cstr(&problem),
                        "pollux.conf:7: channel \"a:*\": unknown backend: telepathy\n");
    plx_buf_fini(&problem);
}

static void assert_file(const char *path, const char *content)
{
    char got[256] = "";
    FILE *f = fopen(path, "r");

    assert_non_null(f);
    assert_true(fread(got, 1, sizeof got - 1, f) < sizeof got);
    fclose(f);
    assert_string_equal(got, content);
}

/* One module for several channel sections is opened for each, and closed for each. What was opened
 * before a failure is closed. */
static void test_open_and_close(void **state)
{
    char notes[PATH_MAX], path[PATH_MAX];
    fixture f;
    plx_channels *channels = NULL;
    plx_buf problem;

    (void)state;
    snprintf(notes, sizeof notes, "%s/notes", temp_dir);
    snprintf(path, sizeof path, "%s", module_path("picky"));
    plx_buf_init(&problem, 0);
    fixture_init(&f, 2);
    fixture_module(&f, 0, "a:*", path, notes);
    fixture_module(&f, 1, "b:*", path, notes);
    assert_int_equal(plx_channels_open(&f.config, &channels, &problem), 0);
    assert_int_equal(problem.len, 0);
    assert_string_equal(channels[0].entries[1].backend->name, "picky");
    assert_string_equal(channels[0].entries[1].state, notes);
    plx_channels_close(channels, 1);
    assert_file(notes, "a:*b:*closedclosed");
    f.channels[1].settings = (char *)"no";
    assert_int_equal(plx_channels_open(&f.config, &channels, &problem), PLX_E_INVALID);
    assert_file(notes, "a:*b:*closedcloseda:*closed");
    unlink(notes);
    plx_buf_fini(&problem);
}

/* Opening a socket's module fails with a line that says where, and holds `part`. */
static void assert_socket_problem(const char *path, const char *settings, const char *part)
{
    fixture f;
    plx_channels *channels = NULL;
    plx_buf problem;

    setenv("DOORKEEPER", settings ? settings : "", 1);
    plx_buf_init(&problem, 0);
    fixture_init(&f, 0);
    f.socket.line = 3;
    f.socket.module = (char *)path;
    f.socket.module_settings = (char *)settings;
    assert_int_equal(plx_channels_open(&f.config, &channels, &problem), PLX_E_INVALID);
    assert_null(channels);
    if (strncmp(plx_buf_cstr(&problem), "pollux.conf:3: socket \"/socket\": ", 33) != 0 ||
        !strstr(problem.data, part) || problem.data[problem.len - 1] != '\n')
        fail_msg("problem is: %s", plx_buf_cstr(&problem));
    plx_buf_fini(&problem);
}

static void test_socket_modules(void **state)
{
    char notes[PATH_MAX];
    fixture f;
    plx_channels *channels = NULL;
    plx_buf problem;

    (void)state;
    assert_socket_problem(module_path("no_such_module"), NULL, "No such file");
    assert_socket_problem(module_path("picky"), NULL, "no function pollux_socket");
    assert_socket_problem(module_path("fault_null"), NULL, "no function pollux_socket");
    assert_socket_problem(module_path("doorkeeper"), "null", "returned NULL");
    assert_socket_problem(module_path("doorkeeper"), "old",
                          "made for version 1 of the interface, this is version 2");
    assert_socket_problem(module_path("doorkeeper"), "deaf", "a module without connect");
    assert_socket_problem(module_path("doorkeeper"), "no", "refuses to start: not at night");
    assert_socket_problem(module_path("doorkeeper"), "silent", "it gives no reason");
    snprintf(notes, sizeof notes, "%s/notes", temp_dir);
    plx_buf_init(&problem, 0);
    fixture_init(&f, 0);
    f.socket.module = module_path("doorkeeper");
    f.socket.module_settings = notes;
    setenv("DOORKEEPER", notes, 1);
    assert_int_equal(plx_channels_open(&f.config, &channels, &problem), 0);
    assert_string_equal(channels[0].admitter.module->name, "doorkeeper");
    plx_channels_close(channels, 1);
    assert_file(notes, "/socket closed");
    unlink(notes);
    plx_buf_fini(&problem);
}

static void test_route(void **state)
{
    static const char *const patterns[] = {"room:*", "room:lobby", "room:l*", "*"};
    fixture f;
    plx_channels *channels = NULL;
    plx_buf problem;

    (void)state;
    plx_buf_init(&problem, 0);
    fixture_init(&f, 4);
    for (size_t i = 0; i < 4; i++) {
        f.channels[i].pattern = (char *)patterns[i];
        f.channels[i].backend = (char *)(i % 2 ? "echo" : "relay");
    }
    assert_int_equal(plx_channels_open(&f.config, &channels, &problem), 0);
    assert_ptr_equal(plx_channels_route(channels, plx_slice_of("room:a")), &channels->entries[0]);
    assert_ptr_equal(plx_channels_route(channels, plx_slice_of("room:lobby")),
                     &channels->entries[1]);
    assert_ptr_equal(plx_channels_route(channels, plx_slice_of("room:lo")), &channels->entries[2]);
    assert_ptr_equal(plx_channels_route(channels, plx_slice_of("x")), &channels->entries[3]);
    assert_null(plx_channels_route(channels, plx_slice_of("")));
    assert_ptr_equal(channels->entries[0].backend, &plx_relay_backend);
    assert_ptr_equal(channels->entries[1].backend, &plx_echo_backend);
    plx_channels_close(channels, 1);
    plx_buf_fini(&problem);
}

static void test_no_sections(void **state)
{
    plx_config config = {.file = (char *)"pollux.conf"};
    plx_channels *channels = NULL;
    plx_buf problem;

    (void)state;
    plx_buf_init(&problem, 0);
    assert_int_equal(plx_channels_open(&config, &channels, &problem), 0);
    plx_channels_close(channels, 0);
    plx_channels_close(NULL, 0);
    plx_buf_fini(&problem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_module_faults),  cmocka_unit_test(test_unknown_backend),
        cmocka_unit_test(test_open_and_close), cmocka_unit_test(test_route),
        cmocka_unit_test(test_no_sections),    cmocka_unit_test(test_socket_modules),
    };

    return cmocka_run_group_tests(tests, find_modules, remove_temp);
}
