/* libfcgi, and nothing else in Pollux touches it.
 *
 * libfcgi reads and writes a descriptor and waits for it as long as it takes. To
 * keep it from waiting for a web server it never gets to see the socket: it reads
 * complete requests (intake.h) from a file in memory (memfd_create), and writes
 * its answers into one, from where the event loop sends them as the peer takes
 * them. Neither can block.
 *
 * Nor does a parked poll keep its FCGX_Request, whose stream buffers alone are 17 KB:
 * decoding copies what is wanted and frees it (FCGX_Free), and encoding makes
 * another one from a request of 32 bytes that differs in its id alone.
 *
 * A codec belongs to one thread at a time.
 */
#ifndef PLX_FCGI_CODEC_H
#define PLX_FCGI_CODEC_H

#include "base/buf.h"

typedef struct plx_codec plx_codec;

/* Initialises libfcgi (FCGX_Init), once for the process: call before any codec is made, before
 * threads, and before installing signal handlers, because it takes SIGTERM, SIGUSR1 and SIGPIPE.
 * Returns 0 or PLX_E_SYSTEM (logged). */
int plx_codec_library(void);

/* NULL when the system gives no descriptor (logged). */
plx_codec *plx_codec_new(void);
void plx_codec_free(plx_codec *c);

/* Reads a request's records (BEGIN, PARAMS, STDIN: as plx_intake_take gives them) with body_len
 * bytes of body. `take` is called before the return with the parameters, "NAME=value" strings up to
 * a NULL, and the body; both die with its return. Returns 0, PLX_E_INVALID when libfcgi refuses
 * what intake.h let through (`take` was not called), or PLX_E_SYSTEM. */
int plx_codec_decode(plx_codec *c, plx_slice records, size_t body_len,
                     void (*take)(void *arg, char *const *params, plx_slice body), void *arg);

/* Appends to `out` the records of a whole answer to the request `id`: head and body as STDOUT, its
 * end, and FCGI_END_REQUEST. Returns 0 or PLX_E_SYSTEM (no memory for the file). */
int plx_codec_encode(plx_codec *c, unsigned id, plx_slice head, plx_slice body, plx_buf *out);

#endif
