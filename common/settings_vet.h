/*
 * Who else can read or change a file of settings or of an agent.
 */
#ifndef COMMON_SETTINGS_VET_H
#define COMMON_SETTINGS_VET_H

#include <sys/stat.h>

/* What is wrong with a file of secrets. */
enum settings_flaw {
	SETTINGS_FLAW_READABLE = 1 << 0,
	SETTINGS_FLAW_WRITABLE = 1 << 1,
	SETTINGS_FLAW_OWNER = 1 << 2,
	SETTINGS_FLAW_LINK = 1 << 3,
	SETTINGS_FLAW_FOLDER = 1 << 4,
	SETTINGS_FLAW_PUBLISHED = 1 << 5,
	SETTINGS_FLAWS_REFUSED = (1 << 6) - 1, /* the rest is warned of */
	SETTINGS_FLAW_GROUP = 1 << 6,
	SETTINGS_FLAW_WEB = 1 << 7,
	SETTINGS_FLAWS_ALL = (1 << 8) - 1,
};

/*
 * The flaws of the file that ${path}, absolute, leads to; ${st} is of the
 * opened file.
 */
unsigned settings_vet(const char *path, const struct stat *st);

/* Words for the first flaw of a set, with the cure; NULL for none. */
const char *settings_flaw_text(unsigned set);

#endif
