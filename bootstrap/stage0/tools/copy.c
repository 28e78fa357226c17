/* copy FROM TO [ENDING]: copy a file, or a folder with all it holds. With ENDING, only
 * files whose names end so. Folders that are missing on the way to TO are made. */

#include <sys/stat.h>
#include "folder.h"

static const char *ending;

static int ends_with(const char *name, const char *end)
{
    size_t length = strlen(name);
    size_t end_length = strlen(end);
    return length >= end_length && !strcmp(name + length - end_length, end);
}

static void make_folders(const char *path)
{
    char *copy = strdup(path);
    char *p;
    for (p = copy + 1; *p; p++) {
        if (*p == '/') {
            *p = 0;
            mkdir(copy, 0755);
            *p = '/';
        }
    }
    free(copy);
}

static void copy_file(const char *from, const char *to)
{
    static char buffer[65536];
    FILE *in = fopen(from, "rb");
    FILE *out;
    size_t count;
    int is_program = 0;
    int is_first = 1;
    if (!in) {
        fail("cannot open", from);
    }
    make_folders(to);
    out = fopen(to, "wb");
    if (!out) {
        fail("cannot write", to);
    }
    while ((count = fread(buffer, 1, sizeof(buffer), in))) {
        if (is_first && count > 17) {
            is_program = !memcmp(buffer, "\177ELF\2\1\1\0\0\0\0\0\0\0\0\0\2", 17);
        }
        is_first = 0;
        if (fwrite(buffer, 1, count, out) != count) {
            fail("cannot write", to);
        }
    }
    fclose(in);
    if (fclose(out)) {
        fail("cannot write", to);
    }
    if (is_program) {
        chmod(to, 0755);
    }
}

static void copy(const char *from, const char *to)
{
    char inner_from[4096];
    char inner_to[4096];
    int first = entry_count;
    int i;
    int last;
    read_folder(from);
    last = entry_count;
    for (i = first; i < last; i++) {
        snprintf(inner_from, sizeof(inner_from), "%s/%s", from, entries[i].name);
        snprintf(inner_to, sizeof(inner_to), "%s/%s", to, entries[i].name);
        if (entries[i].is_folder) {
            copy(inner_from, inner_to);
        } else if (!ending || ends_with(entries[i].name, ending)) {
            copy_file(inner_from, inner_to);
        }
    }
    entry_count = first;
}

int main(int argc, char **argv)
{
    DIR *folder;
    if (argc != 3 && argc != 4) {
        fail("usage:", "copy FROM TO [ENDING]");
    }
    ending = argc == 4 ? argv[3] : NULL;
    folder = opendir(argv[1]);
    if (folder) {
        closedir(folder);
        copy(argv[1], argv[2]);
    } else {
        copy_file(argv[1], argv[2]);
    }
    return 0;
}
