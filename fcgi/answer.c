#include <stddef.h>

#include "common/buf.h"
#include "common/json.h"
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
 * which may have run out.
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
	struct json *envelope = json_new_object();
	struct json *upstream;

	json_put_int(envelope, "code", status->code);
	json_put_text(envelope, "msg", status->msg);
	json_put_text(envelope, "detail", fail->text);
	json_put_text(envelope, "request_id", id);
	if (fail->upstream_status != 0) {
		upstream = json_new_object();
		json_put_int(upstream, "status", fail->upstream_status);
		json_put_text(upstream, "reason", fail->upstream_reason);
		json_put(envelope, "upstream", upstream);
	}
	json_print(envelope, body);
	json_free(envelope);
}

void
answer_fail(const struct answer_head *head, const struct fail *fail,
    struct buf *out)
{
	const struct status *status = status_of(fail->kind);
	struct buf body = body_buf();

	format_fail(fail, status, head->id, &body);
	if (buf_failed(&body)) {
		/* Out of memory: what needs next to none. */
		buf_reset(&body);
		buf_format(&body,
		    "{\"code\":%d,\"msg\":\"%s\",\"detail\":\"%s\"}",
		    status->code, status->msg, status->msg);
	}
	format(head, status, fail->retry_after, &body, out);
	buf_free(&body);
}

static struct json *
success(void)
{
	struct json *envelope = json_new_object();

	json_put_int(envelope, "code", 0);
	json_put_text(envelope, "msg", "success");
	return envelope;
}

/* Takes ${envelope}. */
static int
format_success(const struct answer_head *head, struct json *envelope,
    struct buf *out)
{
	struct buf body = body_buf();
	int rc = -1;

	json_print(envelope, &body);
	json_free(envelope);
	if (!buf_failed(&body)) {
		format(head, status_of(FAIL_NONE), 0, &body, out);
		rc = 0;
	}
	buf_free(&body);
	return rc;
}

int
answer_success(const struct answer_head *head, struct buf *out)
{
	return format_success(head, success(), out);
}

int
answer_success_with(const struct answer_head *head, struct json *data,
    struct buf *out)
{
	struct json *envelope = success();

	json_put(envelope, "data", data);
	return format_success(head, envelope, out);
}
