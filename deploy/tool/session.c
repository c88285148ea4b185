#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/agents.h"
#include "common/agora.h"
#include "common/fail.h"
#include "common/file.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/settings.h"
#include "common/sys.h"
#include "deploy/tool/programs.h"
#include "deploy/tool/session.h"
#include "fcgi/signals.h"

void
session_say(const struct session *session, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "agora-agent %s: ", session->command);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
}

static struct settings_source *
find_settings(void)
{
	char *folder = programs_folder(), *program = NULL;
	struct settings_source *source;

	if (folder != NULL)
		program = file_join(folder, "start_agent.fcgi");
	if (program != NULL && access(program, F_OK) == -1) {
		free(program);
		program = NULL;
	}
	source = settings_source_new(program);
	free(program);
	free(folder);
	return source;
}

static int
read_settings(struct session *session)
{
	session->source = find_settings();
	if (session->source != NULL)
		session->settings = settings_load(session->source);
	if (session->settings == NULL) {
		session_say(session, "out of memory");
		return -1;
	}
	if (!session->settings->usable) {
		session_say(session,
		    "the settings are not right; start_agent.fcgi --check says "
		    "which are used");
		return -1;
	}
	return 0;
}

static int
make_client(struct session *session)
{
	struct fail fail = { 0 };

	session->loop = loop_new();
	if (session->loop != NULL)
		session->agora = agora_new(session->loop, &fail);
	if (session->agora != NULL)
		return 0;
	session_say(session, "%s",
	    fail.kind != FAIL_NONE ? fail.text : "out of memory");
	return -1;
}

int
session_open(struct session *session, const char *command)
{
	*session =
	    (struct session){ .command = command, .clock_ahead = INT64_MIN };
	signals_ignore_pipe();
	if (read_settings(session) == -1)
		return -1;
	session->agents = agents_new(false);
	if (session->agents == NULL) {
		session_say(session, "out of memory");
		return -1;
	}
	agents_load(session->agents, session->settings, session->source);
	/* From here the commands say themselves what becomes of each call. */
	if (session->settings->log_level < LOG_LEVEL_DEBUG)
		log_set_level(LOG_LEVEL_NONE);
	return make_client(session);
}

void
session_close(struct session *session)
{
	agora_free(session->agora);
	loop_free(session->loop);
	agents_free(session->agents);
	settings_free(session->settings);
	settings_source_free(session->source);
	*session = (struct session){ 0 };
}

int64_t
session_now(const struct session *session)
{
	int64_t ahead = session->clock_ahead;

	return sys_now() - (ahead != INT64_MIN ? ahead : 0);
}
