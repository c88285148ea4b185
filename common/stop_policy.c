#include "common/stop_policy.h"

#define HOST_PAUSE_MS 250   /* at most, before another host */
#define PAUSE_MS 1000       /* at least, before the second leave */
#define PAUSE_LAST_MS 3000  /* at least, before the last: outlives a restart */
#define PAUSE_MORE_MS 500   /* at most, on top of either */
#define RETRY_AFTER_MAX_S 3 /* longer is the client's to wait */

static int64_t
left(const struct stop_policy *p, const struct stop_event *e)
{
	return p->until - e->now_ms;
}

static struct stop_step
end(enum stop_action action)
{
	return (struct stop_step){ .action = action };
}

static size_t
after(const struct stop_policy *p, size_t host)
{
	return host + 1 < p->hosts ? host + 1 : 0;
}

/*
 * The next open host after the last one. When all are shut, the next of all:
 * an agent that runs on costs more than a call in vain.
 */
static size_t
next_host(const struct stop_policy *p, const struct stop_event *e)
{
	size_t first = p->leaves == 0 ? p->host : after(p, p->host);
	size_t i, host = first;

	for (i = 0; i < p->hosts; i++) {
		if ((e->hosts_open >> host & 1) != 0)
			return host;
		host = after(p, host);
	}
	return first;
}

static struct stop_step
leave(struct stop_policy *p, const struct stop_event *e)
{
	int64_t ms = left(p, e);
	bool retry = p->leaves > 0;

	if (e->kind == STOP_BEGIN)
		p->host = next_host(p, e);
	p->leaves++;
	return (struct stop_step){ .action = STOP_DO_LEAVE,
		.ms = ms < STOP_LEAVE_MS ? ms : STOP_LEAVE_MS,
		.retry = retry };
}

static int64_t
pause_length(const struct stop_policy *p, const struct stop_event *e,
    bool other_host)
{
	int64_t more = (int64_t)(e->random % (PAUSE_MORE_MS + 1));

	if (e->kind == STOP_LATER && e->retry_after > 0)
		return e->retry_after * 1000 + more;
	if (p->leaves + 1 == STOP_LEAVES_MAX)
		return PAUSE_LAST_MS + more;
	if (other_host)
		return (int64_t)(e->random % (HOST_PAUSE_MS + 1));
	return PAUSE_MS + more;
}

static struct stop_step
again(struct stop_policy *p, const struct stop_event *e)
{
	size_t host = e->kind == STOP_LATER ? p->host : next_host(p, e);
	int64_t ms = pause_length(p, e, host != p->host);

	if (p->leaves == STOP_LEAVES_MAX || !e->may_retry ||
	    left(p, e) - ms < STOP_LEAVE_MIN_MS)
		return end(STOP_DO_END_FAILED);
	p->host = host;
	return (struct stop_step){ .action = STOP_DO_PAUSE, .ms = ms };
}

void
stop_policy_init(struct stop_policy *policy, size_t hosts, size_t first,
    int64_t now_ms, int64_t budget_ms)
{
	*policy = (struct stop_policy){ .hosts = hosts,
		.host = first < hosts ? first : 0,
		.until = now_ms + budget_ms };
}

struct stop_step
stop_policy_next(struct stop_policy *p, const struct stop_event *e)
{
	switch (e->kind) {
	case STOP_BEGIN:
	case STOP_TIME:
		return leave(p, e);
	case STOP_LEFT:
		return end(STOP_DO_END_STOPPED);
	case STOP_GONE: /* our own doing, perhaps */
		return end(
		    p->unclear ? STOP_DO_END_STOPPED : STOP_DO_END_FAILED);
	case STOP_UNKNOWN:
		p->unclear = true;
		return again(p, e);
	case STOP_LATER:
		if (e->retry_after > RETRY_AFTER_MAX_S)
			return end(STOP_DO_END_FAILED);
		return again(p, e);
	case STOP_NOT_PROCESSED:
		return again(p, e);
	case STOP_REFUSED:
	default:
		return end(STOP_DO_END_FAILED);
	}
}
