/*
 * Clocks, random bytes, the environment, core files. The date and random bytes
 * are asked for where a request comes in (fcgi/) and passed down as arguments,
 * so that tests can fix both. The monotonic clock only measures how long
 * something took or may take; who needs that reads it: the loop, the budget of a
 * call to Agora, and fcgi/ for its time-outs.
 */
#ifndef COMMON_SYS_H
#define COMMON_SYS_H

#include <stddef.h>
#include <stdint.h>

/* Seconds since 1970. */
int64_t sys_now(void);

/* Milliseconds of a clock that never steps; its zero means nothing. */
int64_t sys_monotonic_ms(void);

/* The same clock in microseconds. */
int64_t sys_monotonic_us(void);

/*
 * Fills ${data} with ${len} bytes (at most 256) of the kernel's generator,
 * getrandom(2).
 * Returns 0, or -1 when the kernel refuses; ${data} is then zeroed.
 */
int sys_random(void *data, size_t len) __attribute__((warn_unused_result));

/*
 * Removes the variables that make the C library, OpenSSL or libcurl do other
 * than they are told here: proxies, key logs, configuration and modules,
 * authorities, other names for hosts. For the start of a program, before any
 * of them looks.
 */
void sys_tame_environment(void);

/* Memory holds the certificate: no crash may write it to a disk. */
void sys_forbid_cores(void);

/* Makes ${fd} close on exec and non-blocking. Returns 0 or -1. */
int sys_nonblock(int fd);

#endif
