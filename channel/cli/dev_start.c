/* Getting `pollux dev` up: what is found and written first, then one part after the other. */
#include "channel/cli/dev.h"
#include "base/alloc.h"
#include "base/error.h"
#include "base/listen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define START_MS 30000 /* until a part must answer; a sanitizer build on a busy machine is slow */
#define GIVEN_MS 3000  /* what runs already answers at once */

/* ---- preparing ---- */

static void raise_descriptor_limit(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) != 0)
        return;
    if (r.rlim_max > 1048576) /* "unlimited" makes programs that walk over all of them slow */
        r.rlim_max = 1048576;
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
}

static int choose_port(plx_dev *d)
{
    plx_listen_addr a = {.host = "127.0.0.1", .port = (uint16_t)d->opt.port};
    plx_buf problem;
    int fd, rc;

    d->ws_port = plx_dev_free_port();
    d->port = (uint16_t)d->opt.port;
    if (d->port == 0) {
        do
            d->port = plx_dev_free_port();
        while (d->port == d->ws_port && d->port != 0);
        if (d->port != 0)
            return 0;
        plx_dev_complain("there is no free port on 127.0.0.1");
        return PLX_E_BUSY;
    }
    plx_buf_init(&problem, 1024);
    rc = plx_listen_open(&a, 0, &fd, &problem);
    if (rc == 0)
        close(fd);
    else
        plx_dev_complain("--port %u: %s", d->opt.port, plx_buf_cstr(&problem));
    plx_buf_fini(&problem);
    return rc;
}

static int find_demo(plx_dev *d)
{
    char *js;

    d->demo = plx_dev_find_data("demo");
    if (d->demo == NULL) {
        plx_dev_complain("the demonstration page was not found beside this program");
        return PLX_E_NOTFOUND;
    }
    js = plx_asprintf("%s/node_modules/phoenix/priv/static/phoenix.mjs", d->demo);
    d->phoenix = realpath(js, NULL);
    free(js);
    if (d->phoenix == NULL) {
        js = plx_asprintf("%s/phoenix.mjs", d->demo); /* where `make install` puts it */
        d->phoenix = realpath(js, NULL);
        free(js);
    }
    if (d->phoenix == NULL)
        plx_dev_complain("note: phoenix.js is missing, the page won't work ('make run' installs "
                         "it, or 'npm ci' in %s)",
                         d->demo);
    return 0;
}

static int prepare_config(plx_dev *d, const char *config_path)
{
    char *demo_conf = NULL;
    int rc;

    if (config_path == NULL) {
        demo_conf = plx_dev_find_data("demo.conf");
        if (demo_conf == NULL) {
            plx_dev_complain("demo.conf was not found beside this program: give --config FILE");
            return PLX_E_NOTFOUND;
        }
        config_path = demo_conf;
    }
    d->redis_url = d->opt.redis != NULL ? plx_strdup(d->opt.redis)
                                        : plx_asprintf("unix:%s/redis.sock", d->place.run);
    d->config_file = plx_asprintf("%s/pollux.conf", d->place.dir);
    rc = plx_dev_conf_make(config_path, d->redis_url, d->config_file, &d->config);
    free(demo_conf);
    return rc;
}

int plx_dev_prepare(plx_dev *d, const char *config_path)
{
    int rc;

    raise_descriptor_limit();
    rc = choose_port(d);
    if (rc == 0)
        rc = find_demo(d);
    if (rc == 0)
        rc = prepare_config(d, config_path);
    return rc;
}

/* ---- starting ---- */

int plx_dev_start_program(plx_dev *d, int which, const char *package, char **argv)
{
    plx_dev_proc *p = &d->procs[which];
    char *path = plx_dev_find_program(argv[0]);
    int rc;

    if (path == NULL) {
        plx_dev_complain("%s was not found (%s)", argv[0], package);
        return PLX_E_NOTFOUND;
    }
    argv[0] = path;
    rc = plx_dev_proc_start(p, &d->place, argv);
    free(path);
    if (p->pid > 0)
        plx_dev_guard_set(&d->guard, which, p->pid);
    return rc;
}

static int start_redis(plx_dev *d)
{
    int rc;

    if (d->opt.redis != NULL)
        return plx_dev_wait_until(d, "the given Redis", GIVEN_MS, plx_dev_redis_answers);
    rc = plx_dev_redis_start(d);
    return rc == 0 ? plx_dev_wait_until(d, "Redis", START_MS, plx_dev_redis_answers) : rc;
}

/* pollux-fcgi and pollux-ws: --config FILE --listen ADDRESS --workers N */
static int start_workers(plx_dev *d, int which, const char *program, char *address, unsigned n)
{
    char workers[12];
    char *argv[] = {(char *)program, (char *)"--config",  d->config_file, (char *)"--listen",
                    address,         (char *)"--workers", workers,        NULL};

    snprintf(workers, sizeof workers, "%u", n);
    return plx_dev_start_program(d, which, "it belongs beside pollux itself", argv);
}

static int start_fcgi(plx_dev *d)
{
    char *address = plx_asprintf("unix:%s/fcgi.sock", d->place.run);
    int rc = start_workers(d, PLX_DEV_FCGI, "pollux-fcgi", address, d->opt.fcgi_workers);

    free(address);
    return rc;
}

/* ws.listen says where, for whoever wants to go round the web server. */
static int start_ws(plx_dev *d)
{
    char *address = plx_asprintf("127.0.0.1:%u", d->ws_port);
    char *file = plx_asprintf("%s/ws.listen", d->place.run);
    int rc = plx_dev_write_file(file, plx_slice_of(address));

    if (rc == 0)
        rc = start_workers(d, PLX_DEV_WS, "pollux-ws", address, d->opt.ws_workers);
    free(address);
    free(file);
    return rc;
}

static int start_lighttpd(plx_dev *d)
{
    plx_dev_web web = {.config = d->config,
                       .place = &d->place,
                       .demo = d->demo,
                       .phoenix = d->phoenix,
                       .port = d->port,
                       .ws_port = d->ws_port};
    char *file = plx_asprintf("%s/lighttpd.conf", d->place.run);
    char *argv[] = {(char *)"lighttpd", (char *)"-D", (char *)"-f", file, NULL};
    plx_buf text;
    int rc;

    plx_buf_init(&text, 256 * 1024);
    rc = plx_dev_lighttpd_config(&web, &text);
    if (rc == 0)
        rc = plx_dev_write_file(file, plx_buf_slice(&text));
    d->procs[PLX_DEV_LIGHTTPD].log = plx_asprintf("%s/lighttpd.log", d->place.log);
    if (rc == 0)
        rc = plx_dev_start_program(d, PLX_DEV_LIGHTTPD, "Debian: apt-get install lighttpd", argv);
    plx_buf_fini(&text);
    free(file);
    return rc;
}

int plx_dev_start(plx_dev *d)
{
    int rc;

    rc = start_redis(d);
    if (rc == 0)
        rc = start_fcgi(d);
    if (rc == 0)
        rc = start_ws(d);
    if (rc == 0)
        rc = plx_dev_wait_until(d, "a worker", START_MS, plx_dev_workers_listen);
    if (rc == 0)
        rc = start_lighttpd(d);
    if (rc == 0)
        rc = plx_dev_wait_until(d, "long-polling through the web server", START_MS,
                                plx_dev_polls_answer);
    if (rc == 0)
        rc = plx_dev_wait_until(d, "the HTTP API through the web server", START_MS,
                                plx_dev_api_answers);
    if (rc == 0)
        rc = plx_dev_wait_until(d, "WebSocket through the web server", START_MS,
                                plx_dev_websockets_answer);
    return rc;
}
