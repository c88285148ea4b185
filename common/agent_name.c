#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/agent_name.h"
#include "common/channel.h"
#include "common/num.h"

#define TAKES_S 60 /* from a start's beginning to its last join, generously */
#define SKEW_S 600 /* between our clock and Agora's */

void
agent_name_make(const char *prefix, const char *channel, const char *agent_uid,
    bool own_channel, int64_t now, char name[static AGENT_NAME_SIZE])
{
	/* The longest that channel.h lets pass. */
	if (own_channel)
		snprintf(name, AGENT_NAME_SIZE, "%s_%.63s_%.64s", prefix,
		    channel, agent_uid);
	else
		snprintf(name, AGENT_NAME_SIZE, "%s_%.63s_%.64s_%" PRId64,
		    prefix, channel, agent_uid,
		    now - now % AGENT_NAME_WINDOW_S);
}

void
agent_name_after(const char *first, int n, char name[static AGENT_NAME_SIZE])
{
	if (n == 0)
		snprintf(name, AGENT_NAME_SIZE, "%s", first);
	else
		snprintf(name, AGENT_NAME_SIZE, "%.180s_r%d", first, n);
}

/* ---- the way back ------------------------------------------------------- */

/*
 * The texts that are read are copies, which are cut at underscores: cut_at()
 * answers whether both parts are there, and legal.
 */
static bool
cut_at(char *text, char *underscore, struct agent_name *out)
{
	bool legal;

	*underscore = '\0';
	legal = channel_name_check(text, "", NULL) == 0 &&
	    channel_uid_check(underscore + 1, "", NULL) == 0;
	if (legal) {
		snprintf(out->channel, sizeof(out->channel), "%s", text);
		snprintf(out->agent_uid, sizeof(out->agent_uid), "%s",
		    underscore + 1);
	}
	*underscore = '_';
	return legal;
}

/* Digits behind an underscore. */
static bool
ends_with_number(const char *text)
{
	const char *number = strrchr(text, '_');

	return number != NULL && number[1] != '\0' &&
	    number[1 + strspn(number + 1, "0123456789")] == '\0';
}

/*
 * <channel>_<agent uid> with a channel of our own. Others may use it, and then
 * append a time of their own, which must not pass for a part of the uid.
 */
static bool
read_own(char *text, struct agent_name *out)
{
	bool issued;

	for (char *p = text; (p = strchr(p, '_')) != NULL; p++) {
		*p = '\0';
		issued = channel_has_form(text, &out->since);
		*p = '_';
		if (!issued)
			continue;
		out->certain = p[1 + strspn(p + 1, "0123456789")] == '\0';
		out->until = INT64_MAX;
		return cut_at(text, p, out) && !ends_with_number(p + 1);
	}
	return false;
}

/* <channel>_<agent uid> with any. */
static bool
read_any(char *text, struct agent_name *out)
{
	for (char *p = text + strlen(text); p-- > text;)
		if (*p == '_' && cut_at(text, p, out))
			return true;
	return false;
}

/* <channel>_<agent uid>_<window> */
static bool
read_window(char *text, struct agent_name *out)
{
	char *window = strrchr(text, '_');
	int64_t now;
	bool legal;

	if (window == NULL ||
	    num_parse(window + 1, 1, UINT32_MAX, &now) == -1 ||
	    now % AGENT_NAME_WINDOW_S != 0)
		return false;
	*window = '\0';
	legal = read_any(text, out);
	*window = '_';
	out->certain = false;
	out->since = now;
	out->until = now + AGENT_NAME_WINDOW_S + TAKES_S;
	return legal;
}

/* What follows the prefix. A uid may look like a window, the code no uid. */
static bool
read_rest(char *text, struct agent_name *out)
{
	return read_own(text, out) || read_window(text, out);
}

static bool
has_suffix(const char *text, size_t len)
{
	return len > 3 && memcmp(text + len - 3, "_r", 2) == 0 &&
	    text[len - 1] >= '1' && text[len - 1] <= '9';
}

int
agent_name_read(const char *name, const char *prefix, struct agent_name *out)
{
	size_t prefix_len = strlen(prefix), len = strlen(name);
	char text[AGENT_NAME_SIZE];
	bool ours = false;

	if (len >= sizeof(text) || strncmp(name, prefix, prefix_len) != 0 ||
	    name[prefix_len] != '_')
		return -1;
	name += prefix_len + 1;
	len -= prefix_len + 1;
	memcpy(text, name, len + 1);
	if (has_suffix(text, len)) {
		text[len - 3] = '\0';
		ours = read_rest(text, out);
		text[len - 3] = '_';
	}
	/* A uid may end like that as well. */
	return ours || read_rest(text, out) ? 0 : -1;
}

bool
agent_name_fits(const struct agent_name *name, int64_t start_ts)
{
	if (start_ts == 0)
		return name->certain;
	if (start_ts < 0 || start_ts > UINT32_MAX)
		return false;
	return name->since <= start_ts + SKEW_S &&
	    (name->until == INT64_MAX || start_ts - SKEW_S <= name->until);
}
