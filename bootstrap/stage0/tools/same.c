/* same A B: succeed if two files hold the same bytes. */

#include <stdio.h>

int main(int argc, char **argv)
{
    FILE *a;
    FILE *b;
    int c;
    long place = 0;
    if (argc != 3) {
        fprintf(stderr, "usage: same A B\n");
        return 1;
    }
    a = fopen(argv[1], "rb");
    b = fopen(argv[2], "rb");
    if (!a || !b) {
        fprintf(stderr, "same: cannot open %s\n", a ? argv[2] : argv[1]);
        return 1;
    }
    do {
        c = fgetc(a);
        if (c != fgetc(b)) {
            fprintf(stderr, "same: %s and %s differ at byte %ld\n", argv[1], argv[2], place);
            return 1;
        }
        place++;
    } while (c != EOF);
    return 0;
}
