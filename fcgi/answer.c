#include <stddef.h>

#include "common/buf.h"
#include "common/json_write.h"
#include "fcgi/answer.h"

/* The one place where a kind of failure becomes an HTTP status. */
static const struct status {
	enum fail_kind kind;
	int code;
	const char *reason; /* of the status line */
	const char *msg;    /* of the envelope */
} statuses[] = {
	{ FAIL_NONE, 200, "OK", "success" },
	{ FAIL_BAD_INPUT, 400, "Bad Request", "invalid request" },
	{ FAIL_UNAUTHORIZED, 401, "Unauthorized", "unauthorized" },
	{ FAIL_FORBIDDEN, 403, "Forbidden", "forbidden" },
	{ FAIL_NOT_FOUND, 404, "Not Found", "not found" },
	{ FAIL_METHOD, 405, "Method Not Allowed", "method not allowed" },
	{ FAIL_TOO_LARGE, 413, "Content Too Large", "request too large" },
	{ FAIL_MEDIA_TYPE, 415, "Unsupported Media Type",
	    "unsupported media type" },
	{ FAIL_LIMIT, 429, "Too Many Requests", "too many requests" },
	{ FAIL_HEAD_LARGE, 431, "Request Header Fields Too Large",
	    "request header too large" },
	{ FAIL_GONE, 499, "Client Closed Request", "client left" },
	{ FAIL_BUSY, 500, "Internal Server Error", "busy" },
	{ FAIL_CONFIG, 500, "Internal Server Error", "not configured" },
	{ FAIL_UPSTREAM, 500, "Internal Server Error", "agora call failed" },
	{ FAIL_INTERNAL, 500, "Internal Server Error", "internal error" },
};

static const struct status *
status_of(enum fail_kind kind)
{
	size_t i, count = sizeof(statuses) / sizeof(statuses[0]);

	for (i = 0; i < count; i++)
		if (statuses[i].kind == kind)
			return &statuses[i];
	return &statuses[count - 1];
}

int
answer_status(enum fail_kind kind)
{
	return status_of(kind)->code;
}

/*
 * Where a body is put together: one at a time, and without asking for memory,
 * which may have run out. None is too long for it.
 */
static struct buf
body_buf(void)
{
	static char bytes[ANSWER_MAX - ANSWER_HEAD_MAX + 1];

	return (struct buf)BUF_IN(bytes);
}

/* ${retry_after} is in seconds, 0: not known. */
static void
format(const struct answer_head *head, const struct status *status,
    int retry_after, const struct buf *body, struct buf *out)
{
	buf_format(out,
	    "Status: %d %s\r\n"
	    "Content-Type: application/json\r\n"
	    "Content-Length: %zu\r\n"
	    "Cache-Control: no-store\r\n"
	    "X-Request-Id: %s\r\n",
	    status->code, status->reason, body->len, head->id);
	if (status->kind == FAIL_METHOD)
		buf_format(out, "Allow: %s\r\n", head->allow);
	if (status->kind == FAIL_UNAUTHORIZED)
		buf_text(out, "WWW-Authenticate: Bearer\r\n");
	if (retry_after > 0)
		buf_format(out, "Retry-After: %d\r\n", retry_after);
	buf_text(out, "\r\n");
	if (!head->only)
		buf_add(out, body->data, body->len);
}

static void
format_fail(const struct fail *fail, const struct status *status,
    const char *id, struct buf *body)
{
	json_write_open(body, NULL);
	json_write_int(body, "code", status->code);
	json_write_text(body, "msg", status->msg);
	json_write_text(body, "detail", fail->text);
	json_write_text(body, "request_id", id);
	if (fail->upstream_status != 0) {
		json_write_open(body, "upstream");
		json_write_int(body, "status", fail->upstream_status);
		json_write_text(body, "reason", fail->upstream_reason);
		json_write_close(body);
	}
	json_write_close(body);
}

void
answer_fail(const struct answer_head *head, const struct fail *fail,
    struct buf *out)
{
	const struct status *status = status_of(fail->kind);
	struct buf body = body_buf();

	format_fail(fail, status, head->id, &body);
	format(head, status, fail->retry_after, &body, out);
	buf_free(&body);
}

void
answer_success(const struct answer_head *head, const struct buf *data,
    struct buf *out)
{
	struct buf body = body_buf();

	json_write_open(&body, NULL);
	json_write_int(&body, "code", 0);
	json_write_text(&body, "msg", "success");
	if (data != NULL)
		json_write_json(&body, "data", data);
	json_write_close(&body);
	format(head, status_of(FAIL_NONE), 0, &body, out);
	buf_free(&body);
}
