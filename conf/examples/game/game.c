/* A room in which everybody is a dot: a channel module for Pollux.
 *
 * A player moves by pushing "move" {"x":..,"y":..}, as often as it likes. Every 100 ms its channel
 * ticks and tells the room where it is, once, however often it moved: "tick" {"name","x","y"}. When
 * a tick finds that it stands still, that place goes into the player's presence, and the ticking
 * stops until it moves again. So whoever joins sees everybody at once: those who stand in
 * presence_state, those who move with their next tick. Who leaves, leaves by presence_diff.
 *
 * "say" {"text":..} is heard by those who are near: handle_out decides that for each listener.
 *
 * Nothing is kept in variables. With long-polling each message may be handled by another process; a
 * channel's assigns, its timers and its presence are what all of them know.
 */
#include <pollux/backend.h>

#include <math.h>
#include <stdio.h>

#define WIDTH      800
#define HEIGHT     500
#define TICK_MS    100
#define EARSHOT    200
#define NAME_BYTES 24  /* bytes of a player's name */
#define TEXT_BYTES 200 /* and of what it says */

typedef struct player {
    char name[NAME_BYTES + 1];
    char quoted[6 * NAME_BYTES + 3]; /* as a JSON string */
    int x, y;
    int moving; /* it ticks */
    int moved;  /* since the last tick */
} player;

static plx_payload json(const char *text)
{
    return (plx_payload){PLX_PAYLOAD_JSON, plx_slice_of(text)};
}

/* ---- a player and its channel's assigns ---- */

static int read_name(const plx_channel *ch, player *p)
{
    plx_slice quoted = plx_object_get(plx_channel_params(ch), "name");

    if (plx_object_text(plx_channel_params(ch), "name", p->name, sizeof p->name) < 1 ||
        quoted.len >= sizeof p->quoted)
        return -1;
    memcpy(p->quoted, quoted.data, quoted.len);
    p->quoted[quoted.len] = '\0';
    return 0;
}

static int member(const plx_channel *ch, const char *name)
{
    double value = 0;

    plx_object_number(plx_channel_assigns(ch), name, &value);
    return (int)value;
}

static void load(const plx_channel *ch, player *p)
{
    read_name(ch, p);
    p->x = member(ch, "x");
    p->y = member(ch, "y");
    p->moving = member(ch, "moving");
    p->moved = member(ch, "moved");
}

static void save(plx_channel *ch, const player *p)
{
    char text[128];

    snprintf(text, sizeof text, "{\"x\":%d,\"y\":%d,\"moving\":%d,\"moved\":%d}", p->x, p->y,
             p->moving, p->moved);
    plx_channel_assign(ch, plx_slice_of(text));
}

/* The nearest place inside. */
static int within(double value, int limit)
{
    return value < 0 ? 0 : value > limit ? limit : (int)lround(value);
}

/* Takes x and y from a payload; -1: they are not there. */
static int place(player *p, plx_payload payload)
{
    double x, y;

    if (payload.kind != PLX_PAYLOAD_JSON || plx_object_number(payload.bytes, "x", &x) != 0 ||
        plx_object_number(payload.bytes, "y", &y) != 0)
        return -1;
    p->x = within(x, WIDTH);
    p->y = within(y, HEIGHT);
    return 0;
}

/* Where a player begins: by its name, so that a test knows it, too. */
static void place_by_name(player *p)
{
    unsigned sum = 5381;

    for (const char *c = p->name; *c; c++)
        sum = sum * 33 + (unsigned char)*c;
    p->x = 50 + (int)(sum % (WIDTH - 100));
    p->y = 50 + (int)(sum / 7 % (HEIGHT - 100));
}

static const char *spot(const player *p, char out[64])
{
    snprintf(out, 64, "{\"x\":%d,\"y\":%d}", p->x, p->y);
    return out;
}

/* ---- the channel ---- */

/* The payload may say where it stood before, for a player who comes back. */
static void join(void *state, plx_channel *ch, plx_call *call, plx_payload payload)
{
    player p = {.moving = 0};
    char text[512], meta[64];

    (void)state;
    if (read_name(ch, &p) != 0) {
        plx_call_error(call,
                       PLX_JSON_PAYLOAD("{\"reason\":\"a name of 1 to 24 bytes is needed\"}"));
        return;
    }
    if (place(&p, payload) != 0)
        place_by_name(&p);
    save(ch, &p);
    plx_channel_track(ch, call, plx_slice_of(p.name), plx_slice_of(spot(&p, meta)));
    snprintf(text, sizeof text,
             "{\"width\":%d,\"height\":%d,\"tick_ms\":%d,\"earshot\":%d,"
             "\"you\":{\"name\":%s,\"x\":%d,\"y\":%d}}",
             WIDTH, HEIGHT, TICK_MS, EARSHOT, p.quoted, p.x, p.y);
    plx_call_ok(call, json(text));
}

static void move(plx_channel *ch, plx_call *call, plx_payload payload)
{
    player p;
    char text[64];

    load(ch, &p);
    if (place(&p, payload) != 0) {
        plx_call_error(call, PLX_JSON_PAYLOAD("{\"reason\":\"x and y must be numbers\"}"));
        return;
    }
    if (!p.moving)
        plx_channel_send_after(ch, call, plx_slice_of("tick"), TICK_MS, json("{}"));
    p.moving = p.moved = 1;
    save(ch, &p);
    plx_call_ok(call, json(spot(&p, text)));
}

/* What is said carries the speaker's place: each listener's handle_out looks at it. */
static void say(plx_channel *ch, plx_call *call, plx_payload payload)
{
    plx_slice quoted = plx_object_get(payload.bytes, "text");
    char text[8 * TEXT_BYTES], plain[TEXT_BYTES + 1];
    player p;

    load(ch, &p);
    if (plx_object_text(payload.bytes, "text", plain, sizeof plain) < 1 ||
        quoted.len > 6 * TEXT_BYTES) {
        plx_call_error(call,
                       PLX_JSON_PAYLOAD("{\"reason\":\"a text of 1 to 200 bytes is needed\"}"));
        return;
    }
    snprintf(text, sizeof text, "{\"name\":%s,\"x\":%d,\"y\":%d,\"text\":%.*s}", p.quoted, p.x, p.y,
             (int)quoted.len, quoted.data);
    plx_channel_broadcast(ch, call, plx_slice_of("say"), json(text));
    plx_call_ok(call, PLX_JSON_PAYLOAD("{}"));
}

static void handle_in(void *state, plx_channel *ch, plx_call *call, plx_slice event,
                      plx_payload payload)
{
    (void)state;
    if (plx_slice_is(event, "move"))
        move(ch, call, payload);
    else if (plx_slice_is(event, "say"))
        say(ch, call, payload);
    else
        plx_call_error(call, PLX_JSON_PAYLOAD("{\"reason\":\"unknown event\"}"));
}

static void tick(plx_channel *ch, plx_call *call)
{
    player p;
    char text[256];

    load(ch, &p);
    if (p.moved) {
        snprintf(text, sizeof text, "{\"name\":%s,\"x\":%d,\"y\":%d}", p.quoted, p.x, p.y);
        plx_channel_broadcast(ch, call, plx_slice_of("tick"), json(text));
        plx_channel_send_after(ch, call, plx_slice_of("tick"), TICK_MS, json("{}"));
    } else {
        plx_channel_update(ch, call, plx_slice_of(p.name), plx_slice_of(spot(&p, text)));
        p.moving = 0;
    }
    p.moved = 0;
    save(ch, &p);
    plx_call_noreply(call);
}

static void handle_info(void *state, plx_channel *ch, plx_call *call, plx_slice name,
                        plx_payload message)
{
    (void)state;
    (void)message;
    if (plx_slice_is(name, "tick"))
        tick(ch, call);
    else
        plx_call_noreply(call);
}

static void handle_out(void *state, const plx_channel *ch, plx_delivery *delivery, plx_slice event,
                       plx_payload payload)
{
    double x = 0, y = 0;
    player p;

    (void)state;
    (void)event;
    load(ch, &p);
    plx_object_number(payload.bytes, "x", &x);
    plx_object_number(payload.bytes, "y", &y);
    if (hypot(x - p.x, y - p.y) <= EARSHOT)
        plx_delivery_pass(delivery);
}

static const char *const intercept[] = {"say", NULL};

static const plx_backend game = {.abi = PLX_BACKEND_ABI,
                                 .name = "game",
                                 .join = join,
                                 .handle_in = handle_in,
                                 .handle_info = handle_info,
                                 .intercept = intercept,
                                 .handle_out = handle_out};

const plx_backend *pollux_backend(void)
{
    return &game;
}
