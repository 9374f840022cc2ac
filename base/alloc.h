/* Memory that is small or was capped before: allocation that cannot fail.
 *
 * Anything whose size a peer chooses is compared with a bound first; what is
 * then asked for here is memory that the program can't go on without. When the
 * system refuses it, the process says so and aborts: its parent starts another
 * one, and all state is in Redis. (That also keeps "no memory" branches that no
 * test ever visits out of every function.)
 */
#ifndef PLX_BASE_ALLOC_H
#define PLX_BASE_ALLOC_H

#include <stddef.h>

void *plx_alloc(size_t size);                /* uninitialised; size 0 gives a unique pointer */
void *plx_alloc_zero(size_t n, size_t size); /* zeroed array; overflow of n * size aborts */
void *plx_realloc(void *p, size_t size);
char *plx_strdup(const char *s);
/* p, which a library has allocated: aborts where that is NULL. */
void *plx_alloc_check(void *p);
/* printf into a fresh string owned by the caller. */
char *plx_asprintf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
