/*
 * Signals as events: blocked, and read from a descriptor by the loop.
 */
#ifndef FCGI_SIGNALS_H
#define FCGI_SIGNALS_H

/*
 * Blocks SIGTERM, SIGINT, SIGUSR1 and SIGHUP, and nothing else: a mask that
 * was inherited is forgotten. To be called before there is a socket: a signal
 * that comes before the loop runs must not end us with clients in the queue,
 * but wait.
 */
void signals_hold(void);

/*
 * Blocks the signals in ${numbers} (0 ends the list) and returns a descriptor
 * that is readable when one is pending, or -1 with errno set. From now on
 * SIGPIPE is ignored.
 */
int signals_open(const int *numbers);

/* The next pending signal of ${fd}, or 0. */
int signals_next(int fd);

/*
 * In a child that is about to become a worker: as signals_hold() left it. What
 * ends a worker stays blocked, and so waits until its loop runs.
 */
void signals_hand_on(void);

#endif
