/* float, double and long double: arithmetic, comparison, conversion, constants. */
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void bits(const char *name, const void *p, int size)
{
    const unsigned char *b = p;
    printf("%-12s ", name);
    while (size--) {
        printf("%02x", b[size]);
    }
    printf("\n");
}

#define FLOAT(x) do { float v = x; bits(#x, &v, 4); } while (0)
#define DOUBLE(x) do { double v = x; bits(#x, &v, 8); } while (0)
#define LONG(x) do { long double v = x; bits(#x, &v, 10); } while (0)

float f[] = { 0, -0.0f, 1, -1.5f, 1e10f, 1e-10f, 3e38f, 1e-45f };
double d[] = { 0, -0.0, 1, -1.5, 1e100, 1e-100, 1e308, 4.9e-324 };
long double l[] = { 0, -0.0L, 1, -1.5L, 1e1000L, 1e-1000L, 1e4932L, 3.6e-4951L };
double folded = 1.0 / 3 + 2e10 * 0.1 - 7;
float folded_float = 1.0f / 3 * 7;
long double folded_long = 1.0L / 3 - 0x1.8p-5L;
int from_double = 3.99, negative = -3.99;
unsigned long huge = 18446744073709549568.0;

#define PAIRS(A, T) \
    for (i = 0; i < 8; i++) \
        for (j = 0; j < 8; j++) { \
            T r; \
            printf("%d", A[i] < A[j] | (A[i] > A[j]) << 1 | (A[i] <= A[j]) << 2 | \
                         (A[i] >= A[j]) << 3 | (A[i] == A[j]) << 4 | (A[i] != A[j]) << 5); \
            r = A[i] + A[j]; \
            printf(" %Lg", (long double)r); \
            r = A[i] - A[j]; \
            printf(" %Lg", (long double)r); \
            r = A[i] * A[j]; \
            printf(" %Lg", (long double)r); \
            if (A[j]) { \
                r = A[i] / A[j]; \
                printf(" %Lg", (long double)r); \
            } \
            printf("\n"); \
        }

float half(float x) { return x / 2; }
double twice(double x) { return x * 2; }
long double third(long double x) { return x / 3; }
double mix(int a, float b, long double c, double d, long e, float g) { return a + b * c - d / e + g; }
double many(double a, double b, double c, double d, double e, double f, double g, double h, double i, float j)
{
    return a - b + c - d + e - f + g - h + i * j;
}

int main(void)
{
    int i, j;
    unsigned long u;
    double nan, inf;
    FLOAT(0.1f); FLOAT(1e-45f); FLOAT(1.17549435e-38f); FLOAT(3.4028235e38f); FLOAT(16777217.0f);
    FLOAT(7.0064923216240853546186479164495e-46f); FLOAT(7.1e-46f); FLOAT(0x1.000001p0f);
    DOUBLE(0.1); DOUBLE(1e23); DOUBLE(9007199254740993.0); DOUBLE(2.2250738585072011e-308);
    DOUBLE(1.7976931348623157e308); DOUBLE(4.9406564584124654e-324); DOUBLE(2.4703282292062328e-324);
    DOUBLE(0x1.fffffffffffff8p0); DOUBLE(123456789012345678901234567890.0); DOUBLE(.5e1); DOUBLE(5.);
    LONG(0.1L); LONG(1e4932L); LONG(3.3621031431120935063e-4932L); LONG(3.6451995318824746025e-4951L);
    LONG(18446744073709551617.0L); LONG(0x1p-16445L); LONG(1e-4933L); LONG(1.18973149535723176502e+4932L);
    LONG(3.14159265358979323846264338327950288L);
    FLOAT(1e39f); DOUBLE(1e309); LONG(1e4933L);
    bits("folded", &folded, 8);
    bits("folded_float", &folded_float, 4);
    bits("folded_long", &folded_long, 10);
    printf("%d %d %lu\n", from_double, negative, huge);
    PAIRS(f, float);
    PAIRS(d, double);
    PAIRS(l, long double);
    printf("%f %f %Lf %f %f\n", half(5), twice(2.25f), third(1), mix(1, 2.5f, 3.5L, 4.5, 5, 0.5f),
           many(1, 2, 3, 4, 5, 6, 7, 8, 9.5, 10.5f));
    for (i = 0; i < 5; i++) {
        static double values[] = { 0.5, -0.5, 100.75, 4294967295.5, 9223372036854775808.0 };
        if (i < 4) {
            printf("%d %u %ld ", i < 3 ? (int)values[i] : 0, i == 1 ? 0 : (unsigned)values[i], (long)values[i]);
            printf("%ld %ld ", (long)(float)values[i], (long)(long double)values[i]);
        }
        if (i != 1) {
            printf("%lu %lu %lu ", (unsigned long)values[i], (unsigned long)(float)values[i],
                   (unsigned long)(long double)values[i]);
        }
        printf("%d\n", (signed char)(i < 3 ? values[i] : 0));
    }
    for (u = 1; u; u *= 3) {
        float x = u;
        double y = u;
        long double z = u;
        bits("float", &x, 4);
        bits("double", &y, 8);
        bits("long double", &z, 10);
        if (u > 0xf000000000000000) {
            break;
        }
    }
    u = 0xfffffffffffffbff; printf("%a" + 0 * (int)u ? "%.1f\n" : "", (double)u);
    u = 0xfffffffffffffc00; printf("%.1f %.1f %.1Lf\n", (double)u, (float)u, (long double)u);
    i = -5; printf("%f %f %Lf\n", (float)i, (double)i, (long double)i);
    printf("%f %f %Lf\n", (float)(unsigned)i, (double)(unsigned)i, (long double)(unsigned)i);
    inf = 1e308 * d[2] * 10; nan = inf - inf;
    printf("%d%d%d%d%d%d\n", nan < nan, nan <= nan, nan > nan, nan >= nan, nan == nan, nan != nan);
    printf("%d%d%d%d\n", nan < 1, !(nan < 1), nan ? 1 : 0, nan && 1);
    printf("%d%d%d\n", (long double)nan < 1, (long double)nan != nan, !(float)nan);
    printf("%g %g %d\n", -0.0, -d[0], 1 / -d[0] < 0);
    d[3]++; ++d[3]; f[3]--; l[3] += 1; printf("%g %g %Lg %g\n", d[3], f[3], l[3], f[3]++);
    i = 7; i *= 1.5; printf("%d\n", i);
    i += 0.75f; printf("%d\n", i);
    d[2] = i = 3.7; printf("%g\n", d[2]);
    printf("%g %g %g\n", strtod("1e-320", NULL), (double)strtof("0x1.8p3", NULL), strtod("-.5e-3x", NULL));
    printf("%.0f %.0f %.0f %.3e %.10g %G %#.3g %08.2f|%-9.1f|%+g\n", 0.5, 1.5, 2.5, 123456.789, 1e10, 1e-10, 1.0,
           -3.14159, 2.25, 0.1);
    printf("%.25f %.20Lg\n", 0.1, 0.1L);
    return 0;
}
