/*
 * Channel names. Input, in pieces: a name, a uid, five bytes of nonce, where
 * and how a good name is spoilt.
 */
#include <string.h>

#include "common/ascii.h"
#include "common/channel.h"
#include "common/fail.h"
#include "common/num.h"
#include "world.h"

#define TTL 86400

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

static bool
all_allowed(const char *text, size_t size)
{
	size_t len = strlen(text), i;

	for (i = 0; i < len; i++)
		if (!channel_char_ok(text[i]))
			return false;
	return len > 0 && len < size;
}

/* What passes is what Agora allows; what does not says why. */
static void
check_rules(const char *name, const char *uid)
{
	struct fail fail = { 0 };
	bool numeric = *uid != '\0' && strspn(uid, "0123456789") == strlen(uid);
	int64_t number;

	if (channel_name_check(name, "channel", &fail) == 0)
		CHECK(all_allowed(name, CHANNEL_SIZE));
	else
		CHECK(fail.kind == FAIL_BAD_INPUT);
	fail = (struct fail){ 0 };
	if (channel_uid_check(uid, "uid", &fail) == 0) {
		CHECK(all_allowed(uid, CHANNEL_UID_SIZE));
		CHECK(!numeric || num_parse(uid, 1, UINT32_MAX, &number) == 0);
	} else {
		CHECK(fail.kind == FAIL_BAD_INPUT);
	}
}

/* A name from outside is ours only if issuing gives the same one again. */
static void
check_foreign(const char *name, const char *uid)
{
	int64_t issued = -1;
	uint32_t agent_uid = 0;

	if (channel_issued(WORLD_CERTIFICATE, name, uid, &issued)) {
		CHECK(issued >= 0 && strlen(name) < CHANNEL_SIZE);
		CHECK(channel_name_check(name, "channel", NULL) == 0);
		CHECK(!channel_issued(WORLD_APP_ID, name, uid, &issued));
	} else {
		CHECK(issued == -1);
		CHECK(!channel_current(WORLD_CERTIFICATE, name, uid, TTL,
		    WORLD_NOW));
	}
	if (channel_agent_uid(WORLD_CERTIFICATE, name, uid, &agent_uid) == 0)
		CHECK(agent_uid >= CHANNEL_AGENT_UID_MIN &&
		    agent_uid <= CHANNEL_AGENT_UID_MAX);
	else
		CHECK(agent_uid == 0);
}

/* One byte of a good name changed makes it a foreign one. */
static void
check_spoilt(const char *good, const char *uid, const char *how, size_t len)
{
	char name[CHANNEL_SIZE];
	int64_t issued;
	size_t at;

	if (len < 2)
		return;
	memcpy(name, good, sizeof(name));
	at = (uint8_t)how[0] % strlen(name);
	name[at] = how[1];
	CHECK(channel_issued(WORLD_CERTIFICATE, name, uid, &issued) ==
	    (strcmp(name, good) == 0));
}

static void
check_own(const char *uid, const char *nonce_text, const char *how, size_t len)
{
	uint8_t nonce[CHANNEL_NONCE_SIZE] = { 0 };
	char name[CHANNEL_SIZE], other_uid[CHANNEL_UID_SIZE + 1];
	const int64_t now = WORLD_NOW;
	int64_t issued = -1;

	memcpy(nonce, nonce_text, strnlen(nonce_text, sizeof(nonce)));
	if (channel_issue(WORLD_CERTIFICATE, now, nonce, uid, name) == -1) {
		CHECK(strlen(uid) >= CHANNEL_UID_SIZE && name[0] == '\0');
		return;
	}
	CHECK(channel_name_check(name, "channel", NULL) == 0);
	CHECK(channel_issued(WORLD_CERTIFICATE, name, uid, &issued));
	CHECK(issued == now);
	CHECK(channel_current(WORLD_CERTIFICATE, name, uid, TTL, now + TTL));
	CHECK(
	    !channel_current(WORLD_CERTIFICATE, name, uid, TTL, now + TTL + 1));
	CHECK(!channel_current(WORLD_CERTIFICATE, name, uid, TTL, now - 61));
	snprintf(other_uid, sizeof(other_uid), "%s0", uid);
	CHECK(!channel_issued(WORLD_CERTIFICATE, name, other_uid, &issued));
	check_spoilt(name, uid, how, len);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t len;
	char *name = world_piece(&data, &size, &len);
	char *uid = world_piece(&data, &size, &len);
	char *nonce = world_piece(&data, &size, &len);
	char *how = world_piece(&data, &size, &len);

	check_rules(name, uid);
	check_foreign(name, uid);
	check_own(uid, nonce, how, len);
	free(name);
	free(uid);
	free(nonce);
	free(how);
	return 0;
}
