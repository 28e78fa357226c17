/* Pointers, arrays, functions as values, declarators, scopes, sizeof. */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef int (*binary)(int, int);
typedef int row[4];
static int add(int a, int b) { return a + b; }
static int mul(int a, int b) { return a * b; }
static binary choose(char c) { return c == '+' ? add : &mul; }
static int (*choose_again(char c))(int, int) { return choose(c); }
static int apply(int f(int, int), int a[static 2]) { return f(a[0], a[1]) + (*f)(1, 1) + (**f)(2, 2); }
static row *rows(row *r) { return r + 1; }
static int (*(*table[2])(char))(int, int) = { choose, choose_again };
static long total(int n, int grid[][4]) { long t = 0; while (n--) for (int i = 0; i < 4; i++) t += grid[n][i]; return t; }
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
int shared = 1, *const constant = &shared;
extern int later;
static int tentative;
static int tentative;
int get_later(void) { extern int shared; return later + shared + tentative; }
int later = 40;
static int tentative = 1;
struct node { struct node *next; int v; };
typedef struct node node, *list;
static jmp_buf environment;

static list cons(int v, list rest) { list l = malloc(sizeof(node)); l->v = v; l->next = rest; return l; }

static void jump(int depth)
{
    char filler[100];
    memset(filler, depth, sizeof filler);
    if (depth == 0) {
        longjmp(environment, 42);
    }
    jump(depth - 1);
}

static int counter(void) { static int count; return ++count; }

int main(void)
{
    int grid[3][4] = { { 1, 2, 3, 4 }, { 5, 6, 7, 8 }, { 9, 10, 11, 12 } };
    int *p = grid[1], *q = &grid[2][3], **pp = &p, i = 0, numbers[] = { 5, 3, 9, 1, 7, 3 };
    row *r = grid;
    char text[] = "pointer", *s = text;
    list l = cons(1, cons(2, cons(3, NULL)));
    void *v = &i;
    volatile int tries = 0;
    long distance = q - p;
    unsigned char *bytes = (unsigned char *)&distance;
    binary functions[] = { add, mul, choose('+') };
    printf("%d %d %d\n", choose('+')(2, 3), choose_again('*')(4, 5), table[1]('*')(6, 7));
    printf("%d %d\n", apply(mul, numbers), functions[2](1, 2));
    printf("%d %d %ld %d\n", (*rows(grid))[2], rows(r)[1][0], total(3, grid), r[2][1]);
    printf("%ld %d %d %d %d\n", distance, *(p + 2), p[-1], 2[p], **pp);
    printf("%d %d ", *p++, *++p); printf("%d ", (*pp)[1]); printf("%d\n", -*--*pp);
    while (*s) *s++ -= 32;
    printf("%s %ld %d\n", text, s - text, (int)sizeof text);
    for (; l; l = l->next) printf("%d", l->v);
    *(int *)v = 77;
    printf("\n%d %d %d\n", i, bytes[0], p == *pp && p < q && q > grid[0] && !(q <= p) && v);
    qsort(numbers, 6, sizeof(int), compare);
    for (i = 0; i < 6; i++) printf("%d", numbers[i]);
    printf("\n%d %d\n", get_later(), *constant);
    printf("%d %d %d %d %d %d\n", (int)sizeof grid, (int)sizeof *grid, (int)sizeof(row *), (int)sizeof(int (*)[5][6]),
           (int)sizeof(struct { char c; double d; }), (int)sizeof 0 + (int)sizeof(char));
    { int i = 5; { int i = 6; printf("%d", i); } printf("%d", i); { extern int later; printf("%d\n", later); } }
    i = setjmp(environment);
    tries++;
    if (i == 0) jump(5);
    printf("%d %d\n", i, tries);
    if (tries < 3) longjmp(environment, 0);
    counter(); counter();
    printf("%d\n", counter());
    { struct node; struct node { char only; } here; printf("%d\n", (int)sizeof here); enum { v = 3 }; printf("%d\n", v); }
    { typedef char node; node n = 'n'; printf("%d\n", (int)sizeof n); }
    { int node = 4; printf("%d\n", node * 2); }
    p = NULL; printf("%d %d\n", !p, p == 0); p = (void *)0; if (p) printf("no\n");
    printf("%d\n", (int)(long)((char *)&((struct node *)0)->v - (char *)0));
    p = (int[]){ 1, 2, 3 } + 1; p[0] += p[1]++ * 2 + (p[-1] <<= 3); printf("%d %d %d\n", p[-1], *p, p[1]);
    s = "abc" + 1; printf("%s %c %d\n", s, "xyz"[2], (int)sizeof "four");
    return 0;
}
