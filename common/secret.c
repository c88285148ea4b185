#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "common/ascii.h"
#include "common/secret.h"

#define HINT_SHOWN 4       /* characters at the end that a hint shows */
#define HINT_SHOWN_FROM 16 /* bytes; of a shorter secret nothing is shown */

void
secret_wipe(void *data, size_t len)
{
	if (data != NULL)
		explicit_bzero(data, len);
}

void
secret_free(void *data)
{
	secret_wipe(data, malloc_usable_size(data));
	free(data);
}

void *
secret_realloc(void *data, size_t size)
{
	size_t had = malloc_usable_size(data);
	void *moved = malloc(size);

	if (moved == NULL)
		return NULL;
	if (had > 0)
		memcpy(moved, data, had < size ? had : size);
	secret_free(data);
	return moved;
}

int
secret_set(struct secret *secret, const char *text)
{
	size_t len = strnlen(text, SECRET_MAX + 1);

	secret_wipe(secret, sizeof(*secret));
	secret->text[0] = '\0';
	secret->len = 0;
	if (len > SECRET_MAX)
		return -1;
	memcpy(secret->text, text, len);
	secret->text[len] = '\0';
	secret->len = len;
	return 0;
}

bool
secret_equal(const void *a, const void *b, size_t len)
{
	return CRYPTO_memcmp(a, b, len) == 0;
}

/* The hint goes to logs and terminals: a byte not printable becomes '?'. */
static void
show_end(const struct secret *secret, char hint[static SECRET_HINT_SIZE])
{
	static const char ellipsis[] = "\xe2\x80\xa6";
	const char *end = secret->text + secret->len - HINT_SHOWN;
	size_t at = sizeof(ellipsis) - 1;

	memcpy(hint, ellipsis, at);
	memcpy(hint + at, end, HINT_SHOWN);
	for (size_t i = 0; i < HINT_SHOWN; i++)
		if (!ascii_is_print(hint[at + i]))
			hint[at + i] = '?';
	hint[at + HINT_SHOWN] = '\0';
}

void
secret_hint(const struct secret *secret, char hint[static SECRET_HINT_SIZE])
{
	if (secret->len == 0)
		memcpy(hint, "not set", sizeof("not set"));
	else if (secret->len < HINT_SHOWN_FROM)
		memcpy(hint, "set", sizeof("set"));
	else
		show_end(secret, hint);
}
