/* What the tools share: the sorted names in a folder, and a way to give up. */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void fail(const char *message, const char *detail)
{
    fprintf(stderr, "%s %s\n", message, detail);
    exit(1);
}

struct entry {
    char *name;
    int is_folder;
};

static struct entry entries[4096];
static int entry_count;

static int compare_entries(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

/* Add a folder's entries to `entries`, sorted among themselves, but for hidden ones. */
static void read_folder(const char *path)
{
    DIR *folder = opendir(path);
    struct dirent *d;
    int first = entry_count;
    if (!folder) {
        fail("cannot open", path);
    }
    while ((d = readdir(folder))) {
        if (d->d_name[0] == '.') {
            continue;
        }
        if (entry_count == sizeof(entries) / sizeof(entries[0])) {
            fail("too many entries in", path);
        }
        entries[entry_count].name = strdup(d->d_name);
        entries[entry_count].is_folder = d->d_type == DT_DIR;
        entry_count++;
    }
    closedir(folder);
    qsort(entries + first, entry_count - first, sizeof(entries[0]), compare_entries);
}
