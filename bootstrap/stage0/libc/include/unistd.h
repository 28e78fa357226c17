#ifndef UNISTD_H
#define UNISTD_H
#include <stddef.h>
typedef long ssize_t;
ssize_t read(int fd, void *to, size_t count);
ssize_t write(int fd, const void *from, size_t count);
int close(int fd);
long lseek(int fd, long offset, int whence);
int unlink(const char *path);
int execvp(const char *program, char **arguments);
char *getcwd(char *to, size_t size);
extern char **environ;
#endif
