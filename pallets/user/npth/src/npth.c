/* Threads of which one runs at a time: see npth.h. */
#define _GNU_SOURCE
#include "npth.h"

#include <errno.h>
#include <stdlib.h>

/* Held by the thread that runs. A plain mutex: the thread that takes it is the
 * one that gives it back, also in a child after fork. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static int started;

/* Whether the calling thread holds the turn. */
static __thread int running;

static void give_turn(void)
{
    running = 0;
    pthread_mutex_unlock(&turn);
}

static void take_turn(void)
{
    pthread_mutex_lock(&turn);
    running = 1;
}

/* Runs a blocking expression while others have the turn; errno is its own. */
#define BLOCKING(type, expression)   \
    do {                             \
        npth_unprotect();            \
        type result_ = (expression); \
        npth_protect();              \
        return result_;              \
    } while (0)

int npth_init(void)
{
    if (!started) {
        started = 1;
        take_turn();
    }
    return 0;
}

/* Before npth_init there is one thread and no turn to give. */
void npth_unprotect(void)
{
    int saved = errno;
    if (started)
        give_turn();
    errno = saved;
}

void npth_protect(void)
{
    int saved = errno;
    if (started)
        take_turn();
    errno = saved;
}

int npth_is_protected(void)
{
    return running;
}

struct start {
    void *(*function)(void *);
    void *arg;
};

static void *run(void *arg)
{
    struct start start = *(struct start *)arg;
    free(arg);
    take_turn();
    void *value = start.function(start.arg);
    give_turn();
    return value;
}

int npth_create(npth_t *thread, const npth_attr_t *attr, void *(*function)(void *), void *arg)
{
    struct start *start = malloc(sizeof *start);
    if (!start)
        return errno;
    start->function = function;
    start->arg = arg;
    int err = pthread_create(thread, attr, run, start);
    if (err)
        free(start);
    return err;
}

int npth_join(npth_t thread, void **value)
{
    BLOCKING(int, pthread_join(thread, value));
}

void npth_exit(void *value)
{
    give_turn();
    pthread_exit(value);
}

/* A name is a help to the debugger: one that is too long is not an error. */
int npth_setname_np(npth_t thread, const char *name)
{
    int err = pthread_setname_np(thread, name);
    return err == ERANGE ? 0 : err;
}

/* The holder may be waiting for the turn, so it is given up to wait for a lock. */
int npth_mutex_lock(npth_mutex_t *mutex)
{
    int err = pthread_mutex_trylock(mutex);
    if (err != EBUSY)
        return err;
    BLOCKING(int, pthread_mutex_lock(mutex));
}

int npth_mutex_timedlock(npth_mutex_t *mutex, const struct timespec *until)
{
    int err = pthread_mutex_trylock(mutex);
    if (err != EBUSY)
        return err;
    BLOCKING(int, pthread_mutex_timedlock(mutex, until));
}

int npth_rwlock_rdlock(npth_rwlock_t *lock)
{
    int err = pthread_rwlock_tryrdlock(lock);
    if (err != EBUSY)
        return err;
    BLOCKING(int, pthread_rwlock_rdlock(lock));
}

int npth_rwlock_wrlock(npth_rwlock_t *lock)
{
    int err = pthread_rwlock_trywrlock(lock);
    if (err != EBUSY)
        return err;
    BLOCKING(int, pthread_rwlock_wrlock(lock));
}

int npth_cond_wait(npth_cond_t *cond, npth_mutex_t *mutex)
{
    BLOCKING(int, pthread_cond_wait(cond, mutex));
}

int npth_cond_timedwait(npth_cond_t *cond, npth_mutex_t *mutex, const struct timespec *until)
{
    BLOCKING(int, pthread_cond_timedwait(cond, mutex, until));
}

int npth_usleep(unsigned int microseconds)
{
    struct timespec time = {
        .tv_sec = microseconds / 1000000,
        .tv_nsec = (long)(microseconds % 1000000) * 1000,
    };
    BLOCKING(int, nanosleep(&time, NULL));
}

unsigned int npth_sleep(unsigned int seconds)
{
    BLOCKING(unsigned int, sleep(seconds));
}

int npth_system(const char *command)
{
    BLOCKING(int, system(command));
}

pid_t npth_waitpid(pid_t pid, int *status, int options)
{
    BLOCKING(pid_t, waitpid(pid, status, options));
}

int npth_connect(int fd, const struct sockaddr *address, socklen_t length)
{
    BLOCKING(int, connect(fd, address, length));
}

int npth_accept(int fd, struct sockaddr *address, socklen_t *length)
{
    BLOCKING(int, accept(fd, address, length));
}

int npth_select(int count, fd_set *reads, fd_set *writes, fd_set *others, struct timeval *timeout)
{
    BLOCKING(int, select(count, reads, writes, others, timeout));
}

int npth_pselect(int count, fd_set *reads, fd_set *writes, fd_set *others,
                 const struct timespec *timeout, const sigset_t *mask)
{
    BLOCKING(int, pselect(count, reads, writes, others, timeout, mask));
}

int npth_poll(struct pollfd *fds, nfds_t count, int timeout)
{
    BLOCKING(int, poll(fds, count, timeout));
}

ssize_t npth_read(int fd, void *buffer, size_t size)
{
    BLOCKING(ssize_t, read(fd, buffer, size));
}

ssize_t npth_write(int fd, const void *buffer, size_t size)
{
    BLOCKING(ssize_t, write(fd, buffer, size));
}

ssize_t npth_recvmsg(int fd, struct msghdr *message, int flags)
{
    BLOCKING(ssize_t, recvmsg(fd, message, flags));
}

ssize_t npth_sendmsg(int fd, const struct msghdr *message, int flags)
{
    BLOCKING(ssize_t, sendmsg(fd, message, flags));
}

/* Signals: blocked everywhere but in npth_pselect, and only noted there. */
static sigset_t watched;
static sigset_t unblocked;
static volatile sig_atomic_t pending[NSIG];

static void note(int signal)
{
    pending[signal] = 1;
}

void npth_sigev_init(void)
{
    sigemptyset(&watched);
    pthread_sigmask(SIG_SETMASK, NULL, &unblocked);
    for (int signal = 0; signal < NSIG; signal++)
        pending[signal] = 0;
}

void npth_sigev_add(int signal)
{
    struct sigaction action = {.sa_handler = note};
    if (signal <= 0 || signal >= NSIG)
        return;
    sigfillset(&action.sa_mask);
    sigaction(signal, &action, NULL);
    sigaddset(&watched, signal);
    sigdelset(&unblocked, signal);
}

void npth_sigev_fini(void)
{
    pthread_sigmask(SIG_BLOCK, &watched, NULL);
}

sigset_t *npth_sigev_sigmask(void)
{
    return &unblocked;
}

int npth_sigev_get_pending(int *signal)
{
    for (int candidate = 1; candidate < NSIG; candidate++) {
        if (pending[candidate]) {
            pending[candidate] = 0;
            *signal = candidate;
            return 1;
        }
    }
    return 0;
}
