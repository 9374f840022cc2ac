/* Socket modules: a shared object that is asked about every connect (Phoenix.Socket's connect/3 and
 * id/1). Loading them, and asking one. See the last part of backend.h. */
#ifndef PLX_CHANNEL_ADMISSION_H
#define PLX_CHANNEL_ADMISSION_H

#include "base/buf.h"
#include "base/config.h"
#include "channel/backend.h"

/* What a socket section has opened; all NULL: it has none. */
typedef struct plx_admitter {
    const plx_socket_module *module;
    void *state;
    void *handle; /* dlopen's */
} plx_admitter;

/* Opens the section's module, if it names one. On failure PLX_E_INVALID, a line for the operator in
 * `problem`, and nothing is left open. */
int plx_admitter_open(const plx_config *config, const plx_socket_config *socket, plx_admitter *out,
                      plx_buf *problem);
/* Closes and unloads it; harmless when there is none. */
void plx_admitter_close(plx_admitter *a);

/* One question and its answer. */
struct plx_admission {
    /* The value of a request header; false: absent. */
    bool (*header)(void *arg, const char *name, plx_slice *value);
    void *arg;
    bool refused;
    char why[200]; /* refused: for the log, cut short if need be */
    bool has_claims, has_id;
    plx_buf claims, id;
};

/* Asks; header and arg are set in *out before. To be given back with _done in any case. */
void plx_admitter_ask(const plx_admitter *a, const plx_connect_info *info, plx_admission *out);
void plx_admitter_done(plx_admission *a);

/* Opens a shared object and finds a function of it. 0, *handle and *f; or PLX_E_INVALID, nothing is
 * left open, and `why` says what is wrong with it. */
int plx_module_load(const char *path, const char *symbol, void **handle, void (**f)(void),
                    plx_buf *why);
/* Whether it was made for this version; else `why` says what to do. */
bool plx_module_fits(unsigned abi, plx_buf *why);

#endif
