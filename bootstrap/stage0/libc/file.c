/* Buffered files. */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BUFFER = 16384 };

struct file {
    int fd;
    int writes;                 /* the buffer holds bytes to be written */
    int at;                     /* next byte of the buffer */
    int end;                    /* of the bytes that were read */
    struct file *next;          /* among the open files */
    char buffer[BUFFER];
};

static struct file standard[3] = { { 0 }, { 1 }, { 2 } };
FILE *stdin = &standard[0];
FILE *stdout = &standard[1];
FILE *stderr = &standard[2];
static struct file *open_files;

static int write_buffer(FILE *f)
{
    int done = 0;
    int put;
    while (f->writes && done < f->at) {
        put = write(f->fd, f->buffer + done, f->at - done);
        if (put <= 0) {
            return EOF;
        }
        done += put;
    }
    if (f->writes) {
        f->at = 0;
        f->end = 0;
        f->writes = 0;
    }
    return 0;
}

int fflush(FILE *f)
{
    int result = 0;
    if (f) {
        return write_buffer(f);
    }
    for (f = open_files; f; f = f->next) {
        result |= write_buffer(f);
    }
    return result | write_buffer(stdout);
}

FILE *fdopen(int fd, const char *mode)
{
    FILE *f = calloc(1, sizeof(FILE));
    if (f) {
        f->fd = fd;
        f->next = open_files;
        open_files = f;
    }
    return f;
}

FILE *fopen(const char *path, const char *mode)
{
    int flags = O_RDONLY;
    int fd;
    if (mode[0] == 'w') {
        flags = O_WRONLY | O_CREAT | O_TRUNC;
    }
    if (strchr(mode, '+')) {
        flags = (flags & ~O_WRONLY) | O_RDWR;
    }
    fd = open(path, flags, 0666);
    return fd < 0 ? NULL : fdopen(fd, mode);
}

int fclose(FILE *f)
{
    FILE **p = &open_files;
    int result = write_buffer(f);
    result |= close(f->fd);
    while (*p && *p != f) {
        p = &(*p)->next;
    }
    if (*p) {
        *p = f->next;
        free(f);
    }
    return result;
}

/* Drop what was read ahead, so that the kernel's position is ours. */
static void settle(FILE *f)
{
    if (f->writes) {
        write_buffer(f);
    } else if (f->at < f->end) {
        lseek(f->fd, f->at - f->end, SEEK_CUR);
    }
    f->at = 0;
    f->end = 0;
}

int fseek(FILE *f, long offset, int whence)
{
    settle(f);
    return lseek(f->fd, offset, whence) < 0 ? -1 : 0;
}

long ftell(FILE *f)
{
    settle(f);
    return lseek(f->fd, 0, SEEK_CUR);
}

int fgetc(FILE *f)
{
    if (f->writes) {
        write_buffer(f);
    }
    if (f->at == f->end) {
        f->at = 0;
        f->end = read(f->fd, f->buffer, BUFFER);
        if (f->end <= 0) {
            f->end = 0;
            return EOF;
        }
    }
    return (unsigned char)f->buffer[f->at++];
}

int fputc(int c, FILE *f)
{
    if (!f->writes) {
        settle(f);
        f->writes = 1;
    }
    f->buffer[f->at++] = c;
    if (f->at == BUFFER || f == stderr) {
        if (write_buffer(f)) {
            return EOF;
        }
    }
    return (unsigned char)c;
}

size_t fread(void *to, size_t size, size_t count, FILE *f)
{
    size_t i;
    int c;
    for (i = 0; i < size * count; i++) {
        c = fgetc(f);
        if (c == EOF) {
            return i / size;
        }
        ((char *)to)[i] = c;
    }
    return count;
}

size_t fwrite(const void *from, size_t size, size_t count, FILE *f)
{
    size_t i;
    for (i = 0; i < size * count; i++) {
        if (fputc(((const char *)from)[i], f) == EOF) {
            return i / size;
        }
    }
    return count;
}

int fputs(const char *s, FILE *f)
{
    size_t length = strlen(s);
    return fwrite(s, 1, length, f) == length ? 0 : EOF;
}

int puts(const char *s)
{
    fputs(s, stdout);
    return fputc('\n', stdout);
}

int putchar(int c)
{
    return fputc(c, stdout);
}

int getchar(void)
{
    return fgetc(stdin);
}

char *fgets(char *line, int size, FILE *f)
{
    int i = 0;
    int c = 0;
    while (i < size - 1 && c != '\n' && (c = fgetc(f)) != EOF) {
        line[i++] = c;
    }
    line[i] = 0;
    return i ? line : NULL;
}

int remove(const char *path)
{
    return unlink(path);
}
