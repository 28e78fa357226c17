/* What a program in the small C needs when cc2 itself compiles it. */

long syscall(long number, long a, long b, long c, long d)
{
    return __builtin_syscall(number, a, b, c, d, 0, 0);
}

void exit(int status)
{
    syscall(60, status, 0, 0, 0);
}
