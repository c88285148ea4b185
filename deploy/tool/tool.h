/*
 * agora-agent: what a person or a cron job does beside the endpoints.
 */
#ifndef DEPLOY_TOOL_TOOL_H
#define DEPLOY_TOOL_TOOL_H

/* Exit statuses of every command. */
enum tool_status {
	TOOL_GOOD = 0,
	TOOL_BAD = 1,  /* it found a fault, or could not do all of it */
	TOOL_USAGE = 2 /* it was called wrongly, and did nothing */
};

struct tool_command {
	const char *name;
	const char *usage;   /* what follows the name, on one line */
	const char *summary; /* one line, a verb first */
	/*
	 * ${argv[0]} is the command's name, ${argv[argc]} NULL: fit for
	 * getopt_long(). Returns one of enum tool_status.
	 */
	int (*run)(int argc, char *argv[]);
};

/* What agora_agent.c knows, in the order of its help; the last has no name. */
extern const struct tool_command tool_commands[];

/*
 * Says on stderr how the command ${name} is called. Returns TOOL_USAGE.
 */
int tool_misuse(const char *name);

#endif
