/* Bytes, strings, characters, sorting. */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- bytes ---- */

void *memcpy(void *to, const void *from, size_t count)
{
    char *t = to;
    const char *f = from;
    while (count >= 8) {
        *(long *)t = *(const long *)f;
        t += 8;
        f += 8;
        count -= 8;
    }
    while (count--) {
        *t++ = *f++;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t count)
{
    char *t = to;
    const char *f = from;
    if (t <= f || t >= f + count) {
        while (count--) {
            *t++ = *f++;
        }
    } else {
        while (count--) {
            t[count] = f[count];
        }
    }
    return to;
}

void *memset(void *to, int byte, size_t count)
{
    char *t = to;
    long eight = (byte & 255) * 0x0101010101010101L;
    while (count >= 8) {
        *(long *)t = eight;
        t += 8;
        count -= 8;
    }
    while (count--) {
        *t++ = byte;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t count)
{
    const unsigned char *p = a;
    const unsigned char *q = b;
    for (; count; count--, p++, q++) {
        if (*p != *q) {
            return *p - *q;
        }
    }
    return 0;
}

void *memchr(const void *s, int byte, size_t count)
{
    const unsigned char *p = s;
    for (; count; count--, p++) {
        if (*p == (unsigned char)byte) {
            return (void *)p;
        }
    }
    return NULL;
}

/* ---- strings ---- */

size_t strlen(const char *s)
{
    const char *p = s;
    while (*p) {
        p++;
    }
    return p - s;
}

char *strcpy(char *to, const char *from)
{
    char *t = to;
    while ((*t++ = *from++)) {
    }
    return to;
}

char *strncpy(char *to, const char *from, size_t count)
{
    size_t i;
    for (i = 0; i < count && from[i]; i++) {
        to[i] = from[i];
    }
    for (; i < count; i++) {
        to[i] = 0;
    }
    return to;
}

char *strcat(char *to, const char *from)
{
    strcpy(to + strlen(to), from);
    return to;
}

int strncmp(const char *a, const char *b, size_t count)
{
    for (; count; count--, a++, b++) {
        if (*a != *b) {
            return *(const unsigned char *)a - *(const unsigned char *)b;
        }
        if (!*a) {
            return 0;
        }
    }
    return 0;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, -1);
}

char *strchr(const char *s, int c)
{
    for (; *s != (char)c; s++) {
        if (!*s) {
            return NULL;
        }
    }
    return (char *)s;
}

char *strrchr(const char *s, int c)
{
    const char *found = NULL;
    for (; *s; s++) {
        if (*s == (char)c) {
            found = s;
        }
    }
    return (char *)(c ? found : s);
}

char *strstr(const char *s, const char *part)
{
    size_t length = strlen(part);
    for (; strncmp(s, part, length) != 0; s++) {
        if (!*s) {
            return NULL;
        }
    }
    return (char *)s;
}

size_t strcspn(const char *s, const char *set)
{
    const char *p = s;
    while (*p && !strchr(set, *p)) {
        p++;
    }
    return p - s;
}

char *strpbrk(const char *s, const char *set)
{
    s += strcspn(s, set);
    return (char *)(*s ? s : NULL);
}

char *strdup(const char *s)
{
    char *copy = malloc(strlen(s) + 1);
    return copy ? strcpy(copy, s) : NULL;
}

char *strerror(int error)
{
    static char text[32];
    sprintf(text, "error %d", error);
    return text;
}

/* ---- characters ---- */

int isdigit(int c) { return c >= '0' && c <= '9'; }
int isupper(int c) { return c >= 'A' && c <= 'Z'; }
int islower(int c) { return c >= 'a' && c <= 'z'; }
int isalpha(int c) { return isupper(c) || islower(c); }
int isalnum(int c) { return isalpha(c) || isdigit(c); }
int isspace(int c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
int isxdigit(int c) { return isdigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
int isprint(int c) { return c >= ' ' && c < 127; }
int toupper(int c) { return islower(c) ? c - 32 : c; }
int tolower(int c) { return isupper(c) ? c + 32 : c; }

/* ---- sorting: heap sort ---- */

static void swap(char *a, char *b, size_t size)
{
    char c;
    for (; size; size--) {
        c = *a;
        *a++ = *b;
        *b++ = c;
    }
}

/* Let the element at `root` sink to its place among the first `count`. */
static void sink(char *base, size_t root, size_t count, size_t size,
                 int (*compare)(const void *, const void *))
{
    size_t child;
    while ((child = 2 * root + 1) < count) {
        if (child + 1 < count && compare(base + child * size, base + (child + 1) * size) < 0) {
            child++;
        }
        if (compare(base + root * size, base + child * size) >= 0) {
            return;
        }
        swap(base + root * size, base + child * size, size);
        root = child;
    }
}

void qsort(void *base, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    size_t i;
    for (i = count / 2; i; i--) {
        sink(base, i - 1, count, size, compare);
    }
    for (i = count; i > 1; i--) {
        swap(base, (char *)base + (i - 1) * size, size);
        sink(base, 0, i - 1, size, compare);
    }
}
