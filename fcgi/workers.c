#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/settings.h"
#include "common/sys.h"
#include "fcgi/listen.h"
#include "fcgi/notify.h"
#include "fcgi/pulse.h"
#include "fcgi/signals.h"
#include "fcgi/workers.h"

extern char **environ;

#define LIVED_MS 250       /* one that lived shorter is replaced with a pause */
#define PAUSE_FIRST_MS 100 /* doubled each time, up to */
#define PAUSE_MAX_MS 5000
#define WAIT_MS 400   /* so long clients wait for somebody to serve them */
#define SETTLE_MS 100 /* a replacement must live this long */
#define KILL_MS 37000 /* one that was told to end gives up after 35 s */

/* A place that is to have a process. */
struct worker {
	struct parent *parent;
	pid_t pid;     /* 0: none */
	pid_t old;     /* serves on until pid has settled, 0: none */
	int64_t born;  /* monotonic ms, when the last one was started */
	int64_t pause; /* before the next replacement */
	struct loop_timer timer;
};

/* A process that was told to end. */
struct leaving {
	struct leaving *next;
	struct parent *parent;
	pid_t pid;
	struct loop_timer timer; /* then it is killed */
};

struct parent {
	struct loop *loop;
	struct listener *listener;
	struct loop_watch signal_watch;
	struct loop_watch away_watch; /* the socket, while nobody serves */
	struct loop_timer settle_timer, again_timer;
	struct leaving *leaving;
	struct notify notify;
	struct pulses pulses;
	int secrets;                   /* descriptor for the workers, or -1 */
	int metrics;                   /* the same; its slots are whose: */
	pid_t counting[METRICS_SLOTS]; /* 0: nobody's */
	char program[PATH_MAX];
	int count;
	int restarting; /* index of the worker being replaced, or -1 */
	bool again;     /* SIGHUP came during a restart */
	bool stopping;
	struct worker worker[];
};

/*
 * Makes ${fd} descriptor 0 of the program to be executed. dup2(2) of one onto
 * itself would leave it close-on-exec.
 */
static int
hand_over(int fd)
{
	if (fd == STDIN_FILENO)
		return fcntl(fd, F_SETFD, 0);
	return dup2(fd, STDIN_FILENO);
}

/* In the child: becomes the program, with the socket as descriptor 0. */
static _Noreturn void
become_worker(const struct parent *parent, const struct pulse *pulse,
    size_t slot, pid_t parent_pid)
{
	char name[PATH_MAX];
	char *argv[] = { name, NULL };

	memcpy(name, parent->program, sizeof(name));
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent_pid)
		_exit(1);
	signals_hold(); /* SIGCHLD is ours; the others wait for its loop */
	if (parent->secrets != -1)
		fcntl(parent->secrets, F_SETFD, 0);
	unsetenv("NOTIFY_SOCKET"); /* the service manager listens to us alone */
	metrics_table_hand_over(parent->metrics, slot);
	if (pulse_hand_over(pulse) != -1 &&
	    hand_over(parent->listener->fd) != -1)
		execv(parent->program, argv);
	log_error("workers: %s: %s", parent->program, strerror(errno));
	_exit(127);
}

/* ---- while nobody serves ----------------------------------------------- */

/* The web server then answers at once, not when its patience is over. */
static void
turn_away(struct loop_watch *watch, uint32_t events)
{
	struct parent *parent = LOOP_OWNER(watch, struct parent, away_watch);
	int fd;

	(void)events;
	while ((fd = listener_accept(parent->listener)) != -1)
		close(fd);
}

static bool
nobody_serves(const struct parent *parent)
{
	int i;

	for (i = 0; i < parent->count; i++)
		if (parent->worker[i].pid != 0 || parent->worker[i].old != 0)
			return false;
	return true;
}

static void
turn_away_begin(struct parent *parent)
{
	parent->away_watch.fd = parent->listener->fd;
	loop_watch(parent->loop, &parent->away_watch, EPOLLIN);
}

static void
turn_away_end(struct parent *parent)
{
	if (parent->away_watch.fd != -1)
		loop_unwatch(parent->loop, &parent->away_watch);
	parent->away_watch.fd = -1;
}

/* ---- a worker ---------------------------------------------------------- */

/* The first slot of the table of metrics that ${pid} has; 0: that is free. */
static size_t
slot_of(const struct parent *parent, pid_t pid)
{
	size_t slot = 0;

	while (slot < METRICS_SLOTS - 1 && parent->counting[slot] != pid)
		slot++;
	return slot; /* if all are taken, two share the last one */
}

static int
spawn(struct worker *worker)
{
	struct parent *parent = worker->parent;
	struct pulse *pulse = pulse_new(&parent->pulses);
	size_t slot = slot_of(parent, 0);
	pid_t parent_pid = getpid();
	pid_t pid;

	turn_away_end(parent);
	worker->born = sys_monotonic_ms();
	pid = fork();
	if (pid == 0)
		become_worker(parent, pulse, slot, parent_pid);
	pulse_feel(pulse, pid);
	if (pid == -1) {
		log_error("workers: fork: %s", strerror(errno));
		return -1;
	}
	worker->pid = pid;
	parent->counting[slot] = pid;
	return 0;
}

static void
spawn_later(struct worker *worker)
{
	struct parent *parent = worker->parent;
	bool lived = sys_monotonic_ms() - worker->born >= LIVED_MS;

	if (lived)
		worker->pause = 0;
	if (loop_timer_set(parent->loop, &worker->timer, worker->pause) == -1)
		spawn(worker);
	else if (worker->pause > WAIT_MS && nobody_serves(parent))
		turn_away_begin(parent);
	worker->pause = worker->pause == 0 ? PAUSE_FIRST_MS : worker->pause * 2;
	if (worker->pause > PAUSE_MAX_MS)
		worker->pause = PAUSE_MAX_MS;
}

static void
spawn_due(struct loop_timer *timer)
{
	struct worker *worker = LOOP_OWNER(timer, struct worker, timer);

	if (!worker->parent->stopping && worker->pid == 0 &&
	    spawn(worker) == -1)
		spawn_later(worker);
}

/* ---- ending a worker --------------------------------------------------- */

static void
kill_late(struct loop_timer *timer)
{
	struct leaving *leaving = LOOP_OWNER(timer, struct leaving, timer);

	log_error("workers: %d does not end, killing it", (int)leaving->pid);
	kill(leaving->pid, SIGKILL);
}

/* Tells ${pid} to finish its work and go; 0 is nobody. */
static void
retire(struct parent *parent, pid_t pid)
{
	struct leaving *leaving;

	if (pid == 0)
		return;
	kill(pid, SIGTERM);
	leaving = calloc(1, sizeof(*leaving));
	if (leaving == NULL)
		return; /* it gives up by itself, unless it hangs */
	leaving->parent = parent;
	leaving->pid = pid;
	leaving->timer.expired = kill_late;
	leaving->next = parent->leaving;
	parent->leaving = leaving;
	loop_timer_set(parent->loop, &leaving->timer, KILL_MS);
}

/* ${pid} has gone. */
static void
forget(struct parent *parent, pid_t pid)
{
	struct leaving *leaving = parent->leaving, *before = NULL;

	while (leaving != NULL && leaving->pid != pid) {
		before = leaving;
		leaving = leaving->next;
	}
	if (leaving == NULL)
		return;
	if (before != NULL)
		before->next = leaving->next;
	else
		parent->leaving = leaving->next;
	loop_timer_clear(parent->loop, &leaving->timer);
	free(leaving);
}

/* ---- rolling restart --------------------------------------------------- */

static void restart_next(struct parent *parent);

/* The old one, if there is one, serves on. */
static void
restart_abandon(struct parent *parent, struct worker *worker)
{
	log_error("workers: the new program does not live; restart abandoned");
	loop_timer_clear(parent->loop, &parent->settle_timer);
	parent->restarting = -1;
	if (parent->again) /* the signal may speak of another program */
		loop_timer_set(parent->loop, &parent->again_timer,
		    PAUSE_FIRST_MS);
	parent->again = false;
	if (worker->old != 0) {
		worker->pid = worker->old;
		worker->old = 0;
	}
}

/* If the replacement lives, the old one may finish its work and go. */
static void
settled(struct loop_timer *timer)
{
	struct parent *parent = LOOP_OWNER(timer, struct parent, settle_timer);
	struct worker *worker = &parent->worker[parent->restarting];

	if (worker->pid == 0) {
		restart_abandon(parent, worker);
		return;
	}
	retire(parent, worker->old);
	worker->old = 0;
	restart_next(parent);
}

/* Replaces one worker. */
static void
restart_one(struct parent *parent, struct worker *worker)
{
	loop_timer_clear(parent->loop, &worker->timer);
	worker->old = worker->pid;
	worker->pid = 0;
	if (spawn(worker) == 0 &&
	    loop_timer_set(parent->loop, &parent->settle_timer, SETTLE_MS) == 0)
		return;
	retire(parent, worker->pid);
	worker->pid = 0;
	restart_abandon(parent, worker);
	if (worker->pid == 0)
		spawn_later(worker);
}

/* Goes on with the next worker, or ends the restart. */
static void
restart_next(struct parent *parent)
{
	parent->restarting++;
	if (parent->restarting == parent->count) {
		log_info("workers: restarted %d", parent->count);
		parent->restarting = parent->again ? 0 : -1;
		parent->again = false;
	}
	if (parent->restarting != -1)
		restart_one(parent, &parent->worker[parent->restarting]);
}

static void
restart_begin(struct parent *parent)
{
	if (parent->restarting != -1)
		parent->again = true;
	else
		restart_next(parent);
}

static void
restart_again(struct loop_timer *timer)
{
	struct parent *parent = LOOP_OWNER(timer, struct parent, again_timer);

	if (!parent->stopping)
		restart_begin(parent);
}

/* ---- ends -------------------------------------------------------------- */

static void
log_end(pid_t pid, int status)
{
	if (WIFSIGNALED(status))
		log_error("workers: %d was ended by signal %d", (int)pid,
		    WTERMSIG(status));
	else if (WEXITSTATUS(status) != 0)
		log_error("workers: %d ended with status %d", (int)pid,
		    WEXITSTATUS(status));
}

/* What it counted stays; the slot is the next worker's. */
static void
slot_release(struct parent *parent, pid_t pid)
{
	size_t slot = slot_of(parent, pid);

	if (parent->counting[slot] != pid)
		return;
	metrics_table_ended(slot);
	parent->counting[slot] = 0;
}

static void
worker_ended(struct parent *parent, pid_t pid, int status)
{
	struct worker *worker;
	int i;

	log_end(pid, status);
	slot_release(parent, pid);
	forget(parent, pid);
	for (i = 0; i < parent->count; i++) {
		worker = &parent->worker[i];
		if (worker->old == pid)
			worker->old = 0;
		if (worker->pid != pid)
			continue;
		worker->pid = 0;
		if (parent->stopping)
			return;
		if (worker->old != 0)
			restart_abandon(parent, worker);
		else
			spawn_later(worker);
	}
}

/* We may have inherited other children; nobody waits for those. */
static bool
all_gone(const struct parent *parent)
{
	return nobody_serves(parent) && parent->leaving == NULL;
}

static void
reap(struct parent *parent)
{
	pid_t pid;
	int status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		worker_ended(parent, pid, status);
	if (parent->stopping && all_gone(parent))
		loop_stop(parent->loop);
}

/* No new client, then no worker. */
static void
stop_all(struct parent *parent)
{
	int i;

	if (parent->stopping)
		return;
	parent->stopping = true;
	notify_stopping(&parent->notify);
	turn_away_end(parent);
	listener_hide(parent->listener);
	loop_timer_clear(parent->loop, &parent->settle_timer);
	for (i = 0; i < parent->count; i++) {
		retire(parent, parent->worker[i].pid);
		retire(parent, parent->worker[i].old);
	}
	reap(parent);
}

static void
signal_ready(struct loop_watch *watch, uint32_t events)
{
	struct parent *parent = LOOP_OWNER(watch, struct parent, signal_watch);
	int number;

	(void)events;
	while ((number = signals_next(watch->fd)) != 0) {
		if (number == SIGCHLD)
			reap(parent);
		else if (number == SIGHUP && !parent->stopping)
			restart_begin(parent);
		else if (number != SIGHUP)
			stop_all(parent);
	}
}

/* ---- the whole --------------------------------------------------------- */

static int
parent_open(struct parent *parent, struct listener *listener, int count)
{
	static const int wanted[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD, 0 };
	ssize_t len;

	parent->listener = listener;
	parent->count = count;
	parent->restarting = -1;
	parent->notify.fd = -1;
	parent->secrets = settings_environment_hide();
	parent->metrics = metrics_table_make(sys_now());
	if (parent->metrics == -1)
		log_warn("workers: no metrics: %s", strerror(errno));
	parent->settle_timer.expired = settled;
	parent->again_timer.expired = restart_again;
	parent->signal_watch.ready = signal_ready;
	parent->away_watch.ready = turn_away;
	parent->away_watch.fd = -1;
	/* By name, not /proc/self/exe: an upgrade puts a new file there. */
	len = readlink("/proc/self/exe", parent->program,
	    sizeof(parent->program) - 1);
	parent->loop = loop_new();
	parent->signal_watch.fd = signals_open(wanted);
	if (len <= 0 || parent->loop == NULL || parent->signal_watch.fd == -1)
		return -1;
	parent->pulses.loop = parent->loop;
	parent->pulses.limit = notify_limit(environ);
	return loop_watch(parent->loop, &parent->signal_watch, EPOLLIN);
}

static int
start_all(struct parent *parent)
{
	int i, started = 0, why = 0;

	for (i = 0; i < parent->count; i++) {
		parent->worker[i].parent = parent;
		parent->worker[i].timer.expired = spawn_due;
		if (spawn(&parent->worker[i]) == 0) {
			started++;
		} else {
			why = errno;
			spawn_later(&parent->worker[i]);
		}
	}
	errno = why;
	if (started == 0)
		return -1;
	notify_open(&parent->notify, parent->loop, environ);
	return 0;
}

int
workers_run(struct listener *listener, int count)
{
	struct parent *parent = calloc(1,
	    sizeof(*parent) + (size_t)count * sizeof(parent->worker[0]));
	int status = 1;

	if (parent == NULL)
		return 1;
	if (parent_open(parent, listener, count) == 0 &&
	    start_all(parent) == 0 && loop_run(parent->loop) == 0)
		status = 0;
	else
		log_error("workers: %s", strerror(errno));
	listener_hide(listener);
	while (parent->leaving != NULL)
		forget(parent, parent->leaving->pid);
	if (parent->signal_watch.fd > 0)
		close(parent->signal_watch.fd);
	if (parent->secrets != -1)
		close(parent->secrets);
	pulses_close(&parent->pulses);
	notify_close(&parent->notify);
	if (parent->metrics != -1)
		close(parent->metrics);
	loop_free(parent->loop);
	free(parent);
	return status;
}
