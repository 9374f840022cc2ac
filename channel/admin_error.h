/* The error document of the server API: {"error":{"code","message","hint"}}. */
#ifndef PLX_CHANNEL_ADMIN_ERROR_H
#define PLX_CHANNEL_ADMIN_ERROR_H

#include "base/buf.h"

/* Appends it. code: a short name for programs; hint: what to do about it, or NULL (no member). The
 * message is a sentence for people; it may hold what the caller sent. */
void plx_admin_error(plx_buf *out, const char *code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
