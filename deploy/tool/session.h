/*
 * What a command that talks to Agora works with: the settings and agents of
 * the programs, and a client.
 */
#ifndef DEPLOY_TOOL_SESSION_H
#define DEPLOY_TOOL_SESSION_H

#include <stdint.h>

struct agents;
struct agora;
struct loop;
struct settings;
struct settings_source;

struct session {
	const char *command; /* for messages */
	struct settings_source *source;
	struct settings *settings;
	struct agents *agents;
	struct loop *loop;
	struct agora *agora;
	/* Seconds, of Agora's; INT64_MIN before its first answer. */
	int64_t clock_ahead;
};

/*
 * Reads the settings where start_agent finds them, not where they would be
 * looked for on behalf of this program, which lies in another folder.
 * Returns 0, or -1 after saying on stderr what is wrong; session_close() it
 * either way.
 */
int session_open(struct session *session, const char *command)
    __attribute__((warn_unused_result));

void session_close(struct session *session);

/* Seconds since 1970, by Agora's clock as far as it is known. */
int64_t session_now(const struct session *session);

/* "agora-agent COMMAND: " and the text, a line of stderr. */
void session_say(const struct session *session, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
