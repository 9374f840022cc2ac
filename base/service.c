/* See service.h. */
#include "base/service.h"
#include "base/log.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void plx_service_raise_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        plx_warning("the limit of open files can't be raised: %s", strerror(errno));
}

bool plx_service_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;

    if (!*text)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || n > max)
            return false;
        n = n * 10 + (uint64_t)(*text - '0');
    }
    *out = n;
    return n >= min && n <= max;
}

static int listen_on(const plx_listen_addr *addr, unsigned count, int *fds)
{
    plx_buf text;
    int err;

    plx_buf_init(&text, 0);
    err = plx_listen_open_many(addr, PLX_LISTEN_MODE, count, fds, &text);
    if (err != 0) {
        plx_err("%s", plx_buf_cstr(&text));
    } else {
        plx_listen_name(fds[0], &text);
        plx_info("listening on %s with %u worker%s", plx_buf_cstr(&text), count,
                 count > 1 ? "s" : "");
    }
    plx_buf_fini(&text);
    return err;
}

int plx_service_run(const plx_listen_addr *addr, const plx_workers *workers, int *fds)
{
    int err = listen_on(addr, workers->count, fds);

    if (err != 0)
        return err;
    err = plx_workers_run(workers);
    for (unsigned i = 0; i < workers->count; i++)
        close(fds[i]);
    plx_listen_cleanup(addr);
    return err;
}
