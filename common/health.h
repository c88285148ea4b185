/*
 * What a process has learned about Agora's hosts, and how many retries it has
 * left. Keeps a failing upstream from being hammered, and from holding up
 * every request for the whole time limit.
 *
 * A host that failed HEALTH_FAILURES times in a row is shut for
 * HEALTH_SHUT_MS; then one call tries it, and its outcome opens the host or
 * shuts it again. Retries come out of a bucket of HEALTH_RETRIES, which every
 * success fills by a tenth of one: in the long run one call in ten is a retry
 * (Google, Site Reliability Engineering, "Handling Overload").
 */
#ifndef COMMON_HEALTH_H
#define COMMON_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HEALTH_FAILURES 5
#define HEALTH_SHUT_MS 10000
#define HEALTH_RETRIES 10
#define HEALTH_HOSTS_MAX 8 /* an area has four */

struct health {
	struct health_host {
		uint64_t hash;   /* of its base URL, 0: this place is free */
		int failures;    /* in a row */
		int64_t shut_ms; /* monotonic: shut until then */
	} host[HEALTH_HOSTS_MAX];
	size_t next;      /* the place to take when none is free */
	int retries_used; /* tenths */
};

/*
 * Answers whether the host with the base URL ${base} may be called at the
 * monotonic time ${now_ms}. One that was never called may.
 */
bool health_open(const struct health *health, const char *base, int64_t now_ms);

/*
 * Says that ${base} is being called. Of a host that was shut this makes the
 * one trial: it stays shut for others, for as long as a call may take.
 */
void health_call(struct health *health, const char *base, int64_t now_ms);

/* Says how that ended: ${good} when the host does its work. */
void health_result(struct health *health, const char *base, bool good,
    int64_t now_ms);

/* Answers whether a retry is left. */
bool health_may_retry(const struct health *health);

/* Takes one retry out of the bucket. */
void health_retry(struct health *health);

#endif
