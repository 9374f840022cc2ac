/* A socket module that fails to be one in the way that the environment variable DOORKEEPER says
 * ("null", "old", "deaf"), or by its settings ("no", "silent"). With a file name as settings it
 * notes there where it was opened, and that it was closed. */
#include "channel/backend.h"
#include <stdio.h>
#include <stdlib.h>

const plx_socket_module *pollux_socket(void);

static void note(const char *file, const char *what)
{
    FILE *f = fopen(file, "a");

    if (f) {
        fputs(what, f);
        fclose(f);
    }
}

static int keeper_open(const char *path, const char *settings, void **state, const char **error)
{
    if (!settings || strcmp(settings, "silent") == 0)
        return -1;
    if (strcmp(settings, "no") == 0) {
        *error = "not at night";
        return -1;
    }
    *state = strdup(settings);
    note(settings, path);
    return 0;
}

static void keeper_close(void *state)
{
    note(state, " closed");
    free(state);
}

static void let_in(void *state, const plx_connect_info *info, plx_admission *admission)
{
    (void)state;
    (void)info;
    (void)admission;
}

static const plx_socket_module doorkeeper = {.abi = PLX_BACKEND_ABI,
                                             .name = "doorkeeper",
                                             .open = keeper_open,
                                             .close = keeper_close,
                                             .connect = let_in},
                               old = {.abi = 1, .name = "old", .connect = let_in},
                               deaf = {.abi = PLX_BACKEND_ABI, .name = "deaf"};

const plx_socket_module *pollux_socket(void)
{
    const char *fault = getenv("DOORKEEPER");

    if (fault && strcmp(fault, "null") == 0)
        return NULL;
    if (fault && strcmp(fault, "old") == 0)
        return &old;
    return fault && strcmp(fault, "deaf") == 0 ? &deaf : &doorkeeper;
}
