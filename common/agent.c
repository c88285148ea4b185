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
#include "common/json_make.h"
#include "common/json_write.h"
#include "common/secret.h"
#include "common/settings.h"
#include "common/teller.h"

#define BODY_MAX 196608 /* bytes of an agent, its variables filled in */
#define JOIN_MAX (BODY_MAX + 1024) /* with what is a start's own */
#define AVATAR_UID_SIZE 65

/* A byte that UTF-8 does not have; what is to stand there follows. */
#define HOLE 0xff

/* What is a start's own in the body of its join. */
enum hole {
	HOLE_NAME = 'a',
	HOLE_CHANNEL,
	HOLE_TOKEN,
	HOLE_AGENT_UID,
	HOLE_USER_UID,
	HOLE_AVATAR_TOKEN,
	HOLE_APP_ID,
};

/*
 * Kept as text: a tree would have to be copied for each start, and wiped. In
 * the body of a join a start only fills the holes.
 */
struct agent {
	unsigned shares; /* agent_free() calls that only count down */
	char prefix[AGENT_PREFIX_MAX + 1];
	char avatar_uid[AVATAR_UID_SIZE]; /* or "" */
	char *join;                       /* JSON, with holes */
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

static struct json *
new_hole(enum hole hole)
{
	const char text[] = { (char)HOLE, (char)hole, '\0' };

	/* What looks like a number is printed as it is, without quotes. */
	return json_make_double(text);
}

/* Agora's own "generic" avatars are told which project and channel to join. */
static void
put_avatar_holes(struct json *root)
{
	static const char at[] = "properties.avatar.params";
	const char *vendor =
	    json_text(json_at(root, "properties.avatar"), "vendor");

	json_put_at(root, at, "agora_token", new_hole(HOLE_AVATAR_TOKEN));
	if (vendor == NULL || strcmp(vendor, "generic") != 0)
		return;
	json_put_at(root, at, "agora_appid", new_hole(HOLE_APP_ID));
	json_put_at(root, at, "agora_channel", new_hole(HOLE_CHANNEL));
}

static void
put_holes(struct json *root, bool avatar)
{
	static const char at[] = "properties";

	json_put(root, "name", new_hole(HOLE_NAME));
	json_put_at(root, at, "channel", new_hole(HOLE_CHANNEL));
	json_put_at(root, at, "token", new_hole(HOLE_TOKEN));
	json_put_at(root, at, "agent_rtc_uid", new_hole(HOLE_AGENT_UID));
	json_put_at(root, at, "remote_rtc_uids", json_new_array());
	json_push_at(root, "properties.remote_rtc_uids",
	    new_hole(HOLE_USER_UID));
	if (avatar)
		put_avatar_holes(root);
}

/* Whether ${body} is no longer than it may be, and lacks nothing. */
static bool
is_whole(const struct json *body)
{
	struct buf text = BUF(BODY_MAX);
	bool whole;

	json_print(body, &text);
	whole = !buf_failed(&text);
	buf_free(&text);
	return whole;
}

/* An agent of ${body}, which gets its holes, or NULL when out of memory. */
static struct agent *
keep(struct json *body, const char *prefix)
{
	struct agent *agent = calloc(1, sizeof(*agent));
	struct buf text = BUF(JOIN_MAX);

	if (agent == NULL)
		return NULL;
	snprintf(agent->prefix, sizeof(agent->prefix), "%s",
	    prefix != NULL ? prefix : "agent");
	find_avatar(agent, body);
	put_holes(body, agent->avatar_uid[0] != '\0');
	json_print(body, &text);
	agent->len = text.len;
	agent->join = buf_take(&text);
	buf_free(&text);
	if (agent->join != NULL)
		return agent;
	agent_free(agent);
	return NULL;
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

/* A tree that lacks something is not judged. */
static struct agent *
judge_and_keep(struct json *body, const char *prefix,
    const struct settings *settings, struct teller *teller)
{
	struct agent *agent = NULL;
	size_t before = teller->problems;

	if (is_whole(body)) {
		check_idle_timeout(body, settings, teller);
		agent_rules_check(body, tell_rule, teller);
		if (teller->problems > before)
			return NULL;
		agent = keep(body, prefix);
	}
	if (agent == NULL)
		teller_say(teller, true,
		    "with its variables it is larger than %d bytes, or memory "
		    "ran out",
		    BODY_MAX);
	return agent;
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
	agent = judge_and_keep(body, json_text(file, "name"), settings, teller);
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

static const char *
filling(enum hole hole, const struct agent_start *start, const char *name,
    const struct agent_tokens *tokens)
{
	switch (hole) {
	case HOLE_NAME:
		return name;
	case HOLE_CHANNEL:
		return start->channel;
	case HOLE_TOKEN:
		return tokens->agent;
	case HOLE_AGENT_UID:
		return start->agent_uid;
	case HOLE_USER_UID:
		return start->user_uid;
	case HOLE_AVATAR_TOKEN:
		return tokens->avatar;
	case HOLE_APP_ID:
	default:
		return tokens->app_id;
	}
}

/* Appends the text of ${agent} to ${body}, with what is ${start}'s own. */
static void
fill(const struct agent *agent, const struct agent_start *start,
    const char *name, const struct agent_tokens *tokens, struct buf *body)
{
	const char *at = agent->join;
	const char *end = at + agent->len;
	const char *hole, *value;

	while ((hole = memchr(at, HOLE, (size_t)(end - at))) != NULL) {
		buf_add(body, at, (size_t)(hole - at));
		value = filling((enum hole)hole[1], start, name, tokens);
		json_write_string(body, value, strlen(value));
		at = hole + 2;
	}
	buf_add(body, at, (size_t)(end - at));
}

/* The tree that ${agent} was made of, with "" for what is a start's own. */
static struct json *
tree_of(const struct agent *agent)
{
	const struct agent_start nobody = { .channel = "",
		.agent_uid = "",
		.user_uid = "" };
	const struct agent_tokens none = { .app_id = "",
		.agent = "",
		.avatar = "" };
	struct buf text = BUF(JOIN_MAX);
	struct json *tree = NULL;

	fill(agent, &nobody, "", &none, &text);
	if (!buf_failed(&text))
		tree = json_parse(buf_str(&text), text.len, NULL);
	buf_free(&text);
	return tree;
}

struct agent *
agent_with(const struct agent *agent, const struct json *fields,
    struct fail *fail)
{
	struct json *body = tree_of(agent);
	struct agent *with = NULL;

	json_merge(json_member(body, "properties"), fields);
	if (is_whole(body) && agent_rules_check(body, refuse, fail) == 0)
		with = keep(body, agent->prefix);
	if (with == NULL) /* unless a rule has said why */
		fail_set(fail, FAIL_INTERNAL, "out of memory");
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
	secret_free(agent->join);
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

int
agent_join_body(const struct agent_start *start, const char *name,
    const struct agent_tokens *tokens, struct buf *body, struct fail *fail)
{
	fill(start->agent, start, name, tokens, body);
	if (buf_failed(body))
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	return 0;
}
