/* The preprocessor: macros of every kind, conditions, includes. */
#include "preprocessor.h"
#define HEADER "preprocessor.h"
#include HEADER
#include <stdio.h>

#define STR(...) #__VA_ARGS__
#define XSTR(...) STR(__VA_ARGS__)
#define CAT(a, b) a##b
#define XCAT(a, b) CAT(a, b)
#define EMPTY
#define f(x) f(x + 1)
#define g f
#define obj (obj + 1)
#define AND(x, ...) x and __VA_ARGS__
#define LOG(format, ...) printf(format "\n", ## __VA_ARGS__)
#define NAMED(rest...) rest
#define hash_hash # ## #
#define mkstr(a) # a
#define in_between(a) mkstr(a)
#define join(c, d) in_between(c hash_hash d)
#define t(x, y, z) x ## y ## z
#define LPAREN (
#define F(x, y) x + y
#define ELLIP_FUNC(...) __VA_ARGS__
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define SWAP(T, a, b) do { T swap = a; a = b; b = swap; } while (0)
#define x 3
#define ff(a, ...) ff(x * (a))
#undef x
#define x 2
#define w 0,1
#define z z[0]
#define hh ff(~
#define m(a) a(w)
#define LONG_LINE 1 + \
    2 + \
    3

#if defined FOO || !defined(EMPTY) || 0
#error wrong
#elif (1 ? 2 : 3) == 2 && -1 < 0 && (0x7fffffffffffffff > 1) && 'a' == 97 && -1 > 0u
#define CONDITION "right"
#else
#error wrong
#endif
#if 0
it's not even tokens "
#if 1
#else
#endif
#elif 10 / 3 == 3
#ifdef x
#ifndef x
#error wrong
#else
#define DEEP 1
#endif
#endif
#else
#error wrong
#endif
#if UNKNOWN_NAME || (1 << 4) != 16 || ~0 != -1 || 7 % 4 != 3
#error wrong
#endif

int (f)(int n) { return n; }
#undef obj
int obj = 5;
#define obj (obj + 1)
int CAT(na, me) = 6, XCAT(va, LINE) = 7;

int main(void)
{
    int name2 = 8, a = 1, b = 2;
    printf("%s\n", XSTR(f(f(1)) g(2) obj));
    printf("%d %d\n", f(1), obj);
    printf("%s\n", STR( a  +   "q\n" 'c' '"' /* comment */ \\ ));
    printf("%s|%s|%s\n", XSTR(EMPTY), STR(), XSTR(CAT(,b)CAT(a,)CAT(,)));
    printf("%s\n", XSTR(AND(1, 2, (3, 4)) AND(1,)));
    printf("%s\n", join(x, y));
    printf("%s\n", XSTR(t(1,2,3) t(,4,5) t(6,,7) t(8,9,) t(10,,) t(,11,) t(,,12) t(,,)));
    printf("%s\n", ELLIP_FUNC(XSTR(ff((2+(3,4)-0)))));
    printf("%s\n", XSTR(m(m) ELLIP_FUNC(F)(1, 2)));
    printf("%s\n", XSTR(NAMED(1, 2) NAMED() LONG_LINE z));
    LOG("plain");
    LOG("%d %d", name, vaLINE);
    printf("%s %d %d %d\n", CONDITION, DEEP, LONG_LINE, INCLUDED);
    SWAP(int, a, b);
    printf("%d %d %d %d\n", a, b, MAX(a, b), XCAT(name, 2));
    printf("%d %s\n", __LINE__, __func__);
#line 1000 "other.c"
    printf("%d %s\n", __LINE__, __FILE__);
    printf("%d\n", MAX(__LINE__,
        __LINE__));
    printf("%s" " %s\n", "joined" /* and */ " strings", "\x41\102\tq\?\"");
    return 0;
}
