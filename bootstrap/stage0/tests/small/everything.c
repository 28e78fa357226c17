/* Every construct of the small C: prints the same compiled by gcc and by cc1. */

enum { ZERO, ONE, TEN = 10, ELEVEN, MINUS = -3, LETTER = 'a', SAME = TEN };

struct list {
    long value;
    char *name;
    struct list *next;
    char **names;
};

struct later;
struct holder {
    struct later *l;
};
struct later {
    long a;
    long b;
    long c;
};

long counter;
char *hello;
char bytes[16];
long numbers[ELEVEN];
struct list lists[4];
struct later laters[3];
char *names[5];
struct list *heads[2];

void out(char *text)
{
    syscall(SYS_WRITE, 1, (long)text, text_length(text), 0);
}

void show(long n)
{
    char *p = allocate(32) + 30;
    long negative = n < 0;
    long digit;
    *p = '\n';
    if (n == 0) {
        p--;
        *p = '0';
    }
    while (n) {
        digit = n % 10;
        if (digit < 0) {
            digit = -digit;
        }
        p--;
        *p = '0' + digit;
        n /= 10;
    }
    if (negative) {
        p--;
        *p = '-';
    }
    out(p);
}

long count(long result)
{
    counter++;
    return result;
}

long fall(long n)
{
    long r = 0;
    switch (n) {
    case ONE:
        r += 1;
    case 2: case 3:
        r += 10;
        break;
    default:
        r += 100;
    case -5:
        r += 1000;
        if (n == -5) {
            return r;
        }
        break;
    case 'z': {
        long inner = n;
        switch (inner) {
        case 'z': r = 7; break;
        }
        r *= 2;
    }
    }
    return r;
}

long even(long n);

long odd(long n)
{
    if (n == 0) {
        return 0;
    }
    return even(n - 1);
}

long even(long n)
{
    if (n == 0) return 1; else return odd(n - 1);
}

long seven(long a, long b, long c, long d, long e, long f, long g)
{
    return a + 10 * (b + 10 * (c + 10 * (d + 10 * (e + 10 * (f + 10 * g)))));
}

void change(long *p, char **s)
{
    *p = *p + 5;
    *s += 2;
}

long ackermann(long m, long n)
{
    if (!m) {
        return n + 1;
    }
    return n ? ackermann(m - 1, ackermann(m, n - 1)) : ackermann(m - 1, 1);
}

void operators(void)
{
    long a = 7;
    long b = -3;
    long big = 0x7FFFFFFFFFFFFFFF;
    show(a + b * 2 - 4 / 2);
    show(a / b); show(a % b); show(-a / 3); show(-a % 3);
    show(a & 5 | 8 ^ 3); show(~a); show(!a); show(!0); show(- -a);
    show(a << 3 >> 1); show(b >> 1); show(1 + 2 << 3);
    show(a < b); show(b < a); show(a <= 7); show(a >= 8); show(a > 6); show(a == 7); show(a != 7);
    show(a == 7 == 1); show(b < a == 1);
    show(a && b); show(a && 0); show(0 || b); show(0 || 0);
    counter = 0;
    show(0 && count(1)); show(1 || count(1)); show(counter);
    show(1 && count(3) && count(0) && count(1)); show(counter);
    show(a ? b ? 1 : 2 : 3); show(0 ? 1 : 0 ? 2 : 3);
    show(big); show(big + 1 < 0); show(-big - 1); show(0x10 + 0xfF + 0xAb);
    show(9223372036854775807); show(1234567890123);
    a += 3; show(a); a -= 1; show(a); a *= 5; show(a); a /= 2; show(a); a %= 13; show(a);
    a |= 64; show(a); a &= 127 - 2; show(a); a ^= 3; show(a); a <<= 4; show(a); a >>= 2; show(a);
    show(a++); show(a); show(++a); show(a--); show(--a);
    a = b = 4; show(a + b);
    show(LETTER + MINUS + ELEVEN + SAME); show(sizeof(struct list) + sizeof(long) + sizeof(char *) + sizeof(char));
    show((long)(char *)77); show((a + 1) * (b - 1));
    show('\n' + '\t' + '\r' + '\0' + '\\' + '\'' + '"');
}

void pointers(void)
{
    long n = 1;
    char *s = "text";
    struct list *l = lists;
    struct holder *h = (struct holder *)allocate(sizeof(struct holder));
    long *p = numbers;
    char **q = names;
    long i;
    change(&n, &s);
    show(n); out(s); out("\n");
    for (i = 0; i < ELEVEN; i++) {
        numbers[i] = i * i;
    }
    show(numbers[3] + *(numbers + 4) + p[5]);
    p++; show(*p); p += 3; show(*p); show(p - numbers); show(*p++); show(*p); show(*--p); p -= 2; show(p[-1] + p[1]);
    show(&numbers[7] - &numbers[2]);
    bytes[0] = 200; bytes[1] = 'x'; bytes[2] = bytes[0] + 100; bytes[3] = -1;
    show(bytes[0]); show(bytes[2]); show(bytes[3]); show(bytes[0] > 100); bytes[1] += 1; show(bytes[1]);
    bytes[4] |= 15; bytes[4] <<= 2; show(bytes[4]);
    *(bytes + 5) = 9; show(*(bytes + 5));
    l->value = 5; l->name = "five"; l->next = &lists[1]; l->next->value = 6; l->next->next = lists + 2;
    (lists + 2)->value = 7; (&lists[2])->value++;
    show(l->next->next->value); show(l->next - l); l++; show(l->value); l--;
    l->value += 10; show(l->value++); show(--l->value); show(l->value * 2);
    out(l->name + 1); out("\n"); show(l->name[0]); show(*l->name); show(*(l->name + 3)); show(l->name[4]);
    h->l = &laters[1]; h->l->b = 3; laters->c = 4; show(h->l->b); show((h->l - 1)->c); show(h->l == laters + 1);
    names[0] = "a"; names[1] = "bc"; l->names = names; show(l->names[1][1]); show(*l->names[0]); show(**q); show(q[1][0]);
    heads[1] = l; show(heads[1]->value); show(heads[0] == 0); show(!heads[0]); show(heads[1] && l);
    show((long)&l->name - (long)l); show(sizeof(struct later));
    hello = "quote\" back\\slash\ttab\n"; out(hello); show(text_length(hello)); show("lit"[1]);
    s = "abc"; while (*s) { show(*s++); }
}

void statements(void)
{
    long i;
    long j;
    long total = 0;
    show(fall(1)); show(fall(2)); show(fall(3)); show(fall(9)); show(fall(-5)); show(fall('z'));
    for (i = 0; i < 5; i++) {
        if (i == 1) continue;
        if (i == 4) break;
        for (j = 0; ; j++) {
            long fresh = j * 2;
            if (fresh > 4) {
                break;
            }
            total += fresh + i;
        }
    }
    show(total);
    while (1) {
        total--;
        if (total % 2) {
            continue;
        }
        switch (total) {
        case 4: break;
        default: continue;
        }
        break;
    }
    show(total);
    for (;;) {
        break;
    }
    i = 3;
    while (i--) {
        long i = 50;
        show(i);
        { long i = 60; show(i); }
    }
    show(i);
    if (i) if (0) show(1); else show(2);
    ;
    switch (1) { }
    switch (2) { default: show(3); }
    show(even(10)); show(odd(7)); show(seven(1, 2, 3, 4, 5, 6, 7)); show(ackermann(2, 3));
    show(seven(count(1), fall(2), 3, even(4), 5, 0 ? 1 : 6, i = 7));
}

long main(long argc, char **argv)
{
    program = "everything";
    operators();
    pointers();
    statements();
    show(argc);
    out(argv[1]);
    out("\n");
    return 3 + 2;
}
