/*
 * A worker's pulse: a pipe on which it tells its parent that it lives. One that
 * hangs does not, and is killed; what ends is replaced (workers.h).
 */
#ifndef FCGI_PULSE_H
#define FCGI_PULSE_H

#include <stdint.h>
#include <sys/types.h>

struct loop;
struct pulse;

/* All pulses of a parent. Zeroed, none is felt. */
struct pulses {
	struct loop *loop;
	int64_t limit; /* ms of silence that end a worker; 0: none do */
	struct pulse *first;
};

/* Before the fork: returns the pulse of a worker to be, or NULL without one. */
struct pulse *pulse_new(struct pulses *pulses);

/*
 * In the child, which is about to execute the program: leaves its end where
 * pulse_inherited() looks. NULL is fine. Returns 0 or -1.
 */
int pulse_hand_over(const struct pulse *pulse);

/*
 * In the parent: feels the pulse of the child ${pid} until that has ended, and
 * kills it after one to one and a half limits of silence. NULL is fine. With
 * ${pid} -1 there is no child. errno is preserved.
 */
void pulse_feel(struct pulse *pulse, pid_t pid);

/* Feels none any more. To be called before the loop is freed. */
void pulses_close(struct pulses *pulses);

/* In the worker: its end of the pipe, which it is to close, or -1. */
int pulse_inherited(char **environment);

#endif
