/* Room for the head "*<argc>\r\n" is kept free in front of the arguments and filled
 * in from the right when their number is known.
 */
#include "store/command.h"
#include "base/error.h"

#include <stdio.h>

#define HEAD_ROOM  16
#define USUAL_SIZE 512

void plx_command_init(plx_command *c, const char *name)
{
    plx_buf_init(&c->bytes, PLX_COMMAND_MAX);
    plx_buf_reserve(&c->bytes, USUAL_SIZE); /* one allocation for most commands */
    c->start = 0;
    c->argc = 0;
    char *head = plx_buf_reserve(&c->bytes, HEAD_ROOM);
    if (head)
        plx_buf_commit(&c->bytes, HEAD_ROOM);
    plx_command_str(c, name);
}

void plx_command_fini(plx_command *c)
{
    plx_buf_fini(&c->bytes);
}

static void begin_arg(plx_command *c, size_t len)
{
    char head[] = "$12345678901234567890\r\n";
    size_t end = sizeof head - 1, at = end - 2;
    do {
        head[--at] = (char)('0' + len % 10);
        len /= 10;
    } while (len > 0);
    head[--at] = '$';
    plx_buf_append(&c->bytes, head + at, end - at);
    c->argc++;
}

void plx_command_add(plx_command *c, plx_slice arg)
{
    begin_arg(c, arg.len);
    plx_buf_add(&c->bytes, arg);
    plx_buf_append(&c->bytes, "\r\n", 2);
}

void plx_command_str(plx_command *c, const char *arg)
{
    plx_command_add(c, plx_slice_of(arg));
}

void plx_command_u64(plx_command *c, uint64_t arg)
{
    size_t digits = 1;
    for (uint64_t n = arg; n >= 10; n /= 10)
        digits++;
    begin_arg(c, digits);
    plx_buf_u64(&c->bytes, arg);
    plx_buf_append(&c->bytes, "\r\n", 2);
}

void plx_command_key(plx_command *c, const char *prefix, char kind, plx_slice name,
                     const char *suffix)
{
    plx_slice head = plx_slice_of(prefix), tail = plx_slice_of(suffix);
    const char tag[3] = {'{', kind, ':'};
    begin_arg(c, head.len + sizeof tag + name.len + 1 + tail.len);
    plx_buf_add(&c->bytes, head);
    plx_buf_append(&c->bytes, tag, sizeof tag);
    plx_buf_add(&c->bytes, name);
    plx_buf_byte(&c->bytes, '}');
    plx_buf_add(&c->bytes, tail);
    plx_buf_append(&c->bytes, "\r\n", 2);
}

void plx_command_refuse(plx_command *c)
{
    c->bytes.failed = true;
}

int plx_command_finish(plx_command *c)
{
    if (!plx_buf_ok(&c->bytes))
        return PLX_E_TOOBIG;
    char head[HEAD_ROOM + 1];
    int len = snprintf(head, sizeof head, "*%zu\r\n", c->argc);
    if (len < 0 || len > HEAD_ROOM)
        return PLX_E_TOOBIG;
    c->start = HEAD_ROOM - (size_t)len;
    memcpy(c->bytes.data + c->start, head, (size_t)len);
    return 0;
}

plx_slice plx_command_wire(const plx_command *c)
{
    return plx_slice_make(c->bytes.data + c->start, c->bytes.len - c->start);
}
