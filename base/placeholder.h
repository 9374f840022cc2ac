/* The syntax of templates: text with {params.NAME} and {claims.NAME} in it.
 *
 * NAME is one or more of A-Z a-z 0-9 _ - (at most PLX_PLACEHOLDER_NAME). There is
 * no escape: a brace that does not belong to a placeholder is an error. What the
 * placeholders stand for is the business of channel/template.
 */
#ifndef PLX_BASE_PLACEHOLDER_H
#define PLX_BASE_PLACEHOLDER_H

#include "base/slice.h"

#define PLX_PLACEHOLDER_NAME 64

enum plx_placeholder_kind { PLX_PLACE_TEXT, PLX_PLACE_PARAM, PLX_PLACE_CLAIM };

typedef struct plx_placeholder {
    enum plx_placeholder_kind kind;
    plx_slice text; /* the literal text, or NAME */
} plx_placeholder;

/* Takes the next part off *rest (the whole template at first): 1 and the part in *out, 0 at the
 * end, or PLX_E_INVALID. */
int plx_placeholder_next(plx_slice *rest, plx_placeholder *out);

/* Whether the whole text is a template (a text without placeholders is one; the empty text is not).
 */
bool plx_template_valid(plx_slice tmpl);

#endif
