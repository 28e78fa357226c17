/* Initialisers: designated, nested, elided braces, strings, addresses; static and local. */
#include <stdio.h>

struct point { int x, y; };
struct line { struct point from, to; char name[8]; };
struct tree { int value; struct tree *left, *right; };

int numbers[] = { 1, 2, [5] = 6, 7, [1] = 20 };
int grid[][3] = { { 1, 2, 3 }, 4, 5, 6, { 7 } };
int range[10] = { [2 ... 4] = 9, 1 };
char text[] = "hello", exact[5] = "hello", longer[10] = { "hi" };
char *names[] = { "a" "b", [3] = "c\0d", "e" };
struct point points[] = { { 1, 2 }, 3, 4, { .y = 5 }, [4].x = 6, 7 };
struct line line = { .to = { 3, 4 }, .name = "ab", .from.y = 9 };
struct line lines[2] = { 1, 2, 3, 4, "one", { { 5 }, { .y = 6 }, { 't', 'w', 'o' } } };
struct tree leaf = { 1 }, root = { 2, &leaf, &(struct tree){ 3, &leaf } };
int *inside = &grid[1][2], *past = numbers + 3;
char *middle = text + 2, *letter = &"xyz"[1];
long distance = &grid[2][0] - &grid[0][1];
int (*function)(const char *, ...) = printf;
union { char c[4]; int i; } u = { { 1, 2 } }, v = { .i = 0x0403 };
long address_size = sizeof(char[3][7]) + sizeof grid / sizeof *grid;
const unsigned char bytes[4] = { 255, -1, 'a', 0x80 };
_Bool truth[] = { 2, 0.5, 0, 1 };
struct { unsigned a : 4, b : 12; int c : 9; } fields[2] = { { 15, 4095, -1 }, { .c = 5, .a = 3 } };
float fractions[] = { 1, 2.5, -3e5 };
int wide[] = L"w\x1234é";
enum colour { RED, GREEN = 7, BLUE } colour = BLUE, colours[BLUE] = { [GREEN] = RED + 1 };
static struct { int n; struct point p[2]; } deep[] = { { 1, { { 2, 3 } } }, { 4, 5, 6, 7, 8 } };

static void show(const char *name, const int *p, int count)
{
    printf("%s:", name);
    while (count--) {
        printf(" %d", *p++);
    }
    printf("\n");
}

#define SHOW(a) show(#a, (const int *)(a), sizeof(a) / sizeof(int))

static int next(void)
{
    static int count = 10;
    static int *pointer = &count;
    return (*pointer)++;
}

static void locals(int x)
{
    int numbers[] = { x, x + 1, [5] = x * 2, 7, [1] = next() };
    int grid[][3] = { { x, 2, x }, 4, next(), 6, { 7 } };
    struct point points[] = { { 1, x }, 3, 4, { .y = next() }, [4].x = 6, 7 };
    struct line line = { .to = { x, 4 }, .name = "ab", .from.y = 9 }, copy = line;
    struct line lines[2] = { line, { { 5 }, line.to, { 't', x } } };
    char text[] = "hello", exact[5] = "hello", longer[200] = { "hi" };
    char *names[3] = { text, "x" };
    struct point *p = &(struct point){ x, -x }, q = *p, r = (struct point){ .y = 3 };
    int *list = (int[]){ 1, x, 3 };
    double d[3] = { x, 0.5 };
    unsigned char scalar = { 300 - x };
    SHOW(numbers); SHOW(grid); SHOW(points); SHOW(lines);
    printf("%s %.5s %s %d %d\n", text, exact, longer, longer[199], names[2] == 0);
    printf("%d %d %d %d %d %d\n", copy.to.x, p->y, q.x, r.x, r.y, list[1]);
    printf("%g %g %g %d\n", d[0], d[1], d[2], scalar);
    for (x = 0; x < 3; x++) {
        int fresh[3] = { x };
        printf("%d ", fresh[2]++ + fresh[0]);
    }
    printf("\n");
}

int main(void)
{
    SHOW(numbers); SHOW(grid); SHOW(range); SHOW(points); SHOW(lines); SHOW(wide); SHOW(colours); SHOW(deep);
    printf("%d %d %s %d %d\n", line.from.y, line.to.x, line.name, line.name[7], line.from.x);
    printf("%s %.5s %s %d\n", text, exact, longer, longer[9]);
    printf("%s %d %c %s %d\n", names[0], names[1] == 0, names[3][2], names[4], (int)(sizeof names / sizeof *names));
    printf("%d %d\n", root.left->value, root.right->left->value);
    printf("%d %d %s %c %ld\n", *inside, *past, middle, *letter, distance);
    function("%d %x %ld\n", u.i, v.c[1], address_size);
    printf("%d %d %d %d %d%d%d%d\n", bytes[0], bytes[1], bytes[2], bytes[3], truth[0], truth[1], truth[2], truth[3]);
    printf("%d %d %d %d %d %d\n", fields[0].a, fields[0].b, fields[0].c, fields[1].a, fields[1].b, fields[1].c);
    printf("%g %g %g %d\n", fractions[0], fractions[1], fractions[2], colour);
    locals(3);
    locals(50);
    return 0;
}
