#include <stdlib.h>
#include <string.h>

#include "common/agora.h"
#include "common/fail.h"
#include "common/loop.h"
#include "common/region.h"
#include "common/secret.h"
#include "common/settings.h"
#include "common/stop.h"
#include "common/stop_policy.h"
#include "common/stopwatch.h"
#include "common/sys.h"

struct stop {
	struct agora *agora;
	struct settings *settings;
	struct stop_policy policy;
	struct loop_timer timer;
	struct stopwatch watch; /* of the calls */
	int64_t began_ms;       /* monotonic */
	int64_t now;            /* seconds since 1970 then */
	char agent_id[AGORA_ID_SIZE];
	struct fail fail; /* of the last leave */
	void (*done)(void *arg, const struct fail *fail);
	void *arg;
};

static void stop_on(struct stop *stop, struct stop_event *event);

static void
stop_end(struct stop *stop, const struct fail *fail)
{
	loop_timer_clear(stop->agora->loop, &stop->timer);
	stop->agora->working--;
	stop->agora->waited_us = stopwatch_us(&stop->watch);
	stop->done(stop->arg, fail);
	settings_free(stop->settings);
	secret_wipe(stop, sizeof(*stop));
	free(stop);
}

static enum stop_event_kind
kind_of(const struct agora_answer *answer)
{
	switch (answer->class) {
	case AGORA_DONE:
		return STOP_LEFT;
	case AGORA_NOT_PROCESSED:
		return STOP_NOT_PROCESSED;
	case AGORA_LATER:
		return STOP_LATER;
	case AGORA_UNKNOWN:
		return STOP_UNKNOWN;
	case AGORA_FINAL:
	default:
		return answer->fail.kind == FAIL_NOT_FOUND ? STOP_GONE :
							     STOP_REFUSED;
	}
}

static void
left(void *arg, const struct agora_answer *answer)
{
	struct stop *stop = arg;
	struct stop_event event = { .kind = kind_of(answer),
		.retry_after = answer->retry_after };

	stopwatch_stop(&stop->watch);
	stop->fail = answer->fail;
	stop_on(stop, &event);
}

/* Returns 0, or -1 when the leave could not be sent, ->fail says why. */
static int
leave(struct stop *stop, const struct stop_step *step)
{
	char base[REGION_URL_SIZE];
	struct agora_request request = { .call = AGORA_LEAVE,
		.settings = stop->settings,
		.base = base,
		.timeout_ms = step->ms,
		.agent_id = stop->agent_id };

	request.now = stop->now + (sys_monotonic_ms() - stop->began_ms) / 1000;
	stop->fail = (struct fail){ 0 };
	if (sys_random(&request.salt, sizeof(request.salt)) == -1)
		return fail_set(&stop->fail, FAIL_INTERNAL,
		    "no random numbers to be had");
	request.salt |= 1; /* not 0 */
	region_base(stop->settings, stop->policy.host, base);
	if (step->retry)
		health_retry(&stop->agora->health);
	return agora_send(stop->agora, &request, left, stop, &stop->fail);
}

static void
look_around(const struct stop *stop, struct stop_event *event)
{
	event->now_ms = sys_monotonic_ms();
	event->may_retry = health_may_retry(&stop->agora->health);
	event->hosts_open =
	    agora_hosts_open(stop->agora, stop->settings, event->now_ms);
	/* Without one, pauses are merely less random. */
	(void)!sys_random(&event->random, sizeof(event->random));
}

/* Returns whether an event is on its way; else ${event} is the next one. */
static bool
stop_do(struct stop *stop, const struct stop_step *step,
    struct stop_event *event)
{
	if (step->action == STOP_DO_LEAVE) {
		*event = (struct stop_event){ .kind = STOP_NOT_PROCESSED };
		if (leave(stop, step) == -1)
			return false;
		stopwatch_go(&stop->watch);
		return true;
	}
	*event = (struct stop_event){ .kind = STOP_TIME };
	return loop_timer_set(stop->agora->loop, &stop->timer, step->ms) == 0;
}

static void
stop_on(struct stop *stop, struct stop_event *event)
{
	struct stop_step step;

	do {
		look_around(stop, event);
		step = stop_policy_next(&stop->policy, event);
		if (step.action == STOP_DO_END_STOPPED) {
			stop_end(stop, NULL);
			return;
		}
		if (step.action == STOP_DO_END_FAILED) {
			stop_end(stop, &stop->fail);
			return;
		}
	} while (!stop_do(stop, &step, event));
}

static void
time_is_up(struct loop_timer *timer)
{
	struct stop *stop = LOOP_OWNER(timer, struct stop, timer);
	struct stop_event event = {
		.kind = stop->policy.leaves == 0 ? STOP_BEGIN : STOP_TIME
	};

	stop_on(stop, &event);
}

int
stop_begin(struct agora *agora, struct settings *settings, const char *agent_id,
    size_t first_host, int64_t now, int64_t budget_ms,
    void (*done)(void *arg, const struct fail *fail), void *arg,
    struct fail *fail)
{
	struct stop *stop;

	if (agora_id_check(agent_id, fail) == -1)
		return -1;
	stop = calloc(1, sizeof(*stop));
	if (stop == NULL)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	*stop = (struct stop){ .agora = agora,
		.settings = settings,
		.timer.expired = time_is_up,
		.began_ms = sys_monotonic_ms(),
		.now = now,
		.done = done,
		.arg = arg };
	memcpy(stop->agent_id, agent_id, strlen(agent_id) + 1);
	stop_policy_init(&stop->policy, region_count(settings), first_host,
	    stop->began_ms, budget_ms);
	/* From the loop, so that done() never comes before this returned. */
	if (loop_timer_set(agora->loop, &stop->timer, 0) == -1) {
		free(stop);
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	}
	settings_share(settings);
	agora->working++;
	return 0;
}
