/* kbuild CONFIG LIST: in busybox's folder, do what its make, sed and kconfig would do.
 *
 * busybox keeps what it is made of in comments and small files: which applets there are
 * (//applet:), which object needs which setting (//kbuild:, Kbuild.src), which settings
 * exist (//config:, Config.src, Config.in). From these and CONFIG, whose lines are
 * `CONFIG_NAME=value`, come include/autoconf.h, include/applets.h, a few headers that
 * are constant here, and LIST, the C files to compile, one a line.
 *
 * CONFIG is complete: a setting that it does not name is off, whatever others say, and
 * one that busybox does not know is an error. Conditions in Kbuild.src (ifneq) occur
 * only for applets that are not in CONFIG; their lines ask for settings that are off.
 */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What has applets or parts of them. Folders come after those that hold them. */
static const char *folders[] = {
    "archival", "archival/libarchive", "console-tools", "coreutils", "coreutils/libcoreutils",
    "debianutils", "editors", "findutils", "klibc-utils", "libbb", "libpwdgrp", "loginutils",
    "mailutils", "miscutils", "modutils", "networking", "networking/libiproute",
    "networking/udhcp", "printutils", "procps", "runit", "selinux", "shell", "sysklogd",
    "util-linux", "util-linux/volume_id", "e2fsprogs", "init", "."
};

static void fail(const char *message, const char *detail)
{
    fprintf(stderr, "kbuild: %s %s\n", message, detail);
    exit(1);
}

static FILE *open_file(const char *path, const char *mode)
{
    FILE *f = fopen(path, mode);
    if (!f) {
        fail("cannot open", path);
    }
    return f;
}

static void close_file(FILE *f, const char *path)
{
    if (fclose(f)) {
        fail("cannot write", path);
    }
}

/* ---- lines ---- */

static char line[16384];

/* Read a line and those it goes on in after a backslash. */
static int read_line(FILE *f)
{
    size_t length = 0;
    while (fgets(line + length, sizeof(line) - length, f)) {
        length += strcspn(line + length, "\n");
        line[length] = 0;
        if (!length || line[length - 1] != '\\') {
            return 1;
        }
        line[length - 1] = ' ';
    }
    return length != 0;
}

static char *after(char *text, const char *start)
{
    size_t length = strlen(start);
    return strncmp(text, start, length) ? NULL : text + length;
}

static char *skip_blanks(char *p)
{
    return p + strspn(p, " \t");
}

/* ---- settings ---- */

struct setting {
    char *name;
    char *value;    /* NULL if it is off */
    int is_known;
};

static struct setting settings[4096];
static int setting_count;

static struct setting *find_setting(const char *name, size_t length)
{
    int i;
    for (i = 0; i < setting_count; i++) {
        if (strlen(settings[i].name) == length && !strncmp(settings[i].name, name, length)) {
            return &settings[i];
        }
    }
    if (setting_count == sizeof(settings) / sizeof(settings[0])) {
        fail("too many settings at", name);
    }
    settings[setting_count].name = strndup(name, length);
    return &settings[setting_count++];
}

static void read_config(const char *path)
{
    FILE *f = open_file(path, "r");
    char *name, *value;
    while (read_line(f)) {
        if (!*line || *line == '#') {
            continue;
        }
        name = after(line, "CONFIG_");
        value = strchr(line, '=');
        if (!name || !value) {
            fail("not a setting:", line);
        }
        find_setting(name, value - name)->value = strdup(value + 1);
    }
    fclose(f);
}

/* Note the setting that a line of a Config.in declares. */
static void declare(char *text)
{
    char *name = after(text, "config ");
    if (name) {
        name = skip_blanks(name);
        find_setting(name, strcspn(name, " \t"))->is_known = 1;
    }
}

static int compare_settings(const void *a, const void *b)
{
    return strcmp(((const struct setting *)a)->name, ((const struct setting *)b)->name);
}

/* A switch that is on is 1; what has another value is taken as it is. */
static void write_settings(const char *path)
{
    FILE *out = open_file(path, "w");
    int i;
    qsort(settings, setting_count, sizeof(settings[0]), compare_settings);
    for (i = 0; i < setting_count; i++) {
        const char *name = settings[i].name;
        const char *value = settings[i].value;
        if (!settings[i].is_known && value) {
            fail("busybox has no setting", name);
        }
        if (value) {
            fprintf(out, "#define CONFIG_%s %s\n", name, strcmp(value, "y") ? value : "1");
        }
        fprintf(out, "#define ENABLE_%s %d\n", name, value != NULL);
        fprintf(out, "#define IF_%s(...)%s\n", name, value ? " __VA_ARGS__" : "");
        fprintf(out, "#define IF_NOT_%s(...)%s\n", name, value ? "" : " __VA_ARGS__");
    }
    close_file(out, path);
}

/* ---- objects ---- */

static char *sources[4096];
static int source_count;

/* Note the sources of the objects named in `words`. */
static void add_sources(const char *folder, char *words)
{
    char path[512];
    char *word;
    int i;
    for (word = strtok(words, " \t"); word; word = strtok(NULL, " \t")) {
        size_t length = strlen(word);
        if (length < 3 || strcmp(word + length - 2, ".o")) {
            continue;   /* a folder, or $(COMMON_FILES), whose objects were added where it is set */
        }
        snprintf(path, sizeof(path), "%s/%.*s.c", folder, (int)length - 2, word);
        for (i = 0; i < source_count && strcmp(sources[i], path); i++) {
        }
        if (i == source_count) {
            if (i == sizeof(sources) / sizeof(sources[0])) {
                fail("too many sources at", path);
            }
            sources[source_count++] = strdup(path);
        }
    }
}

/* Obey `lib-y += a.o`, `lib-$(CONFIG_NAME) += a.o`, `COMMON_FILES := a.o`. */
static void obey(const char *folder, char *text)
{
    char *words = strchr(text, '=');
    char *name;
    text = skip_blanks(text);
    if (!words) {
        return;
    }
    name = after(text, "lib-$(CONFIG_");
    if (name) {
        struct setting *setting = find_setting(name, strcspn(name, ")"));
        if (setting->value) {
            add_sources(folder, words + 1);
        }
    } else if (after(text, "lib-y") || after(text, "COMMON_FILES")) {
        add_sources(folder, words + 1);
    }
}

/* ---- files ---- */

static void read_source(const char *folder, const char *path, FILE *applets)
{
    FILE *f = open_file(path, "r");
    char *text;
    while (read_line(f)) {
        if ((text = after(line, "//applet:"))) {
            fprintf(applets, "%s\n", text);
        } else if ((text = after(line, "//config:"))) {
            declare(text);
        } else if ((text = after(line, "//kbuild:"))) {
            obey(folder, text);
        }
    }
    fclose(f);
}

static char *names[1024];

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void read_folder(const char *folder, FILE *applets)
{
    char path[512];
    struct dirent *d;
    int count = 0;
    int i;
    DIR *dir = opendir(folder);
    if (!dir) {
        fail("cannot open", folder);
    }
    while ((d = readdir(dir))) {
        if (count == sizeof(names) / sizeof(names[0])) {
            fail("too many files in", folder);
        }
        names[count++] = strdup(d->d_name);
    }
    closedir(dir);
    qsort(names, count, sizeof(names[0]), compare_names);
    for (i = 0; i < count; i++) {
        const char *name = names[i];
        size_t length = strlen(name);
        snprintf(path, sizeof(path), "%s/%s", folder, name);
        if (length > 2 && !strcmp(name + length - 2, ".c")) {
            read_source(folder, path, applets);
        } else if (!strcmp(name, "Config.src") || !strcmp(name, "Config.in")) {
            FILE *f = open_file(path, "r");
            while (read_line(f)) {
                declare(line);
            }
            fclose(f);
        } else if (!strcmp(name, "Kbuild.src")) {
            FILE *f = open_file(path, "r");
            while (read_line(f)) {
                obey(folder, line);
            }
            fclose(f);
        }
    }
}

static void write_file(const char *path, const char *text)
{
    FILE *out = open_file(path, "w");
    fputs(text, out);
    close_file(out, path);
}

int main(int argc, char **argv)
{
    FILE *in, *out;
    int has_applets = 0;
    int i;
    if (argc != 3) {
        fail("usage:", "kbuild CONFIG LIST");
    }
    read_config(argv[1]);

    in = open_file("include/applets.src.h", "r");
    out = open_file("include/applets.h", "w");
    while (fgets(line, sizeof(line), in)) {
        if (strcmp(line, "INSERT\n")) {
            fputs(line, out);
            continue;
        }
        for (i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
            read_folder(folders[i], out);
        }
        has_applets = 1;
    }
    fclose(in);
    close_file(out, "include/applets.h");
    if (!has_applets) {
        fail("no place for applets in", "include/applets.src.h");
    }

    write_settings("include/autoconf.h");
    write_file("include/usage_compressed.h", "");
    write_file("include/embedded_scripts.h", "#define NUM_SCRIPTS 0\n");
    write_file("include/common_bufsiz.h",
               "enum { COMMON_BUFSIZE = 1024 };\n"
               "extern char bb_common_bufsiz1[];\n"
               "#define setup_common_bufsiz() ((void)0)\n");

    out = open_file(argv[2], "w");
    fprintf(out, "applets/applets.c\n");
    for (i = 0; i < source_count; i++) {
        fprintf(out, "%s\n", sources[i]);
    }
    close_file(out, argv[2]);
    return 0;
}
