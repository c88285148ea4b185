#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/agent.h"
#include "common/agent_default.h"
#include "common/agent_file.h"
#include "common/agent_managed.h"
#include "common/agent_name.h"
#include "common/agent_rules.h"
#include "common/buf.h"
#include "common/fail.h"
#include "common/json.h"
#include "common/secret.h"
#include "common/settings.h"
#include "common/teller.h"

#define BODY_MAX 196608 /* bytes of an agent, its variables filled in */
#define AVATAR_UID_SIZE 65

/* Kept as text: each start makes a tree of its own, and wipes it. */
struct agent {
	unsigned shares; /* agent_free() calls that only count down */
	char prefix[AGENT_PREFIX_MAX + 1];
	char avatar_uid[AVATAR_UID_SIZE]; /* or "" */
	char *body;                       /* JSON, without what is a start's */
	size_t len;
};

/* ---- making one --------------------------------------------------------- */

/* The avatar's uid, if it needs a token that nobody has put in. */
static void
find_avatar(struct agent *agent, const struct json *body)
{
	const struct json *avatar = json_at(body, "properties.avatar");
	const struct json *params = json_member(avatar, "params");
	const char *uid = json_text(params, "agora_uid");
	const char *token = json_text(params, "agora_token");

	if (json_is_true(json_member(avatar, "enable")) && uid != NULL &&
	    (token == NULL || *token == '\0'))
		snprintf(agent->avatar_uid, sizeof(agent->avatar_uid), "%s",
		    uid);
}

/* An agent of ${body}, or NULL when out of memory. */
static struct agent *
keep(const struct json *body, const char *prefix)
{
	struct agent *agent = calloc(1, sizeof(*agent));
	struct buf text = BUF(BODY_MAX);

	if (agent == NULL)
		return NULL;
	json_print(body, &text);
	agent->len = text.len;
	agent->body = buf_take(&text);
	buf_free(&text);
	if (agent->body == NULL) {
		free(agent);
		return NULL;
	}
	snprintf(agent->prefix, sizeof(agent->prefix), "%s",
	    prefix != NULL ? prefix : "agent");
	find_avatar(agent, body);
	return agent;
}

/* A slip of the pen, and the agent costs money until somebody notices. */
static void
check_idle_timeout(const struct json *body, const struct settings *settings,
    struct teller *teller)
{
	if (settings->idle_timeout != 0 &&
	    json_int(json_member(body, "properties"), "idle_timeout", 1) == 0)
		teller_say(teller, true,
		    "properties.idle_timeout is 0: the agent would never end "
		    "by itself; write 5 to 259200 seconds, or set "
		    "AGENT_IDLE_TIMEOUT=unlimited");
}

static void
tell_rule(void *arg, bool certain, const char *text)
{
	teller_say(arg, certain, "%s", text);
}

static const char *
text_or_none(const struct json *object, const char *key)
{
	const char *text = json_text(object, key);

	return text != NULL ? text : "";
}

/* ${file}, NULL for none, merged into ${body}, the default. */
static void
compose(struct json *body, const struct json *file,
    const struct settings *settings)
{
	agent_default_fit(body, file);
	json_merge(body, file);
	json_remove(body, "name");
	if (*text_or_none(body, "pipeline_id") == '\0')
		json_remove(body, "pipeline_id");
	agent_manage(body, settings->managed_blocks);
}

/* A tree that lacks something is not judged: keep() notices. */
static struct agent *
keep_and_judge(const struct json *body, const char *prefix,
    const struct settings *settings, struct teller *teller)
{
	struct agent *agent = keep(body, prefix);
	size_t before = teller->problems;

	if (agent == NULL) {
		teller_say(teller, true,
		    "with its variables it is larger than %d bytes, or memory "
		    "ran out",
		    BODY_MAX);
		return NULL;
	}
	check_idle_timeout(body, settings, teller);
	agent_rules_check(body, tell_rule, teller);
	if (teller->problems == before)
		return agent;
	agent_free(agent);
	return NULL;
}

struct agent *
agent_new(const char *text, size_t len, const struct settings *settings,
    const struct agent_variables *variables, struct teller *teller)
{
	struct json *file = NULL, *body;
	struct agent *agent;

	if (text != NULL) {
		file = agent_file_parse(text, len, variables, teller);
		if (file == NULL)
			return NULL;
	}
	body = agent_default(settings);
	compose(body, file, settings);
	agent = keep_and_judge(body, json_text(file, "name"), settings, teller);
	json_free(body);
	json_free(file);
	return agent;
}

/* Keeps the first certain finding. */
static void
refuse(void *arg, bool certain, const char *text)
{
	if (certain)
		fail_set(arg, FAIL_BAD_INPUT, "%s", text);
}

struct agent *
agent_with(const struct agent *agent, const struct json *fields,
    struct fail *fail)
{
	struct json *body = json_parse(agent->body, agent->len, NULL);
	struct agent *with;

	json_merge(json_member(body, "properties"), fields);
	with = keep(body, agent->prefix);
	if (with == NULL) {
		fail_set(fail, FAIL_INTERNAL, "out of memory");
	} else if (agent_rules_check(body, refuse, fail) > 0) {
		agent_free(with);
		with = NULL;
	}
	json_free(body);
	return with;
}

void
agent_share(struct agent *agent)
{
	agent->shares++;
}

void
agent_free(struct agent *agent)
{
	if (agent == NULL)
		return;
	if (agent->shares > 0) {
		agent->shares--;
		return;
	}
	secret_free(agent->body);
	free(agent);
}

/* ---- starting one ------------------------------------------------------- */

const char *
agent_prefix(const struct agent *agent)
{
	return agent->prefix;
}

void
agent_name(const struct agent_start *start, int64_t now,
    char name[static AGENT_NAME_SIZE])
{
	agent_name_make(start->agent->prefix, start->channel, start->agent_uid,
	    start->own_channel, now, name);
}

const char *
agent_avatar_uid(const struct agent *agent)
{
	return agent->avatar_uid[0] != '\0' ? agent->avatar_uid : NULL;
}

int
agent_check_uids(const struct agent_start *start, struct fail *fail)
{
	const char *avatar = start->agent->avatar_uid;

	if (strcmp(start->agent_uid, avatar) != 0 &&
	    strcmp(start->user_uid, avatar) != 0)
		return 0;
	return fail_set(fail, FAIL_BAD_INPUT,
	    "rtcUid and userUid must not be the uid of the agent's avatar");
}

/* Agora's own "generic" avatars are told which project and channel to join. */
static void
put_avatar(struct json *root, const struct agent_start *start,
    const struct agent_tokens *tokens)
{
	static const char at[] = "properties.avatar.params";
	const char *vendor =
	    json_text(json_at(root, "properties.avatar"), "vendor");

	if (tokens->avatar == NULL)
		return;
	json_put_text_at(root, at, "agora_token", tokens->avatar);
	if (vendor == NULL || strcmp(vendor, "generic") != 0)
		return;
	json_put_text_at(root, at, "agora_appid", tokens->app_id);
	json_put_text_at(root, at, "agora_channel", start->channel);
}

static void
put_start(struct json *root, const struct agent_start *start,
    const struct agent_tokens *tokens)
{
	static const char at[] = "properties";

	json_put_text_at(root, at, "channel", start->channel);
	json_put_text_at(root, at, "token", tokens->agent);
	json_put_text_at(root, at, "agent_rtc_uid", start->agent_uid);
	json_put_at(root, at, "remote_rtc_uids", json_new_array());
	json_push_at(root, "properties.remote_rtc_uids",
	    json_new_text(start->user_uid));
	put_avatar(root, start, tokens);
}

int
agent_join_body(const struct agent_start *start, const char *name,
    const struct agent_tokens *tokens, struct buf *body, struct fail *fail)
{
	const struct agent *agent = start->agent;
	struct json *root = json_parse(agent->body, agent->len, NULL);

	json_put_text(root, "name", name);
	put_start(root, start, tokens);
	json_print(root, body);
	json_free(root);
	if (buf_failed(body))
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	return 0;
}
