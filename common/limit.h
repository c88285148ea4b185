/*
 * How often: so many times at once, then evenly, counted by all processes of
 * the host together (common/shared). The generic cell rate algorithm (ITU-T
 * I.371), which keeps one time per key: when the next one would be due if
 * they came evenly.
 */
#ifndef COMMON_LIMIT_H
#define COMMON_LIMIT_H

#include <stdint.h>

struct shared;

#define LIMIT_COUNT_MAX 1000000
#define LIMIT_SECONDS_MAX 86400

struct limit {
	uint32_t count;   /* that may come at once; 0: no limit */
	uint32_t seconds; /* until all of them may come again */
};

/*
 * Reads "count/seconds", 1 to LIMIT_COUNT_MAX and LIMIT_SECONDS_MAX.
 * Returns 0, or -1 with ${limit} untouched.
 */
int limit_parse(const char *text, struct limit *limit)
    __attribute__((warn_unused_result));

/*
 * Takes one for ${key}, a shared_key(). ${now} is sys_monotonic_ms().
 * Returns 0, or how many milliseconds to wait: nothing was then taken.
 * A table that cannot be written limits nobody.
 */
int64_t limit_take(const struct limit *limit, struct shared *shared,
    uint64_t key, int64_t now);

#endif
