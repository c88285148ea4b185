/*
 * An agent file, and what a client wants to set. Input: the file's content, the
 * client's body. ${KEY} is WORLD_CANARY; nobody may be told it.
 */
#include <string.h>

#include "common/agent.h"
#include "common/agent_file.h"
#include "common/agent_name.h"
#include "common/buf.h"
#include "common/fail.h"
#include "common/fields.h"
#include "common/json.h"
#include "common/settings.h"
#include "common/teller.h"
#include "common/utf8.h"
#include "world.h"

#define BODY_MAX (512 * 1024)
#define FIELDS "parameters.output_audio_codec,asr.language,a.b.c"

static struct settings settings = { .idle_timeout = 30 };
static size_t told;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	static char greeting[] = "Hi", instructions[] = "Be brief";
	static char failure[] = "Oops", id[] = "id";

	(void)argc;
	(void)argv;
	settings.greeting = greeting;
	settings.instructions = instructions;
	settings.failure_message = failure;
	settings.tts_model_id = id;
	settings.tts_voice_id = id;
	return 0;
}

static const char *
variable(const void *arg, const char *name, const char **why)
{
	(void)arg;
	*why = "is not set";
	return strcmp(name, "KEY") == 0 ? WORLD_CANARY : NULL;
}

static void
tell(void *arg, bool problem, const char *text)
{
	(void)arg;
	(void)problem;
	told++;
	CHECK(*text != '\0');
	CHECK(!world_has(text, strlen(text), WORLD_CANARY));
}

/* Whatever the file says, a start's own values are the start's. */
static void
check_body(struct agent *agent)
{
	struct agent_start start = { .agent = agent,
		.channel = "room",
		.agent_uid = "58888506",
		.user_uid = "1234567" };
	struct agent_tokens tokens = { .app_id = WORLD_APP_ID, .agent = "007" };
	struct buf text = BUF(BODY_MAX);
	char name[AGENT_NAME_SIZE];
	struct agent_name read;
	struct json *root, *body, *uids;

	if (agent_avatar_uid(agent) != NULL)
		tokens.avatar = "007avatar";
	agent_name(&start, WORLD_NOW, name);
	CHECK(agent_name_read(name, agent_prefix(agent), &read) == 0);
	CHECK(strcmp(read.channel, "room") == 0);
	CHECK(agent_join_body(&start, name, &tokens, &text, NULL) == 0);
	CHECK(utf8_valid(buf_str(&text), text.len));
	root = json_parse(buf_str(&text), text.len, NULL);
	CHECK(root != NULL);
	CHECK(strcmp(json_text(root, "name"), name) == 0);
	body = json_member(root, "properties");
	CHECK(strcmp(json_text(body, "channel"), "room") == 0);
	CHECK(strcmp(json_text(body, "token"), "007") == 0);
	CHECK(strcmp(json_text(body, "agent_rtc_uid"), "58888506") == 0);
	uids = json_member(body, "remote_rtc_uids");
	CHECK(json_count(uids) == 1);
	CHECK(strcmp(json_item_text(uids, 0), "1234567") == 0);
	json_free(root);
	buf_free(&text);
}

static void
check_fields(const struct agent *agent, const char *text, size_t len)
{
	struct json *body = json_parse(text, len, NULL), *fields = NULL;
	struct fail fail = { 0 };
	struct agent *with;

	if (json_kind(body) == JSON_OBJECT &&
	    fields_pick(FIELDS, body, &fields, &fail) == 0 && fields != NULL) {
		with = agent_with(agent, fields, &fail);
		CHECK((with == NULL) == (fail.kind == FAIL_BAD_INPUT));
		if (with != NULL)
			check_body(with);
		agent_free(with);
	}
	CHECK(!world_has(fail.text, strlen(fail.text), WORLD_CANARY));
	json_free(fields);
	json_free(body);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct agent_variables variables = { variable, NULL };
	struct teller teller = { .tell = tell };
	size_t len, client_len;
	char *text, *client;
	struct agent *agent;

	world_reset();
	told = 0;
	text = world_piece(&data, &size, &len);
	client = world_piece(&data, &size, &client_len);
	settings.managed_blocks = len % 2 == 1;
	if (world_has(text, len, WORLD_CANARY)) /* a member may be called so */
		len = 0;
	agent = agent_new(text, len, &settings, &variables, &teller);
	CHECK((agent == NULL) == (teller.problems > 0));
	CHECK(told >= teller.problems);
	if (agent != NULL) {
		check_body(agent);
		check_fields(agent, client, client_len);
	}
	agent_free(agent);
	free(client);
	free(text);
	return 0;
}
