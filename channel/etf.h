/* Erlang's external term format, as far as tokens need it.
 *
 * Reading is a walk over foreign bytes: nothing is allocated by a declared size,
 * nesting is bounded, and whatever JSON can't say (pids, references, functions,
 * bit strings, improper lists, binaries that are not UTF-8, floats that are not
 * finite) is refused, as is a compressed term.
 *
 *   term                          JSON
 *   integer, float                number (integers exactly; at most PLX_ETF_BIG bytes)
 *   binary                        string
 *   atom true, false, nil         true, false, null; any other atom: string
 *   list, byte list ("charlist")  array; a byte list: of its integers
 *   tuple                         array
 *   map                           object; keys: strings, atoms (nil: "nil"), integers in decimal.
 *                                 :a and "a" in one map would give one name twice: refused
 *
 * Format: https://www.erlang.org/doc/apps/erts/erl_ext_dist
 */
#ifndef PLX_CHANNEL_ETF_H
#define PLX_CHANNEL_ETF_H

#include "base/buf.h"
#include "base/slice.h"
#include <stdint.h>

#define PLX_ETF_DEPTH 64  /* lists, tuples and maps inside each other */
#define PLX_ETF_BIG   127 /* bytes of a big integer: below 2^1016, so finite as a double */

/* A position in encoded terms; borrows the bytes. */
typedef struct plx_etf {
    const uint8_t *next, *end;
} plx_etf;

/* Starts at the version byte (131). PLX_E_INVALID: another version, or a compressed term. */
int plx_etf_open(plx_etf *e, plx_slice bytes);
bool plx_etf_at_end(const plx_etf *e);

/* Each takes the next term and fails with PLX_E_INVALID, leaving *e as it was, when it is of
 * another kind or damaged. */
int plx_etf_tuple(plx_etf *e, uint32_t *arity); /* only its head: its terms come next */
int plx_etf_int(plx_etf *e, int64_t *out);      /* also PLX_E_INVALID when it does not fit */
int plx_etf_float(plx_etf *e, double *out);
int plx_etf_atom_is(plx_etf *e, const char *name); /* PLX_E_INVALID when it is not this atom */

/* Appends the next term, whatever it is, as JSON. PLX_E_INVALID, or PLX_E_TOOBIG when out is full;
 * out then holds a useless part of it. */
int plx_etf_json(plx_etf *e, plx_buf *out);

/* Writing. Appends: the version byte; a tuple's head (arity up to 255); an integer; an atom; a JSON
 * text (validated before) as a term: strings as binaries, objects as maps with binary keys, true,
 * false and null as the atoms true, false, nil, numbers with fraction or exponent as floats.
 * 0, PLX_E_TOOBIG, or PLX_E_INVALID (deeper than PLX_ETF_DEPTH, an integer beyond PLX_ETF_BIG). */
int plx_etf_put_version(plx_buf *out);
int plx_etf_put_tuple(plx_buf *out, uint8_t arity);
int plx_etf_put_int(plx_buf *out, int64_t n);
int plx_etf_put_atom(plx_buf *out, const char *name);
int plx_etf_put_json(plx_buf *out, plx_slice json);

#endif
