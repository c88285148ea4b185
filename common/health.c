#include "common/health.h"

#define TENTHS 10 /* a retry, in the unit of the bucket */

/* FNV-1a, 64 bits; the few hosts of one installation do not collide. */
static uint64_t
hash_of(const char *base)
{
	uint64_t hash = 0xcbf29ce484222325u;

	for (; *base != '\0'; base++)
		hash = (hash ^ (uint8_t)*base) * 0x100000001b3u;
	return hash | 1; /* not 0 */
}

/* The place of the host with that hash, or HEALTH_HOSTS_MAX. */
static size_t
place_of(const struct health *health, uint64_t hash)
{
	size_t i;

	for (i = 0; i < HEALTH_HOSTS_MAX; i++)
		if (health->host[i].hash == hash)
			break;
	return i;
}

bool
health_open(const struct health *health, const char *base, int64_t now_ms)
{
	size_t i = place_of(health, hash_of(base));

	return i == HEALTH_HOSTS_MAX || now_ms >= health->host[i].shut_ms;
}

void
health_call(struct health *health, const char *base, int64_t now_ms)
{
	size_t i = place_of(health, hash_of(base));

	if (i < HEALTH_HOSTS_MAX && health->host[i].failures >= HEALTH_FAILURES)
		health->host[i].shut_ms = now_ms + HEALTH_SHUT_MS;
}

static struct health_host *
host_made(struct health *health, uint64_t hash)
{
	size_t i = place_of(health, hash);

	if (i == HEALTH_HOSTS_MAX) {
		i = health->next;
		health->next = (i + 1) % HEALTH_HOSTS_MAX;
		health->host[i] = (struct health_host){ .hash = hash };
	}
	return &health->host[i];
}

void
health_result(struct health *health, const char *base, bool good,
    int64_t now_ms)
{
	struct health_host *host = host_made(health, hash_of(base));

	if (good) {
		host->failures = 0;
		host->shut_ms = 0;
		if (health->retries_used > 0)
			health->retries_used--;
		return;
	}
	/* Calls that fail while it is shut do not keep it shut. */
	if (host->failures < HEALTH_FAILURES &&
	    ++host->failures == HEALTH_FAILURES)
		host->shut_ms = now_ms + HEALTH_SHUT_MS;
}

bool
health_may_retry(const struct health *health)
{
	return health->retries_used <= (HEALTH_RETRIES - 1) * TENTHS;
}

void
health_retry(struct health *health)
{
	health->retries_used += TENTHS;
}
