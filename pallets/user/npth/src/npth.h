/* Threads of which one runs at a time, on POSIX threads.
 *
 * The names and the meaning of nPth's interface (API version 1), as far as
 * GnuPG's programs and libraries call it. A thread gives way to others only
 * inside the calls below that can block, and between npth_unprotect and
 * npth_protect; elsewhere it has the process to itself.
 *
 * Functions return 0 or an error number, as POSIX threads do; those that stand
 * for a system call return -1 and set errno, as the system call does. */
#ifndef NPTH_H
#define NPTH_H

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Takes the process for the calling thread; to be called once, first. */
int npth_init(void);

/* Lets other threads run until npth_protect, which waits for its turn.
 * Neither changes errno. */
void npth_unprotect(void);
void npth_protect(void);
int npth_is_protected(void);

/* Threads. */
typedef pthread_t npth_t;
typedef pthread_attr_t npth_attr_t;
#define NPTH_CREATE_JOINABLE PTHREAD_CREATE_JOINABLE
#define NPTH_CREATE_DETACHED PTHREAD_CREATE_DETACHED
#define npth_attr_init pthread_attr_init
#define npth_attr_destroy pthread_attr_destroy
#define npth_attr_getdetachstate pthread_attr_getdetachstate
#define npth_attr_setdetachstate pthread_attr_setdetachstate
#define npth_self pthread_self
#define npth_detach pthread_detach
int npth_create(npth_t *thread, const npth_attr_t *attr, void *(*start)(void *), void *arg);
int npth_join(npth_t thread, void **value);
void npth_exit(void *value);
int npth_setname_np(npth_t thread, const char *name);

/* Values of a thread's own. */
typedef pthread_key_t npth_key_t;
#define npth_key_create pthread_key_create
#define npth_key_delete pthread_key_delete
#define npth_getspecific pthread_getspecific
#define npth_setspecific pthread_setspecific

/* Locks: a thread that has to wait for one lets the others run. */
typedef pthread_mutex_t npth_mutex_t;
typedef pthread_mutexattr_t npth_mutexattr_t;
#define NPTH_MUTEX_INITIALIZER PTHREAD_MUTEX_INITIALIZER
#define npth_mutex_init pthread_mutex_init
#define npth_mutex_destroy pthread_mutex_destroy
#define npth_mutex_trylock pthread_mutex_trylock
#define npth_mutex_unlock pthread_mutex_unlock
int npth_mutex_lock(npth_mutex_t *mutex);
int npth_mutex_timedlock(npth_mutex_t *mutex, const struct timespec *until);

typedef pthread_rwlock_t npth_rwlock_t;
typedef pthread_rwlockattr_t npth_rwlockattr_t;
#define NPTH_RWLOCK_INITIALIZER PTHREAD_RWLOCK_INITIALIZER
#define npth_rwlock_init pthread_rwlock_init
#define npth_rwlock_destroy pthread_rwlock_destroy
#define npth_rwlock_tryrdlock pthread_rwlock_tryrdlock
#define npth_rwlock_trywrlock pthread_rwlock_trywrlock
#define npth_rwlock_unlock pthread_rwlock_unlock
int npth_rwlock_rdlock(npth_rwlock_t *lock);
int npth_rwlock_wrlock(npth_rwlock_t *lock);

typedef pthread_cond_t npth_cond_t;
typedef pthread_condattr_t npth_condattr_t;
#define NPTH_COND_INITIALIZER PTHREAD_COND_INITIALIZER
#define npth_cond_init pthread_cond_init
#define npth_cond_destroy pthread_cond_destroy
#define npth_cond_signal pthread_cond_signal
#define npth_cond_broadcast pthread_cond_broadcast
int npth_cond_wait(npth_cond_t *cond, npth_mutex_t *mutex);
int npth_cond_timedwait(npth_cond_t *cond, npth_mutex_t *mutex, const struct timespec *until);

/* System calls that can block. */
int npth_usleep(unsigned int microseconds);
unsigned int npth_sleep(unsigned int seconds);
int npth_system(const char *command);
pid_t npth_waitpid(pid_t pid, int *status, int options);
int npth_connect(int fd, const struct sockaddr *address, socklen_t length);
int npth_accept(int fd, struct sockaddr *address, socklen_t *length);
int npth_select(int count, fd_set *reads, fd_set *writes, fd_set *others, struct timeval *timeout);
int npth_pselect(int count, fd_set *reads, fd_set *writes, fd_set *others,
                 const struct timespec *timeout, const sigset_t *mask);
int npth_poll(struct pollfd *fds, nfds_t count, int timeout);
ssize_t npth_read(int fd, void *buffer, size_t size);
ssize_t npth_write(int fd, const void *buffer, size_t size);
ssize_t npth_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t npth_sendmsg(int fd, const struct msghdr *message, int flags);

/* Signals that arrive during npth_pselect only: add each between init and
 * fini, pass sigmask to npth_pselect, then ask which came. */
void npth_sigev_init(void);
void npth_sigev_add(int signal);
void npth_sigev_fini(void);
sigset_t *npth_sigev_sigmask(void);
int npth_sigev_get_pending(int *signal);

/* The time, in the clock that the timed calls above count by. */
#define npth_clock_gettime(ts) clock_gettime(CLOCK_REALTIME, (ts))
#define npth_timercmp(a, b, op) \
    ((a)->tv_sec == (b)->tv_sec ? (a)->tv_nsec op(b)->tv_nsec : (a)->tv_sec op(b)->tv_sec)
#define npth_timersub(a, b, result)                       \
    do {                                                  \
        (result)->tv_sec = (a)->tv_sec - (b)->tv_sec;     \
        (result)->tv_nsec = (a)->tv_nsec - (b)->tv_nsec;  \
        if ((result)->tv_nsec < 0) {                      \
            (result)->tv_sec--;                           \
            (result)->tv_nsec += 1000000000;              \
        }                                                 \
    } while (0)
#define npth_timeradd(a, b, result)                       \
    do {                                                  \
        (result)->tv_sec = (a)->tv_sec + (b)->tv_sec;     \
        (result)->tv_nsec = (a)->tv_nsec + (b)->tv_nsec;  \
        if ((result)->tv_nsec >= 1000000000) {            \
            (result)->tv_sec++;                           \
            (result)->tv_nsec -= 1000000000;              \
        }                                                 \
    } while (0)

#ifdef __cplusplus
}
#endif
#endif
