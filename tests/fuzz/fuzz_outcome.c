/*
 * What Agora's answer means. Input: a letter for the call ('j' join, 'l'
 * leave, 'g' get, else list), then an answer as in upstream.h.
 */
#include <string.h>

#include "common/agent_name.h"
#include "common/agora_outcome.h"
#include "common/ascii.h"
#include "common/buf.h"
#include "common/channel.h"
#include "common/fail.h"
#include "common/http.h"
#include "common/json.h"
#include "common/utf8.h"
#include "fcgi/answer.h"
#include "upstream.h"
#include "world.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

/* Whoever gave it. What is read as ours is a name that we would give. */
static void
check_name(const char *name)
{
	char made[AGENT_NAME_SIZE];
	struct agent_name read;

	if (agent_name_read(name, "agent", &read) == -1)
		return;
	CHECK(channel_name_check(read.channel, "", NULL) == 0);
	CHECK(channel_uid_check(read.agent_uid, "", NULL) == 0);
	CHECK(read.since <= read.until);
	(void)agent_name_fits(&read, read.since);
	if (read.until == INT64_MAX)
		CHECK(channel_has_form(read.channel, &read.since));
	agent_name_make("agent", read.channel, read.agent_uid,
	    read.until == INT64_MAX, read.since, made);
	CHECK(strncmp(name, made, strlen(made)) == 0);
	CHECK(strlen(name) <= strlen(made) + 3);
}

static void
check_said(const struct agora_said *said)
{
	size_t i;

	CHECK(said->agent_id[0] == '\0' ||
	    agora_id_check(said->agent_id, NULL) == 0);
	CHECK(strlen(said->name) < sizeof(said->name));
	check_name(said->name);
	CHECK(strlen(said->cursor) < sizeof(said->cursor));
	for (i = 0; said->status[i] != '\0'; i++)
		CHECK(ascii_is_alpha(said->status[i]));
	CHECK(said->life <= AGORA_DEAD);
	CHECK(said->listed <= AGORA_LISTED_MAX);
	CHECK(said->is_list || said->listed == 0);
	for (i = 0; i < said->listed; i++)
		/* "": it counts, but cannot be named. */
		CHECK(said->agent[i].agent_id[0] == '\0' ||
		    agora_id_check(said->agent[i].agent_id, NULL) == 0);
	CHECK(strlen(said->reason) < sizeof(said->reason));
	for (i = 0; said->reason[i] != '\0'; i++)
		CHECK(ascii_is_alpha(said->reason[i]));
}

/* What the client is told is a JSON object in UTF-8, and nothing of Agora's. */
static void
check_told(const struct fail *fail)
{
	const struct answer_head head = { .id = "id", .allow = "POST" };
	struct buf out = BUF(ANSWER_MAX);
	const char *body;
	struct json *json;

	CHECK(fail->kind == FAIL_UPSTREAM || fail->kind == FAIL_NOT_FOUND ||
	    fail->kind == FAIL_INTERNAL);
	CHECK(fail->text[0] != '\0');
	answer_fail(&head, fail, &out);
	CHECK(!buf_failed(&out));
	CHECK(strlen(buf_str(&out)) == out.len);
	CHECK(utf8_valid(out.data, out.len));
	CHECK(strstr(out.data, WORLD_CANARY) == NULL);
	body = strstr(out.data, "\r\n\r\n") + 4;
	json = json_parse(body, strlen(body), NULL);
	CHECK(json_kind(json) == JSON_OBJECT);
	CHECK(strcmp(json_text(json, "detail"), fail->text) == 0);
	json_free(json);
	buf_free(&out);
}

static enum agora_call
call_of(uint8_t letter)
{
	switch (letter) {
	case 'j':
		return AGORA_JOIN;
	case 'l':
		return AGORA_LEAVE;
	case 'g':
		return AGORA_GET;
	default:
		return AGORA_LIST;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct agora_asked asked = { .call = AGORA_LIST,
		.agent_id = "A1B2C3",
		.now = WORLD_NOW };
	struct http_result result;
	struct agora_said said;
	enum agora_class class;
	struct fail fail = { 0 };
	char *piece;
	size_t len;

	if (size == 0)
		return 0;
	asked.call = call_of(*data);
	data++;
	size--;
	piece = world_piece(&data, &size, &len);
	upstream_read(piece, len, &result);
	agora_read(&result, &said);
	check_said(&said);
	class = agora_classify(asked.call, &result, &said);
	CHECK(class <= AGORA_FINAL);
	if (class == AGORA_DONE) {
		CHECK(result.outcome == HTTP_ANSWERED);
		CHECK(asked.call != AGORA_JOIN || said.agent_id[0] != '\0');
	} else {
		agora_explain(&asked, class, &result, &said, &fail);
		check_told(&fail);
	}
	free(piece);
	return 0;
}
