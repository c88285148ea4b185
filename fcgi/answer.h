/*
 * Answers as text: CGI header fields, an empty line, the JSON envelope.
 */
#ifndef FCGI_ANSWER_H
#define FCGI_ANSWER_H

#include <stdbool.h>

#include "common/fail.h"

struct buf;
struct json;

#define ANSWER_MAX (16 * 1024) /* bytes of header fields and body */
#define ANSWER_HEAD_MAX 512    /* of these, for the header fields */

/* What goes into the header beside the status. */
struct answer_head {
	const char *id;    /* X-Request-Id */
	const char *allow; /* the value of Allow, sent with 405 */
	bool only;         /* the request was HEAD: no body follows */
};

/* The HTTP status that belongs to ${kind}; 200 for FAIL_NONE. */
int answer_status(enum fail_kind kind);

/* Appends the error answer for ${fail} to ${out}; it is always complete. */
void answer_fail(const struct answer_head *head, const struct fail *fail,
    struct buf *out);

/*
 * Appends {"code":0,"msg":"success"} and its header to ${out}.
 * Returns 0, or -1 with ${out} unchanged when there is no memory.
 */
int answer_success(const struct answer_head *head, struct buf *out)
    __attribute__((warn_unused_result));

/*
 * The same with "data"; takes ${data}, and fails too if that is NULL or
 * incomplete for want of memory.
 */
int answer_success_with(const struct answer_head *head, struct json *data,
    struct buf *out) __attribute__((warn_unused_result));

#endif
