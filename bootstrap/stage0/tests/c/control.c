/* Statements: loops, switch, goto, nested and odd forms; && || ?: and the comma. */
#include <stdio.h>

static int calls;
static int truth(int x) { calls = calls * 10 + 1 + x; return x; }

static const char *kind(long x)
{
    switch (x) {
    case -5: return "minus five";
    case 0: case 1: return "small";
    case 'a' ... 'e': return "letter";
    case 1000000000000: return "huge";
    default: return "other";
    case 7: ;
    }
    return "seven";
}

static int fall(unsigned char x)
{
    int r = 0;
    switch (x) {
        int unused;
    case 255: r += 1;
    case 3: r += 10; break;
    case 4:
        for (r = 0; r < 5; r++) {
            if (r == 3) {
    case 5:
                r += 100;
                break;
            }
        }
    default:
        switch (r) { case 103: return 1; case 100: return 2; }
        r = -1;
    }
    return r;
}

static void duff(char *to, const char *from, int count)
{
    int n = (count + 3) / 4;
    switch (count % 4) {
    case 0: do { *to++ = *from++;
    case 3: *to++ = *from++;
    case 2: *to++ = *from++;
    case 1: *to++ = *from++;
            } while (--n > 0);
    }
}

static int collatz(int n)
{
    int steps = 0;
again:
    if (n == 1) goto done;
    n = n % 2 ? 3 * n + 1 : n / 2;
    steps++;
    goto again;
done:
    return steps;
}

static int recurse(int n, int *depth)
{
    return n <= 0 ? (*depth)++, 1 : recurse(n - 1, depth) + recurse(n - 2, depth);
}

int main(void)
{
    int i, j, depth = 0;
    long k;
    unsigned long u = 5;
    char copy[12] = { 0 };
    int values[] = { -5, 0, 1, 7, 'a', 'e', 'f', 99 };
    for (i = 0; i < 8; i++) printf("%s\n", kind(values[i]));
    printf("%s %s\n", kind(1000000000000), kind(u - 10));
    for (i = 0; i < 256; i++) if (fall(i) != -1) printf("%d:%d ", i, fall(i));
    printf("\n");
    duff(copy, "hello world", 11);
    printf("%s %d %d\n", copy, collatz(27), recurse(10, &depth));
    for (i = 0, j = 10; i < j; i += 2, j--) {
        if (i == 4) continue;
        if (j == 7) break;
        printf("%d %d, ", i, j);
    }
    do { i--; if (i < 2) break; if (i & 1) continue; printf("%d ", i); } while (i);
    while (1) { if (++i > 5) break; }
    for (;;) { for (k = 0; ; k++) if (k * k > 50) goto out; }
out:
    printf("%d %ld\n", i, k);
    for (int i = 0, *p = &i; i < 3; ++*p) { int i = 7; printf("%d", i); }
    i = truth(0) && truth(1) || truth(2) && !truth(0);
    printf("\n%d %d\n", i, calls);
    calls = 0;
    if (truth(1) || truth(2)) if (!truth(0)) printf("yes %d\n", calls); else printf("no\n");
    i = truth(0) ? truth(1) : truth(2) ? truth(3) : truth(4);
    i += (truth(1), truth(2));
    printf("%d %d\n", i, calls);
    printf("%d %d %d\n", 1 ? 2 : 3 ? 4 : 5, 0 ? 2 : 0 ? 4 : 5, !!7);
    printf("%d\n", sizeof(i ? 1L : 'a') == 8 && (i ? -1 : 1u) > 0);
    if (0) inner: printf("jumped in\n");
    if (calls) { calls = 0; goto inner; }
    switch (3) case 3: printf("bare\n");
    switch (u) default: i = 1;
    switch (u) ;
    u = 0x100000003;
    switch (u) { case 3: printf("wrong\n"); break; case 0x100000003: printf("wide\n"); }
    switch ((int)u) { case 3: printf("narrow\n"); }
    return calls;
}
