#ifndef TIME_H
#define TIME_H
/* It is always 1970-01-01 00:00:00: no output depends on when it was made. */
typedef long time_t;
struct tm { int tm_sec, tm_min, tm_hour, tm_mday, tm_mon, tm_year, tm_wday, tm_yday, tm_isdst; };
time_t time(time_t *to);
struct tm *localtime(const time_t *t);
#endif
