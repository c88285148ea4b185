/*
 * The grammar of .env files: where names and values stand in a text. What the
 * values mean is dotenv.c's.
 */
#ifndef COMMON_DOTENV_SCAN_H
#define COMMON_DOTENV_SCAN_H

#include <stdbool.h>
#include <stddef.h>

/* A text being read, in which LF alone ends a line. */
struct dotenv_scan {
	const char *at; /* the next byte */
	const char *end;
	size_t line; /* of the next byte, from 1 */
};

/* A piece of the text, without its quotes. */
struct dotenv_piece {
	const char *at;
	const char *end;
	char quote; /* that it stood in, or 0 */
};

/* [export] NAME [= value] [# comment] */
struct dotenv_statement {
	size_t line;     /* that it begins in */
	bool understood; /* else only the line counts */
	bool has_value;  /* there is a "=" */
	struct dotenv_piece name;
	struct dotenv_piece value; /* as written: escapes and ${NAME} in it */
};

/*
 * Reads the next statement, past empty lines and comments. After a mistake
 * reading goes on behind the line the mistake is in, which for quoted values
 * may be a later line than the first. Returns false at the end of the text.
 */
bool dotenv_scan_next(struct dotenv_scan *scan,
    struct dotenv_statement *statement);

#endif
