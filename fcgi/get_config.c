/*
 * GET /get_config: the browser's channel, uid and RTC+RTM token.
 */
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/channel.h"
#include "common/fail.h"
#include "common/hmac.h"
#include "common/json_write.h"
#include "common/num.h"
#include "common/secret.h"
#include "common/settings.h"
#include "common/token.h"
#include "fcgi/answer.h"
#include "fcgi/endpoint.h"
#include "fcgi/exchange.h"
#include "fcgi/program.h"
#include "fcgi/query.h"

#define USER_UID_MIN 1000
#define USER_UID_MAX 9999999

/* Which of a request's random bytes are used for what. */
enum { RANDOM_UID = 0, RANDOM_NONCE = 8, RANDOM_SALT = 13 };

struct visit {
	char channel[CHANNEL_SIZE];
	char uid[CHANNEL_UID_SIZE];
	uint32_t agent_uid;
	char token[TOKEN_SIZE];
};

/* Absent, empty, 0 or negative: a random one. */
static int
choose_uid(struct visit *visit, const struct request *request,
    struct fail *fail)
{
	char text[32];
	int64_t uid = 0;

	if (query_get(request->query, "uid", text, sizeof(text)) == -1 ||
	    (*text != '\0' &&
		num_parse(text, INT64_MIN, UINT32_MAX, &uid) == -1))
		return fail_set(fail, FAIL_BAD_INPUT,
		    "uid must be an integer in 1..4294967295");
	if (uid <= 0)
		uid = (int64_t)num_in_range(request->random + RANDOM_UID,
		    USER_UID_MIN, USER_UID_MAX);
	snprintf(visit->uid, sizeof(visit->uid), "%lld", (long long)uid);
	return 0;
}

/*
 * CHANNELS=issued renews only what was issued to this uid, and only while the
 * first token could still be alive.
 */
static int
check_renewal(const struct visit *visit, const struct settings *settings,
    const struct request *request, struct fail *fail)
{
	if (!settings->channels_issued ||
	    channel_current(settings->certificate.text, visit->channel,
		visit->uid, settings->token_ttl, request->now))
		return 0;
	return fail_set(fail, FAIL_FORBIDDEN,
	    "this channel was not issued to this uid, or has expired; ask "
	    "without channel for a new one");
}

static int
choose_channel(struct visit *visit, const struct settings *settings,
    const struct request *request, struct fail *fail)
{
	char text[4 * CHANNEL_SIZE];

	if (query_get(request->query, "channel", text, sizeof(text)) == -1)
		return fail_set(fail, FAIL_BAD_INPUT,
		    "channel must have 1 to %d bytes", CHANNEL_SIZE - 1);
	if (*text == '\0') {
		if (channel_issue(settings->certificate.text, request->now,
			request->random + RANDOM_NONCE, visit->uid,
			visit->channel) == -1)
			return fail_set(fail, FAIL_INTERNAL, "out of memory");
		return 0;
	}
	if (channel_name_check(text, "channel", fail) == -1)
		return -1;
	snprintf(visit->channel, sizeof(visit->channel), "%.*s",
	    CHANNEL_SIZE - 1, text);
	return check_renewal(visit, settings, request, fail);
}

static int
make_token(struct visit *visit, const struct settings *settings,
    const struct request *request, struct fail *fail)
{
	struct token_claims claims = {
		.app_id = settings->app_id,
		.channel = visit->channel,
		.account = visit->uid,
		.issue_ts = (uint32_t)request->now,
		.expire = settings->token_ttl,
		.salt = (uint32_t)num_in_range(request->random + RANDOM_SALT, 1,
		    UINT32_MAX),
	};

	if (channel_agent_uid(settings->certificate.text, visit->channel,
		visit->uid, &visit->agent_uid) == -1)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	return token_build(&claims, settings->certificate.text, visit->token,
	    fail);
}

static void
describe(const struct visit *visit, const struct settings *settings,
    const struct request *request, struct buf *data)
{
	char agent_uid[16];

	snprintf(agent_uid, sizeof(agent_uid), "%u", visit->agent_uid);
	json_write_open(data, NULL);
	json_write_text(data, "app_id", settings->app_id);
	json_write_text(data, "token", visit->token);
	json_write_text(data, "uid", visit->uid);
	json_write_text(data, "channel_name", visit->channel);
	json_write_text(data, "agent_uid", agent_uid);
	json_write_int(data, "expires_at", request->now + settings->token_ttl);
	json_write_close(data);
}

static void
succeed(struct exchange *exchange, const struct visit *visit,
    const struct settings *settings)
{
	char bytes[ANSWER_DATA_MAX];
	struct buf data = BUF_IN(bytes);

	describe(visit, settings, &exchange->request, &data);
	exchange_succeed_with(exchange, &data);
	buf_free(&data);
}

static void
serve(struct exchange *exchange, struct agora *none)
{
	const struct request *request = &exchange->request;
	const struct settings *settings;
	struct visit visit = { 0 };
	struct fail fail = { 0 };

	(void)none;
	if ((settings = exchange_settings(exchange, &fail)) == NULL ||
	    choose_uid(&visit, request, &fail) == -1 ||
	    choose_channel(&visit, settings, request, &fail) == -1 ||
	    make_token(&visit, settings, request, &fail) == -1)
		exchange_fail(exchange, &fail);
	else
		succeed(exchange, &visit, settings);
	secret_wipe(visit.token, sizeof(visit.token));
}

static const struct endpoint get_config = {
	.name = "get_config",
	.summary = "hands a browser its channel, uid and RTC+RTM token",
	.method = "GET",
	.serve = serve,
};

int
main(int argc, char *argv[])
{
	hmac_alone();
	return program_main(argc, argv, &get_config);
}
