#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/fail.h"
#include "deploy/tool/commands.h"
#include "deploy/tool/running.h"
#include "deploy/tool/running_print.h"
#include "deploy/tool/session.h"
#include "deploy/tool/tool.h"

struct ps {
	struct session session;
	struct running_list list;
	struct fail fail; /* of the list */
	bool all;
	bool json;
};

static void
looked(void *arg, const struct running *agent)
{
	const struct ps *ps = arg;

	if (agent->end == RUNNING_FAILED)
		session_say(&ps->session, "%s: %s", agent->agent_id,
		    agent->why);
}

static bool
is_shown(const void *arg, const struct running *agent)
{
	const struct ps *ps = arg;

	return agent->end == RUNNING_SEEN &&
	    (ps->all || agent->owner != RUNNING_FOREIGN);
}

static int
oldest_first(const void *a, const void *b)
{
	const struct running *one = a, *other = b;

	if (one->start_ts != other->start_ts)
		return one->start_ts < other->start_ts ? -1 : 1;
	return strcmp(one->agent_id, other->agent_id);
}

/* Channels and names may have spaces, and so come last. */
static void
print_table(const struct ps *ps)
{
	int width = 2;

	for (size_t i = 0; i < ps->list.len; i++)
		if (is_shown(ps, &ps->list.agent[i]) &&
		    (int)strlen(ps->list.agent[i].agent_id) > width)
			width = (int)strlen(ps->list.agent[i].agent_id);
	printf("%-*s  %-10s  %6s  %-7s  %-10s  %s\n", width, "ID", "STATE",
	    "AGE", "OURS", "UID", ps->all ? "CHANNEL OR NAME" : "CHANNEL");
	for (size_t i = 0; i < ps->list.len; i++) {
		const struct running *agent = &ps->list.agent[i];
		bool foreign = agent->owner == RUNNING_FOREIGN;
		char age[RUNNING_AGE_SIZE];

		if (!is_shown(ps, agent))
			continue;
		running_age_print(running_age(&ps->session, agent), age);
		printf("%-*s  %-10s  %6s  %-7s  %-10s  %s\n", width,
		    agent->agent_id, agent->status, age,
		    running_owner_word(agent),
		    foreign ? "-" : agent->name.agent_uid,
		    foreign ? agent->text : agent->name.channel);
	}
}

static int
ps_do(struct ps *ps)
{
	const struct running_work work = { .ended = looked, .arg = ps };
	int status = TOOL_GOOD;

	if (running_all(&ps->session, 0, &ps->list, &work, &ps->fail) == -1)
		status = TOOL_BAD;
	if (ps->list.len > 0)
		qsort(ps->list.agent, ps->list.len, sizeof(*ps->list.agent),
		    oldest_first);
	if (ps->json &&
	    running_print_json(&ps->session, &ps->list, &ps->fail, "agents",
		is_shown, ps) == -1)
		return TOOL_BAD;
	if (!ps->json && ps->fail.kind == FAIL_NONE)
		print_table(ps);
	return status;
}

int
ps_run(int argc, char *argv[])
{
	static const struct option known[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	struct ps ps = { 0 };
	int status = TOOL_BAD;
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'a')
			ps.all = true;
		else if (option == 'j')
			ps.json = true;
		else
			return tool_misuse(argv[0]);
	}
	if (optind < argc)
		return tool_misuse(argv[0]);
	if (session_open(&ps.session, argv[0]) == 0)
		status = ps_do(&ps);
	running_free(&ps.list);
	session_close(&ps.session);
	return status;
}
