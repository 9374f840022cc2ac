/* Fuzzing answers of applications. The first byte chooses the question, the rest is the answer's
 * body; as in channel/hook only a JSON object (or nothing) gets to the reader. What must hold:
 * - an answer is wrong and says why, or all that it says is within bounds;
 * - JSON that goes on to clients is valid JSON, objects where they must be;
 * - assigns merged into themselves are an object again, and merging once more changes nothing.
 */
#include "base/error.h"
#include "base/json_scan.h"
#include "base/utf8.h"
#include "channel/http_answer.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static void must_object(plx_slice json)
{
    plx_json_value v;

    must(plx_json_check(json, &v) == 0 && v.type == PLX_JSON_OBJECT);
}

static void check_payload(const plx_payload *p)
{
    if (p->kind == PLX_PAYLOAD_JSON)
        must_object(p->bytes);
}

static void check_assigns(plx_slice assigns)
{
    plx_buf once, twice;

    must_object(assigns);
    plx_buf_init(&once, 0);
    plx_buf_init(&twice, 0);
    must(plx_http_assigns_merge(plx_slice_of("{}"), assigns, &once) == 0);
    must_object(plx_buf_slice(&once));
    must(plx_http_assigns_merge(plx_buf_slice(&once), assigns, &twice) == 0);
    must(plx_slice_eq(plx_buf_slice(&once), plx_buf_slice(&twice)));
    plx_buf_fini(&once);
    plx_buf_fini(&twice);
}

static void check(const plx_http_answer *a, enum plx_http_question question)
{
    size_t count = a->push_count + a->broadcast_count + a->from_count;

    must(count <= PLX_HTTP_MESSAGES_MAX);
    must(question != PLX_HTTP_JOIN || (a->replies && !a->stop));
    must(question != PLX_HTTP_LEAVE || !a->replies);
    if (a->replies)
        check_payload(&a->response);
    if (a->assigns.len > 0)
        check_assigns(a->assigns);
    must(plx_utf8_valid(a->key));
    if (a->presence == PLX_PRESENCE_TRACK || a->presence == PLX_PRESENCE_UPDATE)
        must_object(a->meta);
    for (size_t i = 0; i < count; i++) {
        must(plx_utf8_valid(a->messages[i].event) && plx_utf8_valid(a->messages[i].topic));
        check_payload(&a->messages[i].payload);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    plx_slice text = plx_slice_make((const char *)data + 1, size > 0 ? size - 1 : 0);
    enum plx_http_question question;
    plx_http_answer a;
    plx_json_value v;
    const char *why = NULL;
    int err;

    if (size == 0)
        return 0;
    question = (enum plx_http_question)(data[0] % 3);
    if (text.len > 0 && (plx_json_check(text, &v) != 0 || v.type != PLX_JSON_OBJECT))
        return 0;
    err = plx_http_answer_read(text.len > 0 ? v.text : text, question, &a, &why);
    must(err == 0 || (err == PLX_E_INVALID && why));
    if (err != 0)
        return 0;
    check(&a, question);
    plx_http_answer_fini(&a);
    return 0;
}
