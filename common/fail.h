/*
 * Why something failed, in words for the client. The first reason wins.
 */
#ifndef COMMON_FAIL_H
#define COMMON_FAIL_H

#include <stdbool.h>

/* What went wrong; only the responder turns it into an HTTP status. */
enum fail_kind {
	FAIL_NONE = 0,
	FAIL_BAD_INPUT,    /* 400 */
	FAIL_UNAUTHORIZED, /* 401: who are you? */
	FAIL_FORBIDDEN,    /* 403 */
	FAIL_NOT_FOUND,    /* 404 */
	FAIL_METHOD,       /* 405 */
	FAIL_TOO_LARGE,    /* 413 */
	FAIL_MEDIA_TYPE,   /* 415 */
	FAIL_LIMIT,        /* 429: too often */
	FAIL_HEAD_LARGE,   /* 431 */
	FAIL_GONE,         /* 499: the client left; nobody reads it */
	FAIL_BUSY,         /* 500: too much at a time */
	FAIL_CONFIG,       /* 500: our settings */
	FAIL_UPSTREAM,     /* 500: Agora, or the way to it */
	FAIL_INTERNAL,     /* 500: us */
};

/* Its name in logs and metrics: "bad_input"; "success" of FAIL_NONE. */
const char *fail_name(enum fail_kind kind);

#define FAIL_TEXT_SIZE 240  /* bytes, with the NUL */
#define FAIL_REASON_SIZE 64 /* bytes, with the NUL */

struct fail {
	enum fail_kind kind;
	char text[FAIL_TEXT_SIZE]; /* one sentence for the client, no secrets */
	int retry_after; /* seconds until it may go well, 0: not known */

	/* With FAIL_UPSTREAM, or FAIL_NOT_FOUND said by Agora: */
	int upstream_status; /* HTTP status; without an answer what fits best */
	char upstream_reason[FAIL_REASON_SIZE]; /* its word, or ours */
};

/*
 * Records ${kind} and the formatted sentence in ${fail}, unless a reason is
 * there already. Longer text is cut at a character boundary. Control bytes
 * in the result are replaced by '?'. ${fail} may be NULL.
 * Returns -1 always, so that a function can `return fail_set(…)`.
 */
int fail_set(struct fail *fail, enum fail_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
