/*
 * One request and its answer, whatever it came over.
 */
#ifndef FCGI_EXCHANGE_H
#define FCGI_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct buf;
struct endpoint;
struct fail;
struct json;
struct service;
struct settings;

#define EXCHANGE_ID_SIZE 65     /* bytes, with the NUL */
#define EXCHANGE_RANDOM_SIZE 32 /* random bytes that come with a request */

/* How long a request may take to arrive, whatever it comes over. */
#define EXCHANGE_SILENCE_MS 5000           /* between two bytes of it */
#define EXCHANGE_ARRIVAL_MS 30000          /* from the first byte to the last */
#define EXCHANGE_DISCARD_MAX (1024 * 1024) /* bytes of a body that is refused */

struct request {
	const char *method;
	const char *query; /* "" if there is none */
	const char *body;  /* NUL at body[body_len]; until serve() returns */
	size_t body_len;
	const char *peer;          /* the client's address, "" if not known */
	const char *token;         /* that the client showed, "" if none */
	char id[EXCHANGE_ID_SIZE]; /* the web server's, or a random one */
	int64_t now;               /* seconds since 1970, when it had arrived */
	uint8_t random[EXCHANGE_RANDOM_SIZE];
};

struct exchange {
	struct service *service;
	struct request request;
	int64_t started;  /* monotonic us */
	int64_t agora_us; /* so long it waited for Agora; the endpoint's */

	/*
	 * The transport's: sends the ${len} bytes of a CGI answer (header
	 * fields, empty line, body) and ends the exchange, which must not be
	 * touched afterwards. Returns whether somebody took it.
	 */
	bool (*send)(struct exchange *exchange, const char *answer, size_t len);

	/*
	 * The transport's: whether the client has left, as far as one can know.
	 * NULL: one cannot.
	 */
	bool (*gone)(struct exchange *exchange);

	/* The endpoint's; see exchange_on_leaving(). */
	void (*leaving)(void *arg);
	void *leaving_arg;
};

/* What a transport found out about a request's body. */
struct exchange_body {
	const char *data; /* NUL at data[len] */
	size_t len;
	bool too_large; /* over the limit; data is not there */
	bool broken;    /* the connection ended inside it */
};

/*
 * Runs a request: ${params} are CGI variables, "NAME=value", NULL at the end.
 * Checks method, size, content length and type, hands the request to the
 * endpoint, and writes its line of log when it was answered.
 * The caller has set service and send.
 */
void exchange_run(struct exchange *exchange, char **params,
    const struct exchange_body *body);

/*
 * The settings for this request, or NULL with ${fail} set to FAIL_CONFIG when
 * they are not usable. Valid until serve() returns, unless shared.
 */
struct settings *exchange_settings(const struct exchange *exchange,
    struct fail *fail);

/*
 * The request's body as a JSON object, which the caller frees, or NULL with
 * ${fail} set to FAIL_BAD_INPUT. Only while serve() runs.
 */
struct json *exchange_json(const struct exchange *exchange, struct fail *fail);

/* Answers whether the client has left already, as far as one can know. */
bool exchange_gone(struct exchange *exchange);

/*
 * Has ${leaving} called with ${arg}, at most once, if the client leaves before
 * it is answered. The exchange must still be answered.
 */
void exchange_on_leaving(struct exchange *exchange, void (*leaving)(void *arg),
    void *arg);

/*
 * For transports: the client has left. ${exchange} may be over afterwards.
 */
void exchange_client_left(struct exchange *exchange);

/* Answers 200 {"code":0,"msg":"success"}. The exchange is over. */
void exchange_succeed(struct exchange *exchange);

/*
 * The same with "data": JSON, written with json_write_…() into at most
 * ANSWER_DATA_MAX bytes; what did not fit is answered with 500. The exchange
 * is over. Returns whether the client was told of the success.
 */
bool exchange_succeed_with(struct exchange *exchange, const struct buf *data);

/* Answers with the status that belongs to ${fail}. The exchange is over. */
void exchange_fail(struct exchange *exchange, const struct fail *fail);

#define EXCHANGE_REFUSAL_SIZE 1024 /* bytes that do for one */

/*
 * Refuses, without an exchange, a request that never became one: appends the
 * answer to ${out} and writes the line of log.
 */
void exchange_refuse(struct service *service, const struct fail *fail,
    struct buf *out);

#endif
