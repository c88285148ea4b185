#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/agora_outcome.h"
#include "common/fail.h"
#include "deploy/tool/commands.h"
#include "deploy/tool/running.h"
#include "deploy/tool/session.h"
#include "deploy/tool/tool.h"

struct stop {
	struct session session;
	struct running_list list;
};

/* A person who names an agent knows it: one that is perhaps ours will do. */
static bool
wants(void *arg, struct running *agent)
{
	(void)arg;
	if (agent->owner != RUNNING_FOREIGN)
		return true;
	agent->end = RUNNING_FAILED;
	if (agent->text[0] != '\0')
		snprintf(agent->why, sizeof(agent->why),
		    "it is not ours, its name is \"%s\"", agent->text);
	else
		snprintf(agent->why, sizeof(agent->why),
		    "whose it is Agora does not say");
	return false;
}

static void
ended(void *arg, const struct running *agent)
{
	const struct stop *stop = arg;

	if (agent->end == RUNNING_FAILED)
		session_say(&stop->session, "%s: %s", agent->agent_id,
		    agent->why);
	else
		printf("%s %s\n",
		    agent->end == RUNNING_GONE ? "gone already" : "stopped",
		    agent->agent_id);
}

/* Nothing is stopped before all ids are known to be some. */
static int
take_ids(struct stop *stop, char *ids[])
{
	struct fail fail = { 0 };

	for (; *ids != NULL; ids++) {
		if (agora_id_check(*ids, &fail) == -1) {
			fprintf(stderr,
			    "agora-agent stop: an id has 1 to 128 of A-Z a-z "
			    "0-9 . _ : -\n");
			return -1;
		}
		if (running_add(&stop->list, *ids, 0) == -1) {
			fprintf(stderr, "agora-agent stop: too many ids\n");
			return -1;
		}
	}
	return 0;
}

int
stop_run(int argc, char *argv[])
{
	static const struct option known[] = { { NULL, 0, NULL, 0 } };
	struct stop stop = { 0 };
	const struct running_work work = { wants, ended, &stop };
	int status = TOOL_USAGE;

	if (getopt_long(argc, argv, "", known, NULL) != -1 || optind == argc)
		return tool_misuse(argv[0]);
	if (take_ids(&stop, argv + optind) == 0) {
		status = TOOL_BAD;
		if (session_open(&stop.session, argv[0]) == 0 &&
		    running_each(&stop.session, &stop.list, &work) == 0)
			status = TOOL_GOOD;
		session_close(&stop.session);
	}
	running_free(&stop.list);
	return status;
}
