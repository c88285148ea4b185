/*
 * Telling somebody what is wrong with what people have written, sentence by
 * sentence: the log, or --check.
 */
#ifndef COMMON_TELLER_H
#define COMMON_TELLER_H

#include <stdbool.h>
#include <stddef.h>

struct teller {
	/* A problem makes the thing unusable, else it is a warning. */
	void (*tell)(void *arg, bool problem, const char *text); /* or NULL */
	void *arg;
	size_t problems; /* told so far */
};

void teller_say(struct teller *teller, bool problem, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
