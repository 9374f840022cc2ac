#include "channel/admin_error.h"
#include "base/error.h"

/* What a caller sent is quoted in messages, but not megabytes of it. */
#define MESSAGE_MAX 2048

void plx_admin_error(json_object *document, const char *code, const char *hint, const char *format,
                     ...)
{
    json_object *error = plx_json_new_object();
    plx_buf message;
    va_list args;

    plx_buf_init(&message, MESSAGE_MAX);
    va_start(args, format);
    if (plx_buf_vprintf(&message, format, args) != 0)
        plx_buf_str(&message, "the request is wrong, and too long to be quoted here");
    va_end(args);
    plx_json_put(error, "code", plx_json_new_text(plx_slice_of(code)));
    plx_json_put(error, "message", plx_json_new_text(plx_buf_slice(&message)));
    if (hint)
        plx_json_put(error, "hint", plx_json_new_text(plx_slice_of(hint)));
    plx_json_put(document, "error", error);
    plx_buf_fini(&message);
}

void plx_admin_unavailable(json_object *document, int err)
{
    plx_admin_error(document, "unavailable",
                    err == PLX_E_DOWN
                        ? "Nothing was done. Try again in a moment."
                        : "It may have been done nevertheless. Try again; a publication with a"
                          " \"key\" is not published twice.",
                    "Redis: %s", plx_strerror(err));
}

void plx_admin_answer(plx_admin_cb *cb, void *arg, unsigned status, json_object *document)
{
    plx_buf json;

    plx_buf_init(&json, 0);
    plx_json_write(&json, document);
    json_object_put(document);
    cb(arg, status, plx_buf_slice(&json));
    plx_buf_fini(&json);
}
