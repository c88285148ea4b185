#define _GNU_SOURCE /* POLLRDHUP */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <fcgiapp.h>

#include "common/buf.h"
#include "common/fail.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/secret.h"
#include "common/sys.h"
#include "fcgi/connection.h"
#include "fcgi/exchange.h"
#include "fcgi/record.h"
#include "fcgi/service.h"
#include "fcgi/signals.h"

#define STOP_FRESH_MS 250 /* for the first byte, when stopping */
#define STOP_REST_MS 2000 /* for the rest of a request, when stopping */
#define DISCARD_MS 2000   /* for the rest of a refused request */
#define SHED_COUNT 16     /* connections closed for want of descriptors */

enum state {
	ARRIVING,   /* fresh, or some of a request is there */
	PARKED,     /* kept after an answer, nothing has arrived */
	BUSY,       /* the endpoint has it */
	DISCARDING, /* refused before its end; what still comes is dropped */
};

struct connection {
	struct connections *all;
	struct connection *next, *prev;
	struct loop_watch watch;
	struct loop_timer timer;
	enum state state;
	size_t seen;        /* bytes of the request that had arrived */
	int64_t first_byte; /* monotonic ms, 0: none yet */
	bool ended;         /* the peer will send nothing more */

	/* Of the request being answered: */
	bool more;        /* something happened meanwhile: look again after */
	bool keep;        /* the connection may serve another one */
	bool refuse_rest; /* it was refused before its end */
	size_t discarded; /* bytes of that end */
	FCGX_Request fcgi;
	struct exchange exchange;
};

static void connection_look(struct connection *connection);

static struct loop *
loop_of(const struct connection *connection)
{
	return connection->all->service->loop;
}

int
connections_init(void)
{
	if (FCGX_Init() != 0)
		return -1;
	signals_ignore_pipe();
	return 0;
}

static void
connection_close(struct connection *connection)
{
	struct connections *all = connection->all;

	loop_unwatch(loop_of(connection), &connection->watch);
	loop_timer_clear(loop_of(connection), &connection->timer);
	close(connection->watch.fd);
	if (connection->prev != NULL)
		connection->prev->next = connection->next;
	else
		all->first = connection->next;
	if (connection->next != NULL)
		connection->next->prev = connection->prev;
	free(connection);
	if (all->first == NULL && all->none_left != NULL)
		all->none_left(all);
}

/* Closes the connection in ${ms} milliseconds unless told otherwise. */
static void
connection_limit(struct connection *connection, int64_t ms)
{
	if (loop_timer_set(loop_of(connection), &connection->timer, ms) == -1)
		connection_close(connection);
}

static void
connection_timed_out(struct loop_timer *timer)
{
	struct connection *connection =
	    LOOP_OWNER(timer, struct connection, timer);

	if (connection->state == ARRIVING && connection->seen > 0)
		log_info("fastcgi: closing a connection after %zu bytes of a "
			 "request",
		    connection->seen);
	connection_close(connection);
}

/* ---- refusing ---------------------------------------------------------- */

/*
 * Drops what a refused request still sends. Closing at once would reset the
 * connection, and the answer with it.
 */
static void
connection_discard(struct connection *connection)
{
	uint8_t scrap[16 * 1024];
	ssize_t got;

	while (
	    (got = recv(connection->watch.fd, scrap, sizeof(scrap), 0)) > 0) {
		connection->discarded += (size_t)got;
		if (connection->discarded > EXCHANGE_DISCARD_MAX)
			break;
	}
	if (got >= 0 || (errno != EAGAIN && errno != EINTR))
		connection_close(connection);
}

/* The answer is out, and the last one: the peer is told so. */
static void
connection_refuse_rest(struct connection *connection)
{
	shutdown(connection->watch.fd, SHUT_WR);
	connection->state = DISCARDING;
	connection->discarded = 0;
	if (loop_timer_set(loop_of(connection), &connection->timer,
		DISCARD_MS) == -1)
		connection_close(connection);
	else
		connection_discard(connection);
}

/*
 * Sends all of an answer, or fails: the socket's buffer has room for one. One
 * call, and none of libfcgi, whose stream would be 8 KiB for each request that
 * waits for Agora.
 */
static bool
send_answer(const struct connection *connection, uint16_t id,
    const char *answer, size_t len)
{
	uint8_t before[RECORD_BEFORE_SIZE], after[RECORD_AFTER_SIZE];
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): sendmsg(2) only reads */
	void *text = (void *)(uintptr_t)answer;
	struct iovec parts[] = { { before, sizeof(before) }, { text, len },
		{ after, sizeof(after) } };
	const struct msghdr message = { .msg_iov = parts,
		.msg_iovlen = sizeof(parts) / sizeof(parts[0]) };

	record_enclose(id, len, before, after);
	return sendmsg(connection->watch.fd, &message, MSG_NOSIGNAL) ==
	    (ssize_t)(sizeof(before) + len + sizeof(after));
}

/* 431: libfcgi never sees it. */
static void
connection_refuse_head(struct connection *connection, uint16_t request_id)
{
	static const struct fail fail = { .kind = FAIL_HEAD_LARGE,
		.text = "the request header is too large" };
	char text[EXCHANGE_REFUSAL_SIZE];
	struct buf answer = BUF_IN(text);
	bool sent;

	exchange_refuse(connection->all->service, &fail, &answer);
	sent =
	    send_answer(connection, request_id, buf_str(&answer), answer.len);
	buf_free(&answer);
	if (sent)
		connection_refuse_rest(connection);
	else
		connection_close(connection);
}

/* ---- serving ----------------------------------------------------------- */

/* An answer was sent; ready for another request. */
static void
connection_park(struct connection *connection)
{
	connection->state = PARKED;
	connection->seen = 0;
	connection->first_byte = 0;
	if (connection->more)
		connection_look(connection);
}

/* libfcgi's copies of the variables: Authorization is among them. */
static void
wipe_params(char **params)
{
	for (; params != NULL && *params != NULL; params++)
		secret_wipe(*params, strlen(*params));
}

/*
 * Ends the exchange: sends the answer, takes the descriptor back from libfcgi.
 * FCGX_Finish_r() is not used: it would close the connection with a lingering,
 * blocking read.
 */
static bool
connection_send(struct exchange *exchange, const char *answer, size_t len)
{
	struct connection *connection =
	    LOOP_OWNER(exchange, struct connection, exchange);
	FCGX_Request *fcgi = &connection->fcgi;
	bool sent;

	sent = len <= RECORD_ANSWER_MAX &&
	    send_answer(connection, (uint16_t)fcgi->requestId, answer, len);
	fcgi->ipcFd = -1;
	wipe_params(fcgi->envp);
	FCGX_Free(fcgi, 0);

	if (!sent) {
		log_info("fastcgi: the web server did not take the answer");
		connection_close(connection);
	} else if (connection->refuse_rest) {
		connection_refuse_rest(connection);
	} else if (!connection->keep || connection->ended ||
	    connection->all->stopping) {
		connection_close(connection);
	} else {
		connection_park(connection);
	}
	return sent;
}

/* Whether the web server says that the client has left (FastCGI, 5.4). */
static bool
abort_arrived(const struct connection *connection)
{
	uint8_t head[RECORD_HEADER_SIZE];

	return recv(connection->watch.fd, head, sizeof(head), MSG_PEEK) ==
	    (ssize_t)sizeof(head) &&
	    record_aborts(head);
}

/*
 * A web server never closes its side only: when it has sent the last byte it
 * has given up.
 */
static bool
connection_gone(struct exchange *exchange)
{
	const struct connection *connection =
	    LOOP_OWNER(exchange, struct connection, exchange);
	struct pollfd peer = { .fd = connection->watch.fd,
		.events = POLLRDHUP };

	return poll(&peer, 1, 0) > 0 || abort_arrived(connection);
}

/* Reads STDIN to its end; what is left unread would be the next request. */
static void
read_body(struct connection *connection, char bytes[static RECORD_BODY_MAX + 1],
    struct exchange_body *body)
{
	FCGX_Stream *in = connection->fcgi.in;
	int got = FCGX_GetStr(bytes, RECORD_BODY_MAX + 1, in);

	body->data = bytes;
	body->len = got > 0 ? (size_t)got : 0;
	body->broken = FCGX_GetError(in) != 0;
	if (body->broken)
		connection->keep = false;
	if (body->len > RECORD_BODY_MAX)
		body->len = RECORD_BODY_MAX; /* record_check() rules it out */
	bytes[body->len] = '\0';
}

/* Has libfcgi take the request over. Returns 0, or -1: connection closed. */
static int
connection_accept(struct connection *connection)
{
	FCGX_Request *fcgi = &connection->fcgi;

	FCGX_InitRequest(fcgi, -1, 0);
	fcgi->ipcFd = connection->watch.fd;
	fcgi->keepConnection = 1; /* or it closes the descriptor first */
	if (FCGX_Accept_r(fcgi) == 0)
		return 0;
	/* It has closed the descriptor, and epoll has forgotten it. */
	log_warn("fastcgi: a request that libfcgi refuses");
	connection->watch.fd = -1;
	connection_close(connection);
	return -1;
}

/*
 * The request has been read. A stream takes 8 KiB, and a start keeps its
 * request for as long as Agora takes. Released without being closed, those
 * for writing send nothing.
 */
static void
release_streams(FCGX_Request *fcgi)
{
	FCGX_FreeStream(&fcgi->in);
	FCGX_FreeStream(&fcgi->out);
	FCGX_FreeStream(&fcgi->err);
}

/*
 * Hands a request to the endpoint. ${verdict} is RECORD_WHOLE, or
 * RECORD_BODY_LARGE for one that is answered without its body; ${alone}:
 * nothing has arrived behind it.
 */
static void
connection_serve(struct connection *connection, enum record_verdict verdict,
    bool alone)
{
	static char bytes[RECORD_BODY_MAX + 1];
	struct exchange_body body = { .data = "",
		.too_large = verdict == RECORD_BODY_LARGE };

	loop_timer_clear(loop_of(connection), &connection->timer);
	if (connection_accept(connection) == -1)
		return;
	connection->state = BUSY;
	connection->more = false;
	connection->refuse_rest = body.too_large;
	connection->keep = connection->fcgi.keepConnection && alone;
	if (!body.too_large)
		read_body(connection, bytes, &body);
	release_streams(&connection->fcgi);
	connection->exchange = (struct exchange){
		.service = connection->all->service,
		.send = connection_send,
		.gone = connection_gone,
	};
	exchange_run(&connection->exchange, connection->fcgi.envp, &body);
	secret_wipe(bytes, body.len);
}

/* ---- arriving ---------------------------------------------------------- */

/* Part of a request is there, or nothing: wait on, within limits. */
static void
connection_wait_on(struct connection *connection, size_t arrived)
{
	int64_t now = sys_monotonic_ms(), left;
	bool parked = connection->state == PARKED;
	bool stopping = connection->all->stopping;

	if (arrived == 0 && parked && stopping) {
		connection_close(connection);
		return;
	}
	if (arrived == 0 || arrived == connection->seen)
		return;
	if (connection->first_byte == 0)
		connection->first_byte = now;
	connection->state = ARRIVING;
	connection->seen = arrived;
	if (stopping) {
		if (parked) /* else its time is set already */
			connection_limit(connection, STOP_REST_MS);
		return;
	}
	left = connection->first_byte + EXCHANGE_ARRIVAL_MS - now;
	connection_limit(connection,
	    left < EXCHANGE_SILENCE_MS ? left : EXCHANGE_SILENCE_MS);
}

/* Looks at what has arrived without taking it. */
static void
connection_look(struct connection *connection)
{
	static uint8_t bytes[RECORD_REQUEST_MAX];
	struct record_request request;
	enum record_verdict verdict;
	ssize_t got;
	size_t len;

	got = recv(connection->watch.fd, bytes, sizeof(bytes), MSG_PEEK);
	if (got == 0 || (got == -1 && errno != EAGAIN && errno != EINTR)) {
		connection_close(connection);
		return;
	}
	len = got > 0 ? (size_t)got : 0;
	verdict = record_check(bytes, len, &request);
	switch (verdict) {
	case RECORD_MORE:
		if (connection->ended)
			connection_close(connection); /* it stays a part */
		else
			connection_wait_on(connection, len);
		break;
	case RECORD_WHOLE:
	case RECORD_BODY_LARGE:
		connection_serve(connection, verdict, request.len == len);
		break;
	case RECORD_HEAD_LARGE:
		connection_refuse_head(connection, request.id);
		break;
	case RECORD_BAD:
		log_info("fastcgi: closing a connection that sent no request");
		connection_close(connection);
		break;
	}
	secret_wipe(bytes, len);
}

/* Something happened while the endpoint has the request. */
static void
connection_disturbed(struct connection *connection, uint32_t events)
{
	connection->more = true;
	if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 ||
	    abort_arrived(connection))
		exchange_client_left(&connection->exchange);
}

static void
connection_ready(struct loop_watch *watch, uint32_t events)
{
	struct connection *connection =
	    LOOP_OWNER(watch, struct connection, watch);

	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		connection->ended = true;
	if (connection->state == BUSY)
		connection_disturbed(connection, events);
	else if (connection->state == DISCARDING)
		connection_discard(connection);
	else
		connection_look(connection);
}

void
connection_open(struct connections *connections, int fd)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (connection == NULL) {
		close(fd);
		return;
	}
	connection->all = connections;
	connection->watch.fd = fd;
	connection->watch.ready = connection_ready;
	connection->timer.expired = connection_timed_out;
	connection->next = connections->first;
	if (connection->next != NULL)
		connection->next->prev = connection;
	connections->first = connection;
	if (loop_watch(loop_of(connection), &connection->watch,
		EPOLLIN | EPOLLRDHUP | EPOLLET) == -1)
		connection_close(connection);
	else
		connection_limit(connection,
		    connections->stopping ? STOP_FRESH_MS :
					    EXCHANGE_SILENCE_MS);
}

/* ---- all of them ------------------------------------------------------- */

void
connections_stop(struct connections *connections)
{
	struct connection *connection, *next;

	connections->stopping = true;
	for (connection = connections->first; connection != NULL;
	     connection = next) {
		next = connection->next;
		if (connection->state == PARKED)
			connection_look(connection);
		else if (connection->state == ARRIVING)
			connection_limit(connection,
			    connection->seen == 0 ? STOP_FRESH_MS :
						    STOP_REST_MS);
	}
}

bool
connections_shed(struct connections *connections)
{
	struct connection *connection, *next;
	int closed = 0;

	for (connection = connections->first;
	     connection != NULL && closed < SHED_COUNT; connection = next) {
		next = connection->next;
		if (connection->state == PARKED) {
			connection_close(connection);
			closed++;
		}
	}
	return closed > 0;
}

void
connections_close(struct connections *connections)
{
	struct connection *connection, *next;

	for (connection = connections->first; connection != NULL;
	     connection = next) {
		next = connection->next;
		connection_close(connection);
	}
}
