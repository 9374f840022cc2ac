/* pollux publish TOPIC EVENT JSON [--key K], pollux publish - */
#include "base/error.h"
#include "base/json_scan.h"
#include "channel/cli/cli.h"
#include "channel/cli/operation.h"
#include <getopt.h>
#include <stdio.h>

/* What is read from standard input; the configuration's own bound applies afterwards. */
#define STDIN_MAX (64u << 20)

static int help(void)
{
    puts("Usage: pollux publish TOPIC EVENT JSON [--key KEY] [--config FILE]\n"
         "       pollux publish - [--config FILE]\n"
         "\n"
         "Broadcasts an event to everybody on the topic and prints its position in the topic's\n"
         "log: {\"position\":\"EPOCH:OFFSET\"}\n"
         "\n"
         "  JSON         the payload, any JSON value; - reads it from standard input\n"
         "  --key KEY    publishing again with the same key within 5 minutes publishes nothing\n"
         "               and prints the first position\n"
         "\n"
         "With - alone it publishes what standard input holds: an object {\"topic\",\"event\",\n"
         "\"payload\" or \"payload_base64\",\"key\"?}, an array of them, or one on each line, up "
         "to\n"
         "1000; and prints what became of each. Exit status 1 when one of them was refused.\n"
         "\n"
         "Put -- before a TOPIC, EVENT or JSON that begins with a minus sign.\n"
         "Exit status: 0 published, 1 refused or Redis not reachable, 2 wrong command line.");
    return PLX_CLI_OK;
}

static int read_stdin(plx_buf *out)
{
    char *room;
    size_t n;

    do {
        room = plx_buf_reserve(out, 65536);
        if (!room)
            return plx_cli_usage_error("publish", "standard input has more than %u bytes",
                                       STDIN_MAX);
        n = fread(room, 1, 65536, stdin);
        plx_buf_commit(out, n);
    } while (n > 0);
    if (!ferror(stdin))
        return 0;
    perror("pollux publish: standard input");
    return PLX_CLI_REFUSED;
}

/* Puts the payload into the body as it is written. It is checked here, because a text such as
 * `1,"key":"x"` would otherwise become members of the body. */
static int add_payload(json_object *body, const char *argument)
{
    plx_buf input;
    plx_slice json = plx_slice_of(argument);
    int status = 0;

    plx_buf_init(&input, STDIN_MAX);
    if (strcmp(argument, "-") == 0) {
        status = read_stdin(&input);
        json = plx_buf_slice(&input);
    }
    if (status == 0 && plx_json_check(json, NULL) != 0)
        status = plx_cli_usage_error("publish", "the payload is no valid JSON%s",
                                     json.len == 0 ? ": it is empty"
                                                   : " (a text needs its quotes:"
                                                     " '\"hello\"')");
    if (status == 0)
        plx_json_put(body, "payload", plx_json_new_verbatim(json));
    plx_buf_fini(&input);
    return status;
}

static int publish(char **words, const char *key, const char *config_path)
{
    json_object *body = plx_json_new_object();
    int status;

    status = plx_cli_add_string("publish", body, "topic", words[0]);
    if (status == 0)
        status = plx_cli_add_string("publish", body, "event", words[1]);
    if (status == 0 && key)
        status = plx_cli_add_string("publish", body, "key", key);
    if (status == 0)
        status = add_payload(body, words[2]);
    if (status == 0)
        status = plx_cli_operation("publish", config_path, body, plx_admin_publish);
    json_object_put(body);
    return status;
}

/* One publication on each line: the lines of an array. */
static int join_lines(plx_slice text, plx_buf *array)
{
    plx_slice line;

    plx_buf_byte(array, '[');
    for (unsigned n = 1; plx_slice_split(&text, '\n', &line); n++) {
        plx_json_value value;
        bool empty = true;
        for (size_t i = 0; i < line.len; i++)
            empty = empty && strchr(" \t\r", line.data[i]);
        if (empty)
            continue;
        if (plx_json_check(line, &value) != 0 || value.type != PLX_JSON_OBJECT)
            return plx_cli_usage_error("publish", "line %u is no JSON object", n);
        plx_buf_str(array, array->len > 1 ? "," : "");
        plx_buf_add(array, value.text);
    }
    plx_buf_byte(array, ']');
    return 0;
}

static int publish_stdin(const char *config_path)
{
    plx_buf input, array;
    int status;

    plx_buf_init(&input, STDIN_MAX);
    plx_buf_init(&array, 0);
    status = read_stdin(&input);
    if (status == 0 && plx_json_check(plx_buf_slice(&input), NULL) == 0)
        plx_buf_add(&array, plx_buf_slice(&input));
    else if (status == 0)
        status = join_lines(plx_buf_slice(&input), &array);
    if (status == 0) {
        json_object *body = plx_json_new_verbatim(plx_buf_slice(&array));
        status = plx_cli_operation("publish", config_path, body, plx_admin_publish);
        json_object_put(body);
    }
    plx_buf_fini(&array);
    plx_buf_fini(&input);
    return status;
}

int plx_cli_publish(int argc, char **argv, const char *config_path)
{
    static const struct option options[] = {
        {"key", required_argument, NULL, 'k'}, {"help", no_argument, NULL, 'h'}, {0}};
    const char *key = NULL;
    int c;

    opterr = 0;
    while ((c = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (c == 'h')
            return help();
        if (c == ':')
            return plx_cli_usage_error("publish", "%s needs a value", argv[optind - 1]);
        if (c != 'k')
            return plx_cli_usage_error("publish", "unknown option \"%s\"", argv[optind - 1]);
        key = optarg;
    }
    if (argc - optind == 1 && strcmp(argv[optind], "-") == 0 && !key)
        return publish_stdin(config_path);
    if (argc - optind != 3)
        return plx_cli_usage_error("publish", "expected TOPIC EVENT JSON");
    return publish(argv + optind, key, config_path);
}
