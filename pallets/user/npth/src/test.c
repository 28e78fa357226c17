/* Checks npth.c on the machine that builds: exits 0 when all holds. */
#define _GNU_SOURCE
#include "npth.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                               \
    do {                                                               \
        if (!(condition)) {                                            \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                   \
        }                                                              \
    } while (0)

enum { THREADS = 8, ROUNDS = 20000 };

static volatile int inside;
static volatile long counter;

/* Without the turn, the read and the write of the counter would interleave. */
static void *count(void *arg)
{
    for (int round = 0; round < ROUNDS; round++) {
        CHECK(inside == 0);
        inside = 1;
        counter = counter + 1;
        inside = 0;
        if (round % 64 == 0)
            CHECK(npth_usleep(1) == 0);
    }
    return arg;
}

static void one_runs_at_a_time(void)
{
    npth_t threads[THREADS];
    for (long index = 0; index < THREADS; index++)
        CHECK(npth_create(&threads[index], NULL, count, (void *)index) == 0);
    for (long index = 0; index < THREADS; index++) {
        void *value;
        CHECK(npth_join(threads[index], &value) == 0);
        CHECK((long)value == index);
    }
    CHECK(counter == (long)THREADS * ROUNDS);
}

static npth_mutex_t mutex = NPTH_MUTEX_INITIALIZER;
static npth_cond_t cond = NPTH_COND_INITIALIZER;
static int ready;

static void *announce(void *arg)
{
    CHECK(npth_mutex_lock(&mutex) == 0);
    ready = 1;
    CHECK(npth_cond_signal(&cond) == 0);
    CHECK(npth_mutex_unlock(&mutex) == 0);
    return arg;
}

/* The waiter holds turn and lock; the other can only come by when both go. */
static void waiting_lets_others_run(void)
{
    npth_t thread;
    CHECK(npth_mutex_lock(&mutex) == 0);
    CHECK(npth_create(&thread, NULL, announce, NULL) == 0);
    while (!ready)
        CHECK(npth_cond_wait(&cond, &mutex) == 0);
    CHECK(npth_mutex_unlock(&mutex) == 0);
    CHECK(npth_join(thread, NULL) == 0);
}

static void timed_waits_end(void)
{
    struct timespec until;
    npth_clock_gettime(&until);
    CHECK(npth_mutex_lock(&mutex) == 0);
    CHECK(npth_cond_timedwait(&cond, &mutex, &until) == ETIMEDOUT);
    CHECK(npth_mutex_timedlock(&mutex, &until) == ETIMEDOUT);
    CHECK(npth_mutex_unlock(&mutex) == 0);
}

static void errors_survive(void)
{
    char byte;
    errno = 0;
    CHECK(npth_read(-1, &byte, 1) == -1);
    CHECK(errno == EBADF);
    npth_unprotect();
    CHECK(!npth_is_protected());
    npth_protect();
    CHECK(npth_is_protected());
    CHECK(errno == EBADF);
}

static void signals_arrive_in_pselect_only(void)
{
    struct timespec second = {.tv_sec = 1};
    int signal = 0;
    npth_sigev_init();
    npth_sigev_add(SIGUSR1);
    npth_sigev_add(SIGTERM);
    npth_sigev_fini();
    CHECK(kill(getpid(), SIGTERM) == 0);
    CHECK(!npth_sigev_get_pending(&signal));
    CHECK(npth_pselect(0, NULL, NULL, NULL, &second, npth_sigev_sigmask()) == -1);
    CHECK(errno == EINTR);
    CHECK(npth_sigev_get_pending(&signal) && signal == SIGTERM);
    CHECK(!npth_sigev_get_pending(&signal));
}

static void times_are_counted(void)
{
    struct timespec early = {.tv_sec = 1, .tv_nsec = 900000000};
    struct timespec late = {.tv_sec = 3, .tv_nsec = 100000000};
    struct timespec result;
    CHECK(npth_timercmp(&early, &late, <));
    CHECK(!npth_timercmp(&early, &early, <));
    npth_timersub(&late, &early, &result);
    CHECK(result.tv_sec == 1 && result.tv_nsec == 200000000);
    npth_timeradd(&early, &early, &result);
    CHECK(result.tv_sec == 3 && result.tv_nsec == 800000000);
}

int main(void)
{
    CHECK(npth_init() == 0);
    CHECK(npth_is_protected());
    one_runs_at_a_time();
    waiting_lets_others_run();
    timed_waits_end();
    errors_survive();
    signals_arrive_in_pselect_only();
    times_are_counted();
    return 0;
}
