#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/secret.h"

#define FIRST_SIZE 64 /* bytes of the first allocation, with the NUL */

/*
 * Moves the content to a block of ${size} bytes. Not by realloc(3), which
 * would leave a copy behind that nobody wipes.
 */
static int
move(struct buf *buf, size_t size)
{
	char *data = malloc(size);

	if (data == NULL)
		return -1;
	if (buf->len > 0)
		memcpy(data, buf->data, buf->len);
	secret_wipe(buf->data, buf->size);
	free(buf->data);
	buf->data = data;
	buf->size = size;
	return 0;
}

/* Makes room for ${extra} more bytes and the NUL, or marks the buffer. */
static bool
reserve(struct buf *buf, size_t extra)
{
	size_t size = buf->size > 0 ? buf->size : FIRST_SIZE;
	size_t need;

	if (buf->failed)
		return false;
	if (extra > buf->max - buf->len ||
	    extra > SIZE_MAX / 2 - buf->len - 1) {
		buf->failed = true;
		buf->full = true;
		return false;
	}
	need = buf->len + extra + 1;
	while (size < need)
		size *= 2;
	if (size > buf->size && move(buf, size) == -1)
		buf->failed = true;
	return !buf->failed;
}

void
buf_add(struct buf *buf, const void *data, size_t len)
{
	if (len == 0 || !reserve(buf, len))
		return;
	memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	buf->data[buf->len] = '\0';
}

void
buf_text(struct buf *buf, const char *text)
{
	buf_add(buf, text, strlen(text));
}

void
buf_format(struct buf *buf, const char *format, ...)
{
	va_list args;
	size_t room;
	int len;

	if (!reserve(buf, 0))
		return;
	room = buf->size - buf->len;
	va_start(args, format);
	len = vsnprintf(buf->data + buf->len, room, format, args);
	va_end(args);
	if (len < 0)
		buf->failed = true;
	if (len < 0 || !reserve(buf, (size_t)len)) {
		secret_wipe(buf->data + buf->len, room); /* what did fit */
		return;
	}
	if ((size_t)len >= room) {
		va_start(args, format);
		vsnprintf(buf->data + buf->len, (size_t)len + 1, format, args);
		va_end(args);
	}
	buf->len += (size_t)len;
}

bool
buf_failed(const struct buf *buf)
{
	return buf->failed;
}

const char *
buf_str(const struct buf *buf)
{
	return buf->len > 0 ? buf->data : "";
}

void
buf_reset(struct buf *buf)
{
	buf->len = 0;
	buf->failed = false;
	buf->full = false;
	if (buf->data != NULL)
		buf->data[0] = '\0';
}

char *
buf_take(struct buf *buf)
{
	char *data;

	if (buf->failed || buf->len == 0) {
		buf_free(buf);
		return NULL;
	}
	data = buf->data;
	*buf = (struct buf)BUF(buf->max);
	return data;
}

void
buf_free(struct buf *buf)
{
	if (buf == NULL)
		return;
	if (buf->fixed) {
		secret_wipe(buf->data, buf->len);
		buf_reset(buf);
		return;
	}
	secret_wipe(buf->data, buf->size);
	free(buf->data);
	*buf = (struct buf)BUF(buf->max);
}
