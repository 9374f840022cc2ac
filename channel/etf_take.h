/* Inside channel/etf: the tag bytes, and taking pieces of a term off the front. */
#ifndef PLX_CHANNEL_ETF_TAKE_H
#define PLX_CHANNEL_ETF_TAKE_H

#include "channel/etf.h"

enum etf_tag {
    ETF_NEW_FLOAT = 70,
    ETF_COMPRESSED = 80,
    ETF_SMALL_INTEGER = 97,
    ETF_INTEGER = 98,
    ETF_FLOAT = 99,
    ETF_ATOM = 100, /* Latin-1 */
    ETF_SMALL_TUPLE = 104,
    ETF_LARGE_TUPLE = 105,
    ETF_NIL = 106, /* the empty list */
    ETF_BYTE_LIST = 107,
    ETF_LIST = 108,
    ETF_BINARY = 109,
    ETF_SMALL_BIG = 110,
    ETF_LARGE_BIG = 111,
    ETF_SMALL_ATOM = 115, /* Latin-1 */
    ETF_MAP = 116,
    ETF_ATOM_UTF8 = 118,
    ETF_SMALL_ATOM_UTF8 = 119,
    ETF_VERSION = 131
};

/* Each returns 0, or PLX_E_INVALID when what is there is shorter than it says, and then leaves the
 * position somewhere: callers that go on afterwards work on a copy. Slices point into the term. */

/* The next byte, or PLX_E_INVALID. */
int plx_etf_take_tag(plx_etf *e);
/* A big-endian number of `width` bytes (at most 4). */
int plx_etf_take_number(plx_etf *e, size_t width, uint32_t *out);
/* A length of `width` bytes and then that many bytes. */
int plx_etf_take_bytes(plx_etf *e, size_t width, plx_slice *out);
/* A big integer: length, sign, bytes from the lowest to the highest (at most PLX_ETF_BIG). */
int plx_etf_take_big(plx_etf *e, size_t width, bool *negative, plx_slice *digits);
/* The rest of an atom of that tag; *latin1: its encoding, else valid UTF-8. */
int plx_etf_take_atom(plx_etf *e, int tag, plx_slice *name, bool *latin1);
bool plx_etf_is_atom(int tag);

#endif
