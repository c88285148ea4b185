/*
 * FastCGI records, seen from outside: is a whole request there yet, and is it
 * one that libfcgi can be trusted with? (FastCGI specification, 3 and 5.)
 *
 * libfcgi reads with blocking calls, believes declared lengths and overflows
 * its stack on crowded management records; it is only given bytes that have
 * all arrived and passed this check.
 */
#ifndef FCGI_RECORD_H
#define FCGI_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RECORD_HEAD_MAX (64 * 1024) /* bytes of PARAMS */
#define RECORD_BODY_MAX (16 * 1024) /* bytes of STDIN */

/* Bytes to look at: head, body, and room for their record headers. */
#define RECORD_REQUEST_MAX (RECORD_HEAD_MAX + RECORD_BODY_MAX + 16 * 1024)

enum record_verdict {
	RECORD_MORE,       /* fine so far, not all here */
	RECORD_WHOLE,      /* one request, complete */
	RECORD_BODY_LARGE, /* PARAMS complete, STDIN passes RECORD_BODY_MAX */
	RECORD_HEAD_LARGE, /* PARAMS pass RECORD_HEAD_MAX */
	RECORD_BAD,        /* not a request to a responder, or aborted */
};

struct record_request {
	uint16_t id;
	size_t len; /* with RECORD_WHOLE: bytes of the request */
};

/*
 * Looks at the ${len} bytes that have arrived on a connection. Of a request
 * that does not fit RECORD_REQUEST_MAX because it is cut into many small
 * records, the part that grew too large decides the verdict.
 * ${request}->id is set whenever the verdict is neither MORE nor BAD.
 */
enum record_verdict record_check(const uint8_t *bytes, size_t len,
    struct record_request *request);

#define RECORD_HEADER_SIZE 8

/* Answers whether the record with that header is ABORT_REQUEST (5.4). */
bool record_aborts(const uint8_t header[static RECORD_HEADER_SIZE]);

#define RECORD_ANSWER_MAX 65535 /* bytes */
#define RECORD_BEFORE_SIZE 8    /* bytes of records before an answer */
#define RECORD_AFTER_SIZE 24    /* and behind it */

/*
 * Makes the records that turn ${len} bytes of text, RECORD_ANSWER_MAX at most,
 * into the whole answer to the request ${id}: ${before} is the header of
 * STDOUT; ${after} the end of STDOUT, and END_REQUEST.
 */
void record_enclose(uint16_t id, size_t len,
    uint8_t before[static RECORD_BEFORE_SIZE],
    uint8_t after[static RECORD_AFTER_SIZE]);

#endif
