/*
 * Signals as events: blocked, and read from a descriptor by the loop.
 */
#ifndef FCGI_SIGNALS_H
#define FCGI_SIGNALS_H

/*
 * Ignores SIGPIPE: neither a client nor the reader of our log that has left
 * ends us. To be called first of all, and again after libfcgi, which installs
 * a handler of its own.
 */
void signals_ignore_pipe(void);

/*
 * Blocks SIGTERM, SIGINT, SIGUSR1 and SIGHUP, and nothing else: a mask that
 * was inherited is forgotten. To be called before there is a socket: a signal
 * that comes before the loop runs must not end us with clients in the queue,
 * but wait.
 */
void signals_hold(void);

/*
 * Blocks the signals in ${numbers} (0 ends the list) and returns a descriptor
 * that is readable when one is pending, or -1 with errno set.
 */
int signals_open(const int *numbers);

/* The next pending signal of ${fd}, or 0. */
int signals_next(int fd);

#endif
