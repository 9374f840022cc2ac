/* What the files of the test kit share.
 *
 * The kit stands where the store and the transports are in a server: world.c and
 * people.c answer what the core asks of Redis (topics' logs, presence), socket.c is
 * the transport under the core, longpoll.c what is different for sessions that
 * are built anew for each message, clock.c the event loop's timers, open.c the
 * configuration. expect.c and match.c are the assertions.
 *
 * What is asked of the store lies in a queue, as commands do in a connection, and takes effect when
 * it is taken out of it. plx_kit_settle does that, delivers what is in the logs and publishes
 * presence, until nothing is left to do.
 */
#ifndef PLX_TESTS_KIT_KIT_H
#define PLX_TESTS_KIT_KIT_H

#include "base/alloc.h"
#include "base/buf.h"
#include "base/list.h"
#include "channel/intercept.h"
#include "channel/timers.h"
#include "store/presence.h"
#include "store/topic.h"
#include "tests/kit/test.h"

#define KIT_WORKERS      2
#define KIT_CHANNELS_MAX 32
#define KIT_ANY_SLOT     UINT32_MAX

/* A worker: its handle to the store is itself. */
struct plx_store {
    plx_test *test;
    unsigned number;
    plx_channels channels;
    plx_channel_entry entries[KIT_CHANNELS_MAX];
    const plx_backend *originals[KIT_CHANNELS_MAX];
    plx_backend backends[KIT_CHANNELS_MAX]; /* the same, but terminate is noted */
    /* What the core's own loader opened, each as a section with one channel; or NULL. */
    plx_channels *loaded[KIT_CHANNELS_MAX];
    plx_socket_config sections[KIT_CHANNELS_MAX];
};

/* An entry of a topic's presence. */
typedef struct kit_person {
    plx_list node; /* in topic->people, oldest first */
    char *ref, *owner, *socket, *key, *meta;
    char *prev;              /* the published ref that it replaces, or empty */
    bool published, leaving; /* what the next diff is to say */
} kit_person;

typedef struct kit_topic {
    plx_list node; /* in test->topics */
    char *name;
    uint64_t offset;
    plx_event **log; /* the event of offset n is log[n - 1] */
    size_t capacity;
    plx_list people;
    bool changed; /* a diff is due */
} kit_topic;

/* A publication of a long-polling client: it is made once, however often it is asked for. */
typedef struct kit_made {
    plx_list node; /* in test->made */
    char *producer;
    uint64_t entry, offset;
    uint32_t index;
} kit_made;

/* Something asked of the store. */
typedef struct kit_request {
    plx_list node;
    void (*answer)(plx_test *t, struct kit_request *r); /* carries it out; r is freed afterwards */
    char *topic, *event, *payload, *from, *producer;
    size_t payload_len;
    uint64_t entry;
    uint32_t index;
    char *ref, *prev, *owner, *socket, *key, *meta;
    enum plx_kind kind;
    uint64_t size; /* of the history */
    plx_position since;
    union {
        plx_publish_cb *published;
        plx_position_cb *positioned;
        plx_since_cb *judged;
        plx_latest_cb *latest;
        plx_track_cb *tracked;
        plx_presence_cb *done;
        plx_presence_state_cb *listed;
    } cb;
    void *arg;
} kit_request;

/* What a client was sent, or what was broadcast. */
typedef struct kit_letter {
    plx_list node;
    enum plx_out_kind kind;
    char *topic, *event, *status;
    char *text; /* NUL-terminated; of len bytes */
    size_t len;
    bool binary;
    unsigned ref;
} kit_letter;

/* A membership's place in its topic's log. It outlives the core's membership of a long-polling
 * client, whose state it keeps then. */
typedef struct kit_delivery {
    plx_list node; /* in socket->deliveries */
    plx_test_socket *socket;
    kit_topic *topic;
    plx_membership *m; /* NULL: not built now */
    bool open;         /* the reply that opens it is out */
    bool crashed;      /* its handle_out said so */
    uint64_t after, diffs_after;
    plx_position start;
    bool goes_back;
    uint32_t slot;
    plx_diffs diffs; /* long-poll; a WebSocket's are the membership's own */
    char awaited[PLX_PHX_REF_LEN + 1];
    char *state; /* long-poll: as plx_membership_pack wrote it */
    size_t state_len;
    char *assigns; /* the same for people */
    struct {
        uint64_t after;
        plx_diffs diffs;
        bool open;
    } before; /* a rehearsal */
} kit_delivery;

typedef struct kit_end {
    plx_list node;
    char *topic;
    enum plx_end_reason reason;
} kit_end;

/* A message that a client sent, or that a timer brought, and that has not been handled yet. */
typedef struct kit_sent {
    plx_list node;
    uint32_t info; /* not 0: for handle_info of this slot (any: by its topic); event is its name */
    char *topic, *event, *payload;
    size_t payload_len;
    bool binary;
    unsigned ref;
} kit_sent;

struct plx_test_socket {
    plx_list node; /* in test->sockets */
    plx_test *test;
    plx_store *worker; /* that has it now, or had it last */
    plx_socket *core;  /* NULL: closed, or at rest (long-poll) */
    bool longpoll, closed;
    bool dissolving; /* what closes now only leaves the worker */
    char *name, *session, *id, *params, *claims;
    unsigned ref;
    uint64_t entry;
    uint32_t slots;
    bool dies, rehearses, repeats; /* see repeat.c */
    uint32_t slots_before;
    unsigned letters_before;
    plx_list sent, deliveries, mailbox, ends;
};

struct plx_test {
    plx_config config;
    plx_socket_config section;
    plx_channel_config channels[KIT_CHANNELS_MAX];
    plx_store workers[KIT_WORKERS];
    plx_list topics, sockets, requests, broadcasts, read, timers, made;
    unsigned names;
    unsigned turn; /* the worker of the next long-polling message */
    uint64_t now_ms;
    plx_buf refusal;
};

/* ---- world.c ---- */
kit_topic *plx_kit_topic(plx_test *t, plx_slice name);
/* Appends to a topic's log. */
plx_event *plx_kit_append(plx_test *t, kit_topic *topic, enum plx_kind kind, plx_slice event,
                          plx_slice payload, plx_slice from);
kit_request *plx_kit_ask(plx_test *t, void (*answer)(plx_test *t, kit_request *r), void *arg);
/* Until there is nothing to do. */
void plx_kit_settle(plx_test *t);
/* Counts what is done in one go; something that answers itself for ever ends here. */
void plx_kit_count(unsigned *steps);
void plx_kit_topic_free(kit_topic *topic);
/* The offset that a repeated publication has already, or 0. */
uint64_t plx_kit_made(const plx_test *t, const kit_request *r);
void plx_kit_note_made(plx_test *t, const kit_request *r, uint64_t offset);
void plx_kit_made_free(plx_test *t);

/* ---- people.c ---- */
/* Publishes the changes of one topic; false: there are none anywhere. */
bool plx_kit_people_publish(plx_test *t);
/* A message was repeated: whom its first worker tracked and none of the socket's memberships holds
 * is gone (see transport/lp_again). */
void plx_kit_people_left(plx_test_socket *s);
/* {KEY:{"metas":[...]}} of who is published. */
void plx_kit_people_json(const kit_topic *topic, plx_buf *out);
void plx_kit_person_free(kit_person *p);

/* ---- socket.c ---- */
extern const plx_socket_ops plx_kit_websocket, plx_kit_longpoll;
/* The core's socket of a client, in its worker. */
plx_socket *plx_kit_socket_core(plx_test_socket *s);
kit_delivery *plx_kit_delivery_of(plx_test_socket *s, const plx_membership *m);
void plx_kit_delivery_free(kit_delivery *d);
/* Delivers the next event of any topic; false: all have everything. */
bool plx_kit_socket_deliver(plx_test_socket *s);
/* A membership waits for a state that does not come any more by itself: any will do. */
bool plx_kit_socket_impatient(plx_test_socket *s);
/* Handles the oldest message that was sent; false: there is none. keep: it will come again. */
bool plx_kit_socket_handle_next(plx_test_socket *s, bool keep);
void plx_kit_socket_free(plx_test_socket *s);

/* ---- longpoll.c ---- */
/* Takes the next message of a client that is at rest, or writes back what came of one. */
bool plx_kit_longpoll_work(plx_test_socket *s);
/* Builds the session's socket in the next worker. */
void plx_kit_longpoll_build(plx_test_socket *s);

/* ---- repeat.c ---- */
/* What follows will be taken back by the other. */
void plx_kit_rehearse(plx_test_socket *s);
void plx_kit_take_back(plx_test_socket *s);

/* A membership that only looks: the socket is built, and thrown away by plx_kit_longpoll_forget. */
void plx_kit_longpoll_forget(plx_test_socket *s);

/* ---- clock.c ---- */
#define KIT_WALL_MS 1700000000000ull /* 1970 to the beginning of every test */
void plx_kit_clock_set(plx_test *t, uint64_t now_ms);
/* The timers of a long-polling client's channel between its messages: what the core set and
 * cancelled is written down, and what waits is told to a channel that is built again. */
void plx_kit_timers_write(kit_delivery *d);
void plx_kit_timers_restore(kit_delivery *d);
void plx_kit_timers_drop(kit_delivery *d);

/* ---- letters and texts ---- */
kit_letter *plx_kit_letter(plx_list *box, enum plx_out_kind kind, plx_slice topic, plx_slice event,
                           plx_payload payload);
void plx_kit_letters_free(plx_list *box);
/* The author's text as strict JSON, owned; NULL when it is none. */
char *plx_kit_json(const char *text);
/* Whether JSON matches a pattern (see test.h); NULL matches. */
bool plx_kit_match(const char *pattern, const char *json);
void plx_kit_fail(const char *file, int line, plx_buf *text);

#endif
