#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/log.h"
#include "common/loop.h"
#include "fcgi/connection.h"
#include "fcgi/listen.h"
#include "fcgi/notify.h"
#include "fcgi/responder.h"
#include "fcgi/service.h"
#include "fcgi/signals.h"

extern char **environ;

#define ACCEPT_BATCH 1024   /* connections per wake-up */
#define ACCEPT_RETRY_MS 100 /* pause when descriptors ran out */
#define DRAIN_MS 35000      /* longer than a start with its cleaning up */
#define REST_MS 50          /* between two looks whether all is done */

struct responder {
	struct service *service;
	struct listener *listener;
	struct connections connections;
	struct loop_watch accept_watch;
	struct loop_timer accept_timer;
	bool accept_failed; /* and this was said */
	struct loop_watch signal_watch;
	struct loop_timer drain_timer;
	struct loop_timer rest_timer;
	struct notify notify;
	int status;
};

/*
 * Accepts up to ${most} connections.
 * Returns EAGAIN when no more are queued, 0 when perhaps some are, another
 * errno when the next could not be accepted.
 */
static int
accept_some(struct responder *responder, int most)
{
	int fd;

	while (most-- > 0) {
		fd = listener_accept(responder->listener);
		if (fd != -1) {
			responder->accept_failed = false;
			connection_open(&responder->connections, fd);
		} else if (errno == EAGAIN) {
			return EAGAIN;
		} else if (errno != EINTR && errno != ECONNABORTED &&
		    !connections_shed(&responder->connections)) {
			return errno;
		}
	}
	return 0;
}

/* Out of descriptors or memory: leave the queue alone for a moment. */
static int
accept_later(struct responder *responder, int error)
{
	if (!responder->accept_failed)
		log_warn("fastcgi: accept: %s", strerror(error));
	responder->accept_failed = true;
	loop_unwatch(responder->service->loop, &responder->accept_watch);
	return loop_timer_set(responder->service->loop,
	    &responder->accept_timer, ACCEPT_RETRY_MS);
}

static void
give_up(struct responder *responder)
{
	log_error("fastcgi: cannot go on: %s", strerror(errno));
	responder->status = 1;
	loop_stop(responder->service->loop);
}

static void
accept_ready(struct loop_watch *watch, uint32_t events)
{
	struct responder *responder =
	    LOOP_OWNER(watch, struct responder, accept_watch);
	int error = accept_some(responder, ACCEPT_BATCH);

	(void)events;
	if (error != 0 && error != EAGAIN &&
	    accept_later(responder, error) == -1)
		give_up(responder);
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

/* ---- stopping ---------------------------------------------------------- */

static void
stop_if_done(struct connections *connections)
{
	struct responder *responder =
	    LOOP_OWNER(connections, struct responder, connections);

	if (!connections->stopping || connections->first != NULL ||
	    responder->listener->fd != -1)
		return;
	/* What goes on at Agora, unheard, is brought to its end. */
	if (service_at_rest(responder->service) ||
	    loop_timer_set(responder->service->loop, &responder->rest_timer,
		REST_MS) == -1)
		loop_stop(responder->service->loop);
}

static void
look_whether_done(struct loop_timer *timer)
{
	struct responder *responder =
	    LOOP_OWNER(timer, struct responder, rest_timer);

	stop_if_done(&responder->connections);
}

/* Accepts all that is queued, then closes the socket: nobody waits in vain. */
static void
drain_queue(struct responder *responder)
{
	int error;

	do {
		error = accept_some(responder, ACCEPT_BATCH);
	} while (error == 0);
	if (error != EAGAIN && accept_later(responder, error) == 0)
		return;
	close(responder->listener->fd);
	responder->listener->fd = -1;
	stop_if_done(&responder->connections);
}

static void
accept_again(struct loop_timer *timer)
{
	struct responder *responder =
	    LOOP_OWNER(timer, struct responder, accept_timer);

	if (responder->connections.stopping)
		drain_queue(responder);
	else if (listen_start(responder) == -1)
		give_up(responder);
}

static void
drain_timed_out(struct loop_timer *timer)
{
	struct responder *responder =
	    LOOP_OWNER(timer, struct responder, drain_timer);

	log_warn("stopping: giving up on unanswered requests");
	loop_stop(responder->service->loop);
}

static void
stop_serving(struct responder *responder)
{
	struct loop *loop = responder->service->loop;

	if (responder->connections.stopping)
		return;
	notify_stopping(&responder->notify);
	loop_timer_clear(loop, &responder->accept_timer);
	loop_unwatch(loop, &responder->accept_watch);
	listener_hide(responder->listener);
	connections_stop(&responder->connections);
	if (loop_timer_set(loop, &responder->drain_timer, DRAIN_MS) == -1)
		loop_stop(loop);
	else
		drain_queue(responder);
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

	if (connections_init() == -1)
		return -1;
	responder->connections.service = responder->service;
	responder->connections.none_left = stop_if_done;
	responder->accept_timer.expired = accept_again;
	responder->drain_timer.expired = drain_timed_out;
	responder->rest_timer.expired = look_whether_done;
	responder->signal_watch.ready = signal_ready;
	responder->signal_watch.fd = signals_open(wanted);
	if (responder->signal_watch.fd == -1)
		return -1;
	if (loop_watch(responder->service->loop, &responder->signal_watch,
		EPOLLIN) == -1)
		return -1;
	if (listen_start(responder) == -1)
		return -1;
	notify_open(&responder->notify, responder->service->loop, environ);
	return 0;
}

int
responder_serve(struct service *service, struct listener *listener)
{
	struct responder responder = { .service = service,
		.listener = listener,
		.signal_watch.fd = -1,
		.notify.fd = -1 };

	log_gather(true);
	if (responder_open(&responder) == -1 || loop_run(service->loop) == -1) {
		log_error("fastcgi: %s", strerror(errno));
		responder.status = 1;
	}
	connections_close(&responder.connections);
	notify_close(&responder.notify);
	if (responder.signal_watch.fd != -1)
		close(responder.signal_watch.fd);
	listener_hide(listener);
	log_gather(false);
	return responder.status;
}
