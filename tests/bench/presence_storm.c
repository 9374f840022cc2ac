/* A storm on one presence topic: N WebSockets join it within a time, then half of them leave.
 *
 *     presence_storm HOST PORT PATH TOPIC SOCKETS SECONDS
 *
 * Each client keeps no list of who is there but the number of the entries it was told of and
 * the sum of their refs' hashes (FNV-1a, 64 bits), which does not depend on the order: an
 * entry told twice, or not at all, shows in either. Frames are scanned as they come, so that
 * thousands of states of hundreds of kilobytes need no memory here.
 *
 * Prints one line for each phase (joined, left):
 *
 *     PHASE clients C count N hash H agree A states S diffs_per_s D errors E ms M
 *
 * A: clients whose count and hash are the ones printed (those of most). D: the most presence_diff
 * events that one client got in one second. It waits for a line on standard input between the
 * phases, so that the caller can look at the server, and leaves at the end of the input.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <ev.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD_BYTES 96 /* of a message: the event's name is in them */
#define REF_BYTES  16
#define QUIET_S    5. /* without a change: the phase is over */
#define STEP_S     .01

enum event { OTHER, REPLY, STATE, DIFF, FAULT };

typedef struct client {
    ev_io io;
    bool open, left, joined;
    uint8_t header[14];
    unsigned header_len;
    uint64_t remaining; /* of the frame's payload */
    char head[HEAD_BYTES];
    unsigned head_len;
    enum event event;
    bool classified, leaves;
    unsigned ref_at, leaves_at, ref_len; /* how much of a pattern, or of a ref, was seen */
    char ref[REF_BYTES];
    unsigned crlf; /* of the answer's head */
    uint64_t hash;
    int64_t count;
    unsigned states;
} client;

static struct {
    struct ev_loop *loop;
    struct sockaddr_in to;
    const char *path, *topic;
    client *clients;
    unsigned total, opened, errors;
    double seconds, began, changed;
    unsigned diffs_now, diffs_most; /* of client 0, in this second */
    double second;
    ev_timer step, quiet;
    ev_io input;
    bool leaving;
    char buffer[262144];
} g;

static void fail(client *c)
{
    if (!c->left)
        g.errors++;
    ev_io_stop(g.loop, &c->io);
    close(c->io.fd);
    c->open = false;
    c->left = true;
}

static void send_all(client *c, const void *data, size_t len)
{
    if (send(c->io.fd, data, len, MSG_NOSIGNAL) != (ssize_t)len)
        fail(c); /* what a client sends always fits into a socket's buffer */
}

/* A masked text frame (RFC 6455 5.3), the mask being zero. */
static void send_text(client *c, const char *text)
{
    char frame[512];
    size_t len = strlen(text), n = 2;
    frame[0] = (char)0x81;
    if (len < 126) {
        frame[1] = (char)(0x80 | len);
    } else {
        frame[1] = (char)(0x80 | 126);
        frame[n++] = (char)(len >> 8);
        frame[n++] = (char)len;
    }
    memset(frame + n, 0, 4);
    memcpy(frame + n + 4, text, len);
    send_all(c, frame, n + 4 + len);
}

static void send_message(client *c, const char *ref, const char *event)
{
    char text[400];
    snprintf(text, sizeof text, "[\"1\",\"%s\",\"%s\",\"%s\",{}]", ref, g.topic, event);
    send_text(c, text);
}

/* ---- what comes ---- */

static uint64_t hash_of(const char *ref)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (unsigned i = 0; i < REF_BYTES; i++)
        h = (h ^ (uint8_t)ref[i]) * 0x100000001b3u;
    return h;
}

static void take_ref(client *c)
{
    if (c->event != STATE && c->event != DIFF)
        return;
    if (c->leaves) {
        c->hash -= hash_of(c->ref);
        c->count--;
    } else {
        c->hash += hash_of(c->ref);
        c->count++;
    }
    g.changed = ev_now(g.loop);
}

static void count_diff(const client *c)
{
    if (c != g.clients)
        return;
    if (ev_now(g.loop) - g.second >= 1.) {
        g.second = ev_now(g.loop);
        g.diffs_now = 0;
    }
    if (++g.diffs_now > g.diffs_most)
        g.diffs_most = g.diffs_now;
}

static void classify(client *c)
{
    static const struct {
        const char *name;
        enum event event;
    } names[] = {{"\"presence_state\"", STATE},
                 {"\"presence_diff\"", DIFF},
                 {"\"phx_reply\"", REPLY},
                 {"\"phx_error\"", FAULT}};
    c->classified = true;
    c->event = OTHER;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (memmem(c->head, c->head_len, names[i].name, strlen(names[i].name)))
            c->event = names[i].event;
    if (c->event == REPLY)
        c->joined = true;
    if (c->event == FAULT)
        g.errors++;
    if (c->event == DIFF)
        count_diff(c);
    if (c->event == STATE) {
        c->states++;
        c->hash = 0;
        c->count = 0;
    }
}

/* One more byte of a pattern; true when it is complete. */
static bool match(unsigned *at, const char *pattern, char byte)
{
    *at = byte == pattern[*at] ? *at + 1 : byte == pattern[0];
    if (pattern[*at])
        return false;
    *at = 0;
    return true;
}

static void scan(client *c, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (c->ref_len > 0) {
            c->ref[REF_BYTES - c->ref_len] = bytes[i];
            if (--c->ref_len == 0)
                take_ref(c);
        } else if (match(&c->ref_at, "\"phx_ref\":\"", bytes[i])) {
            c->ref_len = REF_BYTES;
        }
        if (c->event == DIFF && match(&c->leaves_at, "},\"leaves\":{", bytes[i]))
            c->leaves = true;
    }
}

static void begin_message(client *c)
{
    c->head_len = 0;
    c->classified = c->leaves = false;
    c->ref_at = c->leaves_at = c->ref_len = 0;
}

static void payload(client *c, const char *bytes, size_t len)
{
    size_t used = 0;
    c->remaining -= len;
    if (!c->classified) {
        used = HEAD_BYTES - c->head_len < len ? HEAD_BYTES - c->head_len : len;
        memcpy(c->head + c->head_len, bytes, used);
        c->head_len += (unsigned)used;
        if (c->head_len < HEAD_BYTES && c->remaining > 0)
            return;
        classify(c);
        scan(c, c->head, c->head_len);
    }
    scan(c, bytes + used, len - used);
}

/* One more byte of a frame's header; the server masks nothing. */
static void header(client *c, uint8_t byte)
{
    c->header[c->header_len++] = byte;
    unsigned len = c->header_len > 1 ? c->header[1] & 0x7f : 0;
    unsigned needed = len == 127 ? 10 : len == 126 ? 4 : 2;
    if (c->header_len < needed)
        return;
    uint64_t n = len;
    for (unsigned i = 2; i < needed; i++)
        n = (i == 2 ? 0 : n << 8) | c->header[i];
    c->header_len = 0;
    c->remaining = n;
    begin_message(c);
}

static void frames(client *c, const char *bytes, size_t len)
{
    while (len > 0 && !c->left) {
        size_t n = 1;
        if (c->remaining == 0) {
            header(c, (uint8_t)*bytes);
        } else {
            n = c->remaining < len ? (size_t)c->remaining : len;
            payload(c, bytes, n);
        }
        bytes += n;
        len -= n;
    }
}

static void on_readable(client *c)
{
    ssize_t n = recv(c->io.fd, g.buffer, sizeof g.buffer, 0);
    size_t at = 0;
    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR))
            fail(c);
        return;
    }
    while (!c->open && at < (size_t)n) {
        c->crlf = g.buffer[at] == "\r\n\r\n"[c->crlf] ? c->crlf + 1 : 0;
        at++;
        if (c->crlf == 4) {
            c->open = true;
            send_message(c, "1", "phx_join");
        }
    }
    if (c->open)
        frames(c, g.buffer + at, (size_t)n - at);
}

static void on_io(struct ev_loop *loop, ev_io *io, int events)
{
    client *c = io->data;
    if (events & EV_WRITE) {
        char request[512];
        int n =
            snprintf(request, sizeof request,
                     "GET %s?vsn=2.0.0&user_id=u%u HTTP/1.1\r\nHost: bench\r\n"
                     "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                     g.path, (unsigned)(c - g.clients));
        ev_io_stop(loop, io);
        ev_io_set(io, io->fd, EV_READ);
        ev_io_start(loop, io);
        send_all(c, request, (size_t)n);
    } else {
        on_readable(c);
    }
}

/* ---- the phases ---- */

static void dial(client *c)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 ||
        (connect(fd, (struct sockaddr *)&g.to, sizeof g.to) != 0 && errno != EINPROGRESS)) {
        perror("connect");
        exit(1);
    }
    ev_io_init(&c->io, on_io, fd, EV_WRITE);
    c->io.data = c;
    ev_io_start(g.loop, &c->io);
}

/* Half of those that leave say so, the others just go away. */
static void part(unsigned i)
{
    client *c = &g.clients[i];
    if (i % 2 == 0 || c->left)
        return;
    c->left = true;
    if (i % 4 == 1) {
        send_message(c, "2", "phx_leave");
    } else {
        ev_io_stop(g.loop, &c->io);
        close(c->io.fd);
    }
}

static void on_step(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)events;
    double passed = ev_now(loop) - g.began;
    unsigned due = (unsigned)(passed / g.seconds * g.total) + 1;
    while (g.opened < due && g.opened < g.total) {
        if (g.leaving)
            part(g.opened);
        else
            dial(&g.clients[g.opened]);
        g.opened++;
    }
    g.changed = ev_now(loop);
    if (g.opened == g.total)
        ev_timer_stop(loop, t);
}

static void start_phase(void)
{
    g.opened = 0;
    g.diffs_most = g.diffs_now = 0;
    g.began = g.second = ev_now(g.loop);
    ev_timer_start(g.loop, &g.step);
    ev_timer_again(g.loop, &g.quiet);
}

/* The count and hash that most clients have: a majority vote (Boyer and Moore). */
static const client *majority(void)
{
    const client *best = NULL;
    int lead = 0;
    for (unsigned i = 0; i < g.total; i++) {
        const client *c = &g.clients[i];
        if (c->left)
            continue;
        if (lead == 0)
            best = c;
        lead += best->hash == c->hash && best->count == c->count ? 1 : -1;
    }
    return best;
}

static void report(void)
{
    const client *m = majority();
    unsigned present = 0, agree = 0, states = 0;
    for (unsigned i = 0; m && i < g.total; i++) {
        const client *c = &g.clients[i];
        if (c->left)
            continue;
        present++;
        agree += c->hash == m->hash && c->count == m->count;
        states += c->states;
    }
    printf(
        "%s clients %u count %lld hash %llu agree %u states %u diffs_per_s %u errors %u ms %.0f\n",
        g.leaving ? "left" : "joined", present, m ? (long long)m->count : 0,
        m ? (unsigned long long)m->hash : 0, agree, states, g.diffs_most, g.errors,
        (g.changed - g.began) * 1000);
    fflush(stdout);
}

static void on_quiet(struct ev_loop *loop, ev_timer *t, int events)
{
    (void)events;
    if (g.opened < g.total || ev_now(loop) - g.changed < QUIET_S)
        return;
    ev_timer_stop(loop, t);
    report();
}

static void on_input(struct ev_loop *loop, ev_io *io, int events)
{
    char line[64];
    (void)events;
    if (read(io->fd, line, sizeof line) <= 0) {
        ev_break(loop, EVBREAK_ALL);
        return;
    }
    g.leaving = true;
    start_phase();
}

int main(int argc, char **argv)
{
    struct rlimit files;
    if (argc != 7) {
        fprintf(stderr, "usage: presence_storm HOST PORT PATH TOPIC SOCKETS SECONDS\n");
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    g.loop = ev_default_loop(EVFLAG_AUTO);
    g.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[2]))};
    inet_pton(AF_INET, argv[1], &g.to.sin_addr);
    g.path = argv[3];
    g.topic = argv[4];
    g.total = (unsigned)atoi(argv[5]);
    g.seconds = atof(argv[6]);
    g.clients = calloc(g.total, sizeof *g.clients);
    if (!g.clients)
        return 1;
    ev_timer_init(&g.step, on_step, 0., STEP_S);
    ev_timer_init(&g.quiet, on_quiet, .1, .1);
    ev_io_init(&g.input, on_input, STDIN_FILENO, EV_READ);
    ev_io_start(g.loop, &g.input);
    start_phase();
    ev_run(g.loop, 0);
    free(g.clients);
    return 0;
}
