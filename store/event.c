/* Events and positions. */
#include "store/event.h"
#include "base/alloc.h"
#include "base/error.h"
#include "store/reply.h"

#include <stdio.h>
#include <stdlib.h>

/* Copies s behind what *at points to and moves *at past it. */
static plx_slice place(char **at, plx_slice s)
{
    plx_slice out = plx_slice_make(*at, s.len);
    if (s.len > 0)
        memcpy(*at, s.data, s.len);
    *at += s.len;
    return out;
}

plx_event *plx_event_new(plx_slice topic, const plx_position *position, enum plx_kind kind,
                         plx_slice event, plx_slice payload, plx_slice from)
{
    plx_event *e = plx_alloc(sizeof *e + topic.len + event.len + payload.len + from.len);
    char *at = e->bytes;
    e->refs = 1;
    e->kind = kind;
    e->position = *position;
    e->topic = place(&at, topic);
    e->event = place(&at, event);
    e->payload = place(&at, payload);
    e->from = place(&at, from);
    memset(e->encoded, 0, sizeof e->encoded);
    return e;
}

plx_event *plx_event_ref(plx_event *e)
{
    e->refs++;
    return e;
}

void plx_event_unref(plx_event *e)
{
    if (!e || --e->refs > 0)
        return;
    for (size_t i = 0; i <= PLX_EVENT_REFS; i++)
        plx_blob_unref(e->encoded[i]);
    free(e);
}

void plx_position_format(const plx_position *p, char *out)
{
    snprintf(out, PLX_POSITION_TEXT, "%s:%llu", p->epoch, (unsigned long long)p->offset);
}

int plx_position_parse(plx_slice text, plx_position *out)
{
    const char *colon = text.len > 0 ? memchr(text.data, ':', text.len) : NULL;
    if (!colon)
        return PLX_E_INVALID;
    size_t len = (size_t)(colon - text.data);
    plx_position p;
    if (plx_epoch_set(&p, plx_slice_make(text.data, len)) != 0)
        return PLX_E_INVALID;
    if (!plx_decimal_parse(plx_slice_make(colon + 1, text.len - len - 1), &p.offset))
        return PLX_E_INVALID;
    *out = p;
    return 0;
}

static bool epoch_char(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' ||
           c == '_';
}

int plx_epoch_set(plx_position *p, plx_slice epoch)
{
    if (epoch.len == 0 || epoch.len > PLX_EPOCH_MAX)
        return PLX_E_INVALID;
    for (size_t i = 0; i < epoch.len; i++) {
        if (!epoch_char((unsigned char)epoch.data[i]))
            return PLX_E_INVALID;
    }
    memcpy(p->epoch, epoch.data, epoch.len);
    p->epoch[epoch.len] = '\0';
    return 0;
}
