/* Integer promotions, conversions, arithmetic, shifts and comparisons of all types. */
#include <stdio.h>

#define SHOW(x) printf("%s = %lld\n", #x, (long long)(x))

signed char sc[] = { -128, -1, 0, 1, 127 };
unsigned char uc[] = { 0, 1, 127, 128, 255 };
short ss[] = { -32768, -1, 0, 1, 32767 };
unsigned short us[] = { 0, 1, 32767, 32768, 65535 };
int si[] = { -2147483647 - 1, -1, 0, 1, 2147483647 };
unsigned ui[] = { 0, 1, 0x7fffffff, 0x80000000u, 0xffffffffu };
long sl[] = { -9223372036854775807L - 1, -1, 0, 1, 9223372036854775807L };
unsigned long ul[] = { 0, 1, 0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff };

/* All operations on two operands whose types are given by the arrays. */
#define PAIRS(A, B) \
    for (i = 0; i < 5; i++) \
        for (j = 0; j < 5; j++) { \
            sum = sum * 31 + (A[i] + B[j]); \
            sum = sum * 31 + (A[i] - B[j]); \
            sum = sum * 31 + (A[i] * (B[j] >> 1)); \
            sum = sum * 31 + (A[i] & B[j]); \
            sum = sum * 31 + (A[i] | B[j]); \
            sum = sum * 31 + (A[i] ^ B[j]); \
            sum = sum * 31 + (A[i] < B[j]) * 3 + (A[i] <= B[j]) * 5; \
            sum = sum * 31 + (A[i] > B[j]) * 3 + (A[i] >= B[j]) * 5; \
            sum = sum * 31 + (A[i] == B[j]) * 3 + (A[i] != B[j]) * 5; \
            if (B[j] != 0 && B[j] != -1) { \
                sum = sum * 31 + A[i] / B[j]; \
                sum = sum * 31 + A[i] % B[j]; \
            } \
            sum = sum * 31 + (j ? A[i] : B[j]); \
            sum = sum * 31 + (A[i] >> j); \
        } \
    printf("%s %s %llx\n", #A, #B, sum)

#define WITH_ALL(A) \
    PAIRS(A, sc); PAIRS(A, uc); PAIRS(A, ss); PAIRS(A, us); \
    PAIRS(A, si); PAIRS(A, ui); PAIRS(A, sl); PAIRS(A, ul)

int main(void)
{
    int i, j;
    unsigned long long sum = 0;
    char c = 200;
    WITH_ALL(sc);
    WITH_ALL(uc);
    WITH_ALL(ss);
    WITH_ALL(us);
    WITH_ALL(ui);
    WITH_ALL(ul);
    SHOW(c);
    SHOW(-1 < 1u);
    SHOW(-1L < 1u);
    SHOW(-1 < (unsigned char)1);
    SHOW((unsigned char)255 + 1);
    SHOW((unsigned short)65535 * 2);
    SHOW(~(unsigned char)0);
    SHOW(1u - 2);
    SHOW((long)(1u - 2));
    SHOW(0x80000000 >> 31);
    SHOW((int)0x80000000 >> 31);
    SHOW(-7 / 2);
    SHOW(-7 % 2);
    SHOW(7u / (unsigned)-2);
    SHOW(0xffffffff + 1);
    SHOW(0xffffffffL + 1);
    SHOW(sizeof(1 ? (char)1 : (short)1));
    SHOW(sizeof('a'));
    SHOW(sizeof(1u + 1L));
    SHOW((signed char)0x1ff);
    SHOW((_Bool)256);
    SHOW((_Bool)0.5);
    SHOW(!5 + !0);
    SHOW(07 + 0x1F + 0b101);
    SHOW('\377');
    SHOW('\x41' + '\101');
    SHOW('ab');
    for (i = 0; i < 5; i++) {
        sc[i]++;
        uc[i]--;
        ss[i] += 40000;
        us[i] *= 3;
        si[i] ^= 0x55;
        ui[i] <<= 3;
        sl[i] >>= 5;
        ul[i] >>= 5;
        printf("%d %d %d %d %d %u %ld %lu\n", sc[i], uc[i], ss[i], us[i], si[i], ui[i], sl[i], ul[i]);
    }
    i = 5;
    j = i++; printf("%d %d\n", i, j); j = --i; printf("%d %d\n", i, j);
    printf("%d\n", (i = 3, i += i * 2, i));
    return 0;
}
