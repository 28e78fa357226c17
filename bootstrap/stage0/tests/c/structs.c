/* Structs: layout, passing, returning, copying, bit-fields, unions, flexible arrays. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct one { char c; };
struct three { char c[3]; };
struct eight { int a; short b; };
struct twelve { int a, b, c; };
struct sixteen { long a; double b; };
struct floats { float x, y, z; };
struct doubles { double x, y; };
struct mixed { float f; int i; double d; };
struct big { int a[10]; char tail; };
struct ldouble { long double v; };
struct nested { struct eight e; union { int i; float f; } u; };

struct one make_one(int x) { struct one r = { x }; return r; }
struct three make_three(int x) { struct three r = { { x, x + 1, x + 2 } }; return r; }
struct eight make_eight(int x) { struct eight r; r.a = x; r.b = -x; return r; }
struct twelve make_twelve(int x) { return (struct twelve){ x, x * 2, x * 3 }; }
struct sixteen make_sixteen(int x) { struct sixteen r = { x, x / 2.0 }; return r; }
struct floats make_floats(float x) { struct floats r = { x, x * 2, x * 3 }; return r; }
struct doubles make_doubles(double x) { struct doubles r = { .y = x, .x = -x }; return r; }
struct mixed make_mixed(int x) { struct mixed r = { x + 0.5f, x, x * 1.25 }; return r; }
struct big make_big(int x) { struct big r; int i; for (i = 0; i < 10; i++) r.a[i] = x + i; r.tail = 't'; return r; }
struct ldouble make_ldouble(int x) { struct ldouble r; r.v = x / 3.0L; return r; }
struct nested make_nested(int x) { struct nested r; r.e = make_eight(x); r.u.f = x; return r; }

int take(int n, struct one a, struct three b, struct eight c, struct twelve d, int m)
{
    return n + a.c + b.c[0] * 3 + b.c[2] * 5 + c.a * 7 + c.b * 11 + d.a + d.b * 13 + d.c * 17 + m;
}

double take_floats(struct floats a, struct doubles b, struct mixed c, struct sixteen d, struct big e, struct ldouble f,
                   struct doubles g, struct doubles h, struct doubles i)
{
    return a.x + a.y * 2 + a.z * 3 + b.x * 5 + b.y * 7 + c.f + c.i + c.d + d.a + d.b + e.a[0] + e.a[9] + e.tail + f.v +
           g.x + g.y * 2 + h.x * 3 + h.y * 4 + i.x * 5 + i.y * 6;
}

struct big modify(struct big b) { b.a[3] = 99; return b; }

struct bits {
    unsigned a : 3;
    int b : 5;
    unsigned c : 24, d : 1;
    unsigned : 0;
    long e : 40;
    unsigned char f : 4, g : 4;
    _Bool h : 1;
    int : 3;
    short i : 9;
    unsigned long j : 63;
};

struct flexible { int n; short tail[]; };
static struct flexible flexible = { 3, { 1, 2, 3 } };
struct __attribute__((packed)) packed { char c; int i; short s; };
struct late_packed { char c; long l; } __attribute__((packed));
struct aligned { char c; int x __attribute__((aligned(16))); };
union word { unsigned w; unsigned char b[4]; struct { unsigned short low, high; }; };
struct anonymous { int a; union { int b; struct { char c, d; }; }; int e; };

#define LAYOUT(t, m) printf("%s.%s %d\n", #t, #m, (int)offsetof(struct t, m))

int main(void)
{
    struct bits b;
    struct big big, *p = &big;
    union word w = { 0x12345678 };
    struct anonymous an = { 1, { 0x0203 }, 4 };
    int (*f)(int, struct one, struct three, struct eight, struct twelve, int) = take;
    struct nested n;
    int i;
    printf("%d\n", take(1, make_one(2), make_three(3), make_eight(4), make_twelve(5), 6));
    printf("%d\n", f(7, make_one(8), make_three(9), make_eight(10), make_twelve(11), 12));
    printf("%f\n", take_floats(make_floats(1.5), make_doubles(2.5), make_mixed(3), make_sixteen(4), make_big(5),
                               make_ldouble(6), make_doubles(7), make_doubles(8), make_doubles(9)));
    big = make_big(20);
    printf("%d %d %d\n", modify(big).a[3], big.a[3], make_big(1).a[4]);
    *p = modify(*p);
    printf("%d %c\n", p->a[3], (i = 1, p)->tail);
    n = make_nested(5);
    printf("%d %d %g\n", n.e.a, n.e.b, n.u.f);
    printf("%d\n", (i ? make_eight(3) : make_eight(4)).a);
    memset(&b, 0, sizeof b);
    b.a = 9; b.b = -3; b.c = 0x1234567; b.d = 1; b.e = -5000000000L; b.f = 15; b.g = 7; b.h = 4; b.i = 255; b.j = -1;
    printf("%d %d %x %d %ld %d %d %d %d %lx\n", b.a, b.b, b.c, b.d, (long)b.e, b.f, b.g, b.h, b.i, (long)b.j);
    b.a += 7; b.b--; b.c <<= 1; b.e *= 2; b.i++; b.j >>= 3; b.f = b.g++;
    printf("%d %d %x %d %ld %d %d %d %d %lx\n", b.a, b.b, b.c, b.d, (long)b.e, b.f, b.g, b.h, b.i, (long)b.j);
    printf("%d %d %d\n", b.a = 13, b.b = 17, (b.i = 300) < 0);
    printf("%d %d\n", b.a - 20 < 0, b.d - 2 < 0);
    for (i = 0; i < (int)sizeof b; i++) printf("%02x", ((unsigned char *)&b)[i]);
    printf("\n%d %d %d\n", flexible.n, flexible.tail[2], (int)sizeof flexible);
    printf("%x %x %x\n", w.b[0], w.low, w.high);
    w.b[3] = 0xff;
    printf("%x\n", w.w);
    printf("%d %d %d %d\n", an.c, an.d, an.b, an.e);
    printf("%d %d %d %d\n", (int)sizeof(struct packed), (int)sizeof(struct late_packed), (int)sizeof(struct aligned),
           (int)sizeof(struct bits));
    LAYOUT(packed, s); LAYOUT(late_packed, l); LAYOUT(aligned, x); LAYOUT(mixed, d); LAYOUT(nested, u);
    LAYOUT(anonymous, d); LAYOUT(anonymous, e); LAYOUT(ldouble, v); LAYOUT(big, tail);
    return 0;
}
