#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/fail.h"
#include "deploy/tool/commands.h"
#include "deploy/tool/running.h"
#include "deploy/tool/running_print.h"
#include "deploy/tool/session.h"
#include "deploy/tool/tool.h"

struct reap {
	struct session session;
	struct running_list list;
	struct fail fail; /* of the list */
	int64_t older_s;  /* -1: not said */
	bool any_channel;
	bool dry_run;
	bool json;
};

static bool
is_due(const struct reap *reap, const struct running *agent)
{
	/* One of unknown age may have started just now. */
	return (agent->owner == RUNNING_OURS ||
		   (reap->any_channel && agent->owner == RUNNING_PERHAPS)) &&
	    running_age(&reap->session, agent) >= reap->older_s;
}

static bool
wants(void *arg, struct running *agent)
{
	const struct reap *reap = arg;

	return !reap->dry_run && is_due(reap, agent);
}

/* Whether the agent is one that we stopped, or would. */
static bool
is_reaped(const void *arg, const struct running *agent)
{
	const struct reap *reap = arg;

	return reap->dry_run ?
	    agent->end == RUNNING_SEEN && is_due(reap, agent) :
	    agent->end == RUNNING_STOPPED;
}

/* One that ended by itself meanwhile is no news. */
static void
ended(void *arg, const struct running *agent)
{
	const struct reap *reap = arg;

	if (agent->end == RUNNING_FAILED)
		session_say(&reap->session, "%s: %s", agent->agent_id,
		    agent->why);
	else if (!reap->json && is_reaped(reap, agent))
		running_print(reap->dry_run ? "would stop" : "stopped",
		    &reap->session, agent);
}

static int
reap_do(struct reap *reap)
{
	const struct running_work work = { wants, ended, reap };
	int status = TOOL_GOOD;

	if (running_all(&reap->session, reap->older_s, &reap->list, &work,
		&reap->fail) == -1)
		status = TOOL_BAD;
	if (reap->json &&
	    running_print_json(&reap->session, &reap->list, &reap->fail,
		reap->dry_run ? "would_stop" : "stopped", is_reaped,
		reap) == -1)
		return TOOL_BAD;
	return status;
}

/* Returns 0, or -1 when it was called wrongly. */
static int
take_options(struct reap *reap, int argc, char *argv[])
{
	static const struct option known[] = {
		{ "older", required_argument, NULL, 'o' },
		{ "any-channel", no_argument, NULL, 'a' },
		{ "dry-run", no_argument, NULL, 'n' },
		{ "json", no_argument, NULL, 'j' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == 'a')
			reap->any_channel = true;
		else if (option == 'n')
			reap->dry_run = true;
		else if (option == 'j')
			reap->json = true;
		else if (option != 'o' ||
		    running_age_parse(optarg, &reap->older_s) == -1)
			return -1;
	}
	return optind == argc && reap->older_s != -1 ? 0 : -1;
}

int
reap_run(int argc, char *argv[])
{
	struct reap reap = { .older_s = -1 };
	int status = TOOL_BAD;

	if (take_options(&reap, argc, argv) == -1)
		return tool_misuse(argv[0]);
	if (session_open(&reap.session, argv[0]) == 0)
		status = reap_do(&reap);
	running_free(&reap.list);
	session_close(&reap.session);
	return status;
}
