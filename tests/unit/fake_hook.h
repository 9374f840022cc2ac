/* An application that a test plays: questions are written down and wait for the test's answer. The
 * linker puts these in the place of channel/hook's functions (--wrap, see the Makefile). */
#ifndef PLX_TESTS_FAKE_HOOK_H
#define PLX_TESTS_FAKE_HOOK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/list.h"
#include "channel/hook.h"

#include <stdio.h>
#include <stdlib.h>

struct plx_hook {
    const char *url, *secret;
    uint64_t timeout_ms;
    size_t max_in_flight;
};

struct plx_question {
    plx_list node;
    char *body, *share;
    plx_buf who;
    bool repeatable;
    plx_hook_cb *cb;
    void *arg;
};

static plx_list asked = {&asked, &asked}; /* oldest first */
static unsigned asked_count, cancelled_count, complaint_count;
static plx_hook_config opened_as; /* the last one */
static char last_complaint[200];

plx_hook *__wrap_plx_hook_open(plx_hooks *hooks, const plx_hook_config *config);
plx_hook *__wrap_plx_hook_open(plx_hooks *hooks, const plx_hook_config *config)
{
    (void)hooks;
    plx_hook *h = plx_alloc(sizeof *h);
    opened_as = *config;
    *h = (plx_hook){config->url, config->secret, config->timeout_ms, config->max_in_flight};
    return h;
}

static void question_end(plx_question *q, int err, const char *json)
{
    plx_list_remove(&q->node);
    if (q->cb)
        q->cb(q->arg, err, plx_slice_of(json));
    free(q->body);
    free(q->share);
    plx_buf_fini(&q->who);
    free(q);
}

void __wrap_plx_hook_close(plx_hook *hook);
void __wrap_plx_hook_close(plx_hook *hook)
{
    while (!plx_list_empty(&asked))
        question_end(PLX_CONTAINER(asked.next, plx_question, node), -5, "");
    free(hook);
}

plx_question *__wrap_plx_hook_ask(plx_hook *hook, plx_slice body, plx_slice share, unsigned flags,
                                  plx_hook_cb *cb, void *arg);
plx_question *__wrap_plx_hook_ask(plx_hook *hook, plx_slice body, plx_slice share, unsigned flags,
                                  plx_hook_cb *cb, void *arg)
{
    assert_non_null(hook);
    plx_question *q = plx_alloc_zero(1, sizeof *q);
    plx_list_init(&q->node);
    plx_list_push(&asked, &q->node);
    plx_buf_init(&q->who, 0);
    q->body = plx_slice_dup(body);
    q->share = plx_slice_dup(share);
    q->repeatable = flags & PLX_HOOK_REPEATABLE;
    q->cb = cb;
    q->arg = arg;
    asked_count++;
    return q;
}

plx_question *__wrap_plx_hook_ask_for(plx_hook *hook, plx_slice who, plx_slice body,
                                      plx_slice share, unsigned flags, plx_hook_cb *cb, void *arg);
plx_question *__wrap_plx_hook_ask_for(plx_hook *hook, plx_slice who, plx_slice body,
                                      plx_slice share, unsigned flags, plx_hook_cb *cb, void *arg)
{
    plx_question *q = __wrap_plx_hook_ask(hook, body, share, flags, cb, arg);
    plx_buf_add(&q->who, who);
    return q;
}

void __wrap_plx_question_cancel(plx_question *q);
void __wrap_plx_question_cancel(plx_question *q)
{
    cancelled_count++;
    q->cb = NULL;
    question_end(q, 0, "");
}

void __wrap_plx_hook_complain(plx_hook *hook, const char *why);
void __wrap_plx_hook_complain(plx_hook *hook, const char *why)
{
    assert_non_null(hook);
    complaint_count++;
    snprintf(last_complaint, sizeof last_complaint, "%s", why);
}

/* The oldest question. */
static plx_question *first_asked(void)
{
    assert_false(plx_list_empty(&asked));
    return PLX_CONTAINER(asked.next, plx_question, node);
}

/* Answers it. */
static __attribute__((unused)) void answer_asked(int err, const char *json)
{
    question_end(first_asked(), err, json);
}

static __attribute__((unused)) void fake_hook_reset(void)
{
    asked_count = cancelled_count = complaint_count = 0;
    last_complaint[0] = '\0';
}

#endif
