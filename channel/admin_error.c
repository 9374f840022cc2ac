#include "channel/admin_error.h"

#include "base/json_scan.h"

/* What a caller sent is quoted in messages, but not megabytes of it. */
#define MESSAGE_MAX 2048

static void member(plx_buf *out, const char *name, plx_slice value)
{
    plx_buf_printf(out, "\"%s\":", name);
    plx_json_quote(out, value);
}

void plx_admin_error(plx_buf *out, const char *code, const char *hint, const char *format, ...)
{
    plx_buf message;
    va_list args;

    plx_buf_init(&message, MESSAGE_MAX);
    va_start(args, format);
    if (plx_buf_vprintf(&message, format, args) != 0)
        plx_buf_str(&message, "the request is wrong, and too long to be quoted here");
    va_end(args);
    plx_buf_str(out, "{\"error\":{");
    member(out, "code", plx_slice_of(code));
    plx_buf_str(out, ",");
    member(out, "message", plx_buf_slice(&message));
    if (hint) {
        plx_buf_str(out, ",");
        member(out, "hint", plx_slice_of(hint));
    }
    plx_buf_str(out, "}}");
    plx_buf_fini(&message);
}
