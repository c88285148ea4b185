#include <stdio.h>
#include <string.h>

#include "common/sys.h"
#include "deploy/tool/commands.h"
#include "deploy/tool/tool.h"

const struct tool_command tool_commands[] = {
	{ "doctor",
	    "[--json] [--url URL] [--origin ORIGIN] [--socket PATH]… "
	    "[--web-user NAME] [--programs FOLDER] [--offline] | --codes",
	    "find out why an installation does not work; it changes nothing",
	    doctor_run },
	{ "ps", "[--all] [--json]",
	    "list our running agents, with --all those of others too", ps_run },
	{ "stop", "ID...", "stop running agents", stop_run },
	{ "reap", "--older 15m [--any-channel] [--dry-run] [--json]",
	    "stop our agents that run for longer", reap_run },
	{ NULL, NULL, NULL, NULL },
};

static void
print_usage(FILE *out)
{
	const struct tool_command *command;

	fprintf(out, "usage:\n");
	for (command = tool_commands; command->name != NULL; command++)
		fprintf(out, "  agora-agent %s %s\n        %s\n", command->name,
		    command->usage, command->summary);
	fprintf(out, "  agora-agent --version | --help\n");
}

static const struct tool_command *
find(const char *name)
{
	const struct tool_command *command;

	for (command = tool_commands; command->name != NULL; command++)
		if (strcmp(command->name, name) == 0)
			return command;
	return NULL;
}

int
tool_misuse(const char *name)
{
	const struct tool_command *command = find(name);

	if (command != NULL)
		fprintf(stderr, "usage: agora-agent %s %s\n", command->name,
		    command->usage);
	return TOOL_USAGE;
}

/* A list that was cut must not pass for a whole one. Returns the status. */
static int
finish(int status)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	fprintf(stderr, "agora-agent: the output could not be written\n");
	return status == TOOL_GOOD ? TOOL_BAD : status;
}

int
main(int argc, char *argv[])
{
	const struct tool_command *command;

	sys_forbid_cores();
	sys_tame_environment();
	if (argc < 2) {
		print_usage(stderr);
		return TOOL_USAGE;
	}
	if (strcmp(argv[1], "--help") == 0) {
		print_usage(stdout);
		return TOOL_GOOD;
	}
	if (strcmp(argv[1], "--version") == 0) {
		printf("agora-agent %s\n", VERSION);
		return TOOL_GOOD;
	}
	command = find(argv[1]);
	if (command == NULL) {
		fprintf(stderr, "agora-agent: there is no command \"%s\"\n",
		    argv[1]);
		print_usage(stderr);
		return TOOL_USAGE;
	}
	return finish(command->run(argc - 1, argv + 1));
}
