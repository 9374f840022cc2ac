/* An operation of the server API and its answer. */
#ifndef PLX_TESTS_ADMIN_WORLD_H
#define PLX_TESTS_ADMIN_WORLD_H

#include "base/clock.h"
#include "base/json_scan.h"
#include "channel/admin.h"
#include "tests/unit/fake_store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static unsigned answers, last_status;
static char last_json[65536];

static void take_answer(void *arg, unsigned status, plx_slice json)
{
    assert_ptr_equal(arg, &answers);
    answers++;
    last_status = status;
    assert_true(json.len < sizeof last_json);
    memcpy(last_json, json.data, json.len);
    last_json[json.len] = '\0';
}

static int setup(void **state)
{
    static char *keys[] = {(char *)"first-key", (char *)"second-key"};
    static plx_channel_config one[] = {
        {.pattern = (char *)"room:*"},
        {.pattern = (char *)"hist:*", .has_history = true, .history_size = 50, .history_ttl_s = 9}};
    static plx_channel_config two[] = {{.pattern = (char *)"room:long:*",
                                        .has_history = true,
                                        .history_size = 20,
                                        .history_ttl_s = 60},
                                       {.pattern = (char *)"hist:*",
                                        .has_history = true,
                                        .history_size = 20,
                                        .history_ttl_s = 60}};
    static plx_socket_config sockets[] = {{.channels = one, .channel_count = 2},
                                          {.channels = two, .channel_count = 2}};

    (void)state;
    fake_config.sockets = sockets;
    fake_config.socket_count = 2;
    fake_config.max_body_bytes = 2000;
    fake_config.api.keys = (plx_strings){keys, 2};
    fake_up = true;
    fake_watch = NULL;
    fake_reset();
    answers = 0;
    last_status = 0;
    last_json[0] = '\0';
    return 0;
}

#endif
