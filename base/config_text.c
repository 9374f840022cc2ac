/* The configuration's text before libConfuse sees it.
 *
 * One pass, left to right, that follows libConfuse's own lexer through words, strings
 * ('...', "..." with escapes, ${VARIABLE} inside) and comments (#, //, C's). Words and
 * strings stay as they are, comments become spaces, so every line keeps its number.
 * Braces are matched on the way: libConfuse does not say where a section began.
 */
#include "base/alloc.h"
#include "base/config_parts.h"
#include "base/error.h"
#include "base/utf8.h"
#include <stdlib.h>

#define NESTING_MAX 16

typedef struct scan {
    char *p, *end;
    unsigned line;
    char before; /* the last character that is neither space nor comment; 0 at first */
    bool in_word;
    struct {
        unsigned line;
        bool section; /* else a list */
    } open[NESTING_MAX];
    size_t depth;
    unsigned spanning; /* where the first string over several lines began, 0: none yet */
    plx_config_opens *opens;
    plx_problems *problems;
} scan;

static int refuse(scan *s, unsigned line, const char *what)
{
    plx_problem_add(s->problems, line, "%s", what);
    return PLX_E_INVALID;
}

static char at(const scan *s, size_t ahead)
{
    return (size_t)(s->end - s->p) > ahead ? s->p[ahead] : '\0';
}

/* Passes n characters, counting lines. */
static void pass(scan *s, size_t n)
{
    for (; n > 0 && s->p < s->end; n--)
        s->line += *s->p++ == '\n';
}

static void blank(scan *s)
{
    if (*s->p != '\n')
        *s->p = ' ';
    pass(s, 1);
}

static void line_comment(scan *s)
{
    while (s->p < s->end && *s->p != '\n')
        blank(s);
}

static int block_comment(scan *s)
{
    unsigned begin = s->line;
    blank(s);
    blank(s);
    while (s->p < s->end && !(at(s, 0) == '*' && at(s, 1) == '/'))
        blank(s);
    if (s->p == s->end)
        return refuse(s, begin, "a comment begins here and never ends (expected */)");
    blank(s);
    blank(s);
    return 0;
}

/* ${NAME} or ${NAME:-otherwise}, which libConfuse replaces by the environment's value. Only where
 * there is a closing brace at all; else the dollar stands for itself. */
static bool variable(scan *s)
{
    if (at(s, 0) != '$' || at(s, 1) != '{')
        return false;
    char *close = memchr(s->p, '}', (size_t)(s->end - s->p));
    if (close)
        pass(s, (size_t)(close - s->p) + 1);
    return close != NULL;
}

static int escape(scan *s)
{
    char c = at(s, 1);
    if (c >= '0' && c <= '9')
        return refuse(s, s->line,
                      "a backslash with digits in a string (expected the character itself, or \\x "
                      "and two hexadecimal digits)");
    if (c == 'x' && at(s, 2) == '0' && !strchr("123456789abcdefABCDEF", at(s, 3)))
        return refuse(s, s->line, "a NUL in a string (expected text)");
    pass(s, 2);
    return 0;
}

static int string(scan *s)
{
    unsigned begin = s->line;
    char quote = *s->p;
    pass(s, 1);
    while (s->p < s->end && *s->p != quote) {
        if (quote == '"' && variable(s))
            continue;
        if (*s->p != '\\') {
            pass(s, 1);
        } else if (quote == '\'') {
            pass(s, 2);
        } else if (escape(s) != 0) {
            return PLX_E_INVALID;
        }
    }
    if (s->line > begin && s->spanning == 0)
        s->spanning = begin;
    /* A forgotten quote turns strings inside out up to the last one; its own line is rather that of
     * the first string that goes over the end of a line. */
    if (s->p == s->end)
        return refuse(s, s->spanning > 0 ? s->spanning : begin,
                      "a string begins here and never ends (expected a closing quote)");
    pass(s, 1);
    s->before = quote;
    return 0;
}

static int open_brace(scan *s)
{
    if (s->depth == NESTING_MAX)
        return refuse(s, s->line, "braces inside braces too deep (expected at most 16)");
    s->open[s->depth].line = s->line;
    s->open[s->depth].section = s->before != '=';
    s->depth++;
    return 0;
}

static int close_brace(scan *s)
{
    if (s->depth == 0)
        return refuse(s, s->line, "a closing brace too many (expected KEY = VALUE or SECTION {)");
    s->depth--;
    if (!s->open[s->depth].section)
        return 0;
    plx_config_opens *o = s->opens;
    o->lines = plx_realloc(o->lines, (o->count + 1) * sizeof *o->lines);
    o->lines[o->count++] = s->open[s->depth].line;
    return 0;
}

/* Any other character, outside strings and comments. */
static int plain(scan *s)
{
    unsigned char c = (unsigned char)*s->p;
    if (c == '{' && open_brace(s) != 0)
        return PLX_E_INVALID;
    if (c == '}' && close_brace(s) != 0)
        return PLX_E_INVALID;
    /* libConfuse's lexer drops these without a word. */
    if (c == '*' || (c == '+' && at(s, 1) != '='))
        return refuse(s, s->line, "an unexpected * or + (expected such text in quotes)");
    if (c == '|')
        return refuse(s, s->line, "an unexpected | (expected such text in quotes)");
    s->in_word = !strchr(" \t\r\n={}()+,", c);
    if (!strchr(" \t\r\n", c))
        s->before = (char)c;
    pass(s, 1);
    return 0;
}

static int step(scan *s)
{
    char c = *s->p;
    int err = 0;
    if (c == '#' || (c == '/' && at(s, 1) == '/' && !s->in_word))
        line_comment(s);
    else if (c == '/' && at(s, 1) == '*')
        err = block_comment(s);
    else if (c == '"' || c == '\'')
        err = string(s);
    else if (s->in_word || !variable(s))
        return plain(s);
    else
        s->before = '$';
    s->in_word = false;
    return err;
}

/* Bytes that have no place anywhere in the file. */
static int check_bytes(scan *s, size_t len)
{
    unsigned line = 1;
    size_t n;
    for (size_t i = 0; i < len; i += n) {
        unsigned char c = (unsigned char)s->p[i];
        n = plx_utf8_char(plx_slice_make(s->p + i, len - i));
        if (n == 0)
            return refuse(s, line, "this is not UTF-8 (expected plain UTF-8 text)");
        if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f)
            return refuse(s, line, "a control character (expected plain UTF-8 text)");
        line += c == '\n';
    }
    return 0;
}

int plx_config_text_clean(char *text, size_t len, plx_config_opens *opens, plx_problems *p)
{
    scan s = {.p = text, .end = text + len, .line = 1, .opens = opens, .problems = p};
    *opens = (plx_config_opens){0};
    if (check_bytes(&s, len) != 0)
        return PLX_E_INVALID;
    if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        memset(text, ' ', 3);
    while (s.p < s.end)
        if (step(&s) != 0)
            return PLX_E_INVALID;
    if (s.depth > 0)
        return refuse(&s, s.open[s.depth - 1].line,
                      "a brace is opened here and never closed (expected })");
    return 0;
}
