#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/agent.h"
#include "common/agent_name.h"
#include "common/agora.h"
#include "common/channel.h"
#include "common/claim.h"
#include "common/fail.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/region.h"
#include "common/secret.h"
#include "common/settings.h"
#include "common/start.h"
#include "common/start_policy.h"
#include "common/stop.h"
#include "common/stopwatch.h"
#include "common/sys.h"

#define REQUEST_ID_SIZE 65 /* bytes, with the NUL */
#define BUSY_S 2           /* until the client should try again */
#define OLD_S 5 /* an agent started longer before the first join is not ours */

struct start {
	struct agora *agora;
	struct settings *settings;
	struct start_policy policy;
	struct claim claim;
	struct stopwatch watch; /* of the calls */
	struct loop_timer timer;
	bool begun;
	int64_t began_ms; /* monotonic */
	int64_t now;      /* seconds since 1970 then */

	struct agent *agent;
	bool own_channel; /* its name was issued by us */
	char channel[CHANNEL_SIZE];
	char agent_uid[CHANNEL_UID_SIZE], user_uid[CHANNEL_UID_SIZE];
	char name[AGENT_NAME_SIZE]; /* without suffix */
	char request_id[REQUEST_ID_SIZE];

	char agent_id[AGORA_ID_SIZE]; /* the one learned last */
	struct fail fail;             /* of the last join */
	bool (
	    *answer)(void *arg, const char *agent_id, const struct fail *fail);
	void *arg;
};

static void start_on(struct start *start, struct start_event *event);

static int64_t
seconds_now(const struct start *start)
{
	return start->now + (sys_monotonic_ms() - start->began_ms) / 1000;
}

/* ---- what came of a call ------------------------------------------------ */

static void
learn_id(struct start *start, const char *agent_id)
{
	snprintf(start->agent_id, sizeof(start->agent_id), "%s", agent_id);
}

static enum start_event_kind
join_outcome(const struct agora_answer *answer)
{
	switch (answer->class) {
	case AGORA_DONE:
		return START_JOINED;
	case AGORA_NOT_PROCESSED:
		return START_NOT_PROCESSED;
	case AGORA_LATER:
		return START_LATER;
	case AGORA_FINAL:
		return START_REFUSED;
	case AGORA_UNKNOWN:
	default:
		if (answer->status != 409)
			return START_UNKNOWN;
		return answer->said->agent_id[0] != '\0' ? START_CONFLICT_ID :
							   START_CONFLICT;
	}
}

static void
joined(void *arg, const struct agora_answer *answer)
{
	struct start *start = arg;
	struct start_event event = { .kind = join_outcome(answer),
		.status = answer->status,
		.resent = answer->resent,
		.retry_after = answer->retry_after };

	stopwatch_stop(&start->watch);
	start->fail = answer->fail;
	if (answer->said->agent_id[0] != '\0')
		learn_id(start, answer->said->agent_id);
	start_on(start, &event);
}

/* Whether it was started before our first join, by Agora's clock. */
static bool
is_old(const struct start *start, const struct agora_answer *answer,
    int64_t start_ts)
{
	return start_ts != 0 &&
	    start_ts + answer->clock_ahead < start->now - OLD_S;
}

static enum start_event_kind
look_outcome(const struct start *start, const struct agora_answer *answer)
{
	const struct agora_said *said = answer->said;
	char name[AGENT_NAME_SIZE];

	if (answer->status == 404 && said->from_service)
		return START_AGENT_DEAD;
	if (answer->class != AGORA_DONE || said->life == AGORA_LIFE_UNSAID)
		return START_AGENT_UNCLEAR;
	/* What was merely listed may be anybody's; a conflict had our name. */
	if (said->name[0] == '\0' && start->policy.state == START_AT_VERIFYING)
		return START_AGENT_UNCLEAR;
	agent_name_after(start->name, start->policy.suffix, name);
	if (said->name[0] != '\0' && strcmp(said->name, name) != 0)
		return START_AGENT_FOREIGN;
	if (said->life == AGORA_DEAD)
		return START_AGENT_DEAD;
	return is_old(start, answer, said->start_ts) ? START_AGENT_OLD :
						       START_AGENT_ALIVE;
}

static void
looked(void *arg, const struct agora_answer *answer)
{
	struct start *start = arg;
	struct start_event event = { .kind = look_outcome(start, answer) };

	stopwatch_stop(&start->watch);
	start_on(start, &event);
}

/*
 * Of the agents in the list, those that this start may have made. A channel
 * of our own has one user: there an older one is taken as well, if it has our
 * name.
 */
static enum start_event_kind
list_outcome(struct start *start, const struct agora_answer *answer)
{
	const struct agora_said *said = answer->said;
	size_t found = 0;

	if (answer->class != AGORA_DONE || !said->is_list)
		return START_LISTED_UNCLEAR;
	for (size_t i = 0; i < said->listed; i++) {
		if (!start->own_channel &&
		    is_old(start, answer, said->agent[i].start_ts))
			continue;
		if (said->agent[i].agent_id[0] == '\0')
			return START_LISTED_UNCLEAR;
		learn_id(start, said->agent[i].agent_id);
		found++;
	}
	if (found > 1)
		return START_LISTED_MANY;
	return found == 1 ? START_LISTED_ONE : START_LISTED_NONE;
}

static void
listed(void *arg, const struct agora_answer *answer)
{
	struct start *start = arg;
	struct start_event event = { .kind = list_outcome(start, answer) };

	stopwatch_stop(&start->watch);
	start_on(start, &event);
}

static void
stopped(void *arg, const struct fail *fail)
{
	struct start *start = arg;
	struct start_event event = { .kind = fail == NULL ||
			fail->kind == FAIL_NOT_FOUND ?
		    START_STOPPED :
		    START_STOP_FAILED };

	stopwatch_stop(&start->watch);
	start_on(start, &event);
}

/* ---- carrying out a step ------------------------------------------------ */

/* Returns 0, or -1 when there are no random numbers for a token. */
static int
request_init(const struct start *start, struct agora_request *request,
    char base[static REGION_URL_SIZE], struct fail *fail)
{
	uint32_t random[2];

	if (sys_random(random, sizeof(random)) == -1)
		return fail_set(fail, FAIL_INTERNAL,
		    "no random numbers to be had");
	region_base(start->settings, start->policy.host, base);
	request->settings = start->settings;
	request->base = base;
	request->now = seconds_now(start);
	request->salt = random[0] | 1; /* not 0 */
	request->body_salt = random[1] | 1;
	return 0;
}

static int
do_join(struct start *start, const struct start_step *step)
{
	char base[REGION_URL_SIZE], name[AGENT_NAME_SIZE];
	struct agent_start agent = { .agent = start->agent,
		.channel = start->channel,
		.agent_uid = start->agent_uid,
		.user_uid = start->user_uid };
	struct agora_request request = { .call = AGORA_JOIN,
		.timeout_ms = step->ms,
		.agent = &agent,
		.name = name,
		.again = start->policy.joins > 1 };

	start->fail = (struct fail){ 0 };
	agent_name_after(start->name, start->policy.suffix, name);
	if (request_init(start, &request, base, &start->fail) == -1)
		return -1;
	if (step->retry)
		health_retry(&start->agora->health);
	return agora_send(start->agora, &request, joined, start, &start->fail);
}

static int
do_look(struct start *start, const struct start_step *step)
{
	char base[REGION_URL_SIZE];
	struct agora_request request = { .call = AGORA_GET,
		.timeout_ms = step->ms,
		.agent_id = start->agent_id };

	if (request_init(start, &request, base, NULL) == -1)
		return -1;
	return agora_send(start->agora, &request, looked, start, NULL);
}

static int
do_list(struct start *start, const struct start_step *step)
{
	char base[REGION_URL_SIZE];
	struct agora_request request = { .call = AGORA_LIST,
		.timeout_ms = step->ms,
		.channel = start->channel,
		.state = start->policy.list_starting ? 1 : 2 };

	if (request_init(start, &request, base, NULL) == -1)
		return -1;
	return agora_send(start->agora, &request, listed, start, NULL);
}

/*
 * Another start of the same name may have begun since the decision. It sees
 * our claim, or we see its.
 */
static int
do_stop(struct start *start, const struct start_step *step,
    struct start_event *event)
{
	int64_t now_ms = sys_monotonic_ms();
	enum start_others others;

	claim_stop(&start->claim, start->agent_id, now_ms);
	others = claim_others(&start->claim, start->agent_id, now_ms);
	if (others == START_OTHERS_NONE)
		return stop_begin(start->agora, start->settings,
		    start->agent_id, start->policy.host, seconds_now(start),
		    step->ms, stopped, start, NULL);
	claim_stop_not(&start->claim);
	event->kind = START_TIME;
	return -1;
}

/* ${sent} is what began a call, or did not. */
static bool
under_way(struct start *start, int sent)
{
	if (sent == 0)
		stopwatch_go(&start->watch);
	return sent == 0;
}

/*
 * The timer is always armed, for ${ms} or for ever, because then setting it
 * needs no memory: a pause that could fail would end in a busy loop.
 */
static void
set_timer(struct start *start, int64_t ms)
{
	(void)loop_timer_set(start->agora->loop, &start->timer, ms);
}

/*
 * Returns whether an event is on its way. If not, ${event} is the next one:
 * what the step would have ended with had it failed.
 */
static bool
start_do(struct start *start, const struct start_step *step,
    struct start_event *event)
{
	*event = (struct start_event){ .retry_after = -1 };
	if (step->action != START_DO_NOTHING)
		set_timer(start,
		    step->action == START_DO_PAUSE ? step->ms : INT64_MAX);
	switch (step->action) {
	case START_DO_JOIN:
		event->kind = START_NOT_PROCESSED;
		return under_way(start, do_join(start, step));
	case START_DO_LOOK:
		event->kind = START_AGENT_UNCLEAR;
		return under_way(start, do_look(start, step));
	case START_DO_LIST:
		event->kind = START_LISTED_UNCLEAR;
		return under_way(start, do_list(start, step));
	case START_DO_STOP:
		event->kind = START_STOP_FAILED;
		return under_way(start, do_stop(start, step, event));
	case START_DO_NOTHING:
	case START_DO_PAUSE:
	case START_DO_END:
	default:
		return true;
	}
}

/* ---- the answer --------------------------------------------------------- */

static void
set_upstream(struct fail *fail, int status, const char *reason, int retry_after)
{
	fail->upstream_status = status;
	fail->retry_after = retry_after;
	snprintf(fail->upstream_reason, sizeof(fail->upstream_reason), "%s",
	    reason);
}

/* Why the start failed. */
static void
explain(const struct start *start, enum start_answer answer, struct fail *fail)
{
	if (answer == START_SAY_UNREACHABLE) {
		fail_set(fail, FAIL_UPSTREAM,
		    "Agora has not answered for a while, the start was not "
		    "sent; try again in a moment");
		set_upstream(fail, 503, "upstream_circuit_open",
		    HEALTH_SHUT_MS / 1000);
	} else if (answer == START_SAY_BURNT) {
		fail_set(fail, FAIL_UPSTREAM,
		    "too many agents were started and stopped in this "
		    "channel; start in another channel");
		set_upstream(fail, 409, "upstream_conflict", 0);
	} else if (answer == START_SAY_AMBIGUOUS) {
		fail_set(fail, FAIL_UPSTREAM,
		    "several agents run in this channel; stop them, or start "
		    "in another channel");
		set_upstream(fail, 409, "upstream_ambiguous", 0);
	} else if (answer == START_SAY_CLIENT_LEFT) {
		fail_set(fail, FAIL_GONE, "the client left");
	} else {
		*fail = start->fail;
	}
}

/*
 * Tells the client. Returns whether it took the answer. What follows is said
 * in the log before: a CGI program has none afterwards.
 */
static bool
tell(struct start *start, enum start_answer answer, bool cleans_up)
{
	struct fail fail = { 0 };
	bool taken;

	start->agora->waited_us = stopwatch_us(&start->watch);
	if (answer == START_SAY_STARTED) {
		taken = start->answer(start->arg, start->agent_id, NULL);
		if (taken)
			claim_have(&start->claim, start->agent_id,
			    sys_monotonic_ms());
	} else {
		explain(start, answer, &fail);
		if (cleans_up)
			log_warn("start: an agent may run without a client, "
				 "it is looked for and stopped: %s, request "
				 "id=%s",
			    start->name, start->request_id);
		taken = start->answer(start->arg, NULL, &fail);
	}
	claim_drop(&start->claim);
	return taken;
}

/* ---- the machine -------------------------------------------------------- */

static void
start_end(struct start *start, const struct start_step *step)
{
	if (step->orphan) {
		metrics_orphans(1);
		log_error("start: orphan_possible: the agent %s may run "
			  "without a client until its idle timeout, request "
			  "id=%s",
		    start->name, start->request_id);
	}
	loop_timer_clear(start->agora->loop, &start->timer);
	start->agora->starts--;
	metrics_starts(start->agora->starts);
	start->agora->working--;
	agent_free(start->agent);
	settings_free(start->settings);
	secret_wipe(start, sizeof(*start));
	free(start);
}

/* How things stand. What others do matters only when something went wrong. */
static void
look_around(const struct start *start, struct start_event *event)
{
	const struct agora *agora = start->agora;

	event->now_ms = sys_monotonic_ms();
	event->may_retry = health_may_retry(&agora->health);
	event->hosts_open =
	    agora_hosts_open(agora, start->settings, event->now_ms);
	if (event->kind != START_BEGIN && event->kind != START_JOINED &&
	    event->kind != START_TOLD)
		event->others =
		    claim_others(&start->claim, start->agent_id, event->now_ms);
	/* Without one, pauses are merely less random. */
	(void)!sys_random(&event->random, sizeof(event->random));
}

static void
start_on(struct start *start, struct start_event *event)
{
	struct start_step step;
	bool taken;

	do {
		look_around(start, event);
		step = start_policy_next(&start->policy, event);
		if (step.answer == START_SAY_STARTED) {
			taken = tell(start, step.answer, false);
			*event = (struct start_event){
				.kind = taken ? START_TOLD : START_NOT_TOLD
			};
			continue;
		}
		if (step.answer != START_SAY_NOTHING)
			tell(start, step.answer,
			    step.action != START_DO_END &&
				step.action != START_DO_NOTHING);
		if (step.action == START_DO_END) {
			start_end(start, &step);
			return;
		}
	} while (
	    step.answer == START_SAY_STARTED || !start_do(start, &step, event));
}

static void
time_is_up(struct loop_timer *timer)
{
	struct start *start = LOOP_OWNER(timer, struct start, timer);
	struct start_event event = { .kind = start->begun ? START_TIME :
							    START_BEGIN };

	start->begun = true;
	start_on(start, &event);
}

void
start_client_left(struct start *start)
{
	struct start_event event = { .kind = START_CLIENT_LEFT };

	start_on(start, &event);
}

/* Copies what must outlive the request. */
static void
keep(struct start *start, const struct agent_start *agent,
    const char *request_id)
{
	agent_share(agent->agent);
	start->agent = agent->agent;
	start->own_channel = agent->own_channel;
	snprintf(start->channel, sizeof(start->channel), "%s", agent->channel);
	snprintf(start->agent_uid, sizeof(start->agent_uid), "%s",
	    agent->agent_uid);
	snprintf(start->user_uid, sizeof(start->user_uid), "%s",
	    agent->user_uid);
	snprintf(start->request_id, sizeof(start->request_id), "%s",
	    request_id);
	agent_name(agent, start->now, start->name);
}

static int
refuse_more(const struct settings *settings, struct fail *fail)
{
	log_warn("start: %u are under way, no more until one ends "
		 "(START_CONCURRENCY)",
	    settings->start_concurrency);
	fail->retry_after = BUSY_S;
	return fail_set(fail, FAIL_BUSY,
	    "too many agents are being started; try again in a moment");
}

struct start *
start_begin(struct agora *agora, struct settings *settings,
    const struct agent_start *agent, int64_t now, const char *request_id,
    bool (*answer)(void *arg, const char *agent_id, const struct fail *fail),
    void *arg, struct fail *fail)
{
	struct start *start;
	uint32_t random = 0;

	if (agora->starts >= settings->start_concurrency) {
		refuse_more(settings, fail);
		return NULL;
	}
	start = calloc(1, sizeof(*start));
	if (start == NULL ||
	    loop_timer_set(agora->loop, &start->timer, 0) == -1) {
		free(start);
		fail_set(fail, FAIL_INTERNAL, "out of memory");
		return NULL;
	}
	start->agora = agora;
	start->settings = settings;
	start->timer.expired = time_is_up;
	start->began_ms = sys_monotonic_ms();
	start->now = now;
	start->answer = answer;
	start->arg = arg;
	keep(start, agent, request_id);
	start_policy_init(&start->policy, region_count(settings),
	    start->began_ms);
	(void)!sys_random(&random, sizeof(random));
	claim_take(&start->claim, agora->shared, settings->certificate.text,
	    start->name, start->began_ms, random);
	settings_share(settings);
	agora->starts++;
	metrics_starts(agora->starts);
	agora->working++;
	return start;
}
