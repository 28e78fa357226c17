/* musl STEPS TCC LIBRARY INCLUDE: in musl's folder, do what its Makefile and sed would do.
 *
 * Writes the three headers that musl generates, and to STEPS the commands, for `run`, that
 * compile all of musl with TCC (whose own headers lie in INCLUDE) and make libc.a, crt1.o,
 * crti.o and crtn.o in the folder LIBRARY.
 *
 * A file in src/X/x86_64 takes the place of the one of the same name in src/X. Left out
 * are complex numbers, which tcc has not, and the assembly of math and fenv, which its
 * assembler does not understand; there the C files do.
 */

#include "folder.h"

static FILE *open_file(const char *path, const char *mode)
{
    FILE *f = fopen(path, mode);
    if (!f) {
        fail("cannot open", path);
    }
    return f;
}

/* ---- generated headers ---- */

static char line[4096];

static int read_line(FILE *f)
{
    if (!fgets(line, sizeof(line), f)) {
        return 0;
    }
    line[strcspn(line, "\n")] = 0;
    return 1;
}

/* A definition that a header asks for by __NEED_name. */
static void put_guarded(FILE *out, const char *prefix, const char *name, int name_length,
                        const char *definition)
{
    fprintf(out, "#if defined(__NEED_%s%.*s) && !defined(__DEFINED_%s%.*s)\n", prefix, name_length, name,
            prefix, name_length, name);
    fprintf(out, "%s\n", definition);
    fprintf(out, "#define __DEFINED_%s%.*s\n#endif\n\n", prefix, name_length, name);
}

/* `TYPEDEF type name;`, `STRUCT name { … };`, `UNION name { … };` become guarded. */
static void put_type(FILE *out)
{
    char definition[4096];
    char *name;
    int length;
    if (!strncmp(line, "TYPEDEF ", 8)) {
        name = strrchr(line, ' ') + 1;
        snprintf(definition, sizeof(definition), "typedef %s", line + 8);
        put_guarded(out, "", name, strlen(name) - 1, definition);
    } else if (!strncmp(line, "STRUCT ", 7) || !strncmp(line, "UNION ", 6)) {
        name = strchr(line, ' ') + 1;
        length = strcspn(name, " ");
        snprintf(definition, sizeof(definition), "%s %s", *line == 'S' ? "struct" : "union", name);
        put_guarded(out, *line == 'S' ? "struct_" : "union_", name, length, definition);
    } else {
        fprintf(out, "%s\n", line);
    }
}

static void write_headers(void)
{
    FILE *out = open_file("arch/x86_64/bits/alltypes.h", "w");
    FILE *in = open_file("arch/x86_64/bits/alltypes.h.in", "r");
    while (read_line(in)) {
        put_type(out);
    }
    fclose(in);
    in = open_file("include/alltypes.h.in", "r");
    while (read_line(in)) {
        put_type(out);
    }
    fclose(in);
    fclose(out);

    out = open_file("arch/x86_64/bits/syscall.h", "w");
    in = open_file("arch/x86_64/bits/syscall.h.in", "r");
    while (read_line(in)) {
        fprintf(out, "%s\n", line);
        if (!strncmp(line, "#define __NR_", 13)) {
            fprintf(out, "#define SYS_%s\n", line + 13);
        }
    }
    fclose(in);
    fclose(out);

    in = open_file("VERSION", "r");
    read_line(in);
    fclose(in);
    out = open_file("src/internal/version.h", "w");
    fprintf(out, "#define VERSION \"%s\"\n", line);
    fclose(out);
}

/* ---- steps ---- */

static FILE *steps;
static const char *tcc;
static const char *tcc_include;
static char *objects[4096];
static int object_count;

static void compile(const char *source, const char *object)
{
    fprintf(steps, "%s -std=c99 -nostdinc -I%s -D_XOPEN_SOURCE=700 -Iarch/x86_64 -Iarch/generic "
            "-Isrc/internal -Isrc/include -Iinclude -c %s -o %s\n", tcc, tcc_include, source, object);
}

/* The length of a name without its .c, .s or .S; 0 for other files. */
static int source_length(const char *name)
{
    int length = strlen(name) - 2;
    if (length > 0 && name[length] == '.' && strchr("csS", name[length + 1])) {
        return length;
    }
    return 0;
}

/* Compile the sources of one folder, where those for x86_64 come first. */
static void compile_folder(const char *folder, int with_assembly)
{
    char path[512];
    int first = entry_count;
    int specific = 0;
    int i, j;
    DIR *found;
    snprintf(path, sizeof(path), "%s/x86_64", folder);
    found = with_assembly ? opendir(path) : NULL;
    if (found) {
        closedir(found);
        read_folder(path);
        specific = entry_count - first;
    }
    read_folder(folder);
    for (i = first; i < entry_count; i++) {
        int length = source_length(entries[i].name);
        int replaced = 0;
        char object[512];
        if (!length || entries[i].is_folder || (i >= first + specific && entries[i].name[length + 1] != 'c')) {
            continue;
        }
        for (j = first; i >= first + specific && j < first + specific; j++) {
            replaced |= source_length(entries[j].name) == length && !strncmp(entries[i].name, entries[j].name, length);
        }
        if (replaced) {
            continue;
        }
        snprintf(path, sizeof(path), "%s/%s%s", folder, i < first + specific ? "x86_64/" : "", entries[i].name);
        snprintf(object, sizeof(object), "%s/%.*s.o", folder, length, entries[i].name);
        objects[object_count++] = strdup(object);
        compile(path, object);
    }
    entry_count = first;
}

int main(int argc, char **argv)
{
    char path[512];
    int i;
    int folders;
    if (argc != 5) {
        fail("usage:", "musl STEPS TCC LIBRARY INCLUDE");
    }
    write_headers();
    tcc = argv[2];
    tcc_include = argv[4];
    steps = open_file(argv[1], "w");
    read_folder("src");
    folders = entry_count;
    for (i = 0; i < folders; i++) {
        const char *name = entries[i].name;
        if (entries[i].is_folder && strcmp(name, "complex")) {
            snprintf(path, sizeof(path), "src/%s", name);
            compile_folder(path, strcmp(name, "math") && strcmp(name, "fenv"));
        }
    }
    compile_folder("src/malloc/mallocng", 1);
    snprintf(path, sizeof(path), "%s/crt1.o", argv[3]);
    compile("crt/crt1.c", path);
    snprintf(path, sizeof(path), "%s/crti.o", argv[3]);
    compile("crt/x86_64/crti.s", path);
    snprintf(path, sizeof(path), "%s/crtn.o", argv[3]);
    compile("crt/x86_64/crtn.s", path);
    fprintf(steps, "%s -ar %s/libc.a", tcc, argv[3]);
    for (i = 0; i < object_count; i++) {
        fprintf(steps, " %s", objects[i]);
    }
    fprintf(steps, "\n");
    if (fclose(steps)) {
        fail("cannot write", argv[1]);
    }
    return 0;
}
