/* edit FOLDER DIFF...: change the files of a folder as unified diffs say.
 *
 * A diff is applied exactly or not at all: each hunk must match the file at the line it
 * names, to the byte. The first part of a name (a/, b/) is dropped. Lines before the first
 * `---` are for the reader. A file can be added (from /dev/null), not removed.
 */

char *diff_path;
long diff_line;
char *cursor;                   /* the line of the diff to be read next */
char *old_cursor;               /* the line of the old file to be read next */
long old_line;
struct buffer *out;             /* the new file */

void refuse(char *message)
{
    fail_at(diff_path, diff_line, message, 0);
}

long line_length(char *p)
{
    long n = 0;
    while (p[n] != '\n') {
        n++;
    }
    return n + 1;
}

long starts_with(char *p, char *text)
{
    return same_bytes(p, text, text_length(text));
}

void next_line(void)
{
    cursor += line_length(cursor);
    diff_line++;
}

/* The path in a `---` or `+++` line, in the folder. */
char *path_in_line(char *folder)
{
    char *p = cursor + 4;
    long length = 0;
    if (starts_with(p, "/dev/null")) {
        return 0;
    }
    while (*p != '/' && *p != '\n') {
        p++;
    }
    if (*p == '\n') {
        refuse("a name without a first part to drop");
    }
    while (p[length] != '\n' && p[length] != '\t') {
        length++;
    }
    return join_text(folder, copy_text(p, length));
}

/* Copy lines of the old file up to, not with, a line number. */
void copy_up_to(long line)
{
    long length;
    if (line < old_line) {
        refuse("hunks out of order");
    }
    while (old_line < line) {
        if (!*old_cursor) {
            refuse("the file is shorter than this");
        }
        length = line_length(old_cursor);
        put_bytes(out, old_cursor, length);
        old_cursor += length;
        old_line++;
    }
}

long read_number(char *p)
{
    long n = 0;
    while (*p >= '0' && *p <= '9') {
        n = n * 10 + *p - '0';
        p++;
    }
    return n;
}

/* Carry out the hunk whose `@@ -LINE,COUNT +LINE,COUNT @@` is the current line. */
void apply_hunk(void)
{
    long line = read_number(cursor + 4);
    char *p = cursor + 4;
    long old_count = 1;
    long new_count = 1;
    long length;
    while (*p >= '0' && *p <= '9') {
        p++;
    }
    if (*p == ',') {
        old_count = read_number(p + 1);
    }
    while (*p != '+') {
        if (*p == '\n') {
            refuse("bad hunk");
        }
        p++;
    }
    while (*p != ',' && *p != ' ' && *p != '\n') {
        p++;
    }
    if (*p == ',') {
        new_count = read_number(p + 1);
    }
    copy_up_to(line + (old_count == 0));
    next_line();
    while (old_count > 0 || new_count > 0) {
        length = line_length(cursor) - 1;
        if (*cursor == ' ' || *cursor == '-') {
            if (!*old_cursor || !same_bytes(cursor + 1, old_cursor, length)) {
                refuse("the file has another line here");
            }
            if (*cursor == ' ') {
                put_bytes(out, cursor + 1, length);
                new_count--;
            }
            old_cursor += length;
            old_line++;
            old_count--;
        } else if (*cursor == '+') {
            put_bytes(out, cursor + 1, length);
            new_count--;
        } else {
            refuse("bad line in a hunk");
        }
        next_line();
    }
}

/* Change one file: the current line is its `---`. */
void edit_file(char *folder)
{
    char *old_path = path_in_line(folder);
    char *new_path;
    long length = 0;
    old_cursor = "";
    old_line = 1;
    out = (struct buffer *)allocate(sizeof(struct buffer));
    if (old_path) {
        old_cursor = read_file_sized(old_path, &length);
        if (!old_cursor) {
            fail_at(diff_path, diff_line, "cannot open", old_path);
        }
        if (length > 0 && old_cursor[length - 1] == '\n') {
            old_cursor[length] = 0;
        }
    }
    next_line();
    if (!starts_with(cursor, "+++ ")) {
        refuse("expected +++");
    }
    new_path = path_in_line(folder);
    if (!new_path) {
        refuse("files are not removed");
    }
    next_line();
    while (starts_with(cursor, "@@ -")) {
        apply_hunk();
    }
    while (*old_cursor) {
        copy_up_to(old_line + 1);
    }
    write_file(new_path, out, 420);     /* mode 644 */
}

long main(long argc, char **argv)
{
    long i;
    long length;
    long edited;
    program = "edit";
    if (argc < 3) {
        fail_at(0, 0, "usage: edit FOLDER DIFF...", 0);
    }
    for (i = 2; i < argc; i++) {
        diff_path = argv[i];
        diff_line = 1;
        cursor = read_file_sized(diff_path, &length);
        if (!cursor) {
            fail_at(0, 0, "cannot open", diff_path);
        }
        cursor[length] = 0;
        edited = 0;
        while (*cursor) {
            if (starts_with(cursor, "--- ")) {
                edit_file(argv[1]);
                edited++;
            } else {
                next_line();
            }
        }
        if (!edited) {
            fail_at(diff_path, 1, "this is no diff", 0);
        }
    }
    return 0;
}
