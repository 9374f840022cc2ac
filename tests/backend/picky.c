/* A module that refuses to start with the settings "no" (and "silent": without saying why), and
 * counts in the file named by its settings otherwise how often it was opened and closed. */
#include "channel/backend.h"
#include <stdio.h>
#include <stdlib.h>

const plx_backend *pollux_backend(void);

static void note(const char *file, const char *what)
{
    FILE *f = fopen(file, "a");

    if (f) {
        fputs(what, f);
        fclose(f);
    }
}

static int picky_open(const char *pattern, const char *settings, void **state, const char **error)
{
    if (!settings || strcmp(settings, "silent") == 0)
        return -1;
    if (strcmp(settings, "no") == 0) {
        *error = "I do not like these settings";
        return -1;
    }
    *state = strdup(settings);
    note(settings, pattern);
    return 0;
}

static void picky_close(void *state)
{
    note(state, "closed");
    free(state);
}

static const plx_backend picky = {
    .abi = PLX_BACKEND_ABI, .name = "picky", .open = picky_open, .close = picky_close};

const plx_backend *pollux_backend(void)
{
    return &picky;
}
