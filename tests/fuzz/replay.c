/* Stands in for libFuzzer where there is none: runs a fuzz target over files, or over the files of
 * directories. Each is also taken cut off after every byte, because most mistakes of parsers are
 * made at the end. Every input lies in an allocation of exactly its size, so that a sanitizer sees
 * a read past it. Prints how many inputs it ran; when one of them aborts, which.
 */
#include <dirent.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BYTES     (1 << 20)
#define MAX_CUT_BYTES 2048 /* past this, only the whole */

static char current[4200];
static size_t inputs;

static void tell(const char *text)
{
    ssize_t n = write(STDERR_FILENO, text, strlen(text));
    (void)n;
}

static void on_abort(int signum)
{
    tell("aborted on ");
    tell(current);
    tell(" (or a beginning of it)\n");
    signal(signum, SIG_DFL);
    raise(signum);
}

static void run_bytes(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy)
        exit(2);
    memcpy(copy, data, size);
    uint8_t *exact = size ? copy : copy + 1;
    LLVMFuzzerTestOneInput(exact, size);
    free(copy);
    inputs++;
}

static void run_file(const char *path)
{
    static uint8_t data[MAX_BYTES];
    FILE *f = fopen(path, "rb");
    if (!f) {
        perror(path);
        exit(2);
    }
    size_t size = fread(data, 1, sizeof data, f);
    fclose(f);
    snprintf(current, sizeof current, "%s", path);
    run_bytes(data, size);
    for (size_t cut = 0; size <= MAX_CUT_BYTES && cut < size; cut++)
        run_bytes(data, cut);
}

static void run_path(const char *path)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        perror(path);
        exit(2);
    }
    if (!S_ISDIR(st.st_mode)) {
        run_file(path);
        return;
    }
    struct dirent **entries;
    int n = scandir(path, &entries, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char name[4096];
        if (entries[i]->d_name[0] != '.' &&
            snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name) < (int)sizeof name)
            run_file(name);
        free(entries[i]);
    }
    if (n >= 0)
        free(entries);
}

int main(int argc, char **argv)
{
    signal(SIGABRT, on_abort);
    for (int i = 1; i < argc; i++)
        run_path(argv[i]);
    if (inputs == 0) {
        fprintf(stderr, "usage: %s FILE|DIRECTORY...\n", argv[0]);
        return 2;
    }
    printf("%zu inputs\n", inputs);
    return 0;
}
