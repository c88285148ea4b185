/*
 * How long something took that happens in pieces: calls to Agora, of the time
 * that a request takes.
 */
#ifndef COMMON_STOPWATCH_H
#define COMMON_STOPWATCH_H

#include <stdint.h>

/* Starts as zeros. */
struct stopwatch {
	int64_t sum_us;
	int64_t since_us; /* monotonic, 0: it stands still */
};

void stopwatch_go(struct stopwatch *watch);
void stopwatch_stop(struct stopwatch *watch);

/* Microseconds so far, those of the piece that goes on included. */
int64_t stopwatch_us(const struct stopwatch *watch);

#endif
