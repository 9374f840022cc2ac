/* Loading the configuration: the text is read and cleaned, libConfuse and the schema make structs
 * of it, and these are judged. Problems of all steps are collected; a step is left out only when
 * the one before could make nothing of the text.
 */
#include "base/config.h"
#include "base/alloc.h"
#include "base/config_parts.h"
#include "base/error.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define FILE_MAX (1024 * 1024)

const char *plx_config_path(const char *from_command_line)
{
    const char *from_environment = getenv("POLLUX_CONFIG");
    if (from_command_line)
        return from_command_line;
    return from_environment && *from_environment ? from_environment : "/etc/pollux/pollux.conf";
}

/* ---- Loading ---- */

static int read_config_file(const char *file, plx_buf *text, plx_problems *p)
{
    mode_t mode;
    int err = plx_config_read_file(file, text, &mode);
    if (err)
        plx_problem_add(p, 1,
                        "this file can't be read: %s (expected a configuration of at most "
                        "1 MiB)",
                        plx_config_unreadable(err));
    return err == PLX_E_TOOBIG ? PLX_E_INVALID : err;
}

/* Everything after reading the file. The text ends with a newline and a NUL. */
static int understand(plx_buf *text, plx_config *c, plx_problems *p)
{
    plx_config_opens opens = {0};
    plx_config_notes notes = {0};
    int err = plx_config_text_clean(text->data, text->len, &opens, p);
    if (err == 0)
        err = plx_config_read(plx_buf_cstr(text), &opens, c, &notes, p);
    if (err == 0) {
        plx_config_read_secrets(c, &notes, p);
        plx_config_check(c, &notes, p);
    }
    free(opens.lines);
    free(notes.items);
    return err == 0 && p->errors > 0 ? PLX_E_INVALID : err;
}

int plx_config_load(const char *file, plx_config **out, plx_buf *problems)
{
    plx_config *c = plx_alloc_zero(1, sizeof *c);
    plx_problems p = {.file = file};
    plx_buf text;
    plx_buf_init(&text, FILE_MAX + 1);
    c->file = plx_strdup(file);
    int err = read_config_file(file, &text, &p);
    if (err == 0) {
        plx_buf_byte(&text, '\n');
        err = understand(&text, c, &p);
    }
    plx_problems_write(&p, problems);
    plx_buf_fini(&text);
    if (err)
        plx_config_free(c);
    else
        *out = c;
    return err;
}

int plx_config_open(const char *from_command_line, bool warnings, plx_config **out)
{
    plx_buf problems;
    plx_buf_init(&problems, 0);
    int err = plx_config_load(plx_config_path(from_command_line), out, &problems);
    if (problems.len > 0 && (warnings || err != 0))
        fwrite(problems.data, 1, problems.len, stderr);
    plx_buf_fini(&problems);
    return err;
}

void plx_config_free(plx_config *c)
{
    if (!c)
        return;
    plx_config_release(c);
    free(c->file);
    free(c);
}
