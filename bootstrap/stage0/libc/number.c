/* Text to numbers. Floating numbers are read by cc2's own source, which rounds exactly. */

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- integers ---- */

static int digit_value(int c)
{
    return isdigit(c) ? c - '0' : isalpha(c) ? tolower(c) - 'a' + 10 : 99;
}

/* The digits' value; *negative tells the sign, *overflow that it does not fit. */
static unsigned long read_digits(const char *s, char **end, int base, int *negative, int *overflow)
{
    const char *p = s;
    const char *first;
    unsigned long value = 0;
    while (isspace(*p)) {
        p++;
    }
    *negative = *p == '-';
    *overflow = 0;
    if (*p == '-' || *p == '+') {
        p++;
    }
    if ((base == 0 || base == 16) && *p == '0' && tolower(p[1]) == 'x' && isxdigit(p[2])) {
        p += 2;
        base = 16;
    }
    if (base == 0) {
        base = *p == '0' ? 8 : 10;
    }
    for (first = p; digit_value(*p) < base; p++) {
        if (value > (ULONG_MAX - digit_value(*p)) / base) {
            *overflow = 1;
        }
        value = value * base + digit_value(*p);
    }
    if (end) {
        *end = (char *)(p == first ? s : p);
    }
    return value;
}

unsigned long strtoul(const char *s, char **end, int base)
{
    int negative, overflow;
    unsigned long value = read_digits(s, end, base, &negative, &overflow);
    if (overflow) {
        errno = ERANGE;
        return ULONG_MAX;
    }
    return negative ? -value : value;
}

long strtol(const char *s, char **end, int base)
{
    int negative, overflow;
    unsigned long value = read_digits(s, end, base, &negative, &overflow);
    if (overflow || value > (unsigned long)LONG_MAX + negative) {
        errno = ERANGE;
        return negative ? LONG_MIN : LONG_MAX;
    }
    return negative ? -value : value;
}

long long strtoll(const char *s, char **end, int base)
{
    return strtol(s, end, base);
}

unsigned long long strtoull(const char *s, char **end, int base)
{
    return strtoul(s, end, base);
}

int atoi(const char *s)
{
    return strtol(s, NULL, 10);
}

int abs(int n)
{
    return n < 0 ? -n : n;
}

/* ---- what cc2's 4-real.c needs ---- */

enum { FLOAT, DOUBLE, LDOUBLE, N_ADD, N_SUB, N_MUL };
enum { REAL_ZERO, REAL_FINITE, REAL_INFINITE, REAL_NAN };

struct real {
    long kind;
    long negative;
    long exponent;
    long mantissa;
};

static char arena[1 << 24];
static long arena_used;

/* Zeroed memory, given back when a number has been read. */
static char *allocate(long size)
{
    char *p = arena + arena_used;
    arena_used += (size + 15) & -16;
    if (arena_used > (long)sizeof(arena)) {
        abort();
    }
    memset(p, 0, size);
    return p;
}

static long shift_right(long value, long count)
{
    return (unsigned long)value >> count;
}

static void write_number(char *to, long value, long size)
{
    memcpy(to, &value, size);
}

#include "../cc2/4-real.c"

/* ---- floating numbers ---- */

/* The end of the digits, of a base, with at most one point; *any tells that there are some. */
static const char *skip_digits(const char *p, int base, int *any)
{
    int points = 0;
    for (*any = 0; digit_value(*p) < base || (*p == '.' && !points); p++) {
        if (*p == '.') {
            points = 1;
        } else {
            *any = 1;
        }
    }
    return p;
}

/* The end of the number that begins at p; p itself if there is none. */
static const char *number_end(const char *p)
{
    const char *end;
    const char *exponent;
    int any;
    int base = 10;
    if (*p == '0' && tolower(p[1]) == 'x') {
        end = skip_digits(p + 2, 16, &any);
        if (!any) {
            return p + 1;
        }
        base = 16;
    } else {
        end = skip_digits(p, 10, &any);
        if (!any) {
            return p;
        }
    }
    if (tolower(*end) == (base == 16 ? 'p' : 'e')) {
        exponent = end + 1;
        if (*exponent == '+' || *exponent == '-') {
            exponent++;
        }
        if (isdigit(*exponent)) {
            for (end = exponent; isdigit(*end); end++) {
            }
        }
    }
    return end;
}

/* Read a number of a format into memory. */
static void read_float(const char *s, char **end, int kind, void *to)
{
    const char *p = s;
    const char *stop;
    struct real *r;
    int negative;
    arena_used = 0;
    while (isspace(*p)) {
        p++;
    }
    negative = *p == '-';
    if (*p == '-' || *p == '+') {
        p++;
    }
    stop = number_end(p);
    if (stop == p && tolower(p[0]) == 'i' && tolower(p[1]) == 'n' && tolower(p[2]) == 'f') {
        r = new_real(REAL_INFINITE, negative);
        stop = p + 3;
    } else if (stop == p && tolower(p[0]) == 'n' && tolower(p[1]) == 'a' && tolower(p[2]) == 'n') {
        r = new_real(REAL_NAN, negative);
        stop = p + 3;
    } else {
        r = real_from_text((char *)p, stop - p, kind);
        r->negative = negative;
    }
    if (r->kind == REAL_INFINITE) {
        errno = ERANGE;
    }
    real_store(to, r, kind);
    if (end) {
        *end = (char *)(stop == p ? s : stop);
    }
}

float strtof(const char *s, char **end)
{
    float value;
    read_float(s, end, FLOAT, &value);
    return value;
}

double strtod(const char *s, char **end)
{
    double value;
    read_float(s, end, DOUBLE, &value);
    return value;
}

long double strtold(const char *s, char **end)
{
    long double value = 0;
    read_float(s, end, LDOUBLE, &value);
    return value;
}

/* x · 2^exponent, rounded once */
double ldexp(double x, int exponent)
{
    long double value = x;
    struct { unsigned long mantissa; unsigned short exponent; } parts;
    long scale;
    memcpy(&parts, &value, 10);
    scale = (parts.exponent & 32767) + exponent;
    if (x == 0 || (parts.exponent & 32767) == 32767) {
        return x;
    }
    if (scale > 32766) {
        scale = 32766;
    }
    if (scale < 1) {
        scale = 1;
    }
    parts.exponent = (parts.exponent & 32768) | scale;
    memcpy(&value, &parts, 10);
    return value;
}

double fabs(double x)
{
    return x < 0 ? -x : x;
}

float fabsf(float x)
{
    return x < 0 ? -x : x;
}
