/* The scripts' texts are C strings made by the build out of store/lua/<name>.lua. Those of a kind
 * share helper functions, which go before each of them.
 */
#include "store/script.h"
#include "base/buf.h"
#include "base/crypto.h"

#include <stdio.h>

#pragma GCC diagnostic ignored "-Woverlength-strings"
#include "store/lua.inc"

#define SHA_HEX 40
#define PARTS   3

static struct {
    const char *parts[PARTS];
    char sha[SHA_HEX + 1];
} scripts[PLX_SCRIPT_COUNT] = {
    [PLX_SCRIPT_PUBLISH] = {{plx_lua_topic, plx_lua_publish}, ""},
    [PLX_SCRIPT_POSITION] = {{plx_lua_topic, plx_lua_position}, ""},
    [PLX_SCRIPT_SINCE] = {{plx_lua_topic, plx_lua_since}, ""},
    [PLX_SCRIPT_HISTORY] = {{plx_lua_topic, plx_lua_history}, ""},
    [PLX_SCRIPT_LATEST] = {{plx_lua_topic, plx_lua_latest}, ""},
    [PLX_SCRIPT_READ] = {{plx_lua_topic, plx_lua_read}, ""},
    [PLX_SCRIPT_REWIND] = {{plx_lua_topic, plx_lua_rewind}, ""},
    [PLX_SCRIPT_CREATE] = {{plx_lua_session, plx_lua_create}, ""},
    [PLX_SCRIPT_POLL] = {{plx_lua_session, plx_lua_poll}, ""},
    [PLX_SCRIPT_LOOK] = {{plx_lua_session, plx_lua_look}, ""},
    [PLX_SCRIPT_RECALL] = {{plx_lua_session, plx_lua_recall}, ""},
    [PLX_SCRIPT_POST] = {{plx_lua_session, plx_lua_post}, ""},
    [PLX_SCRIPT_TAKE] = {{plx_lua_session, plx_lua_take}, ""},
    [PLX_SCRIPT_COMMIT] = {{plx_lua_session, plx_lua_commit}, ""},
    [PLX_SCRIPT_RENEW] = {{plx_lua_session, plx_lua_renew}, ""},
    [PLX_SCRIPT_END] = {{plx_lua_session, plx_lua_end}, ""},
    [PLX_SCRIPT_EXPIRE] = {{plx_lua_session, plx_lua_expire}, ""},
    [PLX_SCRIPT_DROP] = {{plx_lua_session, plx_lua_drop}, ""},
    [PLX_SCRIPT_FIRE] = {{plx_lua_session, plx_lua_fire}, ""},
    [PLX_SCRIPT_DUE] = {{plx_lua_list, plx_lua_due}, ""},
    [PLX_SCRIPT_TIMERS_LIST] = {{plx_lua_list, plx_lua_timers_list}, ""},
    [PLX_SCRIPT_TIMERS_DUE] = {{plx_lua_list, plx_lua_timers_due}, ""},
    [PLX_SCRIPT_TIMERS_NEXT] = {{plx_lua_list, plx_lua_timers_next}, ""},
    [PLX_SCRIPT_LISTED] = {{plx_lua_list, plx_lua_listed}, ""},
    [PLX_SCRIPT_ANSWERING] = {{plx_lua_answering}, ""},
    [PLX_SCRIPT_PRESENCE_CHANGE] = {{plx_lua_topic, plx_lua_presence, plx_lua_presence_change}, ""},
    [PLX_SCRIPT_PRESENCE_FLUSH] = {{plx_lua_topic, plx_lua_presence, plx_lua_presence_flush}, ""},
    [PLX_SCRIPT_PRESENCE_STATE] = {{plx_lua_topic, plx_lua_presence, plx_lua_presence_state}, ""},
    [PLX_SCRIPT_PRESENCE_DROP] = {{plx_lua_topic, plx_lua_presence, plx_lua_presence_drop}, ""},
    [PLX_SCRIPT_OWNER_BEAT] = {{plx_lua_owner_beat}, ""},
    [PLX_SCRIPT_OWNER_CLAIM] = {{plx_lua_owner_claim}, ""},
    [PLX_SCRIPT_OWNER_LEFT] = {{plx_lua_owner_left}, ""},
    [PLX_SCRIPT_TALLY] = {{plx_lua_tally}, ""},
};

static void full_text(enum plx_script script, plx_buf *out)
{
    plx_buf_init(out, 0);
    for (size_t i = 0; i < PARTS && scripts[script].parts[i]; i++)
        plx_buf_str(out, scripts[script].parts[i]);
}

static const char *sha_of(enum plx_script script)
{
    char *sha = scripts[script].sha;
    if (sha[0] == '\0') {
        plx_buf text;
        uint8_t digest[20];
        full_text(script, &text);
        plx_sha1(plx_buf_slice(&text), digest);
        plx_buf_fini(&text);
        for (size_t i = 0; i < sizeof digest; i++)
            snprintf(sha + 2 * i, 3, "%02x", digest[i]);
    }
    return sha;
}

void plx_script_greet(plx_store *s)
{
    for (unsigned i = 0; i < PLX_SCRIPT_COUNT; i++) {
        plx_command load;
        plx_buf text;
        plx_command_init(&load, "SCRIPT");
        plx_command_str(&load, "LOAD");
        full_text((enum plx_script)i, &text);
        plx_command_add(&load, plx_buf_slice(&text));
        plx_buf_fini(&text);
        plx_conn_greet(s->conn, &load);
    }
}

void plx_script_begin(plx_command *c, enum plx_script script, size_t keys)
{
    plx_command_init(c, "EVALSHA");
    plx_command_str(c, sha_of(script));
    plx_command_u64(c, keys);
}

void plx_script_key(plx_command *c, const plx_store *s, char kind, plx_slice name,
                    const char *suffix)
{
    plx_command_key(c, plx_store_prefix(s), kind, name, suffix);
}

void plx_script_send(plx_store *s, plx_command *c, plx_answer_fn *answer, plx_done done)
{
    plx_conn_send(s->conn, c, PLX_SEND_SCRIPT, answer, done);
}
