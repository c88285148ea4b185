/*
 * The event loop of a process: descriptors by epoll(7) and timers in a heap.
 * One thread. A callback may add and remove any watch and timer, its own too.
 */
#ifndef COMMON_LOOP_H
#define COMMON_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

/* A descriptor being watched; lives inside its owner's struct. */
struct loop_watch {
	int fd;
	void (*ready)(struct loop_watch *watch, uint32_t events);
};

/* A timer; lives inside its owner's struct, zeroed before the first use. */
struct loop_timer {
	void (*expired)(struct loop_timer *timer);
	int64_t due;  /* loop's private from here: monotonic ms */
	size_t place; /* index in the heap + 1; 0: not armed */
};

/* The struct of type ${type} whose member ${member} is at ${pointer}. */
#define LOOP_OWNER(pointer, type, member)                                      \
	((type *)(void *)(((char *)(pointer)) - offsetof(type, member)))

/* Returns a loop, or NULL with errno set. */
struct loop *loop_new(void);

/* Releases the loop; descriptors stay open. NULL is fine. */
void loop_free(struct loop *loop);

/*
 * Calls ${watch}->ready with the EPOLL… bits that came true of ${events}
 * (EPOLLIN, EPOLLOUT, EPOLLRDHUP, EPOLLET; ERR and HUP always come).
 * A second call for the same watch changes its events.
 * Returns 0, or -1 with errno set.
 */
int loop_watch(struct loop *loop, struct loop_watch *watch, uint32_t events);

/*
 * Stops watching; call it before the descriptor is closed. No event that was
 * already fetched is delivered any more.
 */
void loop_unwatch(struct loop *loop, struct loop_watch *watch);

/*
 * Calls ${timer}->expired once, ${ms} milliseconds from now (0: in the next
 * round). A timer that is armed already is moved.
 * Returns 0, or -1 when there is no memory; ${timer} is then not armed. To
 * set a timer that is armed, or whose expired() is running, needs no memory:
 * its place is kept until it is cleared or expired() returns.
 */
int loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t ms);

/* Disarms; a timer that is not armed is fine. */
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);

/*
 * Runs until loop_stop(), and has the log flushed before it sleeps.
 * Returns 0, or -1 when epoll failed.
 */
int loop_run(struct loop *loop);

/*
 * Makes loop_run() return after the current callback; outside of one, makes
 * the next loop_run() return at once. Events not delivered by then are
 * delivered by the loop_run() after it.
 */
void loop_stop(struct loop *loop);

#endif
