/*
 * Signals as events: blocked, and read from a descriptor by the loop.
 */
#ifndef FCGI_SIGNALS_H
#define FCGI_SIGNALS_H

/*
 * Blocks the signals in ${numbers} (0 ends the list) and returns a descriptor
 * that is readable when one is pending, or -1 with errno set. SIGPIPE is
 * ignored from now on.
 */
int signals_open(const int *numbers);

/* The next pending signal of ${fd}, or 0. */
int signals_next(int fd);

/* In a child, before exec: no signal stays blocked, none is ignored. */
void signals_reset(void);

#endif
