/* Doing what an application answered: first everything is looked at, then everything is done, so
 * that of a wrong answer nothing is. */
#ifndef PLX_CHANNEL_HTTP_ACT_H
#define PLX_CHANNEL_HTTP_ACT_H

#include "channel/http_answer.h"
#include "channel/parting.h"

/* Whether the answer's verbs are possible on this channel now. 0 and, when it has assigns, the
 * merged ones in *assigns; else PLX_E_INVALID and what is wrong in *why (static text). */
int plx_http_act_check(plx_channel *ch, const plx_http_answer *a, plx_buf *assigns,
                       const char **why);
/* Carries the verbs out and answers the call. `assigns` as plx_http_act_check made them. */
void plx_http_act(plx_channel *ch, plx_call *call, const plx_http_answer *a, plx_slice assigns);

/* The same at the end of a membership: its broadcasts. What needs a membership (a push, assigns,
 * presence, stop) has nothing to act on any more and is left out. */
int plx_http_act_check_parting(const plx_parting *p, const plx_http_answer *a, const char **why);
void plx_http_act_parting(plx_parting *p, const plx_http_answer *a);

#endif
