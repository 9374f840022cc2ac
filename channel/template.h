/* Filling in templates: "user_socket:{params.user_id}" from connect parameters and claims.
 *
 * The syntax is base/placeholder's. Substitution is plain and happens once: what a
 * parameter contains is never looked at again, whatever braces it holds.
 */
#ifndef PLX_CHANNEL_TEMPLATE_H
#define PLX_CHANNEL_TEMPLATE_H

#include "base/buf.h"

/* Longest result, in bytes: topics and socket ids are not longer either. */
#define PLX_TEMPLATE_MAX 1024

/* Appends the template with its placeholders replaced. params_json and claims_json are texts of
 * JSON objects (empty: none). A member that is a string gives its unescaped bytes, a number its
 * text as written ("1.0" stays "1.0"); only members at the top level are looked at.
 *
 * PLX_E_NOTFOUND: a member is missing, or is neither string nor number, or holds a NUL (what that
 *   means is the caller's: no id, a refused join, the empty key).
 * PLX_E_TOOBIG: longer than PLX_TEMPLATE_MAX or than out allows.
 * PLX_E_INVALID: no template, or the texts are no JSON objects.
 * After an error out is as it was. */
int plx_template_expand(const char *tmpl, plx_slice params_json, plx_slice claims_json,
                        plx_buf *out);

#endif
