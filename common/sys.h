/*
 * Clock and random bytes. Only the responder asks for them; everything below
 * takes them as arguments, so that tests can fix both.
 */
#ifndef COMMON_SYS_H
#define COMMON_SYS_H

#include <stddef.h>
#include <stdint.h>

/* Seconds since 1970. */
int64_t sys_now(void);

/* Milliseconds of a clock that never steps; its zero means nothing. */
int64_t sys_monotonic_ms(void);

/*
 * Fills ${data} with ${len} bytes (at most 256) of the kernel's generator,
 * getrandom(2).
 * Returns 0, or -1 when the kernel refuses; ${data} is then zeroed.
 */
int sys_random(void *data, size_t len) __attribute__((warn_unused_result));

/* Makes ${fd} close on exec and non-blocking. Returns 0 or -1. */
int sys_nonblock(int fd);

#endif
