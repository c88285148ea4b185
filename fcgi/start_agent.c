/*
 * POST /v2/startAgent: starts an agent in the caller's channel.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/agent.h"
#include "common/agora.h"
#include "common/ascii.h"
#include "common/channel.h"
#include "common/fail.h"
#include "common/json.h"
#include "common/settings.h"
#include "common/start.h"
#include "fcgi/endpoint.h"
#include "fcgi/exchange.h"
#include "fcgi/gate.h"
#include "fcgi/probe.h"
#include "fcgi/program.h"
#include "fcgi/service.h"

#define CODEC_SIZE 33 /* bytes, with the NUL: "G722", "OPUS" … */

/* What the client sent, copied out of its body. */
struct wish {
	char channel[CHANNEL_SIZE];
	char agent_uid[CHANNEL_UID_SIZE];
	char user_uid[CHANNEL_UID_SIZE];
	char codec[CODEC_SIZE];
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

static bool
codec_ok(const char *codec)
{
	size_t len;

	for (len = 0; codec[len] != '\0'; len++)
		if (len == CODEC_SIZE - 1 ||
		    (!ascii_is_alnum(codec[len]) && codec[len] != '_'))
			return false;
	return len > 0;
}

/* parameters.output_audio_codec; what else is in there is ignored. */
static int
parse_codec(const struct json *body, struct wish *wish, struct fail *fail)
{
	const struct json *parameters = json_member(body, "parameters");
	const char *codec;

	if (parameters == NULL)
		return 0;
	if (json_kind(parameters) != JSON_OBJECT)
		return fail_set(fail, FAIL_BAD_INPUT,
		    "parameters must be an object");
	if (json_member(parameters, "output_audio_codec") == NULL)
		return 0;
	codec = json_text(parameters, "output_audio_codec");
	if (codec == NULL || !codec_ok(codec))
		return fail_set(fail, FAIL_BAD_INPUT,
		    "parameters.output_audio_codec must be 1 to %d letters, "
		    "digits or _",
		    CODEC_SIZE - 1);
	snprintf(wish->codec, sizeof(wish->codec), "%s", codec);
	return 0;
}

static int
wish_parse(struct wish *wish, const struct exchange *exchange,
    struct fail *fail)
{
	struct json *body = exchange_json(exchange, fail);
	int rc = -1;

	if (body == NULL || parse_channel(body, wish, fail) == -1 ||
	    parse_uid(body, "rtcUid", wish->agent_uid, fail) == -1 ||
	    parse_uid(body, "userUid", wish->user_uid, fail) == -1 ||
	    parse_codec(body, wish, fail) == -1)
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
answered(void *arg, const char *agent_id, const struct fail *fail)
{
	struct pending *pending = arg;
	struct exchange *exchange = pending->exchange;
	struct json *data = NULL;
	bool taken = false;

	exchange_on_leaving(exchange, NULL, NULL);
	if (fail != NULL) {
		exchange_fail(exchange, fail);
	} else if (exchange_gone(exchange)) {
		exchange_fail(exchange, &client_left);
	} else {
		data = json_new_object();
		json_put_text(data, "agent_id", agent_id);
		json_put_text(data, "channel_name", pending->channel);
		json_put_text(data, "status", "started");
		taken = exchange_succeed_with(exchange, data);
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

/* Hands the wish to Agora. */
static int
start(struct exchange *exchange, struct agora *agora, const struct wish *wish,
    struct settings *settings, struct fail *fail)
{
	const struct request *request = &exchange->request;
	struct agent_start agent = {
		.channel = wish->channel,
		.agent_uid = wish->agent_uid,
		.user_uid = wish->user_uid,
		.output_audio_codec = *wish->codec ? wish->codec : NULL,
		.own_channel = wish->own_channel,
	};
	struct pending *pending = malloc(sizeof(*pending));

	if (pending == NULL)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	pending->exchange = exchange;
	memcpy(pending->channel, wish->channel, sizeof(pending->channel));
	agora->shared = service_shared(exchange->service);
	pending->start = start_begin(agora, settings, &agent, request->now,
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
	    gate_count_start(exchange, settings, &fail) == -1 ||
	    start(exchange, agora, &wish, settings, &fail) == -1)
		exchange_fail(exchange, &fail);
}

static const struct endpoint start_agent = {
	.name = "start_agent",
	.summary = "starts a voice agent in the caller's channel",
	.method = "POST",
	.open = agora_new,
	.close = agora_free,
	.working = agora_working,
	.lingers = true,
	.serve = serve,
	.check = probe_agora,
};

int
main(int argc, char *argv[])
{
	return program_main(argc, argv, &start_agent);
}
