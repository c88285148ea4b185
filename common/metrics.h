/*
 * What a program counts, for whoever watches it: requests, calls to Agora, and
 * how long they took. Like the log it can be used from everywhere.
 *
 * The workers of a parent count in a table in memory that the parent has made,
 * each in a slot of its own: counting waits for nobody and needs no system
 * call, every worker can tell the sums of all, and what one has counted is not
 * lost with it. A program without a parent counts in a table of one slot.
 */
#ifndef COMMON_METRICS_H
#define COMMON_METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/agora_outcome.h"
#include "common/fail.h"
#include "common/health.h"

/* ---- counting ----------------------------------------------------------- */

/* The upper bounds of the histograms, in us, the last for all above. */
#define METRICS_OWN_BOUNDS                                                     \
	{                                                                      \
		50, 100, 250, 500, 1000, 2500, 5000, 10000, 50000, 250000,     \
		    1000000, INT64_MAX                                         \
	}
#define METRICS_AGORA_BOUNDS                                                   \
	{                                                                      \
		50000, 100000, 200000, 400000, 800000, 1500000, 3000000,       \
		    5000000, 8000000, 12000000, 20000000, INT64_MAX            \
	}
#define METRICS_BOUNDS 12

/*
 * A request was answered. It took ${own_us} of our time and waited ${agora_us}
 * for Agora; 0: not at all.
 */
void metrics_request(enum fail_kind kind, int64_t own_us, int64_t agora_us);

/* A call to Agora ended. */
void metrics_call(enum agora_call call, enum agora_class class);

/* What the end of a call says about the way to Agora. */
enum metrics_outcome {
	METRICS_NO_CALL,  /* there was none yet */
	METRICS_ANSWERED, /* whatever it said */
	METRICS_REFUSED,  /* 401, 403: us, not this request */
	METRICS_FAILED,   /* no answer, or one of a server in trouble */
};
void metrics_outcome(enum metrics_outcome outcome, int64_t now_ms);

/* How many starts this process has under way; which hosts it leaves alone. */
void metrics_starts(size_t count);
void metrics_hosts(const struct health *health);

/* Agents may run that nobody knows; lines of log were lost. */
void metrics_orphans(size_t count);
void metrics_lost_lines(size_t count);

/* ---- the sums ----------------------------------------------------------- */

#define METRICS_FAILS (FAIL_INTERNAL + 1)
#define METRICS_CALLS (AGORA_LIST + 1)
#define METRICS_CLASSES (AGORA_FINAL + 1)

struct metrics_times {
	uint64_t count[METRICS_BOUNDS]; /* up to this bound, above the last */
	uint64_t sum_us;
};

/* What only grows. Nothing but uint64_t, they are added up as an array. */
struct metrics_totals {
	uint64_t requests[METRICS_FAILS]; /* by enum fail_kind */
	struct metrics_times own, agora;
	uint64_t calls[METRICS_CALLS][METRICS_CLASSES];
	uint64_t orphans;
	uint64_t lost_lines;
};

struct metrics {
	struct metrics_totals total;
	uint64_t starts;           /* under way now */
	enum metrics_outcome last; /* of the latest call */
	int64_t last_ms;           /* monotonic, when that was */
	int64_t since;             /* seconds since 1970: counted from then */
	uint64_t processes;        /* that have counted, one after the other */
};

/*
 * Adds up what all processes of the program have counted, those that have
 * ended too. Returns 0, or -1 when this one cannot see what the others count:
 * it is of another version than their parent, or there was no memory.
 */
int metrics_read(struct metrics *sum) __attribute__((warn_unused_result));

/*
 * How many processes leave the host with the base URL ${base} alone at the
 * monotonic time ${now_ms}.
 */
unsigned metrics_shut(const char *base, int64_t now_ms);

/* ---- whose table -------------------------------------------------------- */

#define METRICS_SLOTS 1024
#define METRICS_VARIABLE "AGORA_AGENT_METRICS"

/*
 * For a process that is about to serve, at ${now} (seconds since 1970): counts
 * in the slot that ${handed_over}, the value of METRICS_VARIABLE, says; NULL:
 * in a table of its own. Without this call too.
 */
void metrics_begin(const char *handed_over, int64_t now);

/*
 * For a parent: makes the table. Returns its descriptor, close-on-exec, or -1,
 * with which the others do nothing but keep each worker from telling sums.
 */
int metrics_table_make(int64_t now);

/* The process that counted in ${slot} has ended; another one may have it. */
void metrics_table_ended(size_t slot);

/* In a child that is to be a worker: hands ${slot} over. */
void metrics_table_hand_over(int fd, size_t slot);

#endif
