/*
 * Keys and certificates: kept in one place, wiped, compared in constant time,
 * never printed.
 */
#ifndef COMMON_SECRET_H
#define COMMON_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#define SECRET_MAX 512 /* bytes, without the NUL */

struct secret {
	char text[SECRET_MAX + 1];
	size_t len; /* 0: not set */
};

/* Overwrites ${len} bytes in a way the compiler does not remove. */
void secret_wipe(void *data, size_t len);

/*
 * free(3) and realloc(3), the old memory wiped: for a library that takes them
 * in place of its own. ${size} is not 0.
 */
void secret_free(void *data);
void *secret_realloc(void *data, size_t size);

/*
 * Copies ${text} into ${secret}.
 * Returns 0, or -1 with ${secret} empty when it is longer than SECRET_MAX.
 */
int secret_set(struct secret *secret, const char *text)
    __attribute__((warn_unused_result));

/* Compares ${len} bytes in a time that does not depend on their values. */
bool secret_equal(const void *a, const void *b, size_t len);

#define SECRET_HINT_SIZE 8 /* "…" is three bytes, four characters, NUL */

/*
 * Writes "…" and the last four characters, or "set" when the secret is
 * shorter than 16 bytes, or "not set".
 */
void secret_hint(const struct secret *secret,
    char hint[static SECRET_HINT_SIZE]);

#endif
