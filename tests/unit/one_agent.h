/*
 * An agent for tests of what starts one, made of a small file.
 */
#ifndef TESTS_UNIT_ONE_AGENT_H
#define TESTS_UNIT_ONE_AGENT_H

#include <string.h>

#include "common/agent.h"
#include "common/teller.h"

/* The one of this program; one_agent_free() it at the end. */
static struct agent *one_agent;

static void
one_agent_make(const struct settings *settings)
{
	static const char file[] = "{\"properties\":{\"parameters\":{"
				   "\"output_audio_codec\":\"OPUS\"}}}";
	struct teller teller = { 0 };

	if (one_agent == NULL)
		one_agent =
		    agent_new(file, strlen(file), settings, NULL, &teller);
	assert_non_null(one_agent);
}

static void
one_agent_free(void)
{
	agent_free(one_agent);
	one_agent = NULL;
}

#endif
