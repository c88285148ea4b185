/*
 * A connection's bytes through record.c, connection.c and the real libfcgi.
 * What the endpoint is given is compared with what a second, simple reader of
 * the same bytes makes of them: were libfcgi to see another request than
 * record.c has checked, that would be request smuggling.
 *
 * Input: a byte of flags (1: the web server stays connected, 2: the endpoint
 * answers later, 4: with an error, 8: the process is told to stop meanwhile,
 * 16: the bytes come in two parts), then the bytes.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/fail.h"
#include "common/loop.h"
#include "common/settings.h"
#include "fcgi/connection.h"
#include "fcgi/endpoint.h"
#include "fcgi/exchange.h"
#include "fcgi/params.h"
#include "fcgi/service.h"
#include "world.h"

#define LATER_MS 50
#define SENT_MAX (64 * 1024) /* bytes that fit a socket's buffer */

enum { BEGIN = 1, END = 3, PARAMS = 4, STDIN = 5, STDOUT = 6 };

/* A request as the second reader sees it. */
struct reading {
	uint16_t id;
	uint8_t params[SENT_MAX], body[SENT_MAX];
	size_t params_len, body_len;
};

static struct service service;
static struct connections connections;
static const uint8_t *sent; /* the bytes from the web server */
static size_t sent_len, sent_at;
static unsigned int flags, served;

/* Takes the next record of ours off what was sent. Returns its type. */
static uint8_t
next_record(struct reading *reading, const uint8_t **content, size_t *len)
{
	const uint8_t *header;
	uint16_t id;

	do {
		CHECK(sent_len - sent_at >= 8);
		header = sent + sent_at;
		id = (uint16_t)(header[2] << 8 | header[3]);
		*len = (size_t)header[4] << 8 | header[5];
		*content = header + 8;
		CHECK(sent_len - sent_at >= 8 + *len + header[6]);
		sent_at += 8 + *len + header[6];
		if (reading->id == 0)
			reading->id = id;
	} while (id != reading->id);
	return header[1];
}

static void
read_stream(struct reading *reading, uint8_t type, uint8_t *bytes,
    size_t *bytes_len)
{
	const uint8_t *content;
	size_t len;

	do {
		CHECK(next_record(reading, &content, &len) == type);
		memcpy(bytes + *bytes_len, content, len);
		*bytes_len += len;
	} while (len > 0);
}

/* Reads a length of a name-value pair. */
static size_t
pair_length(const struct reading *reading, size_t *at)
{
	const uint8_t *bytes = reading->params + *at;
	size_t left = reading->params_len - *at;

	CHECK(left >= 1);
	if (bytes[0] < 0x80) {
		*at += 1;
		return bytes[0];
	}
	CHECK(left >= 4);
	*at += 4;
	return (size_t)(bytes[0] & 0x7f) << 24 | (size_t)bytes[1] << 16 |
	    (size_t)bytes[2] << 8 | bytes[3];
}

/* The variables are the pairs, in their order, behind libfcgi's own. */
static void
compare_params(const struct reading *reading, char **params)
{
	size_t at = 0, name, value;

	CHECK(strcmp(*params++, "FCGI_ROLE=RESPONDER") == 0);
	for (; at < reading->params_len; params++) {
		name = pair_length(reading, &at);
		value = pair_length(reading, &at);
		CHECK(name + value <= reading->params_len - at);
		CHECK(*params != NULL);
		CHECK(memcmp(*params, reading->params + at, name) == 0);
		CHECK((*params)[name] == '=');
		CHECK(memcmp(*params + name + 1, reading->params + at + name,
			  value) == 0);
		CHECK((*params)[name + 1 + value] == '\0');
		at += name + value;
	}
	CHECK(*params == NULL);
}

void __real_exchange_run(struct exchange *exchange, char **params,
    const struct exchange_body *body);
void __wrap_exchange_run(struct exchange *exchange, char **params,
    const struct exchange_body *body);

/* Between connection.c and exchange.c: here requests are compared. */
void
__wrap_exchange_run(struct exchange *exchange, char **params,
    const struct exchange_body *body)
{
	static struct reading reading;
	const uint8_t *content;
	size_t len;

	reading = (struct reading){ 0 };
	CHECK(next_record(&reading, &content, &len) == BEGIN);
	CHECK(len == 8 && content[0] == 0 && content[1] == 1);
	read_stream(&reading, PARAMS, reading.params, &reading.params_len);
	compare_params(&reading, params);
	if (!body->too_large) {
		read_stream(&reading, STDIN, reading.body, &reading.body_len);
		CHECK(!body->broken);
		CHECK(body->len == reading.body_len);
		CHECK(memcmp(body->data, reading.body, body->len) == 0);
		CHECK(body->data[body->len] == '\0');
	}
	served++;
	__real_exchange_run(exchange, params, body);
}

static struct late {
	struct loop_timer timer;
	struct exchange *exchange;
} late;

static void
finish(struct exchange *exchange)
{
	static const struct fail fail = { .kind = FAIL_UPSTREAM,
		.text = "no",
		.upstream_status = 503 };
	char bytes[8];
	struct buf data = BUF_IN(bytes);

	buf_text(&data, "{}");
	if (flags & 4)
		exchange_fail(exchange, &fail);
	else
		exchange_succeed_with(exchange, &data);
}

static void
finish_late(struct loop_timer *timer)
{
	finish(LOOP_OWNER(timer, struct late, timer)->exchange);
}

static void
serve(struct exchange *exchange, struct agora *none)
{
	(void)none;
	late.exchange = exchange;
	late.timer.expired = finish_late;
	if (flags & 2)
		CHECK(loop_timer_set(service.loop, &late.timer, LATER_MS) == 0);
	else
		finish(exchange);
}

static const struct endpoint endpoint = {
	.name = "fuzz",
	.summary = "answers anything",
	.method = "POST",
	.text_plain = true,
	.serve = serve,
};

static void
none_left(struct connections *all)
{
	(void)all;
	loop_stop(service.loop);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char no_settings[32];
	struct fail fail = { 0 };

	(void)argc;
	(void)argv;
	world_reset();
	snprintf(no_settings, sizeof(no_settings), "/proc/self/fd/%d",
	    world_file(-1));
	setenv("AGORA_ENV_FILE", no_settings, 1);
	CHECK(service_open(&service, &endpoint, &fail) == 0);
	CHECK(connections_init() == 0);
	return 0;
}

/* What the web server does, by the clock. */
static struct web_server {
	struct loop_timer rest, stop, leave;
	int fd;
	size_t put; /* bytes it has sent */
} web;

static void
put(size_t len)
{
	ssize_t n = write(web.fd, sent + web.put, len);

	web.put += n > 0 ? (size_t)n : 0;
}

static void
put_rest(struct loop_timer *timer)
{
	(void)timer;
	put(sent_len - web.put);
	sent_len = web.put; /* less, if the buffer is full or nobody is there */
	if (!(flags & 1))
		shutdown(web.fd, SHUT_WR);
}

static void
stop(struct loop_timer *timer)
{
	(void)timer;
	connections_stop(&connections);
}

static void
leave(struct loop_timer *timer)
{
	(void)timer;
	shutdown(web.fd, SHUT_RDWR);
}

static int
web_server_start(void)
{
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		  pair) == 0);
	web = (struct web_server){ .fd = pair[0],
		.rest.expired = put_rest,
		.stop.expired = stop,
		.leave.expired = leave };
	if (flags & 16) {
		put(sent_len / 2);
		CHECK(loop_timer_set(service.loop, &web.rest, 10) == 0);
	} else {
		put_rest(&web.rest);
	}
	if (flags & 8)
		CHECK(loop_timer_set(service.loop, &web.stop, 20) == 0);
	CHECK(loop_timer_set(service.loop, &web.leave, 100000) == 0);
	return pair[1];
}

/* What came back are whole records, and an end for every request. */
static void
check_answers(void)
{
	static uint8_t bytes[2 * SENT_MAX];
	unsigned int ends = 0;
	ssize_t got = 0, n;
	size_t at = 0, len;

	do {
		n = read(web.fd, bytes + got, sizeof(bytes) - (size_t)got);
		got += n > 0 ? n : 0;
	} while (n > 0);
	for (len = (size_t)got; at < len;) {
		CHECK(len - at >= 8 && bytes[at] == 1);
		CHECK(bytes[at + 1] == STDOUT || bytes[at + 1] == END);
		ends += bytes[at + 1] == END;
		at += 8u + ((size_t)bytes[at + 4] << 8 | bytes[at + 5]) +
		    bytes[at + 6];
		CHECK(at <= len);
	}
	CHECK(ends >= served);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0 || size > SENT_MAX)
		return 0;
	world_reset();
	flags = *data;
	sent = data + 1;
	sent_len = size - 1;
	sent_at = 0;
	served = 0;
	connections =
	    (struct connections){ .service = &service, .none_left = none_left };
	connection_open(&connections, web_server_start());
	CHECK(loop_run(service.loop) == 0);
	CHECK(connections.first == NULL);
	loop_timer_clear(service.loop, &web.rest);
	loop_timer_clear(service.loop, &web.stop);
	loop_timer_clear(service.loop, &web.leave);
	check_answers();
	close(web.fd);
	return 0;
}
