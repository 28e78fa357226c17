#ifndef SYS_MMAN_H
#define SYS_MMAN_H
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
int mprotect(void *start, unsigned long size, int protection);
#endif
