/*
 * The name of an agent at Agora, which keeps two starts of it apart, and the
 * way back from the name. No other file knows the form:
 *
 *   <prefix>_<channel>_<agent uid>           in a channel that we issued
 *   <prefix>_<channel>_<agent uid>_<window>  in one that a client named
 *
 * <window> is the time of the start, rounded down to AGENT_NAME_WINDOW_S. Both
 * may end with _r1 to _r9: the names before were burnt.
 */
#ifndef COMMON_AGENT_NAME_H
#define COMMON_AGENT_NAME_H

#include <stdbool.h>
#include <stdint.h>

#include "common/channel.h"

#define AGENT_NAME_SIZE 200 /* bytes, with the NUL */
#define AGENT_NAME_WINDOW_S 30

/*
 * Writes the name of an agent that is started at ${now}, seconds since 1970.
 * ${own_channel}: the channel was issued by us, so that its name is unique.
 */
void agent_name_make(const char *prefix, const char *channel,
    const char *agent_uid, bool own_channel, int64_t now,
    char name[static AGENT_NAME_SIZE]);

/* Writes the ${n}th name after ${first}, 0 to 9; the 0th is ${first}. */
void agent_name_after(const char *first, int n,
    char name[static AGENT_NAME_SIZE]);

/* What a name says. */
struct agent_name {
	/*
	 * Nobody else gives such a name: an issued channel and a uid as it
	 * was issued with it. Of the other form Agora's Python quickstart
	 * makes one in thirty.
	 */
	bool certain;
	char channel[CHANNEL_SIZE];
	char agent_uid[CHANNEL_UID_SIZE];
	int64_t since; /* no agent of this name started before */
	int64_t until; /* nor after; INT64_MAX: unsaid */
};

/*
 * Reads ${name}, as it came from Agora, which may be anybody's. Where several
 * readings are possible, for channels and uids may have underscores, a channel
 * of our own is preferred, then the shortest uid.
 * Returns 0, or -1 with ${out} undefined when it has not our form with
 * ${prefix}.
 */
int agent_name_read(const char *name, const char *prefix,
    struct agent_name *out) __attribute__((warn_unused_result));

/*
 * Answers whether an agent that started at ${start_ts}, seconds since 1970 by
 * another clock, can have got that name from us; 0 if the time is not known.
 */
bool agent_name_fits(const struct agent_name *name, int64_t start_ts);

#endif
