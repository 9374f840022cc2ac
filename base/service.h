/* The start of a program that listens and serves by worker processes, whatever it serves. */
#ifndef PLX_BASE_SERVICE_H
#define PLX_BASE_SERVICE_H

#include "base/listen.h"
#include "base/workers.h"

#include <stdbool.h>

/* Raises the limit of open files as far as it may go: each connection takes one. A failure is
 * logged. */
void plx_service_raise_limit(void);

/* Reads an option's value, a decimal number from min to max (at most 10^18). False otherwise. */
bool plx_service_number(const char *text, uint64_t min, uint64_t max, uint64_t *out);

/* Listens on addr, one descriptor for each worker (fds has room for workers->count and is filled
 * before the first of them runs), logs where, runs the workers to their end, and cleans up. 0, or
 * the error of plx_listen_open_many or plx_workers_run, logged. */
int plx_service_run(const plx_listen_addr *addr, const plx_workers *workers, int *fds);

#endif
