#ifndef SETJMP_H
#define SETJMP_H
/* cc2 keeps nothing in registers between statements: rbp, rsp and where to go on. */
typedef void *jmp_buf[3];
#define setjmp(environment) __builtin_setjmp(environment)
#define longjmp(environment, value) __builtin_longjmp(environment, value)
#endif
