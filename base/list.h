/* Intrusive doubly linked list with a sentinel head. A node not in a list points to itself. */
#ifndef PLX_BASE_LIST_H
#define PLX_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct plx_list {
    struct plx_list *prev, *next;
} plx_list;

#define PLX_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* An empty list, or a node that is in none. */
static inline void plx_list_init(plx_list *l)
{
    l->prev = l->next = l;
}

/* Whether nothing is in the list, or the node in none. */
static inline bool plx_list_empty(const plx_list *l)
{
    return l->next == l;
}

/* Puts node at the end of the list whose sentinel is head. */
static inline void plx_list_push(plx_list *head, plx_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

/* Takes the node out of its list, whichever that is; harmless on a node that is in none. */
static inline void plx_list_remove(plx_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    plx_list_init(node);
}

/* Removes and returns the first node, or NULL. */
static inline plx_list *plx_list_shift(plx_list *head)
{
    plx_list *node = head->next;
    if (node == head)
        return NULL;
    plx_list_remove(node);
    return node;
}

/* Moves all nodes of from to the end of to; from is empty afterwards. */
static inline void plx_list_splice(plx_list *to, plx_list *from)
{
    if (plx_list_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    plx_list_init(from);
}

/* How many nodes there are beside head (which in a ring without a sentinel is one of them). Walks
 * them all. */
static inline size_t plx_list_count(const plx_list *head)
{
    size_t n = 0;
    for (const plx_list *l = head->next; l != head; l = l->next)
        n++;
    return n;
}

#endif
