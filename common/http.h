/*
 * One bounded HTTPS request at a time or thousands, on a loop: curl_multi's
 * socket interface. The only user of libcurl.
 *
 * Nailed down: https unless it is said otherwise, redirects not followed, peer
 * and host verified, TLS 1.2 or newer, no proxy, no .netrc, no content decoding,
 * HTTP/2 where offered, answer of at most HTTP_BODY_MAX bytes and
 * HTTP_HEADERS_MAX headers.
 */
#ifndef COMMON_HTTP_H
#define COMMON_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fail;
struct http;
struct loop;

#define HTTP_BODY_MAX 65536  /* bytes of an answer */
#define HTTP_HEADERS_MAX 100 /* headers of an answer */
#define HTTP_HEADER_MAX 8192 /* bytes of one */
#define HTTP_CONNECT_MS 3000 /* DNS, connect and TLS together */

/* Where an exchange stopped, and so what may have happened at the other end. */
enum http_outcome {
	HTTP_ANSWERED,  /* a whole answer: status, body */
	HTTP_NOT_SENT,  /* DNS, connect, TLS handshake: nothing was sent */
	HTTP_UNTRUSTED, /* certificate does not verify: nothing was sent */
	HTTP_BROKEN,    /* sent, then reset, cut, timed out, or not HTTP */
	HTTP_TOO_LARGE, /* sent, and the answer passes a limit above */
	HTTP_NO_MEMORY, /* not sent */
};

struct http_request {
	const char *method; /* "GET", "POST" or "OPTIONS" */
	const char *url;
	const char *authorization; /* value of that header, or NULL */
	const char *content_type;  /* or NULL */
	const char *body;          /* or NULL: no body */
	size_t body_len;
	const char *ca_file; /* PEM to trust, NULL or "": the system's */
	int64_t timeout_ms;  /* for the whole exchange */
	/* On a connection of its own: libcurl then never sends it twice. */
	bool fresh;
	/* "http://" will do, too: the web server of a site, not Agora. */
	bool plain;
	const char *const
	    *headers; /* "Name: value", …, NULL; or NULL: no more */
};

struct http_result {
	enum http_outcome outcome;
	int status; /* 200..599 with HTTP_ANSWERED, else 0 */
	/* If answered, or what came before it was too large; NUL behind it. */
	const char *body;
	size_t body_len;
	int64_t retry_after; /* seconds, or -1: absent or nonsense */
	int64_t date;        /* Date, seconds since 1970, or -1 */
	/*
	 * libcurl sent it a second time: the reused connection died before the
	 * answer began, perhaps after the server had done what was asked.
	 */
	bool resent;
	/* Agora-Request-Id or X-Request-Id, [A-Za-z0-9._-] only, or "". */
	char request_id[65];
	/* libcurl's words for the log, without URL, query or header. */
	char error[160];
	const void *head; /* for http_header() */
};

/*
 * The client of this process. Sets RES_OPTIONS for short DNS limits before
 * libcurl starts, so call it before any thread exists.
 * Returns NULL with ${fail} set to FAIL_INTERNAL; also when this libcurl
 * lacks something that is nailed down, which is tried here once.
 */
struct http *http_new(struct loop *loop, struct fail *fail);

/*
 * Ends all transfers without calling their done(). Not to be called from a
 * done(). NULL is fine.
 */
void http_free(struct http *http);

/*
 * Starts ${request}; everything it points to is copied. ${done} is called
 * exactly once, from the loop, never before http_start() returned; ${result}
 * is valid during that call.
 * Returns 0, or -1 with ${fail} set to FAIL_INTERNAL and ${done} never called:
 * memory ran out, the method is another one, or a header is longer than
 * HTTP_HEADER_MAX.
 */
int http_start(struct http *http, const struct http_request *request,
    void (*done)(void *arg, const struct http_result *result), void *arg,
    struct fail *fail) __attribute__((warn_unused_result));

/*
 * During done(): the value of the answer's ${i}th header ${name}, from 0,
 * borrowed until the next call. NULL past the last one, or if not answered.
 */
const char *http_header(const struct http_result *result, const char *name,
    size_t i);

#endif
