/* Buckets of topics that were left. As text: for each 16 hexadecimal digits of the topic's hash,
 * the number, a comma. */
#include "channel/spent.h"

#include "base/alloc.h"
#include "base/crypto.h"
#include <inttypes.h>
#include <stdlib.h>

#define TOPIC_BYTES 8
#define MS_NS       1000000u

struct plx_spent_bucket {
    uint8_t topic[TOPIC_BYTES];
    uint64_t full_ns;
};

typedef struct plx_spent_bucket bucket;

static void hash_topic(plx_slice topic, uint8_t out[TOPIC_BYTES])
{
    uint8_t whole[PLX_DIGEST_MAX];

    plx_hash(PLX_SHA256, topic, whole);
    memcpy(out, whole, TOPIC_BYTES);
}

static void remove_at(plx_spent *s, unsigned i)
{
    s->items[i] = s->items[--s->count];
    s->changed = true;
}

/* Forgets what is full by now, and of what is left, if there is no room, the least. */
static void make_room(plx_spent *s, uint64_t now_ms)
{
    unsigned least = 0;

    for (unsigned i = s->count; i-- > 0;)
        if (s->items[i].full_ns <= now_ms * MS_NS)
            remove_at(s, i);
    if (s->count < PLX_SPENT_MAX)
        return;
    for (unsigned i = 1; i < s->count; i++)
        if (s->items[i].full_ns < s->items[least].full_ns)
            least = i;
    remove_at(s, least);
}

static void add(plx_spent *s, const uint8_t topic[TOPIC_BYTES], uint64_t full_ns)
{
    s->items = plx_realloc(s->items, (s->count + 1) * sizeof *s->items);
    memcpy(s->items[s->count].topic, topic, TOPIC_BYTES);
    s->items[s->count++].full_ns = full_ns;
}

void plx_spent_keep(plx_spent *s, plx_slice topic, uint64_t full_ns, uint64_t now_ms)
{
    uint8_t hash[TOPIC_BYTES];

    if (full_ns <= now_ms * MS_NS)
        return;
    plx_spent_take(s, topic);
    make_room(s, now_ms);
    hash_topic(topic, hash);
    add(s, hash, full_ns);
    s->changed = true;
}

uint64_t plx_spent_take(plx_spent *s, plx_slice topic)
{
    uint8_t hash[TOPIC_BYTES];
    uint64_t full_ns;

    if (s->count == 0)
        return 0;
    hash_topic(topic, hash);
    for (unsigned i = 0; i < s->count; i++) {
        if (memcmp(s->items[i].topic, hash, TOPIC_BYTES) == 0) {
            full_ns = s->items[i].full_ns;
            remove_at(s, i);
            return full_ns;
        }
    }
    return 0;
}

void plx_spent_fini(plx_spent *s)
{
    free(s->items);
    *s = (plx_spent){0};
}

void plx_spent_pack(const plx_spent *s, plx_buf *out)
{
    for (unsigned i = 0; i < s->count; i++) {
        for (unsigned k = 0; k < TOPIC_BYTES; k++)
            plx_buf_printf(out, "%02x", s->items[i].topic[k]);
        plx_buf_printf(out, "%" PRIu64 ",", s->items[i].full_ns);
    }
}

static int digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Takes one off *text; false when it is damaged. */
static bool unpack(plx_slice *text, bucket *out)
{
    size_t i = 2 * TOPIC_BYTES;

    *out = (bucket){.full_ns = 0};
    if (text->len < i)
        return false;
    for (size_t k = 0; k < i; k++) {
        int d = digit(text->data[k]);
        if (d < 0)
            return false;
        out->topic[k / 2] = (uint8_t)(out->topic[k / 2] << 4 | d);
    }
    for (; i < text->len && text->data[i] >= '0' && text->data[i] <= '9'; i++) {
        if (out->full_ns > UINT64_MAX / 10 - 1)
            return false;
        out->full_ns = out->full_ns * 10 + (uint64_t)(text->data[i] - '0');
    }
    if (out->full_ns == 0 || i == text->len || text->data[i] != ',')
        return false;
    *text = plx_slice_make(text->data + i + 1, text->len - i - 1);
    return true;
}

void plx_spent_unpack(plx_spent *s, plx_slice text)
{
    bucket b;

    while (s->count < PLX_SPENT_MAX && text.len > 0 && unpack(&text, &b))
        add(s, b.topic, b.full_ns);
}
