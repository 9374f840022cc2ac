/* What the files of `pollux token` share.
 *
 *   token.c       the command: its two words, help, what goes to standard output
 *   token_auth.c  which key, from the configuration or from options
 */
#ifndef PLX_CHANNEL_CLI_TOKEN_H
#define PLX_CHANNEL_CLI_TOKEN_H

#include "base/config.h"

/* The command line as it was given; NULL: not given. */
typedef struct plx_token_options {
    const char *command; /* "token sign" | "token verify", for complaints */
    const char *type, *socket;
    const char *key, *key_file, *key_env; /* one of them at most */
    const char *salt, *algorithm, *issuer, *audience, *claim;
    const char *max_age, *expires_in;
} plx_token_options;

/* How tokens are made and judged here. */
typedef struct plx_token_auth {
    plx_auth_config auth; /* borrows of what follows and of the options */
    plx_config *config;   /* owned, or NULL */
    plx_buf key;          /* what was read from a file */
    char *algorithm[1];
} plx_token_auth;

/* Finds it: with a key among the options from these alone, else from the configuration
 * (config_path; NULL: the usual places), where options replace single values. Returns 0, or the
 * exit status after complaining. Always to be followed by plx_token_auth_fini. */
int plx_token_auth_find(const plx_token_options *o, const char *config_path, plx_token_auth *out);
void plx_token_auth_fini(plx_token_auth *a);

/* Seconds, or with `word` not NULL this word, which counts as 0. Returns 0, or the exit status
 * after complaining. */
int plx_token_seconds(const char *option, const char *text, const char *word, uint64_t *out);

#endif
