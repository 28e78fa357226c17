/* Variable arguments: every class of argument, in registers and on the stack. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct small { int a, b; };
struct mixed { long i; double d; };
struct floats { double x, y; };
struct tiny { char c[3]; };
struct large { long a[5]; };
union either { int i; double d; };

static void show(const char *format, va_list list)
{
    for (; *format; format++) {
        switch (*format) {
        case 'i': printf(" %d", va_arg(list, int)); break;
        case 'l': printf(" %ld", va_arg(list, long)); break;
        case 'u': printf(" %u", va_arg(list, unsigned)); break;
        case 'd': printf(" %g", va_arg(list, double)); break;
        case 'L': printf(" %Lg", va_arg(list, long double)); break;
        case 's': printf(" %s", va_arg(list, char *)); break;
        case 'S': { struct small s = va_arg(list, struct small); printf(" %d,%d", s.a, s.b); break; }
        case 'M': { struct mixed s = va_arg(list, struct mixed); printf(" %ld,%g", s.i, s.d); break; }
        case 'F': { struct floats s = va_arg(list, struct floats); printf(" %g,%g", s.x, s.y); break; }
        case 'T': printf(" %d", va_arg(list, struct tiny).c[2]); break;
        case 'B': printf(" %ld", va_arg(list, struct large).a[4]); break;
        case 'E': printf(" %g", va_arg(list, union either).d); break;
        }
    }
    printf("\n");
}

static void all(const char *format, ...)
{
    va_list list, again;
    va_start(list, format);
    va_copy(again, list);
    show(format, list);
    va_end(list);
    show(format, again);
    va_end(again);
}

static void after(int a, double b, struct mixed c, long double e, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    printf("%d %g %ld %Lg:", a, b, c.i, e);
    show(format, list);
    va_end(list);
}

static int sum(int count, ...)
{
    va_list list;
    va_list *pointer = &list;
    int total = 0;
    va_start(list, count);
    while (count--) {
        total += va_arg(*pointer, int);
    }
    va_end(list);
    return total;
}

int main(void)
{
    struct small s = { 1, 2 };
    struct mixed m = { 3, 4.5 };
    struct floats f = { 5.5, 6.5 };
    struct tiny t = { { 7, 8, 9 } };
    struct large b = { { 10, 11, 12, 13, 14 } };
    union either e = { .d = 2.25 };
    char c = -5;
    short h = -6;
    float g = 1.5f;
    all("iiiiiiiiii", 1, 2, 3, c, h, 6, 7, 8, 9, 10);
    all("dddddddddd", 1.0, 2.0, g, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0);
    all("idLsidLs", 1, 2.5, 3.5L, "four", 5, 6.5, 7.5L, "eight");
    all("SMFTBE", s, m, f, t, b, e);
    all("SSSSSSS", s, s, s, s, s, s, s);
    all("MMMMMMMM", m, m, m, m, m, m, m, m);
    all("FFFFFF", f, f, f, f, f, f);
    all("iiiiMiMi", 1, 2, 3, 4, m, 5, m, 6);
    all("ddddddddMdM", 1., 2., 3., 4., 5., 6., 7., 8., m, 9., m);
    all("iBLBiL", 1, b, 2.0L, b, 3, 4.0L);
    all("lu", -1L, 4000000000u);
    after(1, 2.5, m, 3.5L, "iidLSMF", 4, 5, 6.5, 7.5L, s, m, f);
    printf("%d %d\n", sum(0), sum(9, 1, 2, 3, 4, 5, 6, 7, 8, 9));
    return 0;
}
