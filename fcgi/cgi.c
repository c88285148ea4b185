#define _GNU_SOURCE /* pipe2(2) */
#include <errno.h>
#include <fcntl.h>
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

#define REST_MS 50 /* between two looks whether all is done */

struct cgi {
	struct exchange exchange;
	int status;
	int parent; /* a pipe to the process that the web server waits for, -1 */
	struct loop_timer rest_timer;
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

/*
 * Lets the web server go: what it waits for ends, and all pipes to it. With
 * Apache's mod_cgid standard input and output are one socket.
 */
static void
release_parent(struct cgi *cgi)
{
	char status = (char)cgi->status;
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null != -1) {
		dup2(null, STDIN_FILENO); /* mod_cgid's is the same socket */
		dup2(null, STDOUT_FILENO);
		/* mod_cgi reads it to its end; not when it has left. */
		if (cgi->status == 0)
			dup2(null, STDERR_FILENO);
		close(null);
	}
	(void)!write(cgi->parent, &status, 1);
	close(cgi->parent);
	cgi->parent = -1;
}

/* The answer is out; what is still under way at Agora is brought to its end. */
static void
end_at_rest(struct cgi *cgi)
{
	struct service *service = cgi->exchange.service;

	if (service_at_rest(service) ||
	    loop_timer_set(service->loop, &cgi->rest_timer, REST_MS) == -1)
		loop_stop(service->loop);
}

static void
look_whether_done(struct loop_timer *timer)
{
	end_at_rest(LOOP_OWNER(timer, struct cgi, rest_timer));
}

static bool
cgi_send(struct exchange *exchange, const char *answer, size_t len)
{
	struct cgi *cgi = LOOP_OWNER(exchange, struct cgi, exchange);

	if (write_answer(answer, len) == -1)
		cgi->status = 1;
	if (cgi->parent != -1)
		release_parent(cgi);
	end_at_rest(cgi);
	return cgi->status == 0;
}

/* Waits for the child's answer, and ends with its status. */
static void
wait_for_answer(int child)
{
	char status;
	ssize_t got;

	close(STDIN_FILENO);
	close(STDOUT_FILENO);
	do {
		got = read(child, &status, 1);
	} while (got == -1 && errno == EINTR);
	_exit(got == 1 ? status : 1);
}

/*
 * Web servers wait for the process they started, and kill it when they are
 * through with the request. Work that goes on after the answer is therefore
 * done by a child in a session of its own.
 * Returns, in the child, a pipe to the waiting parent, or -1: one process
 * must do.
 */
static int
detach(void)
{
	int ends[2];
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) == -1)
		return -1;
	pid = fork();
	if (pid > 0) {
		close(ends[1]);
		wait_for_answer(ends[0]);
	}
	close(ends[0]);
	if (pid == 0 && setsid() != -1)
		return ends[1];
	close(ends[1]);
	return -1;
}

void
cgi_refuse(struct service *service, const struct fail *fail)
{
	char text[EXCHANGE_REFUSAL_SIZE];
	struct buf answer = BUF_IN(text);

	exchange_refuse(service, fail, &answer);
	(void)write_answer(buf_str(&answer), answer.len);
}

int
cgi_serve(struct service *service, char **environment)
{
	struct cgi cgi = { .exchange.service = service,
		.exchange.send = cgi_send,
		.rest_timer.expired = look_whether_done,
		.parent = service->endpoint->lingers ? detach() : -1 };
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
