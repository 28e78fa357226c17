/* What the kernel does for a program: system calls, exit, memory, time. */

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum {
    SYS_READ = 0, SYS_WRITE = 1, SYS_OPEN = 2, SYS_CLOSE = 3, SYS_LSEEK = 8, SYS_MMAP = 9,
    SYS_MPROTECT = 10, SYS_EXECVE = 59, SYS_EXIT = 60, SYS_GETCWD = 79, SYS_UNLINK = 87
};

int errno;
static char *no_environment[1];
char **environ = no_environment;

/* ---- system calls: -1 and errno for a failure ---- */

static long result_of(long result)
{
    if (result < 0 && result > -4096) {
        errno = -result;
        return -1;
    }
    return result;
}

static long call3(long number, long a, long b, long c)
{
    return result_of(__builtin_syscall(number, a, b, c, 0, 0, 0));
}

ssize_t read(int fd, void *to, size_t count)
{
    return call3(SYS_READ, fd, (long)to, count);
}

ssize_t write(int fd, const void *from, size_t count)
{
    return call3(SYS_WRITE, fd, (long)from, count);
}

int open(const char *path, int flags, ...)
{
    va_list list;
    int mode = 0;
    if (flags & O_CREAT) {
        va_start(list, flags);
        mode = va_arg(list, int);
        va_end(list);
    }
    return call3(SYS_OPEN, (long)path, flags, mode);
}

int close(int fd)
{
    return call3(SYS_CLOSE, fd, 0, 0);
}

long lseek(int fd, long offset, int whence)
{
    return call3(SYS_LSEEK, fd, offset, whence);
}

int unlink(const char *path)
{
    return call3(SYS_UNLINK, (long)path, 0, 0);
}

int mprotect(void *start, unsigned long size, int protection)
{
    return call3(SYS_MPROTECT, (long)start, size, protection);
}

char *getcwd(char *to, size_t size)
{
    return call3(SYS_GETCWD, (long)to, size, 0) < 0 ? NULL : to;
}

/* Programs are named by their path: there is no PATH to search. */
int execvp(const char *program, char **arguments)
{
    return call3(SYS_EXECVE, (long)program, (long)arguments, (long)environ);
}

/* ---- the end ---- */

static void (*at_exit[32])(void);
static int at_exit_count;

int atexit(void (*function)(void))
{
    if (at_exit_count == 32) {
        return -1;
    }
    at_exit[at_exit_count++] = function;
    return 0;
}

void exit(int status)
{
    while (at_exit_count) {
        at_exit[--at_exit_count]();
    }
    fflush(NULL);
    for (;;) {
        __builtin_syscall(SYS_EXIT, status, 0, 0, 0, 0, 0);
    }
}

void abort(void)
{
    exit(134);
}

void assertion_failed(const char *text, const char *file, int line)
{
    fflush(NULL);
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, text);
    abort();
}

char *getenv(const char *name)
{
    return NULL;
}

/* ---- time: always the same ---- */

time_t time(time_t *to)
{
    if (to) {
        *to = 0;
    }
    return 0;
}

struct tm *localtime(const time_t *t)
{
    static struct tm start;
    start.tm_mday = 1;
    start.tm_year = 70;
    start.tm_wday = 4;
    return &start;
}

int gettimeofday(struct timeval *to, void *zone)
{
    to->tv_sec = 0;
    to->tv_usec = 0;
    return 0;
}

/* ---- memory ----
 *
 * A block is a power of two of bytes, 16 of them its header; free blocks of a size form a
 * list. Large memory comes from the kernel in chunks.
 */

struct block {
    long class;                 /* its size is 2^class */
    struct block *next;         /* in the list of free blocks */
};

enum { CHUNK = 1 << 22 };

static struct block *free_blocks[48];
static char *chunk;
static long chunk_left;

static char *new_chunk(long size)
{
    /* read and write; private, of no file */
    long address = result_of(__builtin_syscall(SYS_MMAP, 0, size, 3, 34, -1, 0));
    return address == -1 ? NULL : (char *)address;
}

static struct block *new_block(int class)
{
    long size = 1L << class;
    struct block *b;
    if (size > CHUNK / 4) {
        b = (struct block *)new_chunk(size);
    } else {
        if (chunk_left < size) {
            chunk = new_chunk(CHUNK);
            chunk_left = CHUNK;
        }
        b = (struct block *)chunk;
        chunk += size;
        chunk_left -= size;
    }
    if (b) {
        b->class = class;
    }
    return b;
}

void *malloc(size_t size)
{
    struct block *b;
    int class = 5;
    while ((1UL << class) - 16 < size) {
        if (++class == 46) {
            return NULL;
        }
    }
    b = free_blocks[class];
    if (b) {
        free_blocks[class] = b->next;
    } else {
        b = new_block(class);
    }
    return b ? (char *)b + 16 : NULL;
}

void free(void *p)
{
    struct block *b;
    if (p) {
        b = (struct block *)((char *)p - 16);
        b->next = free_blocks[b->class];
        free_blocks[b->class] = b;
    }
}

void *calloc(size_t count, size_t size)
{
    void *p = malloc(count * size);
    if (p) {
        memset(p, 0, count * size);
    }
    return p;
}

void *realloc(void *old, size_t size)
{
    size_t room;
    void *p;
    if (!old) {
        return malloc(size);
    }
    room = (1UL << ((struct block *)((char *)old - 16))->class) - 16;
    if (size <= room) {
        return old;
    }
    p = malloc(size);
    if (p) {
        memcpy(p, old, room);
        free(old);
    }
    return p;
}
