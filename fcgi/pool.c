/* The reader threads and the hand-over: list, mutex, condition one way; list, mutex, ev_async the
 * other.
 */
#include "fcgi/pool.h"
#include "base/alloc.h"
#include "base/log.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* Decoding keeps everything of size on the heap. */
#define STACK_BYTES (512 * 1024)

struct thread {
    struct plx_pool *pool;
    pthread_t id;
    plx_codec *codec;
};

struct plx_pool {
    struct ev_loop *loop;
    plx_pool_calls calls;
    ev_async wake;
    pthread_mutex_t lock; /* guards the three below */
    plx_list queue, finished;
    bool stop;
    pthread_cond_t some; /* queue is not empty, or stop */
    size_t count;        /* of running threads */
    struct thread threads[];
};

/* Puts the job that was worked on (NULL at first) among the finished and takes the next one; NULL:
 * stop. */
static plx_pool_job *next_job(plx_pool *p, plx_pool_job *worked)
{
    plx_list *node = NULL;
    bool wake = false;

    pthread_mutex_lock(&p->lock);
    if (worked != NULL) {
        wake = plx_list_empty(&p->finished);
        plx_list_push(&p->finished, &worked->link);
    }
    if (wake) { /* before waiting for another job */
        pthread_mutex_unlock(&p->lock);
        ev_async_send(p->loop, &p->wake);
        pthread_mutex_lock(&p->lock);
    }
    while (!p->stop && plx_list_empty(&p->queue))
        pthread_cond_wait(&p->some, &p->lock);
    if (!p->stop)
        node = plx_list_shift(&p->queue);
    pthread_mutex_unlock(&p->lock);
    return node != NULL ? PLX_CONTAINER(node, plx_pool_job, link) : NULL;
}

static void *run(void *arg)
{
    struct thread *t = arg;
    plx_pool_job *job = NULL;

    while ((job = next_job(t->pool, job)) != NULL)
        t->pool->calls.work(job, t->codec);
    return NULL;
}

static void on_wake(struct ev_loop *loop, ev_async *w, int revents)
{
    plx_pool *p = w->data;
    plx_list batch, *node;

    (void)loop;
    (void)revents;
    plx_list_init(&batch);
    pthread_mutex_lock(&p->lock);
    plx_list_splice(&batch, &p->finished);
    pthread_mutex_unlock(&p->lock);
    while ((node = plx_list_shift(&batch)) != NULL)
        p->calls.done(p->calls.arg, PLX_CONTAINER(node, plx_pool_job, link));
}

static int start_thread(plx_pool *p)
{
    struct thread *t = &p->threads[p->count];
    pthread_attr_t attr;
    int rc;

    t->pool = p;
    t->codec = plx_codec_new();
    if (t->codec == NULL)
        return -1;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    rc = pthread_create(&t->id, &attr, run, t);
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        plx_err("can't start a reader thread: %s", strerror(rc));
        plx_codec_free(t->codec);
        return -1;
    }
    p->count++;
    return 0;
}

/* Signals are the loop's business: threads inherit a mask that blocks them all. */
static int start_threads(plx_pool *p, size_t count)
{
    sigset_t all, before;
    int rc = 0;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (rc == 0 && p->count < count)
        rc = start_thread(p);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

plx_pool *plx_pool_new(struct ev_loop *loop, size_t threads, const plx_pool_calls *calls)
{
    plx_pool *p = plx_alloc_zero(1, sizeof *p + threads * sizeof p->threads[0]);

    p->loop = loop;
    p->calls = *calls;
    plx_list_init(&p->queue);
    plx_list_init(&p->finished);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->some, NULL);
    ev_async_init(&p->wake, on_wake);
    p->wake.data = p;
    ev_async_start(loop, &p->wake);
    if (start_threads(p, threads) == 0)
        return p;
    plx_pool_free(p);
    return NULL;
}

void plx_pool_submit(plx_pool *p, plx_pool_job *job)
{
    pthread_mutex_lock(&p->lock);
    plx_list_push(&p->queue, &job->link);
    pthread_mutex_unlock(&p->lock);
    pthread_cond_signal(&p->some);
}

void plx_pool_free(plx_pool *p)
{
    if (p == NULL)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_mutex_unlock(&p->lock);
    pthread_cond_broadcast(&p->some);
    for (size_t i = 0; i < p->count; i++) {
        pthread_join(p->threads[i].id, NULL);
        plx_codec_free(p->threads[i].codec);
    }
    ev_async_stop(p->loop, &p->wake);
    pthread_cond_destroy(&p->some);
    pthread_mutex_destroy(&p->lock);
    free(p);
}
