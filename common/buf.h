/*
 * A byte buffer with a ceiling from birth, which grows, or lies in memory of
 * the caller's. Errors are sticky: append freely, ask buf_failed() once.
 */
#ifndef COMMON_BUF_H
#define COMMON_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
	char *data; /* NUL after the last byte; NULL while empty */
	size_t len; /* bytes, without the NUL */
	size_t max; /* ceiling for len */
	size_t size;
	bool fixed; /* data is the caller's */
	bool failed;
	bool full; /* failed at the ceiling, not for want of memory */
};

/* An empty buffer for at most ${ceiling} bytes: struct buf b = BUF(64) */
#define BUF(ceiling)                                                           \
	{                                                                      \
		.max = (ceiling)                                               \
	}

/*
 * An empty buffer that fills ${array}, which outlives it, and so never runs
 * out of memory: static char bytes[64]; struct buf b = BUF_IN(bytes)
 */
#define BUF_IN(array)                                                          \
	{                                                                      \
		.data = (array), .max = sizeof(array) - 1,                     \
		.size = sizeof(array), .fixed = true                           \
	}

/* Append. Past the ceiling, or out of memory, the buffer is marked failed. */
void buf_add(struct buf *buf, const void *data, size_t len);
void buf_text(struct buf *buf, const char *text);
void buf_format(struct buf *buf, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* True when an append did not fit or memory ran out; the content is cut. */
bool buf_failed(const struct buf *buf);

/* The content as a C string, "" when empty. Valid until the next append. */
const char *buf_str(const struct buf *buf);

/* Forgets content and failure, keeps the memory and the ceiling. */
void buf_reset(struct buf *buf);

/*
 * Hands the content over; the caller frees it. The buffer is empty again.
 * Returns NULL when the buffer failed or is empty. Not for BUF_IN().
 */
char *buf_take(struct buf *buf);

/*
 * Wipes and releases the content; leaves an empty buffer (of BUF_IN() in the
 * same memory). NULL is fine.
 */
void buf_free(struct buf *buf);

#endif
