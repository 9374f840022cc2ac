/* A request as CGI describes it (RFC 3875 4.1), as the handlers see it (transport/http.h).
 *
 * The variables come from FastCGI parameters or from the environment of a CGI
 * program. Only what can be asked for is kept, in one block.
 */
#ifndef PLX_FCGI_REQUEST_H
#define PLX_FCGI_REQUEST_H

#include "base/config.h"
#include "transport/http.h"

typedef struct plx_request {
    plx_http_request http; /* first: handlers get a pointer to it */
    plx_slice path_info;   /* PATH_INFO, for programs that are mounted as a script; may be empty */
    plx_buf vars;          /* "NAME=value\0" of every kept variable, then what was put together */
    char *body;
} plx_request;

/* Copies from `vars` ("NAME=value" strings up to a NULL; of equal names the first counts) and the
 * body, and fills method, path, query, body and header of r->http; the rest of it is zeroed. The
 * path and the query come from REQUEST_URI, else from SCRIPT_NAME, PATH_INFO and QUERY_STRING.
 * Returns 0, or PLX_E_INVALID (answer 400): no method, no path that begins with a slash, control
 * characters in them, CONTENT_LENGTH that is no number or not the body's length. *r needs
 * plx_request_fini in any case. */
int plx_request_load(plx_request *r, char *const *vars, plx_slice body);
void plx_request_fini(plx_request *r);

/* Value of a kept variable by its CGI name; false: absent. */
bool plx_request_var(const plx_request *r, const char *name, plx_slice *value);

/* Sets remote_ip and https from REMOTE_ADDR and HTTPS, and from the headers of proxies in front of
 * the web server when the configuration trusts them (transport/proxy.h). */
void plx_request_trust(plx_request *r, const plx_config *config);

#endif
