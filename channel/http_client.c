/* libcurl's multi interface on libev: libcurl says which sockets it waits for and for how long, the
 * loop tells it what happened.
 *
 * libcurl calls back from inside curl_multi_socket_action; nothing is added, removed or freed
 * there. What has come to its end is fetched afterwards (collect), watchers that it has given up
 * are freed then (reap).
 *
 * Names are looked up by a thread of libcurl's. Giving up on a name that takes too long must not
 * wait for that thread: hence CURLOPT_QUICK_EXIT.
 */
#include "channel/http_client.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/list.h"
#include "base/log.h"
#include "store/later.h"
#include <curl/curl.h>
#include <stdlib.h>

/* Connections that are kept while nothing is asked: a worker has few hooks, and after a crowd the
 * application gets its own back. */
#define KEPT_MAX 32
/* Before the answer's body; libcurl remembers them all. */
#define HEADERS_MAX 65536
/* libcurl's buffers for one transfer, in bytes. */
#define READ_BUFFER  16384L
#define WRITE_BUFFER 16384L

struct plx_http_client {
    struct ev_loop *loop;
    CURLM *multi; /* NULL until the first POST */
    ev_timer timer;
    plx_laters laters;
    plx_list posts;   /* plx_http_post.node */
    plx_list watches; /* watch.node */
    plx_list dead;    /* watch.node: not watched any more */
};

typedef struct watch {
    plx_list node;
    plx_http_client *client;
    ev_io io;
} watch;

struct plx_http_post {
    plx_list node;
    plx_http_client *client;
    plx_later later; /* it could not even be begun */
    plx_http_done *done;
    void *arg;
    CURL *easy;
    struct curl_slist *headers;
    plx_slice body;
    size_t sent; /* bytes of body that libcurl has taken */
    bool repeatable;
    plx_buf answer;
    size_t header_bytes;
    bool headed; /* the answer's headers came to their end */
    char why[CURL_ERROR_SIZE];
};

/* ---- the loop's side ---- */

static void reap(plx_http_client *c)
{
    plx_list *n;

    while ((n = plx_list_shift(&c->dead)))
        free(PLX_CONTAINER(n, watch, node));
}

static void collect(plx_http_client *c);

static void act(plx_http_client *c, curl_socket_t fd, int what)
{
    int running;
    CURLMcode err = curl_multi_socket_action(c->multi, fd, what, &running);

    if (err != CURLM_OK)
        plx_log_limited(PLX_WARNING, "libcurl: %s", curl_multi_strerror(err));
    reap(c);
    collect(c);
}

static void on_io(struct ev_loop *loop, ev_io *io, int revents)
{
    watch *w = PLX_CONTAINER(io, watch, io);
    int what =
        (revents & EV_READ ? CURL_CSELECT_IN : 0) | (revents & EV_WRITE ? CURL_CSELECT_OUT : 0);

    (void)loop;
    act(w->client, io->fd, revents & EV_ERROR ? CURL_CSELECT_ERR : what);
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
    (void)loop;
    (void)revents;
    act(timer->data, CURL_SOCKET_TIMEOUT, 0);
}

/* CURLMOPT_TIMERFUNCTION */
static int set_timer(CURLM *multi, long timeout_ms, void *arg)
{
    plx_http_client *c = arg;

    (void)multi;
    ev_timer_stop(c->loop, &c->timer);
    if (timeout_ms >= 0) {
        ev_timer_set(&c->timer, (ev_tstamp)timeout_ms / 1000, 0);
        ev_timer_start(c->loop, &c->timer);
    }
    return 0;
}

static watch *watch_new(plx_http_client *c, curl_socket_t fd)
{
    watch *w = plx_alloc_zero(1, sizeof *w);

    w->client = c;
    ev_io_init(&w->io, on_io, fd, EV_NONE);
    plx_list_push(&c->watches, &w->node);
    curl_multi_assign(c->multi, fd, w);
    return w;
}

/* CURLMOPT_SOCKETFUNCTION. known: what watch_new assigned to the socket, or NULL. */
static int set_watch(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
    plx_http_client *c = arg;
    watch *w = known;
    int events = (what & CURL_POLL_IN ? EV_READ : 0) | (what & CURL_POLL_OUT ? EV_WRITE : 0);

    (void)easy;
    if (!w)
        w = what == CURL_POLL_REMOVE ? NULL : watch_new(c, fd);
    if (!w)
        return 0;
    ev_io_stop(c->loop, &w->io);
    if (what == CURL_POLL_REMOVE) {
        plx_list_remove(&w->node);
        plx_list_push(&c->dead, &w->node);
        curl_multi_assign(c->multi, fd, NULL);
    } else {
        ev_io_set(&w->io, fd, events);
        ev_io_start(c->loop, &w->io);
    }
    return 0;
}

/* ---- one POST ---- */

/* CURLOPT_READFUNCTION: the next bytes of the body. */
static size_t give_body(char *to, size_t size, size_t n, void *arg)
{
    plx_http_post *p = arg;
    size_t len = p->body.len - p->sent;

    len = len < size * n ? len : size * n;
    if (len > 0)
        memcpy(to, p->body.data + p->sent, len);
    p->sent += len;
    return len;
}

/* CURLOPT_SEEKFUNCTION: libcurl wants to send it again over a new connection. Refusing that is the
 * only way to keep it from doing so. */
static int rewind_body(void *arg, curl_off_t offset, int origin)
{
    plx_http_post *p = arg;

    if (!p->repeatable || origin != SEEK_SET || offset < 0 || (size_t)offset > p->body.len)
        return CURL_SEEKFUNC_FAIL;
    p->sent = (size_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* CURLOPT_HEADERFUNCTION: anything but the length breaks the transfer off. */
static size_t take_header(char *from, size_t size, size_t n, void *arg)
{
    plx_http_post *p = arg;
    plx_slice line = plx_slice_make(from, size * n);

    if (plx_slice_starts(line, plx_slice_of("HTTP/"))) /* after a 100 Continue once more */
        p->headed = false;
    else if (plx_slice_is(line, "\r\n") || plx_slice_is(line, "\n"))
        p->headed = true;
    p->header_bytes += line.len;
    return p->header_bytes <= HEADERS_MAX ? line.len : 0;
}

/* CURLOPT_WRITEFUNCTION: the same. */
static size_t take_answer(char *from, size_t size, size_t n, void *arg)
{
    plx_http_post *p = arg;

    return plx_buf_append(&p->answer, from, size * n) == 0 ? size * n : 0;
}

static void add_header(plx_http_post *p, const char *line)
{
    p->headers = plx_alloc_check(curl_slist_append(p->headers, line));
}

static void set_headers(plx_http_post *p, const plx_http_question *r)
{
    char *signature = plx_asprintf("x-pollux-signature: %s", r->signature);

    add_header(p, "content-type: application/json");
    add_header(p, "accept: application/json");
    add_header(p, "expect:");
    add_header(p, signature);
    free(signature);
    curl_easy_setopt(p->easy, CURLOPT_HTTPHEADER, p->headers);
    curl_easy_setopt(p->easy, CURLOPT_USERAGENT, "pollux/" PLX_VERSION);
}

static void set_options(plx_http_post *p, const plx_http_question *r)
{
    CURL *e = p->easy;

    curl_easy_setopt(e, CURLOPT_PRIVATE, p);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, p->why);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(e, CURLOPT_PROXY, "");
    curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(e, CURLOPT_BUFFERSIZE, READ_BUFFER);
    curl_easy_setopt(e, CURLOPT_UPLOAD_BUFFERSIZE, WRITE_BUFFER);
    curl_easy_setopt(e, CURLOPT_URL, r->url);
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)r->timeout_ms);
    curl_easy_setopt(e, CURLOPT_POST, 1L);
    curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->body.len);
    curl_easy_setopt(e, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(e, CURLOPT_READDATA, p);
    curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, rewind_body);
    curl_easy_setopt(e, CURLOPT_SEEKDATA, p);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, p);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(e, CURLOPT_WRITEDATA, p);
}

static void post_free(plx_http_post *p)
{
    plx_later_cancel(&p->later);
    plx_list_remove(&p->node);
    curl_multi_remove_handle(p->client->multi, p->easy);
    curl_easy_cleanup(p->easy);
    curl_slist_free_all(p->headers);
    plx_buf_fini(&p->answer);
    free(p);
}

/* What libcurl's result means here. */
static int meaning(const plx_http_post *p, CURLcode code)
{
    switch (code) {
    case CURLE_OK: /* also when headers were cut off */
        return p->headed ? 0 : PLX_E_INVALID;
    case CURLE_OPERATION_TIMEDOUT:
        return PLX_E_TIMEOUT;
    case CURLE_WRITE_ERROR: /* take_header or take_answer */
        return PLX_E_TOOBIG;
    case CURLE_UNSUPPORTED_PROTOCOL: /* what came was no HTTP */
    case CURLE_WEIRD_SERVER_REPLY:
        return PLX_E_INVALID;
    default:
        return p->header_bytes > 0 ? PLX_E_INVALID : PLX_E_DOWN;
    }
}

static void finish(plx_http_post *p, CURLcode code)
{
    plx_http_result result = {.err = meaning(p, code)};
    plx_http_done *done = p->done;
    void *arg = p->arg;
    long status = 0;

    curl_easy_getinfo(p->easy, CURLINFO_RESPONSE_CODE, &status);
    result.status = (unsigned)status;
    result.why = p->why[0] ? p->why : curl_easy_strerror(code);
    if (code == CURLE_OK && result.err != 0)
        result.why = "its answer was cut off";
    else if (result.err == PLX_E_TOOBIG)
        result.why = "its answer is too large";
    if (result.err == 0)
        result.body = plx_buf_slice(&p->answer);
    /* Its connection is free for whatever the callback asks next. */
    curl_multi_remove_handle(p->client->multi, p->easy);
    done(arg, &result);
    post_free(p);
}

static void collect(plx_http_client *c)
{
    CURLMsg *m;
    int left;

    while ((m = curl_multi_info_read(c->multi, &left))) {
        void *p = NULL;
        CURLcode code = m->data.result;
        if (m->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &p);
        finish(p, code);
    }
}

/* libcurl took the transfer but would not begin it. */
static void not_begun(plx_later *item)
{
    finish(PLX_CONTAINER(item, plx_http_post, later), CURLE_FAILED_INIT);
}

static void open_multi(plx_http_client *c)
{
    static bool initialised;

    if (!initialised && curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        plx_alloc_check(NULL);
    initialised = true;
    c->multi = plx_alloc_check(curl_multi_init());
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, set_watch);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timer);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)KEPT_MAX);
}

plx_http_post *plx_http_client_post(plx_http_client *client, const plx_http_question *request,
                                    plx_http_done *done, void *arg)
{
    plx_http_post *p = plx_alloc_zero(1, sizeof *p);

    if (!client->multi)
        open_multi(client);
    p->client = client;
    p->done = done;
    p->arg = arg;
    p->body = request->body;
    p->repeatable = request->repeatable;
    plx_buf_init(&p->answer, request->answer_max);
    plx_later_init(&p->later, not_begun);
    plx_list_push(&client->posts, &p->node);
    p->easy = plx_alloc_check(curl_easy_init());
    set_options(p, request);
    set_headers(p, request);
    if (curl_multi_add_handle(client->multi, p->easy) != CURLM_OK)
        plx_later_add(&client->laters, &p->later);
    return p;
}

void plx_http_post_drop(plx_http_post *post)
{
    plx_http_client *c = post->client;

    post_free(post);
    reap(c);
}

plx_http_client *plx_http_client_new(struct ev_loop *loop)
{
    plx_http_client *c = plx_alloc_zero(1, sizeof *c);

    c->loop = loop;
    ev_timer_init(&c->timer, on_timer, 0, 0);
    c->timer.data = c;
    plx_laters_init(&c->laters, loop);
    plx_list_init(&c->posts);
    plx_list_init(&c->watches);
    plx_list_init(&c->dead);
    return c;
}

void plx_http_client_free(plx_http_client *client)
{
    plx_list *n;

    if (!client)
        return;
    while ((n = client->posts.next) != &client->posts)
        post_free(PLX_CONTAINER(n, plx_http_post, node));
    if (client->multi)
        curl_multi_cleanup(client->multi); /* closes kept connections, gives up their watchers */
    ev_timer_stop(client->loop, &client->timer);
    while ((n = plx_list_shift(&client->watches))) {
        watch *w = PLX_CONTAINER(n, watch, node);
        ev_io_stop(client->loop, &w->io);
        free(w);
    }
    reap(client);
    plx_laters_fini(&client->laters);
    free(client);
}
