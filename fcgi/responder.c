#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fcgiapp.h>

#include "common/buf.h"
#include "common/fail.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/num.h"
#include "common/sys.h"
#include "fcgi/endpoint.h"
#include "fcgi/exchange.h"
#include "fcgi/listen.h"
#include "fcgi/record.h"
#include "fcgi/responder.h"
#include "fcgi/service.h"
#include "fcgi/signals.h"

#define ACCEPT_BATCH 64     /* connections per wake-up */
#define ACCEPT_RETRY_MS 100 /* pause when descriptors ran out */
#define SILENCE_MS 5000     /* between two bytes of one request */
#define ARRIVAL_MS 30000    /* from the first byte to the last */
#define STOP_SILENCE_MS 250 /* the same, for nothing at all, when stopping */
#define DISCARD_MS 2000     /* for the rest of a refused request */
#define DISCARD_MAX (1024 * 1024) /* bytes of it */
#define DRAIN_MS 25000            /* longer than any answer takes */

struct responder {
	struct service *service;
	struct listener *listener;
	struct loop_watch accept_watch;
	struct loop_timer accept_timer;
	struct loop_watch signal_watch;
	struct loop_timer drain_timer;
	struct connection *first; /* all that are open */
	bool stopping;
	int status;
};

enum state {
	ARRIVING,   /* fresh, or some of a request is there */
	PARKED,     /* kept after an answer, nothing has arrived */
	BUSY,       /* the endpoint has it */
	DISCARDING, /* refused before its end; what still comes is dropped */
};

struct connection {
	struct responder *responder;
	struct connection *next, *prev;
	struct loop_watch watch;
	struct loop_timer timer;
	enum state state;
	bool more;          /* events came while BUSY: look again after */
	size_t seen;        /* bytes of the request that had arrived */
	int64_t first_byte; /* monotonic ms, 0: none yet */
	size_t discarded;
	FCGX_Request fcgi;
	bool keep; /* the connection may serve another request */
	struct exchange exchange;
};

static void connection_look(struct connection *connection);
static void listen_again(struct loop_timer *timer);

/* ---- one connection ---------------------------------------------------- */

static void
connection_close(struct connection *connection)
{
	struct responder *responder = connection->responder;
	struct loop *loop = responder->service->loop;

	loop_unwatch(loop, &connection->watch);
	loop_timer_clear(loop, &connection->timer);
	close(connection->watch.fd);
	if (connection->prev != NULL)
		connection->prev->next = connection->next;
	else
		responder->first = connection->next;
	if (connection->next != NULL)
		connection->next->prev = connection->prev;
	free(connection);
	if (responder->stopping && responder->first == NULL)
		loop_stop(loop);
}

/* Ready for a request; ${parked}: one was answered before. */
static void
connection_wait(struct connection *connection, bool parked)
{
	struct loop *loop = connection->responder->service->loop;

	connection->state = parked ? PARKED : ARRIVING;
	connection->seen = 0;
	connection->first_byte = 0;
	loop_timer_clear(loop, &connection->timer);
	if (!parked &&
	    loop_timer_set(loop, &connection->timer, SILENCE_MS) == -1)
		connection_close(connection);
}

/*
 * Drops what a refused request still sends. Closing at once would reset the
 * connection, and the answer with it.
 */
static void
connection_discard(struct connection *connection)
{
	uint8_t scrap[16 * 1024];
	ssize_t got;

	while ((got = recv(connection->watch.fd, scrap, sizeof(scrap),
		    MSG_DONTWAIT)) > 0) {
		connection->discarded += (size_t)got;
		if (connection->discarded > DISCARD_MAX)
			break;
	}
	if (got >= 0 || (errno != EAGAIN && errno != EINTR))
		connection_close(connection);
}

static void
connection_refuse_rest(struct connection *connection)
{
	connection->state = DISCARDING;
	connection->discarded = 0;
	if (loop_timer_set(connection->responder->service->loop,
		&connection->timer, DISCARD_MS) == -1)
		connection_close(connection);
	else
		connection_discard(connection);
}

static void
connection_timed_out(struct loop_timer *timer)
{
	connection_close(LOOP_OWNER(timer, struct connection, timer));
}

/*
 * Ends the exchange: writes the answer and END_REQUEST, takes the descriptor
 * back from libfcgi. FCGX_Finish_r() is not used: it would close the
 * connection with a lingering, blocking read.
 */
static void
connection_send(struct exchange *exchange, const char *answer, size_t len)
{
	struct connection *connection =
	    LOOP_OWNER(exchange, struct connection, exchange);
	FCGX_Request *fcgi = &connection->fcgi;
	bool sent, rest = connection->state == DISCARDING;

	sent = FCGX_PutStr(answer, (int)len, fcgi->out) == (int)len;
	sent &= FCGX_FClose(fcgi->err) == 0;
	sent &= FCGX_FClose(fcgi->out) == 0;
	fcgi->ipcFd = -1;
	FCGX_Free(fcgi, 0);

	if (!sent) {
		log_info("fastcgi: the web server left before the answer");
		connection_close(connection);
	} else if (rest) {
		connection_refuse_rest(connection);
	} else if (!connection->keep || connection->responder->stopping) {
		connection_close(connection);
	} else {
		connection_wait(connection, true);
		if (connection->more)
			connection_look(connection);
	}
}

/* Reads STDIN to its end; what is left unread would be the next request. */
static void
read_body(struct connection *connection, struct exchange_body *body)
{
	static char bytes[RECORD_BODY_MAX + 1];
	FCGX_Stream *in = connection->fcgi.in;
	int got = FCGX_GetStr(bytes, sizeof(bytes), in);

	body->data = bytes;
	body->len = got > 0 ? (size_t)got : 0;
	body->broken = FCGX_GetError(in) != 0;
	if (body->broken)
		connection->keep = false;
	if (body->len > RECORD_BODY_MAX)
		body->len = RECORD_BODY_MAX; /* record_check() rules it out */
	bytes[body->len] = '\0';
}

/* Hands a request that has arrived to libfcgi and the endpoint. */
static void
connection_serve(struct connection *connection, bool too_large, bool alone)
{
	FCGX_Request *fcgi = &connection->fcgi;
	struct exchange_body body = { .data = "", .too_large = too_large };
	struct loop *loop = connection->responder->service->loop;

	loop_timer_clear(loop, &connection->timer);
	connection->state = too_large ? DISCARDING : BUSY;
	connection->more = false;
	FCGX_InitRequest(fcgi, -1, 0);
	fcgi->ipcFd = connection->watch.fd;
	fcgi->keepConnection = 1; /* or it closes the descriptor first */
	if (FCGX_Accept_r(fcgi) != 0) {
		/* It has closed the descriptor, and epoll has forgotten it. */
		log_warn("fastcgi: a request that libfcgi refuses");
		connection->watch.fd = -1;
		connection_close(connection);
		return;
	}
	connection->keep = fcgi->keepConnection && alone && !too_large;
	if (!too_large)
		read_body(connection, &body);
	connection->exchange = (struct exchange){
		.service = connection->responder->service,
		.send = connection_send,
	};
	exchange_run(&connection->exchange, fcgi->envp, &body);
}

/* 431: libfcgi never sees it, so the answer is framed by hand. */
static void
connection_refuse_head(struct connection *connection, uint16_t request_id)
{
	static const struct fail fail = { .kind = FAIL_HEAD_LARGE,
		.text = "the request header is too large" };
	uint8_t records[RECORD_ANSWER_MAX + 40];
	struct buf answer = BUF(RECORD_ANSWER_MAX);
	uint8_t random[8];
	char id[2 * sizeof(random) + 1] = "-";
	size_t len;

	if (sys_random(random, sizeof(random)) == 0)
		num_hex(random, sizeof(random), id);
	exchange_format_fail(&fail, id, &answer);
	len = record_answer(request_id, buf_str(&answer), answer.len, records);
	buf_free(&answer);
	log_info("request endpoint=%s id=%s status=431",
	    connection->responder->service->endpoint->name, id);
	if (send(connection->watch.fd, records, len,
		MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len)
		connection_refuse_rest(connection);
	else
		connection_close(connection);
}

/* More has arrived, but not all: wait on, within limits. */
static void
connection_wait_on(struct connection *connection, size_t arrived)
{
	int64_t now = sys_monotonic_ms(), left;

	if (arrived == 0 && connection->state == PARKED &&
	    connection->responder->stopping) {
		connection_close(connection);
		return;
	}
	if (arrived == 0 || arrived == connection->seen)
		return;
	if (connection->first_byte == 0)
		connection->first_byte = now;
	connection->state = ARRIVING;
	connection->seen = arrived;
	left = connection->first_byte + ARRIVAL_MS - now;
	if (left > SILENCE_MS)
		left = SILENCE_MS;
	if (left <= 0 ||
	    loop_timer_set(connection->responder->service->loop,
		&connection->timer, left) == -1)
		connection_close(connection);
}

/* Looks at what has arrived without taking it. */
static void
connection_look(struct connection *connection)
{
	static uint8_t bytes[RECORD_REQUEST_MAX];
	struct record_request request;
	ssize_t got;
	size_t len;

	got = recv(connection->watch.fd, bytes, sizeof(bytes),
	    MSG_PEEK | MSG_DONTWAIT);
	if (got == 0 || (got == -1 && errno != EAGAIN && errno != EINTR)) {
		connection_close(connection);
		return;
	}
	len = got > 0 ? (size_t)got : 0;
	switch (record_check(bytes, len, &request)) {
	case RECORD_MORE:
		connection_wait_on(connection, len);
		break;
	case RECORD_WHOLE:
		connection_serve(connection, false, request.len == len);
		break;
	case RECORD_BODY_LARGE:
		connection_serve(connection, true, false);
		break;
	case RECORD_HEAD_LARGE:
		connection_refuse_head(connection, request.id);
		break;
	case RECORD_BAD:
		log_info("fastcgi: closing a connection that sent no request");
		connection_close(connection);
		break;
	}
}

static void
connection_ready(struct loop_watch *watch, uint32_t events)
{
	struct connection *connection =
	    LOOP_OWNER(watch, struct connection, watch);

	if (connection->state == BUSY)
		connection->more = true;
	else if (connection->state == DISCARDING)
		connection_discard(connection);
	else if (events & (EPOLLHUP | EPOLLERR))
		connection_close(connection); /* nobody is left to answer */
	else
		connection_look(connection);
}

static void
connection_open(struct responder *responder, int fd)
{
	struct connection *connection = calloc(1, sizeof(*connection));

	if (connection == NULL) {
		close(fd);
		return;
	}
	connection->responder = responder;
	connection->watch.fd = fd;
	connection->watch.ready = connection_ready;
	connection->timer.expired = connection_timed_out;
	connection->next = responder->first;
	if (connection->next != NULL)
		connection->next->prev = connection;
	responder->first = connection;
	if (loop_watch(responder->service->loop, &connection->watch,
		EPOLLIN | EPOLLRDHUP | EPOLLET) == -1) {
		connection_close(connection);
		return;
	}
	connection_wait(connection, false);
}

/* ---- the listening socket ---------------------------------------------- */

/* Out of descriptors or memory: leave the queue alone for a moment. */
static void
listen_pause(struct responder *responder)
{
	struct loop *loop = responder->service->loop;

	log_warn("fastcgi: accept: %s", strerror(errno));
	loop_unwatch(loop, &responder->accept_watch);
	if (loop_timer_set(loop, &responder->accept_timer, ACCEPT_RETRY_MS) ==
	    -1)
		listen_again(&responder->accept_timer);
}

static void
accept_ready(struct loop_watch *watch, uint32_t events)
{
	struct responder *responder =
	    LOOP_OWNER(watch, struct responder, accept_watch);
	int i, fd;

	(void)events;
	for (i = 0; i < ACCEPT_BATCH; i++) {
		fd = listener_accept(responder->listener);
		if (fd != -1)
			connection_open(responder, fd);
		else if (errno == EAGAIN)
			return;
		else if (errno != EINTR && errno != ECONNABORTED) {
			if (!responder->stopping)
				listen_pause(responder);
			return;
		}
	}
}

static int
listen_start(struct responder *responder)
{
	responder->accept_watch.fd = responder->listener->fd;
	responder->accept_watch.ready = accept_ready;
	/* EXCLUSIVE: of several workers only one is woken for a connection. */
	return loop_watch(responder->service->loop, &responder->accept_watch,
	    EPOLLIN | EPOLLEXCLUSIVE);
}

static void
listen_again(struct loop_timer *timer)
{
	struct responder *responder =
	    LOOP_OWNER(timer, struct responder, accept_timer);

	if (!responder->stopping && listen_start(responder) == -1) {
		log_error("fastcgi: epoll: %s", strerror(errno));
		responder->status = 1;
		loop_stop(responder->service->loop);
	}
}

/* ---- stopping ---------------------------------------------------------- */

static void
drain_timed_out(struct loop_timer *timer)
{
	struct responder *responder =
	    LOOP_OWNER(timer, struct responder, drain_timer);

	log_warn("stopping: giving up on unanswered requests");
	loop_stop(responder->service->loop);
}

/*
 * Accepts what is queued, closes what is idle, and leaves the rest to be
 * answered. A fresh connection gets a moment: its request is on the way.
 */
static void
stop_serving(struct responder *responder)
{
	struct loop *loop = responder->service->loop;
	struct connection *connection, *next;

	if (responder->stopping)
		return;
	responder->stopping = true;
	loop_timer_clear(loop, &responder->accept_timer);
	loop_unwatch(loop, &responder->accept_watch);
	listener_hide(responder->listener);
	accept_ready(&responder->accept_watch, EPOLLIN);
	for (connection = responder->first; connection != NULL;
	     connection = next) {
		next = connection->next;
		if (connection->state == PARKED)
			connection_look(connection);
		else if (connection->state == ARRIVING && connection->seen == 0)
			loop_timer_set(loop, &connection->timer,
			    STOP_SILENCE_MS);
	}
	if (responder->first == NULL ||
	    loop_timer_set(loop, &responder->drain_timer, DRAIN_MS) == -1)
		loop_stop(loop);
}

static void
signal_ready(struct loop_watch *watch, uint32_t events)
{
	struct responder *responder =
	    LOOP_OWNER(watch, struct responder, signal_watch);
	int number;

	(void)events;
	while ((number = signals_next(watch->fd)) != 0) {
		if (number == SIGHUP)
			service_reload(responder->service);
		else
			stop_serving(responder);
	}
}

/* ---- the whole --------------------------------------------------------- */

static int
responder_open(struct responder *responder)
{
	static const int wanted[] = { SIGTERM, SIGINT, SIGUSR1, SIGHUP, 0 };

	/* Its only use of the environment, and of descriptor 0, is harmless. */
	if (FCGX_Init() != 0)
		return -1;
	responder->accept_timer.expired = listen_again;
	responder->drain_timer.expired = drain_timed_out;
	responder->signal_watch.ready = signal_ready;
	responder->signal_watch.fd = signals_open(wanted);
	if (responder->signal_watch.fd == -1)
		return -1;
	if (loop_watch(responder->service->loop, &responder->signal_watch,
		EPOLLIN) == -1)
		return -1;
	return listen_start(responder);
}

int
responder_serve(struct service *service, struct listener *listener)
{
	struct responder responder = { .service = service,
		.listener = listener,
		.signal_watch.fd = -1 };
	struct connection *connection, *next;

	if (responder_open(&responder) == -1 || loop_run(service->loop) == -1) {
		log_error("fastcgi: %s", strerror(errno));
		responder.status = 1;
	}
	for (connection = responder.first; connection != NULL;
	     connection = next) {
		next = connection->next;
		connection_close(connection);
	}
	if (responder.signal_watch.fd != -1)
		close(responder.signal_watch.fd);
	listener_hide(listener);
	return responder.status;
}
