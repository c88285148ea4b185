#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "common/log.h"
#include "common/loop.h"
#include "common/sys.h"

#define BATCH_MAX 256 /* events fetched by one epoll_wait(2) */
#define TIMERS_FIRST 64

/* In a timer's place: it waits in due[], not in heap[]. */
#define PLACE_DUE ((size_t)1 << (sizeof(size_t) * CHAR_BIT - 1))

/*
 * A round fetches a batch of events, delivers it, moves the timers whose time
 * has come from the heap to due[], and expires those. Timers armed meanwhile
 * go to the heap, so that a timer set to 0 again and again starves nobody.
 */
struct loop {
	int epoll_fd;
	bool stopping;

	struct epoll_event batch[BATCH_MAX]; /* data.ptr NULL: unwatched */
	size_t batch_len;
	size_t batch_next;

	struct loop_timer **heap; /* binary heap, earliest first */
	size_t heap_len;
	struct loop_timer **due; /* NULL entries: cleared meanwhile */
	size_t due_len;
	size_t due_next;
	struct loop_timer *expiring; /* its expired() runs, not set again */
	size_t places;     /* in use: in heap, in due, and the one expiring */
	size_t places_max; /* entries that heap and due have room for */
};

struct loop *
loop_new(void)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (loop == NULL)
		return NULL;
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd == -1) {
		free(loop);
		return NULL;
	}
	return loop;
}

void
loop_free(struct loop *loop)
{
	if (loop == NULL)
		return;
	close(loop->epoll_fd);
	free(loop->heap);
	free(loop->due);
	free(loop);
}

int
loop_watch(struct loop *loop, struct loop_watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = watch };
	int fd = watch->fd;

	if (epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
		return 0;
	if (errno != EEXIST)
		return -1;
	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_MOD, fd, &event);
}

void
loop_unwatch(struct loop *loop, struct loop_watch *watch)
{
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	for (size_t i = loop->batch_next; i < loop->batch_len; i++)
		if (loop->batch[i].data.ptr == watch)
			loop->batch[i].data.ptr = NULL;
}

/*
 * The heap: entry i has its parent at (i - 1) / 2 and is not due before it.
 */
static void
heap_place(struct loop *loop, struct loop_timer *timer, size_t i)
{
	loop->heap[i] = timer;
	timer->place = i + 1;
}

/* Puts ${timer} into the free entry ${i}, or above it. */
static void
heap_rise(struct loop *loop, struct loop_timer *timer, size_t i)
{
	while (i > 0) {
		struct loop_timer *parent = loop->heap[(i - 1) / 2];

		if (parent->due <= timer->due)
			break;
		heap_place(loop, parent, i);
		i = (i - 1) / 2;
	}
	heap_place(loop, timer, i);
}

/* Puts ${timer} into the free entry ${i}, or below it. */
static void
heap_sink(struct loop *loop, struct loop_timer *timer, size_t i)
{
	size_t child;

	while ((child = 2 * i + 1) < loop->heap_len) {
		if (child + 1 < loop->heap_len &&
		    loop->heap[child + 1]->due < loop->heap[child]->due)
			child++;
		if (timer->due <= loop->heap[child]->due)
			break;
		heap_place(loop, loop->heap[child], i);
		i = child;
	}
	heap_place(loop, timer, i);
}

static void
heap_remove(struct loop *loop, size_t i)
{
	struct loop_timer *last = loop->heap[--loop->heap_len];

	loop->heap[i]->place = 0;
	if (i == loop->heap_len)
		return;
	if (i > 0 && last->due < loop->heap[(i - 1) / 2]->due)
		heap_rise(loop, last, i);
	else
		heap_sink(loop, last, i);
}

static int
grow_array(struct loop_timer ***array, size_t count)
{
	struct loop_timer **grown =
	    reallocarray(*array, count, sizeof(struct loop_timer *));

	if (grown == NULL)
		return -1;
	*array = grown;
	return 0;
}

/*
 * Takes a place for ${timer}. due[] grows with the heap, and a timer keeps its
 * place from one to the other and while it expires: none of this can fail.
 */
static int
take_place(struct loop *loop, const struct loop_timer *timer)
{
	size_t count = loop->places_max;

	if (timer == loop->expiring) {
		loop->expiring = NULL;
		return 0;
	}
	if (loop->places == count) {
		count = count > 0 ? count * 2 : TIMERS_FIRST;
		if (grow_array(&loop->heap, count) == -1 ||
		    grow_array(&loop->due, count) == -1)
			return -1;
		loop->places_max = count;
	}
	loop->places++;
	return 0;
}

int
loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t ms)
{
	int64_t now = sys_monotonic_ms();

	loop_timer_clear(loop, timer);
	if (take_place(loop, timer) == -1)
		return -1;
	if (ms < 0)
		ms = 0;
	timer->due = ms > INT64_MAX - now ? INT64_MAX : now + ms;
	heap_rise(loop, timer, loop->heap_len++);
	return 0;
}

void
loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
	if (timer->place == 0)
		return;
	if ((timer->place & PLACE_DUE) != 0)
		loop->due[(timer->place & ~PLACE_DUE) - 1] = NULL;
	else
		heap_remove(loop, timer->place - 1);
	timer->place = 0;
	loop->places--;
}

/* How long epoll_wait(2) may sleep: milliseconds, -1 for ever. */
static int
sleep_time(const struct loop *loop)
{
	int64_t left;

	if (loop->due_next < loop->due_len)
		return 0;
	if (loop->heap_len == 0)
		return -1;
	left = loop->heap[0]->due - sys_monotonic_ms();
	if (left <= 0)
		return 0;
	return left > INT_MAX ? INT_MAX : (int)left;
}

/* Fetches the next batch, unless loop_stop() left some of the last one. */
static int
fetch_events(struct loop *loop)
{
	int count;

	if (loop->batch_next < loop->batch_len)
		return 0;
	loop->batch_next = 0;
	loop->batch_len = 0;
	log_flush();
	count = epoll_wait(loop->epoll_fd, loop->batch, BATCH_MAX,
	    sleep_time(loop));
	if (count == -1)
		return errno == EINTR ? 0 : -1;
	loop->batch_len = (size_t)count;
	return 0;
}

static void
deliver_events(struct loop *loop)
{
	while (!loop->stopping && loop->batch_next < loop->batch_len) {
		struct epoll_event *event = &loop->batch[loop->batch_next++];
		struct loop_watch *watch = event->data.ptr;

		if (watch != NULL)
			watch->ready(watch, event->events);
	}
}

static void
collect_due(struct loop *loop)
{
	int64_t now;

	if (loop->due_next < loop->due_len || loop->heap_len == 0)
		return;
	now = sys_monotonic_ms();
	loop->due_next = 0;
	loop->due_len = 0;
	while (loop->heap_len > 0 && loop->heap[0]->due <= now) {
		struct loop_timer *timer = loop->heap[0];

		heap_remove(loop, 0);
		loop->due[loop->due_len++] = timer;
		timer->place = loop->due_len | PLACE_DUE;
	}
}

/* Gives back the place of the timer that expired, unless it was set again. */
static void
end_expiry(struct loop *loop)
{
	if (loop->expiring == NULL)
		return;
	loop->expiring = NULL;
	loop->places--;
}

static void
expire_due(struct loop *loop)
{
	while (!loop->stopping && loop->due_next < loop->due_len) {
		struct loop_timer *timer = loop->due[loop->due_next++];

		if (timer == NULL)
			continue;
		timer->place = 0;
		loop->expiring = timer;
		timer->expired(timer);
		end_expiry(loop);
	}
}

int
loop_run(struct loop *loop)
{
	int rc = 0;

	while (!loop->stopping && rc == 0) {
		rc = fetch_events(loop);
		deliver_events(loop);
		collect_due(loop);
		expire_due(loop);
	}
	loop->stopping = false;
	return rc;
}

void
loop_stop(struct loop *loop)
{
	loop->stopping = true;
}
