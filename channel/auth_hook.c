/* The question, and what of its answer counts. */
#include "channel/auth_hook.h"

#include "base/address.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/json_scan.h"
#include "base/log.h"
#include "base/utf8.h"
#include "channel/auth_cache.h"
#include "channel/counters.h"
#include "channel/fair.h"
#include "channel/report.h"

#include <stdlib.h>

/* Of a question: parameters (64 KB) and headers. */
#define QUESTION_MAX 262144
/* Of a reason that is kept and logged. */
#define REASON_MAX 200

struct plx_auth_hook {
    const plx_socket_config *socket;
    plx_hook *hook;
    plx_auth_cache *cache;
    plx_auth_hook_counters counters;
    size_t waiting_bytes;
    plx_fair *waiting; /* whose these are */
    plx_buf reason;    /* of the answer that is being told */
};

struct plx_auth_question {
    plx_auth_hook *hook;
    plx_question *question;
    plx_fair_share *who; /* NULL: nobody in particular */
    plx_auth_answer_cb *cb;
    void *arg;
    size_t key_len;
    char key[];
};

static void on_report(const void *user, json_object *report)
{
    plx_auth_hook_counters c = plx_auth_hook_counts(user);
    plx_report_count(report, "accepted", c.accepted);
    plx_report_count(report, "denied", c.refused);
    plx_report_count(report, "unanswered", c.unanswered);
    plx_report_count(report, "cached", c.cached);
    plx_report_count(report, "cache_entries", c.entries);
    plx_report_count(report, "cache_bytes", c.bytes);
}

plx_auth_hook *plx_auth_hook_open(plx_hooks *hooks, const plx_socket_config *socket)
{
    const plx_auth_config *auth = &socket->auth;
    plx_auth_hook *h = plx_alloc_zero(1, sizeof *h);
    const plx_hook_config config = {.name = socket->path,
                                    .url = auth->url,
                                    .secret = auth->secret,
                                    .timeout_ms = auth->timeout_ms,
                                    .max_in_flight = auth->max_in_flight,
                                    .report = on_report,
                                    .user = h};
    h->socket = socket;
    h->hook = plx_hook_open(hooks, &config);
    h->cache = plx_auth_cache_new(PLX_AUTH_CACHE_ENTRIES, PLX_AUTH_CACHE_BYTES);
    h->waiting = plx_fair_new();
    plx_buf_init(&h->reason, 0);
    return h;
}

void plx_auth_hook_close(plx_auth_hook *h)
{
    if (!h)
        return;
    plx_hook_close(h->hook);
    plx_auth_cache_free(h->cache);
    plx_fair_free(h->waiting);
    plx_buf_fini(&h->reason);
    free(h);
}

plx_auth_hook_counters plx_auth_hook_counts(const plx_auth_hook *h)
{
    plx_auth_hook_counters c = h->counters;
    c.entries = plx_auth_cache_count(h->cache);
    c.bytes = plx_auth_cache_bytes(h->cache);
    return c;
}

/* ---- the question ---- */

/* ISO 8859-1 says what any byte is. */
static json_object *header_text(plx_slice value)
{
    if (plx_utf8_valid(value))
        return plx_json_new_text(value);
    plx_buf b;
    plx_buf_init(&b, 0);
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if (c >= 0x80)
            plx_buf_byte(&b, (unsigned char)(0xC0 | c >> 6));
        plx_buf_byte(&b, c >= 0x80 ? (unsigned char)(0x80 | (c & 0x3F)) : c);
    }
    json_object *text = plx_json_new_text(plx_buf_slice(&b));
    plx_buf_fini(&b);
    return text;
}

static json_object *forwarded(const plx_auth_hook *h, const plx_auth_guest *guest)
{
    const plx_strings *names = &h->socket->auth.headers;
    json_object *headers = plx_json_new_object();
    for (size_t i = 0; i < names->count; i++) {
        char name[65]; /* as long as a configured one can be */
        plx_slice value;
        size_t len = 0;
        for (const char *c = names->items[i]; *c && len < sizeof name - 1; c++)
            name[len++] = (char)(*c >= 'A' && *c <= 'Z' ? *c + ('a' - 'A') : *c);
        name[len] = '\0';
        if (guest->header(guest->arg, name, &value))
            plx_json_put(headers, name, header_text(value));
    }
    return headers;
}

/* {"params":...,"headers":...}: what the answer is kept under. */
static json_object *key_document(const plx_auth_guest *guest, json_object *headers)
{
    json_object *key = plx_json_new_object();
    plx_json_put(key, "params", json_object_get(guest->params));
    plx_json_put(key, "headers", json_object_get(headers));
    return key;
}

static json_object *question_document(const plx_auth_hook *h, const plx_auth_guest *guest,
                                      json_object *headers)
{
    json_object *question = plx_json_new_object(), *socket = plx_json_new_object();
    plx_json_put(question, "hook", plx_json_new_text(plx_slice_of("connect")));
    plx_json_put(question, "socket", socket);
    plx_json_put(socket, "path", plx_json_new_text(plx_slice_of(h->socket->path)));
    plx_json_put(socket, "transport", plx_json_new_text(plx_slice_of(guest->transport)));
    plx_json_put(socket, "params", json_object_get(guest->params));
    plx_json_put(socket, "headers", json_object_get(headers));
    plx_json_put(socket, "remote_ip", header_text(guest->remote_ip));
    return question;
}

static int write_and_free(json_object *document, plx_buf *out)
{
    int err = plx_json_write(out, document);
    json_object_put(document);
    return err;
}

static int write_question(const plx_auth_hook *h, const plx_auth_guest *guest, plx_buf *key,
                          plx_buf *body)
{
    json_object *headers = forwarded(h, guest);
    int err = write_and_free(key_document(guest, headers), key);
    if (err == 0)
        err = write_and_free(question_document(h, guest, headers), body);
    json_object_put(headers);
    return err;
}

/* ---- the answer ---- */

/* What a guest costs who waits: its request's head and parameters, kept by the transport, are in
 * the key once more. */
static size_t cost_of(size_t key_len)
{
    return 3 * key_len + 2048;
}

/* Who counts as one: see the header. The name's bytes lie in `at`; empty: nobody in particular. */
static plx_slice client_of(plx_slice remote_ip, plx_address_range *at)
{
    static const plx_slice nobody = {NULL, 0};
    static const char mapped[12] = "\0\0\0\0\0\0\0\0\0\0\xff\xff";
    static const uint8_t loopback[16] = {[15] = 1};
    if (plx_address_range_parse(remote_ip, at) != 0 ||
        memcmp(at->bytes, loopback, sizeof loopback) == 0)
        return nobody;
    if (memcmp(at->bytes, mapped, sizeof mapped) != 0)
        return plx_slice_make((const char *)at->bytes, 8);
    return at->bytes[12] == 127 ? nobody : plx_slice_make((const char *)at->bytes, 16);
}

static bool too_much_waits(const plx_auth_hook *h, plx_slice who, size_t cost)
{
    const plx_fair_share *share = who.len > 0 ? plx_fair_find(h->waiting, who) : NULL;
    return h->waiting_bytes + cost > PLX_AUTH_WAITING_BYTES ||
           (share && share->bytes + cost > PLX_AUTH_EACH_BYTES);
}

static void begin_waiting(plx_auth_question *q, plx_slice who)
{
    plx_auth_hook *h = q->hook;
    size_t cost = cost_of(q->key_len);
    h->waiting_bytes += cost;
    q->who = who.len > 0 ? plx_fair_add(h->waiting, who, cost) : NULL;
}

static void end_waiting(plx_auth_question *q)
{
    plx_auth_hook *h = q->hook;
    size_t cost = cost_of(q->key_len);
    h->waiting_bytes -= cost;
    if (q->who)
        plx_fair_drop(h->waiting, q->who, cost);
}

/* What an application wrote. */
typedef struct statement {
    plx_auth_answer answer;
    uint64_t cache_s;
} statement;

static bool is_text(const plx_json_value *v, const char *text)
{
    return v->type == PLX_JSON_STRING && v->text.len == strlen(text) + 2 &&
           memcmp(v->text.data + 1, text, strlen(text)) == 0;
}

/* Whole seconds; more than a day is a day. */
static const char *read_cache(const plx_json_value *v, uint64_t *cache_s)
{
    int64_t n = 0;
    if (v->type != PLX_JSON_NONE && v->type != PLX_JSON_NULL &&
        (v->type != PLX_JSON_NUMBER || plx_json_int(v->text, &n) != 0 || n < 0))
        return "\"cache_s\" is no number of seconds";
    *cache_s = n < PLX_AUTH_CACHE_MAX_S ? (uint64_t)n : PLX_AUTH_CACHE_MAX_S;
    return NULL;
}

static const char *read_claims(const plx_json_value *v, plx_slice *claims)
{
    size_t n = 0;
    /* PHP writes an empty one as []. */
    if (v->type == PLX_JSON_ARRAY && (plx_json_cut_array(v->text, NULL, 0, &n) != 0 || n > 0))
        return "\"claims\" is no object";
    if (v->type != PLX_JSON_NONE && v->type != PLX_JSON_ARRAY && v->type != PLX_JSON_OBJECT)
        return "\"claims\" is no object";
    if (v->text.len > PLX_AUTH_CLAIMS_MAX)
        return "\"claims\" are too large";
    *claims = v->type == PLX_JSON_OBJECT ? v->text : plx_slice_of("{}");
    return NULL;
}

/* A reason is for the log: what is no text, or too long, is left out or cut. */
static plx_slice read_reason(plx_auth_hook *h, const plx_json_value *v)
{
    plx_buf_clear(&h->reason);
    if (v->type == PLX_JSON_STRING)
        plx_json_unquote(v->text, &h->reason);
    plx_slice text = plx_buf_slice(&h->reason);
    return plx_slice_make(text.data, text.len < REASON_MAX ? text.len : REASON_MAX);
}

/* NULL, or what is wrong with the answer. */
static const char *read_answer(plx_auth_hook *h, plx_slice json, statement *s)
{
    static const char *const names[] = {"status", "claims", "reason", "cache_s"};
    plx_json_value v[4];
    if (plx_json_cut_object(json, names, v, 4) != 0)
        return "it is empty";
    const char *wrong = read_cache(&v[3], &s->cache_s);
    if (wrong)
        return wrong;
    if (is_text(&v[0], "ok"))
        return read_claims(&v[1], &s->answer.claims);
    if (!is_text(&v[0], "error"))
        return "\"status\" is neither \"ok\" nor \"error\"";
    s->answer.err = PLX_E_DENIED;
    s->answer.reason = read_reason(h, &v[2]);
    return NULL;
}

static void count(plx_auth_hook *h, int err)
{
    if (err == 0)
        h->counters.accepted++;
    else if (err == PLX_E_DENIED)
        h->counters.refused++;
    else
        h->counters.unanswered++;
}

static void on_answer(void *arg, int err, plx_slice json)
{
    plx_auth_question *q = arg;
    plx_auth_hook *h = q->hook;
    statement s = {.answer = {.err = err}};
    const char *wrong = err == 0 ? read_answer(h, json, &s) : NULL;
    if (wrong) {
        plx_hook_complain(h->hook, wrong);
        s = (statement){.answer = {.err = PLX_E_DOWN}};
    } else if (err != 0) {
        s.answer.err = PLX_E_DOWN; /* whatever it was: the guest can't help it */
    }
    end_waiting(q);
    count(h, s.answer.err);
    if (s.cache_s > 0)
        plx_auth_cache_put(h->cache, plx_slice_make(q->key, q->key_len), s.answer.err == 0,
                           s.answer.err == 0 ? s.answer.claims : s.answer.reason,
                           plx_now_ms() + s.cache_s * 1000);
    q->cb(q->arg, &s.answer);
    free(q);
}

/* ---- asking ---- */

static bool recall(plx_auth_hook *h, plx_slice key, plx_auth_answer *known)
{
    bool accepted;
    plx_slice text;
    if (!plx_auth_cache_get(h->cache, key, plx_now_ms(), &accepted, &text))
        return false;
    *known = accepted ? (plx_auth_answer){.claims = text}
                      : (plx_auth_answer){.err = PLX_E_DENIED, .reason = text};
    h->counters.cached++;
    plx_counted.auth_cached++;
    count(h, known->err);
    return true;
}

plx_auth_question *plx_auth_hook_ask(plx_auth_hook *h, const plx_auth_guest *guest,
                                     plx_auth_answer *known, plx_auth_answer_cb *cb, void *arg)
{
    plx_auth_question *q = NULL;
    plx_address_range at;
    plx_slice who = client_of(guest->remote_ip, &at);
    plx_buf key, body;
    plx_buf_init(&key, QUESTION_MAX);
    plx_buf_init(&body, QUESTION_MAX);
    if (write_question(h, guest, &key, &body) != 0) {
        *known = (plx_auth_answer){.err = PLX_E_INVALID};
    } else if (recall(h, plx_buf_slice(&key), known)) {
        /* without a question */
    } else if (too_much_waits(h, who, cost_of(key.len))) {
        plx_log_limited(PLX_WARNING, "%s: too many wait for the application", h->socket->path);
        *known = (plx_auth_answer){.err = PLX_E_DOWN};
        count(h, known->err);
    } else {
        q = plx_alloc(sizeof *q + key.len);
        *q = (plx_auth_question){.hook = h, .cb = cb, .arg = arg, .key_len = key.len};
        memcpy(q->key, key.data, key.len);
        begin_waiting(q, who);
        /* Shared by all of the body: an answer that is not to be kept may be for this transport and
         * address alone. */
        q->question = plx_hook_ask_for(h->hook, who, plx_buf_slice(&body), plx_buf_slice(&body),
                                       PLX_HOOK_REPEATABLE, on_answer, q);
    }
    plx_buf_fini(&key);
    plx_buf_fini(&body);
    return q;
}

void plx_auth_question_cancel(plx_auth_question *q)
{
    end_waiting(q);
    plx_question_cancel(q->question);
    free(q);
}
