/* run FILE [WORD...]: carry out a list of commands, one a line; stop at the first that fails.
 *
 * This is what a shell is for until there is one. A line is words between blanks: a
 * program's path and its arguments, taken as they are (there is no quoting), but that $1
 * to $9 stand for the words given to `run`. Empty lines and lines that begin with # say
 * nothing. `cd FOLDER` changes the folder for what follows. Programs get an empty
 * environment.
 */

enum { SYS_FORK = 57, SYS_EXECVE = 59, SYS_WAIT = 61, SYS_CHDIR = 80 };

char *words[16384];             /* of the current line, then 0 */
char *no_environment[1];
long status[1];
char **given;                   /* given[1] is $1 */
long given_count;

/* The word with $1 to $9 replaced. */
char *replaced(char *word)
{
    struct buffer *b;
    char *p;
    long has_dollar = 0;
    long number;
    for (p = word; *p; p++) {
        has_dollar |= *p == '$';
    }
    if (!has_dollar) {
        return word;
    }
    b = (struct buffer *)allocate(sizeof(struct buffer));
    for (p = word; *p; p++) {
        number = p[1] - '0';
        if (*p == '$' && number >= 1 && number <= 9) {
            if (number >= given_count) {
                fail_at(0, 0, "a word is used that was not given:", word);
            }
            put_bytes(b, given[number], text_length(given[number]));
            p++;
        } else {
            put_byte(b, *p);
        }
    }
    put_byte(b, 0);
    return b->data;
}

/* Cut the line at `p` into words; give what follows the line. */
char *cut_line(char *p)
{
    long count = 0;
    long i;
    while (*p != '\n') {
        if (*p == ' ' || *p == '\t') {
            *p = 0;
            p++;
        } else {
            if (count == 16383) {
                fail_at(0, 0, "a line of too many words", 0);
            }
            words[count] = p;
            count++;
            while (*p != ' ' && *p != '\t' && *p != '\n') {
                p++;
            }
        }
    }
    *p = 0;
    words[count] = 0;
    for (i = 0; i < count; i++) {
        words[i] = replaced(words[i]);
    }
    return p + 1;
}

/* Run the command in `words`; give 1 if it succeeded. */
long run_command(void)
{
    long child = syscall(SYS_FORK, 0, 0, 0, 0);
    if (child < 0) {
        return 0;
    }
    if (child == 0) {
        syscall(SYS_EXECVE, (long)words[0], (long)words, (long)no_environment, 0);
        syscall(SYS_EXIT, 127, 0, 0, 0);
    }
    status[0] = 0;
    if (syscall(SYS_WAIT, child, (long)status, 0, 0) < 0) {
        return 0;
    }
    return (status[0] & 0xFFFF) == 0;
}

long main(long argc, char **argv)
{
    char *p;
    char *end;
    long length;
    long line = 0;
    program = "run";
    if (argc < 2) {
        fail_at(0, 0, "usage: run FILE [WORD...]", 0);
    }
    given = argv + 1;
    given_count = argc - 1;
    p = read_file_sized(argv[1], &length);
    if (!p) {
        fail_at(0, 0, "cannot open", argv[1]);
    }
    end = p + length;
    while (p < end) {
        line++;
        p = cut_line(p);
        if (!words[0] || words[0][0] == '#') {
            continue;
        }
        if (same_text(words[0], "cd")) {
            if (!words[1] || syscall(SYS_CHDIR, (long)words[1], 0, 0, 0) < 0) {
                fail_at(argv[1], line, "cannot change the folder", words[1]);
            }
        } else if (!run_command()) {
            fail_at(argv[1], line, "this failed:", words[0]);
        }
    }
    return 0;
}
