#ifndef SYS_STAT_H
#define SYS_STAT_H
int mkdir(const char *path, unsigned int mode);
int chmod(const char *path, unsigned int mode);
#endif
