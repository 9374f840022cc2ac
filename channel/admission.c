/* See admission.h. */
#include "channel/admission.h"

#include "base/error.h"
#include "base/json_scan.h"
#include "base/utf8.h"
#include "channel/auth_hook.h"
#include "channel/message.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

/* ---- loading ---- */

int plx_module_load(const char *path, const char *symbol, void **handle, void (**f)(void),
                    plx_buf *why)
{
    void *opened, *found;

    dlerror();
    opened = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!opened) {
        const char *reason = dlerror();
        plx_buf_printf(why, "the module can't be loaded: %s", reason ? reason : path);
        return PLX_E_INVALID;
    }
    found = dlsym(opened, symbol);
    if (!found) {
        plx_buf_printf(why, "no such module (it has no function %s): %s", symbol, path);
        dlclose(opened);
        return PLX_E_INVALID;
    }
    /* ISO C has no conversion from an object pointer to a function pointer; POSIX says that this
     * one works. */
    memcpy(f, &found, sizeof *f);
    *handle = opened;
    return 0;
}

bool plx_module_fits(unsigned abi, plx_buf *why)
{
    if (abi == PLX_BACKEND_ABI)
        return true;
    plx_buf_printf(why,
                   "made for version %u of the interface, this is version %u: compile it against"
                   " this Pollux' pollux/backend.h",
                   abi, (unsigned)PLX_BACKEND_ABI);
    return false;
}

static int load(const plx_socket_config *socket, plx_admitter *a, plx_buf *why)
{
    const plx_socket_module *(*entry)(void);
    void (*f)(void);
    const char *refusal = NULL;
    int err = plx_module_load(socket->module, "pollux_socket", &a->handle, &f, why);

    if (err != 0)
        return err;
    entry = (const plx_socket_module *(*)(void))f;
    a->module = entry();
    if (!a->module || !a->module->connect)
        plx_buf_printf(why, "%s: pollux_socket() returned %s", socket->module,
                       a->module ? "a module without connect" : "NULL");
    else if (!plx_module_fits(a->module->abi, why))
        return PLX_E_INVALID;
    else if (a->module->open &&
             a->module->open(socket->path, socket->module_settings, &a->state, &refusal) != 0)
        plx_buf_printf(why, "the module refuses to start: %s",
                       refusal ? refusal : "it gives no reason");
    else
        return 0;
    return PLX_E_INVALID;
}

int plx_admitter_open(const plx_config *config, const plx_socket_config *socket, plx_admitter *out,
                      plx_buf *problem)
{
    plx_admitter a = {.module = NULL};
    plx_buf why;
    int err;

    *out = a;
    if (!socket->module)
        return 0;
    plx_buf_init(&why, 0);
    err = load(socket, &a, &why);
    if (err == 0)
        *out = a;
    else
        plx_buf_printf(problem, "%s:%u: socket \"%s\": %s\n", config->file ? config->file : "",
                       socket->line, socket->path, plx_buf_cstr(&why));
    if (err != 0 && a.handle)
        dlclose(a.handle);
    plx_buf_fini(&why);
    return err;
}

void plx_admitter_close(plx_admitter *a)
{
    if (a->module && a->module->close)
        a->module->close(a->state);
    if (a->handle)
        dlclose(a->handle);
    *a = (plx_admitter){.module = NULL};
}

/* ---- asking ---- */

void plx_admitter_ask(const plx_admitter *a, const plx_connect_info *info, plx_admission *out)
{
    out->refused = out->has_claims = out->has_id = false;
    plx_buf_init(&out->claims, PLX_AUTH_CLAIMS_MAX);
    plx_buf_init(&out->id, PLX_NAME_MAX);
    a->module->connect(a->state, info, out);
}

void plx_admitter_done(plx_admission *a)
{
    plx_buf_fini(&a->claims);
    plx_buf_fini(&a->id);
}

/* ---- what the module says ---- */

plx_slice plx_admission_header(const plx_admission *a, const char *name)
{
    plx_slice value = {NULL, 0};

    if (!a->header || !a->header(a->arg, name, &value))
        value = (plx_slice){NULL, 0};
    return value;
}

void plx_admission_refuse(plx_admission *a, const char *why)
{
    a->refused = true;
    snprintf(a->why, sizeof a->why, "%s", why ? why : "no reason given");
}

int plx_admission_claims(plx_admission *a, plx_slice json_object)
{
    plx_json_value value;

    if (json_object.len > PLX_AUTH_CLAIMS_MAX)
        return PLX_E_TOOBIG;
    if (plx_json_check(json_object, &value) != 0 || value.type != PLX_JSON_OBJECT)
        return PLX_E_INVALID;
    plx_buf_clear(&a->claims);
    plx_buf_add(&a->claims, value.text);
    a->has_claims = true;
    return 0;
}

static bool has_control(plx_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < 0x20 || text.data[i] == 0x7f)
            return true;
    return false;
}

int plx_admission_id(plx_admission *a, plx_slice id)
{
    if (id.len > PLX_NAME_MAX)
        return PLX_E_TOOBIG;
    if (!plx_utf8_valid(id) || has_control(id))
        return PLX_E_INVALID;
    plx_buf_clear(&a->id);
    plx_buf_add(&a->id, id);
    a->has_id = true;
    return 0;
}
