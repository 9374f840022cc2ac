/* The phrases behind the PLX_E* values, for log lines. */
#include "base/error.h"

const char *plx_strerror(int error)
{
    switch (error) {
    case PLX_OK:
        return "success";
    case PLX_E_INVALID:
        return "malformed";
    case PLX_E_TOOBIG:
        return "too big";
    case PLX_E_DENIED:
        return "not allowed";
    case PLX_E_NOTFOUND:
        return "not found";
    case PLX_E_GONE:
        return "gone";
    case PLX_E_BUSY:
        return "busy";
    case PLX_E_DOWN:
        return "not reachable";
    case PLX_E_TIMEOUT:
        return "timed out";
    case PLX_E_SYSTEM:
        return "system call failed";
    case PLX_E_STORE:
        return "store answered with an error";
    case PLX_E_LOST:
        return "no longer in the log";
    }
    return "unknown error";
}
