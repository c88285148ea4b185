/*
 * 007 tokens. Input: a letter, then
 *   t  the text of a token
 *   p  a payload, which is deflated and encoded first
 *   c  claims for token_build(): channel and account, in pieces
 */
#include <string.h>
#include <zlib.h>

#include "common/base64.h"
#include "common/fail.h"
#include "common/token.h"
#include "world.h"

#define SIGNATURE_END 34 /* string(signature): two bytes and 32 */

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

/* Takes a service as it was read for one to be written. */
static struct token_service_fields
fields_of(const struct token_parsed_service *service)
{
	bool is_fpa = service->type == 4;
	bool has_channel =
	    service->type == 1 || service->type == 3 || service->type == 6;
	struct token_service_fields fields = { .type = service->type,
		.privileges = service->privileges,
		.channel = has_channel ? service->channel : NULL,
		.account = is_fpa ? NULL : service->account };

	memcpy(fields.privilege, service->privilege, sizeof(fields.privilege));
	return fields;
}

/* Writes what was read: only the signature may differ. */
static void
check_same_again(const struct token_parsed *parsed)
{
	struct token_service_fields services[TOKEN_SERVICES_MAX];
	struct token_claims claims = { .app_id = parsed->app_id,
		.issue_ts = parsed->issue_ts,
		.expire = parsed->expire,
		.salt = parsed->salt };
	static struct token_parsed again;
	struct fail fail = { 0 };
	char token[TOKEN_SIZE];
	size_t i;

	for (i = 0; i < parsed->services; i++)
		services[i] = fields_of(&parsed->service[i]);
	if (token_pack(&claims, services, parsed->services, WORLD_CERTIFICATE,
		token, &fail) == -1) {
		/* No app id of ours. */
		CHECK(fail.kind == FAIL_INTERNAL);
		CHECK(token[0] == '\0');
		return;
	}
	CHECK(strlen(token) < TOKEN_SIZE);
	CHECK(token_parse(token, &again, NULL) == 0);
	CHECK(token_signed_by(&again, WORLD_CERTIFICATE));
	CHECK(again.services == parsed->services);
	if (parsed->more_services)
		return;
	CHECK(again.payload_len == parsed->payload_len);
	CHECK(memcmp(again.payload + SIGNATURE_END,
		  parsed->payload + SIGNATURE_END,
		  parsed->payload_len - SIGNATURE_END) == 0);
	CHECK(token_signed_by(parsed, WORLD_CERTIFICATE) ==
	    (memcmp(again.payload, parsed->payload, SIGNATURE_END) == 0));
}

static void
check_text(const char *token)
{
	static struct token_parsed parsed;
	struct fail fail = { 0 };
	size_t i;

	if (token_parse(token, &parsed, &fail) == -1) {
		CHECK(fail.kind == FAIL_BAD_INPUT);
		CHECK(!token_verify(token, WORLD_APP_ID, WORLD_CERTIFICATE, "c",
		    "a", WORLD_NOW));
		return;
	}
	CHECK(fail.kind == FAIL_NONE);
	CHECK(parsed.payload_len <= TOKEN_RAW_MAX);
	CHECK(parsed.services <= TOKEN_SERVICES_MAX);
	CHECK(strlen(parsed.app_id) < sizeof(parsed.app_id));
	for (i = 0; i < parsed.services; i++) {
		CHECK(parsed.service[i].privileges <= TOKEN_PRIVILEGES_MAX);
		/* What verifies is signed, and says so. */
		if (!token_verify(token, parsed.app_id, WORLD_CERTIFICATE,
			parsed.service[i].channel, parsed.service[i].account,
			(int64_t)parsed.issue_ts))
			continue;
		CHECK(token_signed_by(&parsed, WORLD_CERTIFICATE));
		CHECK(!token_verify(token, parsed.app_id, WORLD_CERTIFICATE,
		    parsed.service[i].channel, parsed.service[i].account,
		    (int64_t)parsed.issue_ts + parsed.expire + 1));
	}
	check_same_again(&parsed);
}

static void
run_payload(const uint8_t *data, size_t size)
{
	uint8_t deflated[TOKEN_SIZE];
	char token[3 + BASE64_SIZE(sizeof(deflated))] = "007";
	uLongf len = sizeof(deflated);

	if (compress(deflated, &len, data, size) != Z_OK)
		return;
	base64_encode(deflated, len, token + 3);
	check_text(token);
}

static void
run_claims(const uint8_t *data, size_t size)
{
	size_t channel_len, account_len;
	char *channel = world_piece(&data, &size, &channel_len);
	char *account = world_piece(&data, &size, &account_len);
	struct token_claims claims = { .app_id = WORLD_APP_ID,
		.channel = channel,
		.account = account,
		.issue_ts = WORLD_NOW,
		.expire = (uint32_t)(size * 3600),
		.salt = (uint32_t)account_len + 1 };
	bool fits = strlen(channel) < TOKEN_CHANNEL_SIZE &&
	    strlen(account) < TOKEN_ACCOUNT_SIZE;
	char token[TOKEN_SIZE];
	int64_t end = WORLD_NOW + (int64_t)claims.expire;

	CHECK((token_build(&claims, WORLD_CERTIFICATE, token, NULL) == 0) ==
	    fits);
	if (fits) {
		check_text(token);
		CHECK(token_verify(token, WORLD_APP_ID, WORLD_CERTIFICATE,
		    channel, account, end));
		CHECK(!token_verify(token, WORLD_APP_ID, WORLD_CERTIFICATE,
		    channel, account, end + 1));
		CHECK(!token_verify(token, WORLD_APP_ID, WORLD_APP_ID, channel,
		    account, WORLD_NOW));
	}
	free(channel);
	free(account);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len;
	char *text;

	if (size == 0)
		return 0;
	if (*data == 'p') {
		run_payload(data + 1, size - 1);
	} else if (*data == 'c') {
		run_claims(data + 1, size - 1);
	} else {
		data++;
		size--;
		text = world_piece(&data, &size, &len);
		check_text(text);
		free(text);
	}
	return 0;
}
