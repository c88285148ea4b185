#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/agents.h"
#include "common/agora.h"
#include "common/ascii.h"
#include "common/fail.h"
#include "common/loop.h"
#include "common/settings.h"
#include "common/stop.h"
#include "common/stop_policy.h"
#include "common/sys.h"
#include "deploy/tool/ask.h"
#include "deploy/tool/running.h"
#include "deploy/tool/session.h"

#define AGENTS_MAX 20000
#define PAGES_MAX 2000 /* of one state */
#define AT_ONCE 8
#define HOPELESS 16 /* failures in a row */

/* An agent lives for 72 h at most; clocks may be wrong. (Release notes.) */
#define LIVES_S (96 * 3600)

int
running_add(struct running_list *list, const char *agent_id, int64_t start_ts)
{
	struct running *grown;
	size_t size = list->size == 0 ? 64 : 2 * list->size;

	if (list->len == AGENTS_MAX)
		return -1;
	if (list->len == list->size) {
		grown = realloc(list->agent, size * sizeof(*grown));
		if (grown == NULL)
			return -1;
		list->agent = grown;
		list->size = size;
	}
	list->agent[list->len] = (struct running){ .start_ts = start_ts };
	snprintf(list->agent[list->len].agent_id, AGORA_ID_SIZE, "%s",
	    agent_id);
	list->len++;
	return 0;
}

void
running_free(struct running_list *list)
{
	free(list->agent);
	*list = (struct running_list){ 0 };
}

int64_t
running_age(const struct session *session, const struct running *agent)
{
	int64_t now = session_now(session);

	if (agent->start_ts <= 0)
		return -1;
	return agent->start_ts < now ? now - agent->start_ts : 0;
}

/* ---- the list ----------------------------------------------------------- */

/* A walk over the pages of one state after the other. */
struct walk {
	struct ask ask;
	struct running_list *list;
	int64_t older_s;
	size_t state; /* index in states */
	size_t pages;
	char cursor[AGORA_CURSOR_SIZE];
	struct fail *fail;
	bool failed;
};

/*
 * One at a time: several in one call are newer than the rest. An agent that
 * moves on meanwhile is met again further down.
 */
static const struct {
	int number;
	bool optional; /* not in every version of the documentation */
} states[] = {
	{ 1, false }, /* STARTING */
	{ 2, false }, /* RUNNING */
	{ 5, true },  /* RECOVERING */
	{ 0, true },  /* IDLE */
};

#define STATES (sizeof(states) / sizeof(states[0]))

static bool
is_known(const struct running_list *list, const char *agent_id)
{
	for (size_t i = list->len; i-- > 0;)
		if (strcmp(list->agent[i].agent_id, agent_id) == 0)
			return true;
	return false;
}

static int
take_page(struct walk *walk, const struct agora_said *said)
{
	struct session *session = walk->ask.session;

	for (size_t i = 0; i < said->listed; i++) {
		const char *id = said->agent[i].agent_id;
		struct running one = { .start_ts = said->agent[i].start_ts };
		int64_t age = running_age(session, &one);

		if (*id == '\0')
			return fail_set(walk->fail, FAIL_UPSTREAM,
			    "Agora's list has an agent without an id");
		if ((age != -1 && age < walk->older_s) ||
		    is_known(walk->list, id))
			continue;
		if (running_add(walk->list, id, one.start_ts) == -1)
			return fail_set(walk->fail, FAIL_INTERNAL,
			    "more than %d agents run, or memory ran out",
			    AGENTS_MAX);
	}
	return 0;
}

/* Half a list must not look like a whole one. */
static int
check_page(const struct walk *walk, const struct agora_answer *answer)
{
	const struct agora_said *said = answer->said;

	if (answer->class != AGORA_DONE)
		return fail_set(walk->fail, answer->fail.kind, "%s",
		    answer->fail.text);
	if (!said->is_list || said->cut)
		return fail_set(walk->fail, FAIL_UPSTREAM,
		    "Agora's list of agents cannot be understood");
	if (said->cursor[0] != '\0' &&
	    (walk->pages >= PAGES_MAX ||
		strcmp(said->cursor, walk->cursor) == 0))
		return fail_set(walk->fail, FAIL_UPSTREAM,
		    "Agora's list of agents does not end");
	return 0;
}

/* Prepares the call for the next page, or for the next state's first. */
static bool
next_page(struct walk *walk, const char *cursor)
{
	if (*cursor == '\0') {
		walk->pages = 0;
		if (++walk->state == STATES)
			return false;
	}
	snprintf(walk->cursor, sizeof(walk->cursor), "%s", cursor);
	walk->ask.request.state = states[walk->state].number;
	return true;
}

/* A state that this version of Agora does not know has no agents. */
static bool
is_unknown_state(const struct walk *walk, const struct agora_answer *answer)
{
	return states[walk->state].optional && answer->class == AGORA_FINAL &&
	    answer->status == 400;
}

static void
page_came(struct ask *ask, const struct agora_answer *answer)
{
	struct walk *walk = LOOP_OWNER(ask, struct walk, ask);
	const char *cursor = "";

	walk->pages++;
	if (!is_unknown_state(walk, answer)) {
		if (check_page(walk, answer) == -1 ||
		    take_page(walk, answer->said) == -1)
			walk->failed = true;
		else if (answer->said->listed > 0)
			cursor = answer->said->cursor;
	}
	if (!walk->failed && next_page(walk, cursor)) {
		if (ask_begin(ask) == 0)
			return;
		fail_set(walk->fail, FAIL_INTERNAL, "out of memory");
		walk->failed = true;
	}
	loop_stop(ask->session->loop);
}

int
running_find(struct session *session, int64_t older_s,
    struct running_list *list, struct fail *fail)
{
	struct walk walk = { .ask = { .session = session, .done = page_came },
		.list = list,
		.older_s = older_s,
		.fail = fail };

	walk.ask.request = (struct agora_request){ .call = AGORA_LIST,
		.state = states[0].number,
		.since = sys_now() - LIVES_S,
		.cursor = walk.cursor };
	if (ask_begin(&walk.ask) == -1 || loop_run(session->loop) == -1)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	return walk.failed ? -1 : 0;
}

/* ---- each agent --------------------------------------------------------- */

struct each;

/* One of those that are under way. */
struct job {
	struct ask ask;
	struct each *each;
	struct running *agent; /* NULL: none */
};

struct each {
	struct session *session;
	struct running_list *list;
	const struct running_work *work;
	struct job job[AT_ONCE];
	size_t next; /* to begin with */
	size_t ended;
	size_t row; /* failures, since the last success */
	int rc;
	bool terminal; /* stderr is one */
	struct running *last_failed;
};

static void
show_progress(const struct each *each)
{
	if (!each->terminal)
		return;
	fprintf(stderr, "\r\033[K");
	if (each->ended < each->list->len)
		fprintf(stderr, "%zu of %zu agents", each->ended,
		    each->list->len);
	fflush(stderr);
}

static void
finish(struct each *each, struct running *agent)
{
	each->ended++;
	if (agent->end == RUNNING_FAILED) {
		each->rc = -1;
		each->row++;
		each->last_failed = agent;
	} else {
		each->row = 0;
	}
	if (each->terminal)
		fprintf(stderr, "\r\033[K");
	each->work->ended(each->work->arg, agent);
	show_progress(each);
}

static void
give_up(struct running *agent, const char *why)
{
	agent->end = RUNNING_FAILED;
	snprintf(agent->why, sizeof(agent->why), "%s", why);
}

/* Takes agents in hand until all places are taken. */
static void
go_on(struct each *each)
{
	for (size_t i = 0; i < AT_ONCE && each->next < each->list->len;) {
		struct job *job = &each->job[i];
		struct running *agent = &each->list->agent[each->next];

		if (job->agent != NULL) {
			i++;
			continue;
		}
		each->next++;
		job->agent = agent;
		job->ask.request = (struct agora_request){ .call = AGORA_GET,
			.agent_id = agent->agent_id };
		if (each->row >= HOPELESS)
			give_up(agent, each->last_failed->why);
		else if (ask_begin(&job->ask) == -1)
			give_up(agent, "out of memory");
		else
			continue;
		job->agent = NULL;
		finish(each, agent);
	}
	if (each->ended == each->list->len)
		loop_stop(each->session->loop);
}

static void
job_end(struct job *job)
{
	struct running *agent = job->agent;

	job->agent = NULL;
	finish(job->each, agent);
	go_on(job->each);
}

static void
job_fail(struct job *job, const char *why)
{
	give_up(job->agent, why);
	job_end(job);
}

static void
stopped(void *arg, const struct fail *fail)
{
	struct job *job = arg;

	if (fail != NULL && fail->kind != FAIL_NOT_FOUND) {
		job_fail(job, fail->text);
		return;
	}
	job->agent->end = fail == NULL ? RUNNING_STOPPED : RUNNING_GONE;
	job_end(job);
}

static void
judge(const struct session *session, struct running *agent, const char *name)
{
	const char *prefix;
	size_t i;

	for (i = 0; name[i] != '\0'; i++)
		agent->text[i] =
		    (char)(ascii_is_print(name[i]) ? name[i] : '?');
	agent->text[i] = '\0';
	for (i = 0; (prefix = agents_prefix(session->agents, i)) != NULL; i++) {
		if (*prefix == '\0' ||
		    agent_name_read(name, prefix, &agent->name) == -1 ||
		    !agent_name_fits(&agent->name, agent->start_ts))
			continue;
		agent->owner =
		    agent->name.certain ? RUNNING_OURS : RUNNING_PERHAPS;
		return;
	}
}

static void
looked(struct ask *ask, const struct agora_answer *answer)
{
	struct job *job = LOOP_OWNER(ask, struct job, ask);
	struct session *session = ask->session;
	const struct running_work *work = job->each->work;
	struct running *agent = job->agent;
	const struct agora_said *said = answer->said;
	struct fail fail = { 0 };

	if (answer->class == AGORA_DONE ?
		said->life == AGORA_DEAD :
		answer->status == 404 && said->from_service) {
		agent->end = RUNNING_GONE;
		job_end(job);
		return;
	}
	if (answer->class != AGORA_DONE) {
		job_fail(job, answer->fail.text);
		return;
	}
	if (said->start_ts != 0)
		agent->start_ts = said->start_ts;
	memcpy(agent->status, said->status, sizeof(agent->status));
	judge(session, agent, said->name);
	if (work->wants == NULL || !work->wants(work->arg, agent))
		job_end(job);
	else if (stop_begin(session->agora, session->settings, agent->agent_id,
		     ask->host, sys_now(), STOP_BUDGET_MS, stopped, job,
		     &fail) == -1)
		job_fail(job, fail.text);
}

int
running_each(struct session *session, struct running_list *list,
    const struct running_work *work)
{
	struct each each = { .session = session,
		.list = list,
		.work = work,
		.terminal = isatty(STDERR_FILENO) };

	for (size_t i = 0; i < AT_ONCE; i++) {
		each.job[i].each = &each;
		each.job[i].ask.session = session;
		each.job[i].ask.done = looked;
	}
	show_progress(&each);
	go_on(&each);
	if (loop_run(session->loop) == -1) {
		session_say(session, "epoll failed");
		return -1;
	}
	return each.rc;
}

int
running_all(struct session *session, int64_t older_s, struct running_list *list,
    const struct running_work *work, struct fail *fail)
{
	if (running_find(session, older_s, list, fail) == 0)
		return running_each(session, list, work);
	session_say(session, "%s", fail->text);
	running_free(list);
	return -1;
}
