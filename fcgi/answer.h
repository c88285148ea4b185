/*
 * Answers as text: CGI header fields, an empty line, the JSON envelope.
 */
#ifndef FCGI_ANSWER_H
#define FCGI_ANSWER_H

#include <stdbool.h>

#include "common/fail.h"

struct buf;

#define ANSWER_MAX (16 * 1024) /* bytes of header fields and body */
#define ANSWER_HEAD_MAX 512    /* of these, for the header fields */
#define ANSWER_DATA_MAX 4096   /* and for the data of a success */

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
 * Appends {"code":0,"msg":"success"} and its header to ${out}, with "data" if
 * ${data} is not NULL: JSON of at most ANSWER_DATA_MAX bytes.
 */
void answer_success(const struct answer_head *head, const struct buf *data,
    struct buf *out);

#endif
