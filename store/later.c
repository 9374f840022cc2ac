/* Work for the next turn: an ev_check watcher runs the items, an ev_idle watcher
 * without a task keeps the poll before it from blocking. (A timer of 0 s would
 * wait for libev's smallest interval, a millisecond; an idle watcher alone is not
 * called at all while other events keep coming.)
 */
#include "store/later.h"

static void run_items(struct ev_loop *loop, ev_check *w, int revents)
{
    plx_laters *l = w->data;
    (void)revents;
    /* What is added from now on waits for the next turn. */
    plx_list now;
    plx_list_init(&now);
    plx_list_splice(&now, &l->items);
    ev_check_stop(loop, &l->check);
    ev_idle_stop(loop, &l->idle);
    plx_list *node;
    while ((node = plx_list_shift(&now)) != NULL) {
        plx_later *item = PLX_CONTAINER(node, plx_later, node);
        item->run(item);
    }
}

static void do_nothing(struct ev_loop *loop, ev_idle *w, int revents)
{
    (void)loop, (void)w, (void)revents;
}

void plx_laters_init(plx_laters *l, struct ev_loop *loop)
{
    l->loop = loop;
    plx_list_init(&l->items);
    ev_check_init(&l->check, run_items);
    l->check.data = l;
    ev_idle_init(&l->idle, do_nothing);
}

void plx_laters_fini(plx_laters *l)
{
    ev_check_stop(l->loop, &l->check);
    ev_idle_stop(l->loop, &l->idle);
    while (plx_list_shift(&l->items))
        ;
}

void plx_later_init(plx_later *item, void (*run)(plx_later *item))
{
    plx_list_init(&item->node);
    item->run = run;
}

void plx_later_add(plx_laters *l, plx_later *item)
{
    if (!plx_list_empty(&item->node))
        return;
    plx_list_push(&l->items, &item->node);
    ev_check_start(l->loop, &l->check);
    ev_idle_start(l->loop, &l->idle);
}

void plx_later_cancel(plx_later *item)
{
    plx_list_remove(&item->node);
}
