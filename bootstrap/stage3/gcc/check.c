/* Computes what it can check: integers, floating point, variable arguments, a thread. */
#include <linux/version.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local int own = 1;
static int shared;

static void *count(void *argument)
{
    own += 1;
    shared = own + *(int *)argument;
    return NULL;
}

static int sum(int n, ...)
{
    va_list list;
    int total = 0;
    va_start(list, n);
    while (n--) {
        total += va_arg(list, int);
    }
    va_end(list);
    return total;
}

int main(void)
{
    pthread_t thread;
    int forty = 40;
    char text[64];
    snprintf(text, sizeof(text), "%.3Lf %lld", 0.1L + 0.2L, (long long)LINUX_VERSION_CODE);
    if (strncmp(text, "0.300 ", 6) || fabs(sin(0.5) - 0.479425538604203) > 1e-15) {
        return 1;
    }
    if (pthread_create(&thread, NULL, count, &forty) || pthread_join(thread, NULL)) {
        return 2;
    }
    return shared == 42 && own == 1 && sum(3, 1, 2, 3) == 6 ? 0 : 3;
}
