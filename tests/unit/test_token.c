/*
 * Tokens against those of other builders: AgoraIO's own test tokens
 * (token-vectors.json), tokens for this project's call shapes made by the
 * official Python builder (token-vectors-derived.json), and a table of cases
 * run through four builders (token-cases.json).
 *
 * Payloads have to be equal always; whole tokens where the file says that
 * stock zlib at its default level gives the same bytes.
 */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>
#include <zlib.h>

#include "common/base64.h"
#include "common/fail.h"
#include "common/num.h"
#include "common/token.h"

#define VECTORS "tests/vectors/token-vectors.json"
#define DERIVED "tests/vectors/token-vectors-derived.json"
#define CASES "tests/vectors/token-cases.json"

#define TAIL_MAX 256 /* bytes after the texts of a service */
#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static const char other_certificate[] = "0123456789abcdef0123456789ABCDEF";

/* --- reading the files --- */

static struct json_object *
load(const char *path)
{
	struct json_object *root = json_object_from_file(path);

	if (root == NULL)
		fail_msg("%s (run from the project root)",
		    json_util_get_last_err());
	return root;
}

static struct json_object *
member(struct json_object *object, const char *key)
{
	return json_object_object_get(object, key);
}

static const char *
text(struct json_object *object, const char *key)
{
	struct json_object *value = member(object, key);

	if (value == NULL || !json_object_is_type(value, json_type_string))
		fail_msg("no text %s in %s", key,
		    json_object_to_json_string(object));
	return json_object_get_string(value);
}

static uint32_t
to_u32(struct json_object *value)
{
	int64_t number = json_object_get_int64(value);

	assert_true(json_object_is_type(value, json_type_int));
	assert_true(number >= 0 && number <= UINT32_MAX);
	return (uint32_t)number;
}

static uint32_t
number(struct json_object *object, const char *key)
{
	return to_u32(member(object, key));
}

static struct json_object *
item(struct json_object *array, size_t i)
{
	return json_object_array_get_idx(array, i);
}

/* zlib-ng and other makes may compress to other bytes than stock zlib. */
static bool
stock_zlib(void)
{
	return strspn(zlibVersion(), "0123456789.") == strlen(zlibVersion());
}

/* --- services: from JSON to what token_pack() takes --- */

struct tail {
	uint8_t bytes[TAIL_MAX];
	size_t len;
};

static void
tail_u16(struct tail *tail, int value)
{
	assert_true(tail->len + 2 <= TAIL_MAX);
	tail->bytes[tail->len++] = (uint8_t)(value & 0xff);
	tail->bytes[tail->len++] = (uint8_t)(value >> 8 & 0xff);
}

static void
tail_texts(struct tail *tail, struct json_object *array)
{
	size_t i, len, count = json_object_array_length(array);
	const char *string;

	tail_u16(tail, (int)count);
	for (i = 0; i < count; i++) {
		string = json_object_get_string(item(array, i));
		len = strlen(string);
		tail_u16(tail, (int)len);
		assert_true(tail->len + len <= TAIL_MAX);
		memcpy(tail->bytes + tail->len, string, len);
		tail->len += len;
	}
}

/* RTM2: resource -> permission -> names; the keys are one digit, ascending. */
static void
tail_permissions(struct tail *tail, struct json_object *resources)
{
	tail_u16(tail, json_object_object_length(resources));
	json_object_object_foreach(resources, resource, permissions)
	{
		tail_u16(tail, resource[0] - '0');
		tail_u16(tail, json_object_object_length(permissions));
		json_object_object_foreach(permissions, permission, names)
		{
			tail_u16(tail, permission[0] - '0');
			tail_texts(tail, names);
		}
	}
}

static const char *
text_of_either(struct json_object *object, const char *key, const char *other,
    const char *third)
{
	const char *const keys[] = { key, other, third };
	size_t i;

	for (i = 0; i < COUNT(keys); i++)
		if (keys[i] != NULL && member(object, keys[i]) != NULL)
			return text(object, keys[i]);
	return NULL;
}

static void
to_fields(struct json_object *service, struct token_service_fields *fields,
    struct tail *tail)
{
	struct token_privilege *next;

	*tail = (struct tail){ .len = 0 };
	*fields = (struct token_service_fields){
		.type = (uint16_t)number(service, "type"),
		.channel =
		    text_of_either(service, "channel", "room_uuid", NULL),
		.account =
		    text_of_either(service, "account", "user_id", "user_uuid"),
		.tail = tail->bytes,
	};
	json_object_object_foreach(member(service, "privileges"), id, seconds)
	{
		assert_true(fields->privileges < TOKEN_PRIVILEGES_MAX);
		next = &fields->privilege[fields->privileges++];
		next->id = (uint16_t)(id[0] - '0');
		next->expire = to_u32(seconds);
	}
	if (member(service, "role") != NULL)
		tail_u16(tail, json_object_get_int(member(service, "role")));
	if (member(service, "permissions") != NULL)
		tail_permissions(tail, member(service, "permissions"));
	fields->tail_len = tail->len;
}

/* --- comparing --- */

static void
check_payload(const struct token_parsed *parsed, const char *expected)
{
	char hex[2 * TOKEN_RAW_MAX + 1];

	num_hex(parsed->payload, parsed->payload_len, hex);
	assert_string_equal(hex, expected);
}

/* Parses ${token} and compares its payload with that of ${vector}. */
static void
check_token(const char *token, struct json_object *vector,
    struct token_parsed *parsed)
{
	struct fail fail = { 0 };

	if (token_parse(token, parsed, &fail) == -1)
		fail_msg("%s: %s", token, fail.text);
	check_payload(parsed, text(vector, "payload_hex"));
}

static void
check_service(const struct token_parsed_service *got, struct json_object *want)
{
	struct token_service_fields fields;
	struct tail tail;
	size_t i;

	to_fields(want, &fields, &tail);
	assert_int_equal(got->type, fields.type);
	assert_int_equal(got->privileges, fields.privileges);
	for (i = 0; i < fields.privileges; i++) {
		assert_int_equal(got->privilege[i].id, fields.privilege[i].id);
		assert_int_equal(got->privilege[i].expire,
		    fields.privilege[i].expire);
	}
	assert_string_equal(got->channel,
	    fields.channel != NULL ? fields.channel : "");
	assert_string_equal(got->account,
	    fields.account != NULL ? fields.account : "");
}

/* The services up to the first of a type that we do not read (7, 8). */
static void
check_services(const struct token_parsed *parsed, struct json_object *services)
{
	size_t i, count = json_object_array_length(services);

	for (i = 0; i < count; i++) {
		if (number(item(services, i), "type") > 6)
			break;
		assert_true(i < parsed->services);
		check_service(&parsed->service[i], item(services, i));
	}
	assert_int_equal(parsed->services, i);
	assert_int_equal(parsed->more_services, i < count);
}

static void
check_parse(struct json_object *vector, struct token_parsed *parsed)
{
	check_token(text(vector, "token"), vector, parsed);
	assert_string_equal(parsed->app_id, text(vector, "app_id"));
	assert_int_equal(parsed->issue_ts, number(vector, "issue_ts"));
	assert_int_equal(parsed->expire, number(vector, "expire"));
	assert_int_equal(parsed->salt, number(vector, "salt"));
	assert_int_equal(parsed->signed_from, 34);
	check_services(parsed, member(vector, "services"));
}

static void
check_signature(const struct token_parsed *parsed, struct json_object *vector)
{
	assert_true(token_signed_by(parsed, text(vector, "app_cert")));
	assert_false(token_signed_by(parsed, other_certificate));
}

/* --- building --- */

static struct token_claims
claims_of(struct json_object *vector)
{
	return (struct token_claims){
		.app_id = text(vector, "app_id"),
		.issue_ts = number(vector, "issue_ts"),
		.expire = number(vector, "expire"),
		.salt = number(vector, "salt"),
	};
}

/* Compares a token of ours; the text too where ${same_text}. */
static void
check_ours(const char *token, struct json_object *vector, bool same_text)
{
	struct token_parsed parsed;

	check_token(token, vector, &parsed);
	if (same_text && stock_zlib())
		assert_string_equal(token, text(vector, "token"));
}

static void
check_pack(struct json_object *vector, bool same_text)
{
	struct json_object *services = member(vector, "services");
	struct token_service_fields fields[TOKEN_SERVICES_MAX];
	struct tail tails[TOKEN_SERVICES_MAX];
	struct token_claims claims = claims_of(vector);
	size_t i, count = json_object_array_length(services);
	char token[TOKEN_SIZE];
	struct fail fail = { 0 };

	assert_true(count <= TOKEN_SERVICES_MAX);
	for (i = 0; i < count; i++)
		to_fields(item(services, i), &fields[i], &tails[i]);
	if (token_pack(&claims, fields, count, text(vector, "app_cert"), token,
		&fail) == -1)
		fail_msg("%s", fail.text);
	check_ours(token, vector, same_text);
}

/*
 * Answers whether token_build() can make this token: RTC with the four
 * privileges, RTM for the same account with the token's own lifetime.
 */
static bool
our_shape(struct json_object *vector)
{
	struct json_object *services = member(vector, "services");
	struct json_object *rtc, *rtm;

	if (json_object_array_length(services) != 2)
		return false;
	rtc = item(services, 0);
	rtm = item(services, 1);
	return number(rtc, "type") == TOKEN_RTC &&
	    number(rtm, "type") == TOKEN_RTM &&
	    json_object_object_length(member(rtc, "privileges")) == 4 &&
	    strcmp(text(rtc, "account"), text(rtm, "user_id")) == 0 &&
	    number(member(rtm, "privileges"), "1") == number(vector, "expire");
}

static void
check_build(struct json_object *vector, bool same_text)
{
	struct json_object *rtc = item(member(vector, "services"), 0);
	struct token_claims claims = claims_of(vector);
	char token[TOKEN_SIZE];
	struct fail fail = { 0 };

	claims.channel = text(rtc, "channel");
	claims.account = text(rtc, "account");
	claims.privilege_expire = number(member(rtc, "privileges"), "1");
	if (token_build(&claims, text(vector, "app_cert"), token, &fail) == -1)
		fail_msg("%s", fail.text);
	check_ours(token, vector, same_text);
}

/* --- the official test tokens --- */

static bool
level_6_matches(struct json_object *vector)
{
	struct json_object *levels = member(vector, "matches_zlib_levels");
	size_t i;

	for (i = 0; i < json_object_array_length(levels); i++)
		if (json_object_get_int(item(levels, i)) == 6)
			return true;
	return false;
}

static void
test_official_tokens(void **state)
{
	struct json_object *root = load(VECTORS), *vector;
	struct json_object *vectors = member(root, "vectors");
	struct token_parsed parsed;
	size_t i, parsed_count = 0, signed_count = 0, equal_texts = 0;

	(void)state;
	for (i = 0; i < json_object_array_length(vectors); i++) {
		vector = item(vectors, i);
		check_parse(vector, &parsed);
		parsed_count++;
		/* One token was published without its certificate. */
		if (!json_object_get_boolean(
			member(vector, "signature_verified")))
			continue;
		check_signature(&parsed, vector);
		check_pack(vector, level_6_matches(vector));
		if (our_shape(vector))
			check_build(vector, level_6_matches(vector));
		equal_texts += level_6_matches(vector);
		signed_count++;
	}
	print_message("official tokens: %zu/35 parsed, %zu/34 verified and "
		      "rebuilt, %zu/17 of them to the same text\n",
	    parsed_count, signed_count, equal_texts);
	assert_int_equal(parsed_count, 35);
	assert_int_equal(signed_count, 34);
	assert_int_equal(equal_texts, 17);
	json_object_put(root);
}

static void
test_what_is_no_token_is_refused(void **state)
{
	struct json_object *root = load(VECTORS);
	struct json_object *bad = member(root, "not_tokens");
	struct token_parsed parsed;
	size_t i;

	(void)state;
	for (i = 0; i < json_object_array_length(bad); i++) {
		struct fail fail = { 0 };
		const char *token = text(item(bad, i), "literal");

		if (token_parse(token, &parsed, &fail) != -1)
			fail_msg("accepted: %s", token);
		assert_int_equal(fail.kind, FAIL_BAD_INPUT);
		assert_string_not_equal(fail.text, "");
	}
	print_message("not tokens: %zu/20 refused\n", i);
	assert_int_equal(i, 20);
	json_object_put(root);
}

static void
test_tokens_of_our_call_shapes(void **state)
{
	struct json_object *root = load(DERIVED), *vector;
	struct json_object *vectors = member(root, "vectors");
	struct token_parsed parsed;
	size_t i, built = 0;

	(void)state;
	for (i = 0; i < json_object_array_length(vectors); i++) {
		vector = item(vectors, i);
		check_parse(vector, &parsed);
		check_signature(&parsed, vector);
		check_pack(vector, true);
		if (!our_shape(vector))
			continue;
		check_build(vector, true);
		built++;
	}
	print_message("derived tokens: %zu/12 rebuilt, %zu/11 by token_build\n",
	    i, built);
	assert_int_equal(i, 12);
	assert_int_equal(built, 11); /* not that of the subscriber role */
	json_object_put(root);
}

/* --- the table of cases --- */

static struct token_claims
claims_of_case(struct json_object *c)
{
	const char *channel = text_of_either(c, "channel", NULL, NULL);
	const char *account = text_of_either(c, "account", NULL, NULL);

	return (struct token_claims){
		.app_id = text(c, "app_id"),
		.channel = channel != NULL ? channel : "",
		.account = account != NULL ? account : "",
		.issue_ts = number(c, "issue_ts"),
		.expire = number(c, "token_expire"),
		.privilege_expire = member(c, "privilege_expire") != NULL ?
		    number(c, "privilege_expire") :
		    0,
		.salt = number(c, "salt"),
	};
}

/* RTC as every builder fills it in: role 1 may publish, role 2 only join. */
static struct token_service_fields
rtc_of_case(const struct token_claims *claims, uint32_t role)
{
	const uint32_t expire = claims->expire;

	return (struct token_service_fields){
		.type = TOKEN_RTC,
		.privileges = role == 1 ? 4 : 1,
		.privilege = { { TOKEN_RTC_JOIN, expire },
		    { TOKEN_RTC_PUBLISH_AUDIO, expire },
		    { TOKEN_RTC_PUBLISH_VIDEO, expire },
		    { TOKEN_RTC_PUBLISH_DATA, expire } },
		.channel = claims->channel,
		.account = claims->account,
	};
}

static struct token_service_fields
rtm_of_case(const struct token_claims *claims)
{
	return (struct token_service_fields){
		.type = TOKEN_RTM,
		.privileges = 1,
		.privilege = { { TOKEN_RTM_LOGIN, claims->expire } },
		.account = claims->account,
	};
}

/* Packs ${services} for case ${c} and compares. */
static void
check_case_pack(struct json_object *c, const struct token_claims *claims,
    const struct token_service_fields *services, size_t count)
{
	char token[TOKEN_SIZE];
	struct fail fail = { 0 };

	if (token_pack(claims, services, count, text(c, "app_certificate"),
		token, &fail) == -1)
		fail_msg("%s: %s", text(c, "name"), fail.text);
	check_ours(token, c,
	    json_object_get_boolean(
		member(c, "c_zlib_1_2_13_compress_matches_token")));
}

/* kind rtc_rtm: exactly what token_build() is for. */
static void
case_rtc_rtm(struct json_object *c)
{
	struct token_claims claims = claims_of_case(c);
	char token[TOKEN_SIZE];
	struct fail fail = { 0 };

	if (token_build(&claims, text(c, "app_certificate"), token, &fail) ==
	    -1)
		fail_msg("%s: %s", text(c, "name"), fail.text);
	check_ours(token, c, true);
}

/* bad_*: one builder signs with a bad app id or certificate; we refuse. */
static void
case_bad(struct json_object *c)
{
	struct token_claims claims = claims_of_case(c);
	char token[TOKEN_SIZE] = "untouched";
	struct fail fail = { 0 };

	assert_int_equal(token_build(&claims, text(c, "app_certificate"), token,
			     &fail),
	    -1);
	assert_string_equal(token, "");
	assert_int_equal(fail.kind, FAIL_INTERNAL);
	assert_string_not_equal(fail.text, "");
}

/* kinds rtc (a number, 0 is the empty account) and rtc_account (a text). */
static void
case_rtc(struct json_object *c)
{
	struct token_claims claims = claims_of_case(c);
	struct token_service_fields rtc;
	char account[16] = "";

	if (strcmp(text(c, "kind"), "rtc") == 0) {
		if (number(c, "uid") != 0)
			(void)snprintf(account, sizeof(account), "%u",
			    number(c, "uid"));
		claims.account = account;
	}
	rtc = rtc_of_case(&claims, number(c, "role"));
	check_case_pack(c, &claims, &rtc, 1);
}

/* kind rtm: RTM alone. */
static void
case_rtm(struct json_object *c)
{
	struct token_claims claims = claims_of_case(c);
	struct token_service_fields rtm = rtm_of_case(&claims);

	check_case_pack(c, &claims, &rtm, 1);
}

/* kind convoai: RTC, RTM and service 9, which has neither fields nor rights. */
static void
case_convoai(struct json_object *c)
{
	struct token_claims claims = claims_of_case(c);
	const struct token_service_fields services[] = {
		rtc_of_case(&claims, number(c, "role")),
		rtm_of_case(&claims),
		{ .type = 9 },
	};

	check_case_pack(c, &claims, services, COUNT(services));
}

/* The token in the file reads back, also those spelled by other builders. */
static size_t
case_parse(struct json_object *c, bool bad)
{
	const char *certificate = text(c, "app_certificate");
	struct token_parsed parsed;
	size_t others = 0;

	check_token(text(c, "token"), c, &parsed);
	assert_int_equal(token_signed_by(&parsed, certificate),
	    strcmp(text(c, "name"), "bad_cert_nonhex") != 0);
	assert_int_equal(parsed.more_services,
	    strcmp(text(c, "kind"), "convoai") == 0);
	if (bad)
		return 0;
	assert_string_equal(parsed.app_id, text(c, "app_id"));
	json_object_object_foreach(member(c, "by_builder"), builder, made)
	{
		(void)builder;
		if (member(made, "token") == NULL)
			continue;
		check_token(text(made, "token"), c, &parsed);
		assert_true(token_signed_by(&parsed, certificate));
		others++;
	}
	return others;
}

static void
test_table_of_cases(void **state)
{
	static const struct {
		const char *kind;
		void (*check)(struct json_object *c);
		size_t expected;
	} kinds[] = {
		{ "rtc_rtm", case_rtc_rtm, 26 },
		{ "bad_", case_bad, 3 },
		{ "rtc", case_rtc, 7 },
		{ "rtc_account", case_rtc, 3 },
		{ "rtm", case_rtm, 7 },
		{ "convoai", case_convoai, 1 },
	};
	struct json_object *root = load(CASES), *c;
	struct json_object *cases = member(root, "cases");
	size_t i, k, seen[COUNT(kinds)] = { 0 }, others = 0;
	const char *kind;

	(void)state;
	for (i = 0; i < json_object_array_length(cases); i++) {
		c = item(cases, i);
		kind = text(c, "kind");
		if (strncmp(text(c, "name"), "bad_", 4) == 0)
			kind = "bad_";
		for (k = 0; strcmp(kinds[k].kind, kind) != 0; k++)
			assert_true(k + 1 < COUNT(kinds));
		kinds[k].check(c);
		seen[k]++;
		others += case_parse(c, strcmp(kind, "bad_") == 0);
	}
	print_message("cases: %zu/47, and %zu/39 spellings by other builders\n",
	    i, others);
	assert_int_equal(i, 47);
	assert_int_equal(others, 39);
	for (k = 0; k < COUNT(kinds); k++)
		assert_int_equal(seen[k], kinds[k].expected);
	json_object_put(root);
}

/* --- what token_build() promises beyond the files --- */

static struct token_claims
good_claims(void)
{
	return (struct token_claims){
		.app_id = "970CA35de60c44645bbae8a215061b33",
		.channel = "room",
		.account = "1234567",
		.issue_ts = 1770199765,
		.expire = 3600,
		.salt = 1,
	};
}

static const char good_certificate[] = "5CFd2fd1755d40ecb72977518be15d3b";

static void
check_refused(const struct token_claims *claims, const char *certificate)
{
	char token[TOKEN_SIZE] = "untouched";
	struct fail fail = { 0 };

	assert_int_equal(token_build(claims, certificate, token, &fail), -1);
	assert_string_equal(token, "");
	assert_int_equal(fail.kind, FAIL_INTERNAL);
	assert_null(strstr(fail.text, certificate));
}

static void
test_build_refuses_ids_that_are_not_32_hex_digits(void **state)
{
	static const char *const bad[] = { "970CA35de60c44645bbae8a215061b3",
		"970CA35de60c44645bbae8a215061b333",
		"970CA35de60c44645bbae8a215061b3g",
		" 970CA35de60c44645bbae8a215061b3",
		"970CA35de60c44645bbae8a215061b3\xff" };
	struct token_claims claims;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++) {
		claims = good_claims();
		check_refused(&claims, bad[i]);
		claims.app_id = bad[i];
		check_refused(&claims, good_certificate);
	}
}

static void
test_build_limits_channel_and_account(void **state)
{
	char longest[TOKEN_CHANNEL_SIZE], longer[TOKEN_CHANNEL_SIZE + 1];
	struct token_claims claims = good_claims();
	char token[TOKEN_SIZE];
	struct token_parsed parsed;

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';

	claims.channel = claims.account = longest;
	assert_int_equal(token_build(&claims, good_certificate, token, NULL),
	    0);
	assert_int_equal(token_parse(token, &parsed, NULL), 0);
	assert_string_equal(parsed.service[0].channel, longest);
	assert_string_equal(parsed.service[1].account, longest);

	claims.channel = longer;
	check_refused(&claims, good_certificate);
	claims.channel = longest;
	claims.account = longer;
	check_refused(&claims, good_certificate);
}

/* 1,024 bytes that do not compress must still fit TOKEN_SIZE. */
static void
test_pack_fits_the_largest_payload(void **state)
{
	struct token_claims claims = good_claims();
	uint8_t noise[TOKEN_RAW_MAX];
	struct token_service_fields service = { .type = 9, .tail = noise };
	const size_t room = TOKEN_RAW_MAX - 34 - 34 - 14 - 4;
	char token[TOKEN_SIZE];
	struct token_parsed parsed;
	uint32_t seed = 1;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(noise); i++) {
		seed = seed * 1103515245 + 12345;
		noise[i] = (uint8_t)(seed >> 16);
	}
	service.tail_len = room;
	assert_int_equal(token_pack(&claims, &service, 1, good_certificate,
			     token, NULL),
	    0);
	assert_true(strlen(token) < TOKEN_SIZE);
	assert_int_equal(token_parse(token, &parsed, NULL), 0);
	assert_int_equal(parsed.payload_len, TOKEN_RAW_MAX);
	assert_true(parsed.more_services);
	assert_true(token_signed_by(&parsed, good_certificate));

	service.tail_len = room + 1;
	assert_int_equal(token_pack(&claims, &service, 1, good_certificate,
			     token, NULL),
	    -1);
	assert_string_equal(token, "");
}

static void
expect_pack_fails(const struct token_service_fields *service, const char *why)
{
	struct token_claims claims = good_claims();
	struct fail fail = { 0 };
	char token[TOKEN_SIZE];

	assert_int_equal(token_pack(&claims, service, 1, good_certificate,
			     token, &fail),
	    -1);
	assert_int_equal(fail.kind, FAIL_INTERNAL);
	assert_string_equal(fail.text, why);
}

static void
test_pack_says_what_does_not_fit(void **state)
{
	uint8_t noise[TOKEN_RAW_MAX] = { 0 };
	struct token_service_fields many = { .type = TOKEN_RTC,
		.privileges = TOKEN_PRIVILEGES_MAX + 1 };
	struct token_service_fields large = { .type = TOKEN_RTC,
		.tail = noise,
		.tail_len = sizeof(noise) };
	char text[TOKEN_CHANNEL_SIZE + 1];
	struct token_service_fields wide = { .type = TOKEN_RTC,
		.channel = text };

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	expect_pack_fails(&many, "too many privileges for a token");
	expect_pack_fails(&large, "the services are too large for a token");
	expect_pack_fails(&wide, "channel or account is too long for a token");
}

/* The deflate state is reused: nothing of the last token may show. */
static void
test_same_claims_give_the_same_token(void **state)
{
	struct token_claims claims = good_claims(), other = good_claims();
	char first[TOKEN_SIZE], between[TOKEN_SIZE], second[TOKEN_SIZE];
	int i;

	(void)state;
	other.channel = "970CA35de60c44645bbae8a215061b33 1234567 another one";
	assert_int_equal(token_build(&claims, good_certificate, first, NULL),
	    0);
	for (i = 0; i < 100; i++) {
		other.salt = (uint32_t)i;
		assert_int_equal(token_build(&other, good_certificate, between,
				     NULL),
		    0);
		assert_int_equal(token_build(&claims, good_certificate, second,
				     NULL),
		    0);
		assert_string_equal(first, second);
	}
	assert_string_not_equal(first, between);
}

/* What deflate keeps is smaller than zlib's default; its bytes are not others. */
static void
check_bytes_of_zlib(const struct token_service_fields *service)
{
	struct token_claims claims = good_claims();
	struct token_parsed parsed;
	char token[TOKEN_SIZE], expected[TOKEN_SIZE] = "007";
	uint8_t deflated[2 * TOKEN_RAW_MAX];
	uLongf len = sizeof(deflated);

	assert_int_equal(token_pack(&claims, service, 1, good_certificate,
			     token, NULL),
	    0);
	assert_int_equal(token_parse(token, &parsed, NULL), 0);
	assert_int_equal(compress(deflated, &len, parsed.payload,
			     parsed.payload_len),
	    Z_OK);
	base64_encode(deflated, len, expected + 3);
	assert_string_equal(token, expected);
}

static void
test_bytes_are_those_of_zlib_at_every_length(void **state)
{
	const size_t room = TOKEN_RAW_MAX - 34 - 34 - 14 - 4;
	const unsigned int letters[] = { 1, 2, 5, 26, 256 };
	uint8_t text[TOKEN_RAW_MAX];
	struct token_service_fields service = { .type = 9, .tail = text };
	uint32_t seed = 1;
	size_t kind, i;

	(void)state;
	if (!stock_zlib())
		skip();
	for (kind = 0; kind < sizeof(letters) / sizeof(*letters); kind++) {
		for (i = 0; i < sizeof(text); i++) {
			seed = seed * 1103515245 + 12345;
			text[i] = (uint8_t)((seed >> 16) % letters[kind]);
		}
		for (i = 0; i <= room; i++) {
			service.tail_len = i;
			check_bytes_of_zlib(&service);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_official_tokens),
		cmocka_unit_test(test_what_is_no_token_is_refused),
		cmocka_unit_test(test_tokens_of_our_call_shapes),
		cmocka_unit_test(test_table_of_cases),
		cmocka_unit_test(
		    test_build_refuses_ids_that_are_not_32_hex_digits),
		cmocka_unit_test(test_build_limits_channel_and_account),
		cmocka_unit_test(test_pack_fits_the_largest_payload),
		cmocka_unit_test(test_pack_says_what_does_not_fit),
		cmocka_unit_test(test_same_claims_give_the_same_token),
		cmocka_unit_test(test_bytes_are_those_of_zlib_at_every_length),
	};

	return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
