/* printf and its family, and a small sscanf. */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where output goes: a file, or memory of a size. */
struct sink {
    FILE *file;
    char *memory;
    size_t size;
    size_t count;               /* characters put so far, also those without room */
};

struct format {
    int minus, plus, space, alternate, zero;
    int width;
    int precision;              /* -1: none given */
    int length;                 /* 'h', 'H' for hh, 'l', 'L', or 0 */
    int upper;
};

static void put(struct sink *s, int c)
{
    if (s->file) {
        fputc(c, s->file);
    } else if (s->count + 1 < s->size) {
        s->memory[s->count] = c;
    }
    s->count++;
}

static void put_repeated(struct sink *s, int c, long times)
{
    while (times-- > 0) {
        put(s, c);
    }
}

/* Put a sign or prefix and a body, filled up to the width. */
static void put_field(struct sink *s, struct format *f, const char *prefix, const char *body, long length, int zero)
{
    long fill = f->width - strlen(prefix) - length;
    if (!f->minus && !zero) {
        put_repeated(s, ' ', fill);
    }
    while (*prefix) {
        put(s, *prefix++);
    }
    if (!f->minus && zero) {
        put_repeated(s, '0', fill);
    }
    while (length--) {
        put(s, *body++);
    }
    if (f->minus) {
        put_repeated(s, ' ', fill);
    }
}

/* ---- integers ---- */

static void put_integer(struct sink *s, struct format *f, unsigned long value, int base, const char *prefix)
{
    char digits[512];
    char *p = digits + sizeof(digits);
    int least = f->precision < 0 ? 1 : f->precision;
    if (least > 500) {
        least = 500;
    }
    while (value) {
        *--p = "0123456789abcdef0123456789ABCDEF"[value % base + 16 * f->upper];
        value /= base;
    }
    while (digits + sizeof(digits) - p < least) {
        *--p = '0';
    }
    if (base == 8 && f->alternate && *p != '0') {
        *--p = '0';
    }
    put_field(s, f, prefix, p, digits + sizeof(digits) - p, f->zero && f->precision < 0);
}

static const char *sign_of(struct format *f, int negative)
{
    return negative ? "-" : f->plus ? "+" : f->space ? " " : "";
}

/* ---- floating numbers ---- */

enum { LIMBS = 2000, BILLION = 1000000000 };

/* An integer of many decimal digits: limbs of nine, the lowest first. */
static unsigned int limb[LIMBS];
static int limbs;

static void scale_limbs(unsigned long factor)
{
    unsigned long carry = 0;
    int i;
    for (i = 0; i < limbs; i++) {
        carry += limb[i] * factor;
        limb[i] = carry % BILLION;
        carry /= BILLION;
    }
    while (carry) {
        limb[limbs++] = carry % BILLION;
        carry /= BILLION;
    }
}

static char digits[LIMBS * 9 + 2];  /* of the number being printed, without a point */
static int digit_count;
static int point;                   /* digits before the decimal point; may be negative */

/* All decimal digits of mantissa · 2^exponent: exact, for every double and long double ends. */
static void find_digits(unsigned long mantissa, int exponent)
{
    int i, j;
    unsigned int l;
    char *p = digits;
    if (!mantissa) {
        exponent = 0;
    }
    while (mantissa && !(mantissa & 1)) {
        mantissa >>= 1;
        exponent++;
    }
    limb[0] = mantissa % BILLION;
    limb[1] = mantissa / BILLION % BILLION;
    limb[2] = mantissa / BILLION / BILLION;
    limbs = 3;
    /* mantissa / 2^k is mantissa · 5^k / 10^k */
    for (i = exponent; i > 0; i -= 29) {
        scale_limbs(i < 29 ? 1UL << i : 1UL << 29);
    }
    for (i = exponent; i <= -12; i += 12) {
        scale_limbs(244140625);         /* 5^12 */
    }
    for (; i < 0; i++) {
        scale_limbs(5);
    }
    while (limbs && !limb[limbs - 1]) {
        limbs--;
    }
    for (i = limbs - 1; i >= 0; i--) {
        l = limb[i];
        for (j = 8; j >= 0; j--) {
            p[j] = '0' + l % 10;
            l /= 10;
        }
        p += 9;
    }
    digit_count = p - digits;
    for (i = 0; i < digit_count && digits[i] == '0'; i++) {
    }
    memmove(digits, digits + i, digit_count - i);
    digit_count -= i;
    point = exponent < 0 ? digit_count + exponent : digit_count;
}

/* Round to `count` digits: to the nearest, ties to even. */
static void round_digits(int count)
{
    int i;
    int up;
    if (count >= digit_count) {
        return;
    }
    if (count < 0) {
        digit_count = 0;
        return;
    }
    up = digits[count] > '5';
    if (digits[count] == '5') {
        for (i = count + 1; i < digit_count; i++) {
            up |= digits[i] != '0';
        }
        up |= count > 0 && (digits[count - 1] & 1);
    }
    digit_count = count;
    if (!up) {
        return;
    }
    for (i = count - 1; i >= 0; i--) {
        if (digits[i] != '9') {
            digits[i]++;
            return;
        }
        digits[i] = '0';
    }
    memmove(digits + 1, digits, digit_count);
    digits[0] = '1';
    digit_count++;
    point++;
}

static int digit_at(int i)
{
    return i >= 0 && i < digit_count ? digits[i] : '0';
}

/* Text of a number as %f or %e print it; the digits are rounded already. */
static char *fixed_text(char *p, int precision, int with_point)
{
    int i;
    if (point <= 0) {
        *p++ = '0';
    }
    for (i = 0; i < point; i++) {
        *p++ = digit_at(i);
    }
    if (precision > 0 || with_point) {
        *p++ = '.';
    }
    for (i = 0; i < precision; i++) {
        *p++ = digit_at(point + i);
    }
    return p;
}

static char *exponent_text(char *p, int precision, int with_point, int upper)
{
    int exponent = digit_count ? point - 1 : 0;
    int i;
    *p++ = digit_at(0);
    if (precision > 0 || with_point) {
        *p++ = '.';
    }
    for (i = 1; i <= precision; i++) {
        *p++ = digit_at(i);
    }
    return p + sprintf(p, "%c%c%02d", upper ? 'E' : 'e', exponent < 0 ? '-' : '+',
                       exponent < 0 ? -exponent : exponent);
}

/* The shape of %g: %e or %f of a number of significant digits, without zeros at the end. */
static char *general_text(char *p, int precision, int with_point, int upper)
{
    int exponent;
    if (precision == 0) {
        precision = 1;
    }
    round_digits(precision);
    exponent = digit_count ? point - 1 : 0;
    if (!with_point) {
        while (digit_count && digits[digit_count - 1] == '0') {
            digit_count--;
        }
    }
    if (exponent < -4 || exponent >= precision) {
        return exponent_text(p, with_point ? precision - 1 : digit_count - 1, with_point, upper);
    }
    if (with_point) {
        return fixed_text(p, precision - 1 - exponent, 1);
    }
    return fixed_text(p, digit_count > point ? digit_count - point : 0, 0);
}

static void put_float(struct sink *s, struct format *f, long double value, int conversion)
{
    static char text[LIMBS * 9 + 600];
    struct { unsigned long mantissa; unsigned short exponent; } parts;
    char *end = text;
    int precision = f->precision < 0 ? 6 : f->precision;
    int negative;
    memcpy(&parts, &value, 10);
    negative = parts.exponent >> 15;
    if (precision > 500) {
        precision = 500;
    }
    if ((parts.exponent & 32767) == 32767) {
        strcpy(text, parts.mantissa << 1 ? "nan" : "inf");
        if (f->upper) {
            strcpy(text, parts.mantissa << 1 ? "NAN" : "INF");
        }
        put_field(s, f, sign_of(f, negative), text, 3, 0);
        return;
    }
    find_digits(parts.mantissa, (parts.exponent & 32767) - 16383 - 63 + ((parts.exponent & 32767) == 0));
    if (conversion == 'f') {
        round_digits(point + precision);
        end = fixed_text(text, precision, f->alternate);
    } else if (conversion == 'e') {
        round_digits(precision + 1);
        end = exponent_text(text, precision, f->alternate, f->upper);
    } else {
        end = general_text(text, precision, f->alternate, f->upper);
    }
    put_field(s, f, sign_of(f, negative), text, end - text, f->zero);
}

/* ---- formats ---- */

static const char *read_flags(struct format *f, const char *p)
{
    memset(f, 0, sizeof(*f));
    for (;; p++) {
        switch (*p) {
        case '-': f->minus = 1; break;
        case '+': f->plus = 1; break;
        case ' ': f->space = 1; break;
        case '#': f->alternate = 1; break;
        case '0': f->zero = 1; break;
        default: return p;
        }
    }
}

static const char *read_length(struct format *f, const char *p)
{
    for (;; p++) {
        switch (*p) {
        case 'h': f->length = f->length == 'h' ? 'H' : 'h'; break;
        case 'l': case 'j': case 'z': case 't': f->length = 'l'; break;
        case 'L': f->length = 'L'; break;
        default: return p;
        }
    }
}

static long read_signed(struct format *f, long value)
{
    switch (f->length) {
    case 'H': return (signed char)value;
    case 'h': return (short)value;
    case 'l': case 'L': return value;
    }
    return (int)value;
}

static unsigned long read_unsigned(struct format *f, unsigned long value)
{
    switch (f->length) {
    case 'H': return (unsigned char)value;
    case 'h': return (unsigned short)value;
    case 'l': case 'L': return value;
    }
    return (unsigned int)value;
}

static void put_string(struct sink *s, struct format *f, const char *text)
{
    long length = 0;
    if (!text) {
        text = "(null)";
    }
    while ((f->precision < 0 || length < f->precision) && text[length]) {
        length++;
    }
    put_field(s, f, "", text, length, 0);
}

static void format(struct sink *s, const char *p, va_list list)
{
    struct format f;
    long value;
    char c;
    for (; *p; p++) {
        if (*p != '%') {
            put(s, *p);
            continue;
        }
        p = read_flags(&f, p + 1);
        if (*p == '*') {
            f.width = va_arg(list, int);
            if (f.width < 0) {
                f.minus = 1;
                f.width = -f.width;
            }
            p++;
        }
        while (isdigit(*p)) {
            f.width = f.width * 10 + *p++ - '0';
        }
        f.precision = -1;
        if (*p == '.') {
            f.precision = 0;
            if (*++p == '*') {
                f.precision = va_arg(list, int);
                p++;
            }
            while (isdigit(*p)) {
                f.precision = f.precision * 10 + *p++ - '0';
            }
        }
        p = read_length(&f, p);
        f.upper = isupper(*p);
        switch (*p) {
        case 'd': case 'i':
            value = read_signed(&f, va_arg(list, long));
            put_integer(s, &f, value < 0 ? -value : value, 10, sign_of(&f, value < 0));
            break;
        case 'u':
            put_integer(s, &f, read_unsigned(&f, va_arg(list, unsigned long)), 10, "");
            break;
        case 'o':
            put_integer(s, &f, read_unsigned(&f, va_arg(list, unsigned long)), 8, "");
            break;
        case 'x': case 'X':
            value = read_unsigned(&f, va_arg(list, unsigned long));
            put_integer(s, &f, value, 16, !f.alternate || !value ? "" : f.upper ? "0X" : "0x");
            break;
        case 'p':
            value = va_arg(list, long);
            put_integer(s, &f, value, 16, value ? "0x" : "");
            break;
        case 'c':
            c = va_arg(list, int);
            put_field(s, &f, "", &c, 1, 0);
            break;
        case 's':
            put_string(s, &f, va_arg(list, char *));
            break;
        case 'f': case 'F': case 'e': case 'E': case 'g': case 'G':
            put_float(s, &f, f.length == 'L' ? va_arg(list, long double) : va_arg(list, double), tolower(*p));
            break;
        case 0:
            return;
        default:
            put(s, *p);
        }
    }
}

int vfprintf(FILE *f, const char *text, va_list list)
{
    struct sink s = { f };
    format(&s, text, list);
    return s.count;
}

int vsnprintf(char *to, size_t size, const char *text, va_list list)
{
    struct sink s = { NULL, to, size };
    format(&s, text, list);
    if (size) {
        to[s.count < size ? s.count : size - 1] = 0;
    }
    return s.count;
}

int vprintf(const char *text, va_list list)
{
    return vfprintf(stdout, text, list);
}

int vsprintf(char *to, const char *text, va_list list)
{
    return vsnprintf(to, 1UL << 40, text, list);
}

int printf(const char *text, ...)
{
    va_list list;
    int count;
    va_start(list, text);
    count = vfprintf(stdout, text, list);
    va_end(list);
    return count;
}

int fprintf(FILE *f, const char *text, ...)
{
    va_list list;
    int count;
    va_start(list, text);
    count = vfprintf(f, text, list);
    va_end(list);
    return count;
}

int sprintf(char *to, const char *text, ...)
{
    va_list list;
    int count;
    va_start(list, text);
    count = vsprintf(to, text, list);
    va_end(list);
    return count;
}

int snprintf(char *to, size_t size, const char *text, ...)
{
    va_list list;
    int count;
    va_start(list, text);
    count = vsnprintf(to, size, text, list);
    va_end(list);
    return count;
}

/* ---- reading: %d, %u, %x, %s, %c ---- */

int sscanf(const char *s, const char *p, ...)
{
    va_list list;
    char *end;
    int count = 0;
    va_start(list, p);
    for (; *p; p++) {
        if (isspace(*p)) {
            while (isspace(*s)) {
                s++;
            }
        } else if (*p != '%') {
            if (*s++ != *p) {
                break;
            }
        } else if (*++p == 'c') {
            if (!*s) {
                break;
            }
            *va_arg(list, char *) = *s++;
            count++;
        } else if (*p == 's') {
            end = va_arg(list, char *);
            while (isspace(*s)) {
                s++;
            }
            if (!*s) {
                break;
            }
            while (*s && !isspace(*s)) {
                *end++ = *s++;
            }
            *end = 0;
            count++;
        } else {
            *va_arg(list, int *) = strtol(s, &end, *p == 'x' ? 16 : 10);
            if (end == s) {
                break;
            }
            s = end;
            count++;
        }
    }
    va_end(list);
    return count;
}
