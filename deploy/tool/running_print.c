#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/num.h"
#include "deploy/tool/running.h"
#include "deploy/tool/running_print.h"
#include "deploy/tool/session.h"

#define JSON_MAX (64 * 1024 * 1024) /* bytes */
#define AGE_MAX 100000              /* of any unit */

#define MINUTE 60
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)

int
running_age_parse(const char *text, int64_t *seconds)
{
	static const struct {
		char unit;
		int seconds;
	} units[] = { { 's', 1 }, { 'm', MINUTE }, { 'h', HOUR },
		{ 'd', DAY } };
	char number[16];
	size_t len = strlen(text);
	int64_t value;

	if (len < 2 || len > sizeof(number))
		return -1;
	memcpy(number, text, len - 1);
	number[len - 1] = '\0';
	if (num_parse(number, 0, AGE_MAX, &value) == -1)
		return -1;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
		if (units[i].unit == text[len - 1]) {
			*seconds = value * units[i].seconds;
			return 0;
		}
	}
	return -1;
}

void
running_age_print(int64_t seconds, char text[static RUNNING_AGE_SIZE])
{
	if (seconds < 0)
		snprintf(text, RUNNING_AGE_SIZE, "?");
	else if (seconds < MINUTE)
		snprintf(text, RUNNING_AGE_SIZE, "%" PRId64 "s", seconds);
	else if (seconds < HOUR)
		snprintf(text, RUNNING_AGE_SIZE, "%" PRId64 "m",
		    seconds / MINUTE);
	else if (seconds < DAY)
		snprintf(text, RUNNING_AGE_SIZE, "%" PRId64 "h%02" PRId64 "m",
		    seconds / HOUR, seconds % HOUR / MINUTE);
	else
		snprintf(text, RUNNING_AGE_SIZE, "%" PRId64 "d%02" PRId64 "h",
		    seconds / DAY, seconds % DAY / HOUR);
}

const char *
running_owner_word(const struct running *agent)
{
	static const char *const words[] = {
		[RUNNING_FOREIGN] = "no",
		[RUNNING_PERHAPS] = "perhaps",
		[RUNNING_OURS] = "yes",
	};

	return words[agent->owner];
}

void
running_print(const char *did, const struct session *session,
    const struct running *agent)
{
	char age[RUNNING_AGE_SIZE];

	running_age_print(running_age(session, agent), age);
	printf("%s %s, %s old, in channel %s\n", did, agent->agent_id, age,
	    agent->name.channel);
}

static struct json *
describe(const struct session *session, const struct running *agent)
{
	struct json *json = json_new_object();
	int64_t age = running_age(session, agent);

	json_put_text(json, "agent_id", agent->agent_id);
	json_put_text(json, "name", agent->text);
	json_put_text(json, "ours", running_owner_word(agent));
	if (agent->owner != RUNNING_FOREIGN) {
		json_put_text(json, "channel", agent->name.channel);
		json_put_text(json, "agent_uid", agent->name.agent_uid);
	}
	json_put_text(json, "state", agent->status);
	if (age != -1) {
		json_put_int(json, "start_ts", agent->start_ts);
		json_put_int(json, "age_s", age);
	}
	return json;
}

/* ${agent_id} NULL: of none. */
static struct json *
describe_failure(const char *agent_id, const char *detail)
{
	struct json *json = json_new_object();

	if (agent_id != NULL)
		json_put_text(json, "agent_id", agent_id);
	json_put_text(json, "detail", detail);
	return json;
}

/* Takes ${json}. */
static int
print(struct json *json)
{
	struct buf text = BUF(JSON_MAX);
	int rc = -1;

	json_print(json, &text);
	json_free(json);
	if (!buf_failed(&text) && puts(buf_str(&text)) != EOF)
		rc = 0;
	else
		fprintf(stderr, "agora-agent: out of memory\n");
	buf_free(&text);
	return rc;
}

int
running_print_json(const struct session *session,
    const struct running_list *list, const struct fail *fail, const char *key,
    bool (*is_in)(const void *arg, const struct running *agent),
    const void *arg)
{
	struct json *root = json_new_object(), *in = json_new_array(),
		    *failed = json_new_array();

	if (fail->kind != FAIL_NONE)
		json_push(failed, describe_failure(NULL, fail->text));
	for (size_t i = 0; i < list->len; i++) {
		const struct running *agent = &list->agent[i];

		if (is_in(arg, agent))
			json_push(in, describe(session, agent));
		else if (agent->end == RUNNING_FAILED)
			json_push(failed,
			    describe_failure(agent->agent_id, agent->why));
	}
	json_put(root, key, in);
	json_put(root, "failed", failed);
	return print(root);
}
