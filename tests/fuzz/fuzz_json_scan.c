/* Fuzzing the JSON scanner. The input is a text; what must hold:
 * - what we accept, json-c's strict parser accepts as well;
 * - the cutting functions accept exactly the texts of their kind;
 * - every range that is cut out lies inside the text, is itself a valid text and comes again when
 * the container is walked, and putting the ranges together gives an equal container;
 * - a string means the same to us and to json-c;
 * - unquoting a string and quoting the result gives a string with the same meaning;
 * - any bytes, quoted, are a valid string; if they are UTF-8, unquoting gives them back.
 */
#include "base/error.h"
#include "base/json.h"
#include "base/json_scan.h"
#include "base/utf8.h"

#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool ok)
{
    if (!ok)
        abort();
}

static bool inside(plx_slice part, plx_slice whole)
{
    return part.data >= whole.data && part.len > 0 &&
           part.data + part.len <= whole.data + whole.len;
}

static void json_c_must_accept(plx_slice text)
{
    struct json_tokener *tokener = json_tokener_new_ex(PLX_JSON_DEPTH + 1);
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    /* A NUL behind it, because a number at the end is not over for json-c otherwise. */
    char *copy = plx_slice_dup(text);
    struct json_object *o = json_tokener_parse_ex(tokener, copy, (int)text.len + 1);
    must(json_tokener_get_error(tokener) == json_tokener_success);
    must(json_tokener_get_parse_end(tokener) == text.len);
    json_object_put(o);
    free(copy);
    json_tokener_free(tokener);
}

static void check_string(plx_slice string)
{
    plx_buf plain, quoted, again;
    json_object *read = NULL;
    plx_buf_init(&plain, string.len);
    plx_buf_init(&quoted, 0);
    plx_buf_init(&again, string.len);
    must(plx_json_unquote(string, &plain) == 0); /* never longer than it was */
    must(plx_utf8_valid(plx_buf_slice(&plain)));
    must(plx_json_read(string, &read) == 0);
    must(plx_slice_eq(plx_json_text(read), plx_buf_slice(&plain)));
    json_object_put(read);
    must(plx_json_quote(&quoted, plx_buf_slice(&plain)) == 0);
    must(plx_json_unquote(plx_buf_slice(&quoted), &again) == 0);
    must(plx_slice_eq(plx_buf_slice(&plain), plx_buf_slice(&again)));
    plx_buf_fini(&plain);
    plx_buf_fini(&quoted);
    plx_buf_fini(&again);
}

/* Looking a member up by its unescaped name finds the last one of that name. */
static void check_member(plx_slice object, plx_slice key, plx_json_value value)
{
    plx_buf name;
    plx_buf_init(&name, 0);
    must(plx_json_unquote(key, &name) == 0);
    if (!memchr(plx_buf_cstr(&name), 0, name.len)) {
        const char *names[] = {plx_buf_cstr(&name)};
        plx_json_value found;
        must(plx_json_cut_object(object, names, &found, 1) == 0);
        must(found.type != PLX_JSON_NONE && found.text.data >= value.text.data);
        must(inside(found.text, object));
    }
    plx_buf_fini(&name);
}

/* Walks a container; returns how many it holds. */
static size_t check_container(plx_json_value whole, plx_json_value *first, size_t max)
{
    size_t pos = 0, count = 0, members = 0;
    bool object = whole.type == PLX_JSON_OBJECT;
    plx_slice key;
    plx_json_value value;
    plx_buf rebuilt;
    plx_buf_init(&rebuilt, 0);
    while (plx_json_next(whole.text, &pos, &key, &value)) {
        must(pos <= whole.text.len && inside(value.text, whole.text));
        must(object ? inside(key, whole.text) : key.len == 0);
        plx_json_value alone;
        must(plx_json_check(value.text, &alone) == 0 && alone.type == value.type);
        must(plx_slice_eq(alone.text, value.text));
        if (object) {
            check_string(key);
            /* Quadratic otherwise. */
            if (members++ < 16)
                check_member(whole.text, key, value);
        }
        plx_buf_byte(&rebuilt, count > 0 ? ',' : object ? '{' : '[');
        plx_buf_add(&rebuilt, key);
        if (object)
            plx_buf_byte(&rebuilt, ':');
        plx_buf_add(&rebuilt, value.text);
        if (count < max)
            first[count] = value;
        count++;
    }
    if (count > 0) {
        plx_buf_byte(&rebuilt, object ? '}' : ']');
        must(plx_json_check(plx_buf_slice(&rebuilt), NULL) == 0);
        must(rebuilt.len <= whole.text.len);
    }
    plx_buf_fini(&rebuilt);
    return count;
}

static void check_quoting(plx_slice bytes)
{
    plx_buf quoted, back;
    plx_json_value value;
    plx_buf_init(&quoted, 0);
    plx_buf_init(&back, 0);
    must(plx_json_quote(&quoted, bytes) == 0);
    must(plx_json_check(plx_buf_slice(&quoted), &value) == 0 && value.type == PLX_JSON_STRING);
    must(plx_json_unquote(plx_buf_slice(&quoted), &back) == 0);
    must(plx_slice_eq(plx_buf_slice(&back), bytes) == plx_utf8_valid(bytes));
    plx_buf_fini(&quoted);
    plx_buf_fini(&back);
}

static void check_integer(plx_slice number)
{
    int64_t n;
    if (plx_json_int(number, &n) == 0) {
        plx_buf out;
        plx_buf_init(&out, 0);
        plx_buf_printf(&out, "%lld", (long long)n);
        must(plx_slice_eq(plx_buf_slice(&out), number) || plx_slice_is(number, "-0"));
        plx_buf_fini(&out);
    } else {
        must(number.len > 18 || memchr(number.data, '.', number.len) ||
             memchr(number.data, 'e', number.len) || memchr(number.data, 'E', number.len));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    plx_slice text = plx_slice_make(data, size);
    plx_json_value value = {.type = PLX_JSON_NONE}, cut[4], walked[4];
    size_t count = 0;
    bool valid = plx_json_check(text, &value) == 0;
    bool array = plx_json_cut_array(text, cut, 4, &count) == 0;
    static const char *const names[] = {"topic", "a"};
    plx_json_value members[2];
    bool object = plx_json_cut_object(text, names, members, 2) == 0;

    check_quoting(text);
    must(array == (valid && value.type == PLX_JSON_ARRAY));
    must(object == (valid && value.type == PLX_JSON_OBJECT));
    if (!valid)
        return 0;
    must(inside(value.text, text));
    must(plx_utf8_valid(text));
    json_c_must_accept(text);
    if (value.type == PLX_JSON_STRING)
        check_string(value.text);
    if (value.type == PLX_JSON_NUMBER)
        check_integer(value.text);
    if (!array && !object)
        return 0;
    size_t walked_count = check_container(value, walked, 4);
    if (array) {
        must(walked_count == count);
        for (size_t i = 0; i < count && i < 4; i++)
            must(walked[i].text.data == cut[i].text.data && walked[i].text.len == cut[i].text.len);
    }
    return 0;
}
