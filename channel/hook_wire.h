/* What of a question to an application can be seen from outside: its signature, and what the answer
 * is worth. No state, no I/O. */
#ifndef PLX_CHANNEL_HOOK_WIRE_H
#define PLX_CHANNEL_HOOK_WIRE_H

#include "channel/http_client.h"

#define PLX_HOOK_SIGNATURE_SIZE 128

/* Writes "t=<unix seconds>,v1=<hex HMAC-SHA256(secret, t "." body)>", ended by NUL. */
void plx_hook_sign(plx_slice secret, plx_slice body, char out[PLX_HOOK_SIGNATURE_SIZE]);

/* 0 and the JSON object in *json (empty: there is none, which is an answer, too), or the error that
 * whoever has asked is told, and in *why what is wrong, for the log. */
int plx_hook_judge(const plx_http_result *r, plx_slice *json, const char **why);

/* Whether that is how an application looks that is down. */
bool plx_hook_is_sick(const plx_http_result *r);

#endif
