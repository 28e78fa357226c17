/* Folders. */

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SYS_MKDIR = 83, SYS_CHMOD = 90, SYS_GETDENTS64 = 217 };

struct folder {
    int fd;
    int at;
    int end;
    long buffer[4096];
};

static int result_of(long result)
{
    if (result < 0) {
        errno = -result;
        return -1;
    }
    return result;
}

int mkdir(const char *path, unsigned int mode)
{
    return result_of(__builtin_syscall(SYS_MKDIR, (long)path, mode, 0, 0, 0, 0));
}

int chmod(const char *path, unsigned int mode)
{
    return result_of(__builtin_syscall(SYS_CHMOD, (long)path, mode, 0, 0, 0, 0));
}

DIR *opendir(const char *path)
{
    enum { DIRECTORY = 65536 };
    DIR *folder;
    int fd = open(path, O_RDONLY | DIRECTORY);
    if (fd < 0) {
        return NULL;
    }
    folder = calloc(1, sizeof(DIR));
    folder->fd = fd;
    return folder;
}

struct dirent *readdir(DIR *folder)
{
    struct dirent *entry;
    if (folder->at == folder->end) {
        folder->at = 0;
        folder->end = result_of(__builtin_syscall(SYS_GETDENTS64, folder->fd, (long)folder->buffer,
                                                  sizeof(folder->buffer), 0, 0, 0));
        if (folder->end <= 0) {
            folder->end = 0;
            return NULL;
        }
    }
    entry = (struct dirent *)((char *)folder->buffer + folder->at);
    folder->at += entry->d_reclen;
    return entry;
}

int closedir(DIR *folder)
{
    int result = close(folder->fd);
    free(folder);
    return result;
}
