#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/fail.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/num.h"
#include "common/secret.h"
#include "common/sys.h"
#include "fcgi/cgi.h"
#include "fcgi/endpoint.h"
#include "fcgi/exchange.h"
#include "fcgi/params.h"
#include "fcgi/record.h"
#include "fcgi/service.h"

struct cgi {
	struct exchange exchange;
	int status;
};

/* Waits for input until the monotonic time ${deadline}. */
static bool
input_comes(int64_t deadline)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	int64_t left = deadline - sys_monotonic_ms();

	if (left > EXCHANGE_SILENCE_MS)
		left = EXCHANGE_SILENCE_MS;
	return left > 0 && poll(&input, 1, (int)left) > 0;
}

/*
 * Reads up to ${size} bytes of standard input.
 * Returns how many there were before its end, or -1.
 */
static ssize_t
read_input(char *bytes, size_t size, int64_t deadline)
{
	size_t used = 0;
	ssize_t got;

	while (used < size) {
		if (!input_comes(deadline))
			return -1;
		got = read(STDIN_FILENO, bytes + used, size - used);
		if (got == -1 && errno == EINTR)
			continue;
		if (got == -1)
			return -1;
		if (got == 0)
			break;
		used += (size_t)got;
	}
	return (ssize_t)used;
}

/* A web server that is still writing would report a broken pipe. */
static void
discard_input(int64_t deadline)
{
	char scrap[8192];
	size_t total = 0;
	ssize_t got;

	while (total < EXCHANGE_DISCARD_MAX &&
	    (got = read_input(scrap, sizeof(scrap), deadline)) > 0)
		total += (size_t)got;
}

/*
 * Without CONTENT_LENGTH there is no body (RFC 3875 4.1.2), but Apache leaves
 * it out for a chunked POST, whose body ends with standard input.
 */
static void
read_body(char bytes[static RECORD_BODY_MAX + 1], struct exchange_body *body,
    const char *declared, bool post)
{
	int64_t deadline = sys_monotonic_ms() + EXCHANGE_ARRIVAL_MS;
	size_t want = RECORD_BODY_MAX + 1;
	int64_t length = 0;
	ssize_t got;

	body->data = bytes;
	if (declared != NULL &&
	    num_parse(declared, 0, INT64_MAX, &length) == -1)
		return; /* exchange_run() says so */
	if (declared != NULL && (uint64_t)length < want)
		want = (size_t)length;
	if (declared == NULL && !post)
		return;
	got = read_input(bytes, want, deadline);
	body->broken = got == -1;
	body->too_large = got > RECORD_BODY_MAX;
	body->len = got > 0 && !body->too_large ? (size_t)got : 0;
	bytes[body->len] = '\0';
	if (body->too_large)
		discard_input(deadline);
}

/* Returns 0, or -1 when nobody is there to read. */
static int
write_answer(const char *answer, size_t len)
{
	ssize_t put;

	while (len > 0) {
		put = write(STDOUT_FILENO, answer, len);
		if (put == -1 && errno == EINTR)
			continue;
		if (put == -1) {
			log_info("cgi: the web server left before the answer");
			return -1;
		}
		answer += put;
		len -= (size_t)put;
	}
	return 0;
}

static void
cgi_send(struct exchange *exchange, const char *answer, size_t len)
{
	struct cgi *cgi = LOOP_OWNER(exchange, struct cgi, exchange);

	if (write_answer(answer, len) == -1)
		cgi->status = 1;
	loop_stop(exchange->service->loop);
}

void
cgi_refuse(struct service *service, const struct fail *fail)
{
	char text[RECORD_ANSWER_MAX + 1];
	struct buf answer = BUF_IN(text);

	exchange_refuse(service, fail, &answer);
	(void)write_answer(buf_str(&answer), answer.len);
}

int
cgi_serve(struct service *service, char **environment)
{
	struct cgi cgi = { .exchange.service = service,
		.exchange.send = cgi_send };
	static char bytes[RECORD_BODY_MAX + 1];
	struct exchange_body body = { .data = "" };
	bool post = strcmp(service->endpoint->method, "POST") == 0;

	read_body(bytes, &body, params_get(environment, "CONTENT_LENGTH"),
	    post);
	exchange_run(&cgi.exchange, environment, &body);
	secret_wipe(bytes, body.len);
	if (loop_run(service->loop) == -1) {
		log_error("cgi: %s", strerror(errno));
		return 1;
	}
	return cgi.status;
}
