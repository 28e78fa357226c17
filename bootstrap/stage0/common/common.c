/* What every program in the small C uses: messages, memory, text, bytes, files. */

long syscall(long number, long a, long b, long c, long d);

enum { SYS_READ = 0, SYS_WRITE, SYS_OPEN, SYS_CLOSE, SYS_LSEEK = 8, SYS_EXIT = 60, SYS_UNLINK = 87 };

struct buffer {                 /* bytes that grow */
    char *data;
    long length;
    long room;
};

char *program;                  /* its name, for messages */

/* ---- messages ---- */

long text_length(char *text)
{
    long n = 0;
    while (text[n]) {
        n++;
    }
    return n;
}

void put_error(char *text)
{
    syscall(SYS_WRITE, 2, (long)text, text_length(text), 0);
}

char error_digits[24];

void put_error_number(long n)
{
    long i = 23;
    while (n > 9) {
        i--;
        error_digits[i] = '0' + n % 10;
        n = n / 10;
    }
    i--;
    error_digits[i] = '0' + n;
    put_error(error_digits + i);
}

/* Print `file:line: message 'detail'` and stop; file and detail may be 0. */
void fail_at(char *file, long line, char *message, char *detail)
{
    if (file) {
        put_error(file);
        put_error(":");
        put_error_number(line);
    } else {
        put_error(program);
    }
    put_error(": ");
    put_error(message);
    if (detail) {
        put_error(" '");
        put_error(detail);
        put_error("'");
    }
    put_error("\n");
    syscall(SYS_EXIT, 1, 0, 0, 0);
}

/* ---- memory ---- */

char heap[1073741824];
long heap_used;

/* Zeroed memory, never given back. */
char *allocate(long size)
{
    char *result = heap + heap_used;
    heap_used = (heap_used + size + 15) & -16;
    if (heap_used > 1073741824) {
        fail_at(0, 0, "out of memory", 0);
    }
    return result;
}

void copy_bytes(char *to, char *from, long count)
{
    long i;
    for (i = 0; i < count; i++) {
        to[i] = from[i];
    }
}

/* ---- growing buffers ---- */

void make_room(struct buffer *b, long room)
{
    char *old = b->data;
    if (room <= b->room) {
        return;
    }
    b->room = room * 2 + 64;
    b->data = allocate(b->room);
    copy_bytes(b->data, old, b->length);
}

void put_byte(struct buffer *b, long byte)
{
    if (b->length == b->room) {
        make_room(b, b->length + 1);
    }
    b->data[b->length] = byte;
    b->length++;
}

void put_bytes(struct buffer *b, char *bytes, long count)
{
    make_room(b, b->length + count);
    copy_bytes(b->data + b->length, bytes, count);
    b->length += count;
}

/* ---- text and bytes ---- */

long same_bytes(char *a, char *b, long count)
{
    long i;
    for (i = 0; i < count; i++) {
        if (a[i] != b[i]) {
            return 0;
        }
    }
    return 1;
}

long same_text(char *a, char *b)
{
    return same_bytes(a, b, text_length(a) + 1);
}

char *copy_text(char *from, long length)
{
    char *to = allocate(length + 1);
    copy_bytes(to, from, length);
    return to;
}

char *join_text(char *a, char *b)
{
    long length = text_length(a);
    char *to = allocate(length + text_length(b) + 1);
    copy_bytes(to, a, length);
    copy_bytes(to + length, b, text_length(b));
    return to;
}

/* Store a little-endian number of `size` bytes. */
void write_number(char *to, long value, long size)
{
    long i;
    for (i = 0; i < size; i++) {
        to[i] = value;
        value = value >> 8;
    }
}

/* ---- files ---- */

/* A text, ended by a newline and a zero byte; 0 if it cannot be opened. The size, without these
 * two, goes to *length. A zero byte in it is an error: what follows would not be seen. */
char *read_file_sized(char *path, long *length)
{
    long fd = syscall(SYS_OPEN, (long)path, 0, 0, 0);
    long size;
    long got;
    long done = 0;
    long line = 1;
    long i;
    char *content;
    if (fd < 0) {
        return 0;
    }
    size = syscall(SYS_LSEEK, fd, 0, 2, 0);
    syscall(SYS_LSEEK, fd, 0, 0, 0);
    if (size < 0) {
        fail_at(0, 0, "cannot read", path);
    }
    content = allocate(size + 2);
    while (done < size) {
        got = syscall(SYS_READ, fd, (long)(content + done), size - done, 0);
        if (got <= 0) {
            fail_at(0, 0, "cannot read", path);
        }
        done += got;
    }
    syscall(SYS_CLOSE, fd, 0, 0, 0);
    for (i = 0; i < size; i++) {
        if (!content[i]) {
            fail_at(path, line, "a zero byte", 0);
        }
        line += content[i] == '\n';
    }
    content[size] = '\n';
    *length = size;
    return content;
}

char *read_file(char *path)
{
    long length;
    return read_file_sized(path, &length);
}

void write_file(char *path, struct buffer *content, long mode)
{
    long fd;
    long done = 0;
    long put;
    syscall(SYS_UNLINK, (long)path, 0, 0, 0);
    fd = syscall(SYS_OPEN, (long)path, 577, mode, 0);     /* create, truncate, write */
    if (fd < 0) {
        fail_at(0, 0, "cannot write", path);
    }
    while (done < content->length) {
        put = syscall(SYS_WRITE, fd, (long)(content->data + done), content->length - done, 0);
        if (put <= 0) {
            fail_at(0, 0, "cannot write", path);
        }
        done += put;
    }
    syscall(SYS_CLOSE, fd, 0, 0, 0);
}
