/* What the tests of presence on one topic share. */
#ifndef PLX_TESTS_PRESENCE_TOPIC_H
#define PLX_TESTS_PRESENCE_TOPIC_H

#include "presence_fixture.h"

#include "base/alloc.h"
#include "vectors.h"

static follower f;

/* Parts of diffs: a diff, a meta, refs. */
#define DIFF(joins, leaves) "{\"joins\":{" joins "},\"leaves\":{" leaves "}}"
#define M(ref, rest)        "{\"phx_ref\":\"" ref "\"" rest "}"
#define R1                  "r1--------------"
#define R2                  "r2--------------"
#define R3                  "r3--------------"
#define R4                  "r4--------------"

#endif
