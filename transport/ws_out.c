/* The queue of frames and the one system call that empties it. */
#include "transport/ws_out.h"
#include "base/alloc.h"
#include "base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define FRAMES_PER_WRITE 64

struct plx_ws_chunk {
    struct plx_ws_chunk *next;
    plx_blob *frame;
};

void plx_ws_out_push(plx_ws_out *q, plx_blob *frame)
{
    struct plx_ws_chunk *c = plx_alloc(sizeof *c);
    c->next = NULL;
    c->frame = plx_blob_ref(frame);
    if (q->tail)
        q->tail->next = c;
    else
        q->head = c;
    q->tail = c;
    q->count++;
    q->bytes += frame->len;
}

static void drop_head(plx_ws_out *q)
{
    struct plx_ws_chunk *c = q->head;
    q->head = c->next;
    if (!q->head)
        q->tail = NULL;
    q->offset = 0;
    q->count--;
    plx_blob_unref(c->frame);
    free(c);
}

/* Takes n written bytes off the queue. */
static void written(plx_ws_out *q, size_t n)
{
    q->bytes -= n;
    n += q->offset;
    while (q->head && n >= q->head->frame->len) {
        n -= q->head->frame->len;
        drop_head(q);
    }
    q->offset = (uint32_t)n; /* frames are far smaller than 4 GB */
}

int plx_ws_out_flush(plx_ws_out *q, int fd)
{
    while (q->head) {
        struct iovec iov[FRAMES_PER_WRITE];
        struct msghdr msg = {.msg_iov = iov};
        size_t skip = q->offset;
        for (struct plx_ws_chunk *c = q->head; c && msg.msg_iovlen < FRAMES_PER_WRITE;
             c = c->next) {
            iov[msg.msg_iovlen].iov_base = c->frame->data + skip;
            iov[msg.msg_iovlen++].iov_len = c->frame->len - skip;
            skip = 0;
        }
        ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK ? PLX_E_BUSY : PLX_E_SYSTEM;
        written(q, (size_t)n);
    }
    return 0;
}

void plx_ws_out_fini(plx_ws_out *q)
{
    while (q->head)
        drop_head(q);
    q->bytes = 0;
}
