#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/num.h"
#include "common/sys.h"
#include "fcgi/params.h"
#include "fcgi/pulse.h"

/* In a worker's environment: the descriptor of its end. */
#define HANDED_OVER "AGORA_AGENT_PULSE_FD"

/*
 * A worker gives a sign twice within the limit, and as often we look whether
 * one has come. The third look in vain ends it: the first may come before the
 * sign does, and so may the second when all of us stood still for a while.
 */
#define LOOKS 2

struct pulse {
	struct pulse *next;
	struct pulses *all;
	struct loop_watch watch; /* our end of the pipe */
	struct loop_timer timer;
	int worker_fd; /* its end, until the fork */
	int in_vain;
	pid_t pid;
};

static void
pulse_free(struct pulse *pulse)
{
	loop_timer_clear(pulse->all->loop, &pulse->timer);
	loop_unwatch(pulse->all->loop, &pulse->watch);
	close(pulse->watch.fd);
	if (pulse->worker_fd != -1)
		close(pulse->worker_fd);
	free(pulse);
}

/* Feels this one no more. */
static void
let_go(struct pulse *pulse)
{
	struct pulse **at = &pulse->all->first;

	while (*at != pulse)
		at = &(*at)->next;
	*at = pulse->next;
	pulse_free(pulse);
}

/* Signs of life, or the end of the worker: nobody else has its end. */
static void
pulse_ready(struct loop_watch *watch, uint32_t events)
{
	struct pulse *pulse = LOOP_OWNER(watch, struct pulse, watch);
	char signs[256];
	ssize_t len = read(watch->fd, signs, sizeof(signs));

	(void)events;
	if (len > 0)
		pulse->in_vain = 0;
	else if (len == 0)
		let_go(pulse);
}

static void
look(struct loop_timer *timer)
{
	struct pulse *pulse = LOOP_OWNER(timer, struct pulse, timer);

	if (++pulse->in_vain <= LOOKS) {
		/* An expired timer is set again without memory. */
		(void)!loop_timer_set(pulse->all->loop, timer,
		    pulse->all->limit / LOOKS);
		return;
	}
	log_error("workers: %d hangs, killing it", (int)pulse->pid);
	kill(pulse->pid, SIGKILL);
}

/* The pipe, both ends of which neither block nor outlive an exec. */
static int
open_pipe(struct pulse *pulse)
{
	int ends[2];

	if (pipe(ends) == -1)
		return -1;
	pulse->watch.fd = ends[0];
	pulse->worker_fd = ends[1];
	if (sys_nonblock(ends[0]) == 0 && sys_nonblock(ends[1]) == 0)
		return 0;
	close(ends[0]);
	close(ends[1]);
	return -1;
}

struct pulse *
pulse_new(struct pulses *pulses)
{
	struct pulse *pulse;

	if (pulses->limit == 0)
		return NULL;
	pulse = calloc(1, sizeof(*pulse));
	if (pulse == NULL || open_pipe(pulse) == -1) {
		log_warn("workers: no watch over one: %s", strerror(errno));
		free(pulse);
		return NULL;
	}
	pulse->all = pulses;
	pulse->watch.ready = pulse_ready;
	pulse->timer.expired = look;
	pulse->next = pulses->first;
	pulses->first = pulse;
	return pulse;
}

int
pulse_hand_over(const struct pulse *pulse)
{
	char number[16];

	if (pulse == NULL)
		return 0;
	snprintf(number, sizeof(number), "%d", pulse->worker_fd);
	if (fcntl(pulse->worker_fd, F_SETFD, 0) == -1)
		return -1;
	return setenv(HANDED_OVER, number, 1);
}

void
pulse_feel(struct pulse *pulse, pid_t pid)
{
	int saved_errno = errno;
	struct loop *loop;

	if (pulse == NULL)
		return;
	loop = pulse->all->loop;
	close(pulse->worker_fd);
	pulse->worker_fd = -1;
	pulse->pid = pid;
	if (pid == -1) {
		let_go(pulse);
	} else if (loop_watch(loop, &pulse->watch, EPOLLIN) == -1 ||
	    loop_timer_set(loop, &pulse->timer, pulse->all->limit / LOOKS) ==
		-1) {
		log_warn("workers: no watch over %d: %s", (int)pid,
		    strerror(errno));
		let_go(pulse);
	}
	errno = saved_errno; /* fork(2)'s */
}

void
pulses_close(struct pulses *pulses)
{
	struct pulse *pulse, *next;

	for (pulse = pulses->first; pulse != NULL; pulse = next) {
		next = pulse->next;
		pulse_free(pulse);
	}
	pulses->first = NULL;
}

int
pulse_inherited(char **environment)
{
	const char *text = params_get(environment, HANDED_OVER);
	struct stat st;
	int64_t fd;

	if (text == NULL || num_parse(text, 0, INT32_MAX, &fd) == -1)
		return -1;
	if (fstat((int)fd, &st) == -1 || !S_ISFIFO(st.st_mode) ||
	    sys_nonblock((int)fd) == -1)
		return -1;
	return (int)fd;
}
