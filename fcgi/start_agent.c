/*
 * POST /v2/startAgent: starts an agent in the caller's channel.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/agent.h"
#include "common/agent_slot.h"
#include "common/agents.h"
#include "common/agora.h"
#include "common/buf.h"
#include "common/channel.h"
#include "common/fail.h"
#include "common/fields.h"
#include "common/json.h"
#include "common/json_write.h"
#include "common/settings.h"
#include "common/start.h"
#include "fcgi/answer.h"
#include "fcgi/endpoint.h"
#include "fcgi/exchange.h"
#include "fcgi/gate.h"
#include "fcgi/probe.h"
#include "fcgi/program.h"
#include "fcgi/service.h"

#define PROFILE_SIZE (AGENT_PROFILE_MAX + 2) /* of one too long, too */

/* What the client sent, copied out of its body. */
struct wish {
	char channel[CHANNEL_SIZE];
	char agent_uid[CHANNEL_UID_SIZE];
	char user_uid[CHANNEL_UID_SIZE];
	bool has_profile;
	char profile[PROFILE_SIZE];
	struct json *fields; /* AGENT_CLIENT_FIELDS; or NULL */
	bool own_channel;
};

static const struct fail client_left = { .kind = FAIL_GONE,
	.text = "the client left" };

/* A start on its way. */
struct pending {
	struct exchange *exchange;
	struct start *start;
	char channel[CHANNEL_SIZE];
};

static int
parse_uid(const struct json *body, const char *key,
    char uid[static CHANNEL_UID_SIZE], struct fail *fail)
{
	if (json_require_text_or_int(body, key, uid, CHANNEL_UID_SIZE, fail) ==
	    -1)
		return -1;
	return channel_uid_check(uid, key, fail);
}

static int
parse_channel(const struct json *body, struct wish *wish, struct fail *fail)
{
	const char *channel = json_require_text(body, "channelName", fail);

	if (channel == NULL ||
	    channel_name_check(channel, "channelName", fail) == -1)
		return -1;
	snprintf(wish->channel, sizeof(wish->channel), "%s", channel);
	return 0;
}

/* A name of any length is cut to one that is too long. */
static int
parse_profile(const struct json *body, struct wish *wish, struct fail *fail)
{
	const char *profile;

	if (json_member(body, "profile") == NULL)
		return 0;
	profile = json_text(body, "profile");
	if (profile == NULL)
		return fail_set(fail, FAIL_BAD_INPUT,
		    "profile must be a string");
	wish->has_profile = true;
	snprintf(wish->profile, sizeof(wish->profile), "%s", profile);
	return 0;
}

static int
wish_parse(struct wish *wish, const struct exchange *exchange,
    struct fail *fail)
{
	const struct settings *settings = exchange->service->settings;
	struct json *body = exchange_json(exchange, fail);
	int rc = -1;

	if (body == NULL || parse_channel(body, wish, fail) == -1 ||
	    parse_uid(body, "rtcUid", wish->agent_uid, fail) == -1 ||
	    parse_uid(body, "userUid", wish->user_uid, fail) == -1 ||
	    parse_profile(body, wish, fail) == -1 ||
	    fields_pick(settings->agent_client_fields, body, &wish->fields,
		fail) == -1)
		goto out;
	if (strcmp(wish->agent_uid, wish->user_uid) == 0) {
		fail_set(fail, FAIL_BAD_INPUT,
		    "rtcUid and userUid must differ: a uid is unique in its "
		    "channel");
		goto out;
	}
	rc = 0;
out:
	json_free(body);
	return rc;
}

/* Was the channel issued by us, to this user, with this agent? */
static int
wish_certify(struct wish *wish, const struct settings *settings, int64_t now,
    struct fail *fail)
{
	const char *certificate = settings->certificate.text;
	uint32_t agent_uid = 0;
	char expected[16];
	int64_t issued;

	wish->own_channel =
	    channel_issued(certificate, wish->channel, wish->user_uid, &issued);
	if (!settings->channels_issued)
		return 0;
	if (channel_agent_uid(certificate, wish->channel, wish->user_uid,
		&agent_uid) == -1)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	snprintf(expected, sizeof(expected), "%u", agent_uid);
	if (!channel_current(certificate, wish->channel, wish->user_uid,
		settings->token_ttl, now) ||
	    strcmp(expected, wish->agent_uid) != 0)
		return fail_set(fail, FAIL_FORBIDDEN,
		    "channelName, rtcUid and userUid must be those that "
		    "get_config gave out together, not older than its token");
	return 0;
}

static bool
succeed(struct exchange *exchange, const char *agent_id, const char *channel)
{
	char bytes[ANSWER_DATA_MAX];
	struct buf data = BUF_IN(bytes);

	json_write_open(&data, NULL);
	json_write_text(&data, "agent_id", agent_id);
	json_write_text(&data, "channel_name", channel);
	json_write_text(&data, "status", "started");
	json_write_close(&data);
	return exchange_succeed_with(exchange, &data);
}

static bool
answered(void *arg, const char *agent_id, const struct fail *fail)
{
	struct pending *pending = arg;
	struct exchange *exchange = pending->exchange;
	bool taken = false;

	exchange_on_leaving(exchange, NULL, NULL);
	exchange->agora_us = exchange->service->agora->waited_us;
	if (fail != NULL) {
		exchange_fail(exchange, fail);
	} else if (exchange_gone(exchange)) {
		exchange_fail(exchange, &client_left);
	} else {
		taken = succeed(exchange, agent_id, pending->channel);
	}
	free(pending);
	return taken;
}

static void
leaving(void *arg)
{
	struct pending *pending = arg;

	start_client_left(pending->start);
}

/* The agent that is wished for, which agent_free() gives back; or NULL. */
static struct agent *
find_agent(const struct exchange *exchange, const struct wish *wish,
    struct fail *fail)
{
	struct agent *agent = agents_find(exchange->service->agents,
	    wish->has_profile ? wish->profile : NULL, fail);

	if (agent == NULL)
		return NULL;
	if (wish->fields != NULL)
		return agent_with(agent, wish->fields, fail);
	agent_share(agent);
	return agent;
}

/* Hands the wish to Agora. */
static int
start(struct exchange *exchange, struct agora *agora,
    const struct agent_start *agent, struct settings *settings,
    struct fail *fail)
{
	const struct request *request = &exchange->request;
	struct pending *pending = malloc(sizeof(*pending));

	if (pending == NULL)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	pending->exchange = exchange;
	snprintf(pending->channel, sizeof(pending->channel), "%s",
	    agent->channel);
	agora->shared = service_shared(exchange->service);
	pending->start = start_begin(agora, settings, agent, request->now,
	    request->id, answered, pending, fail);
	if (pending->start == NULL) {
		free(pending);
		return -1;
	}
	exchange_on_leaving(exchange, leaving, pending);
	return 0;
}

/* One that waited in a queue until its client gave up starts nothing. */
static int
check_present(struct exchange *exchange, struct fail *fail)
{
	if (!exchange_gone(exchange))
		return 0;
	*fail = client_left;
	return -1;
}

/* Fulfils the wish. Returns 0, or -1 with ${fail} set. */
static int
fulfil(struct exchange *exchange, struct agora *agora, const struct wish *wish,
    struct settings *settings, struct fail *fail)
{
	struct agent_start agent = {
		.agent = find_agent(exchange, wish, fail),
		.channel = wish->channel,
		.agent_uid = wish->agent_uid,
		.user_uid = wish->user_uid,
		.own_channel = wish->own_channel,
	};
	int rc = -1;

	if (agent.agent != NULL && agent_check_uids(&agent, fail) == 0 &&
	    gate_count_start(exchange, settings, fail) == 0)
		rc = start(exchange, agora, &agent, settings, fail);
	agent_free(agent.agent);
	return rc;
}

static void
serve(struct exchange *exchange, struct agora *agora)
{
	struct settings *settings;
	struct wish wish = { 0 };
	struct fail fail = { 0 };

	if (wish_parse(&wish, exchange, &fail) == -1 ||
	    (settings = exchange_settings(exchange, &fail)) == NULL ||
	    wish_certify(&wish, settings, exchange->request.now, &fail) == -1 ||
	    check_present(exchange, &fail) == -1 ||
	    gate_token(exchange, settings, wish.channel, wish.user_uid,
		&fail) == -1 ||
	    fulfil(exchange, agora, &wish, settings, &fail) == -1)
		exchange_fail(exchange, &fail);
	json_free(wish.fields);
}

static const struct endpoint start_agent = {
	.name = "start_agent",
	.summary = "starts a voice agent in the caller's channel",
	.method = "POST",
	.open = agora_new,
	.close = agora_free,
	.working = agora_working,
	.agents = true,
	.lingers = true,
	.serve = serve,
	.check = probe_agora,
};

int
main(int argc, char *argv[])
{
	return program_main(argc, argv, &start_agent);
}
