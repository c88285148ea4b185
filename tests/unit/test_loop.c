#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/loop.h"
#include "common/sys.h"

#define ALARM_MS 10000 /* a test that hangs fails instead */

struct source {
	struct loop_watch watch;
	struct loop *loop;
	struct source *other; /* for callbacks that act on somebody else */
	uint32_t seen;
	int calls;
};

struct alarm {
	struct loop_timer timer;
	struct loop *loop;
	struct alarm *other;
	int calls;
	int64_t at;
};

static void
give_up(struct loop_timer *timer)
{
	(void)timer;
	fail_msg("the loop hangs");
}

static struct loop *
new_loop(struct loop_timer *guard)
{
	struct loop *loop = loop_new();

	assert_non_null(loop);
	guard->expired = give_up;
	assert_int_equal(loop_timer_set(loop, guard, ALARM_MS), 0);
	return loop;
}

/* A source whose descriptor is readable ${count} times over. */
static struct source
new_source(struct loop *loop, unsigned int count,
    void (*ready)(struct loop_watch *watch, uint32_t events))
{
	struct source source = { .loop = loop };

	source.watch.fd = eventfd(count, EFD_NONBLOCK | EFD_CLOEXEC);
	assert_int_not_equal(source.watch.fd, -1);
	source.watch.ready = ready;
	return source;
}

static struct source *
count_call(struct loop_watch *watch, uint32_t events)
{
	struct source *source = LOOP_OWNER(watch, struct source, watch);

	source->calls++;
	source->seen = events;
	return source;
}

static void
stop_on_ready(struct loop_watch *watch, uint32_t events)
{
	loop_stop(count_call(watch, events)->loop);
}

static void
only_count(struct loop_watch *watch, uint32_t events)
{
	count_call(watch, events);
}

static void
unwatch_both(struct loop_watch *watch, uint32_t events)
{
	struct source *source = count_call(watch, events);

	loop_unwatch(source->loop, &source->watch);
	loop_unwatch(source->loop, &source->other->watch);
}

static void
stop_on_time(struct loop_timer *timer)
{
	struct alarm *alarm = LOOP_OWNER(timer, struct alarm, timer);

	alarm->calls++;
	alarm->at = sys_monotonic_ms();
	loop_stop(alarm->loop);
}

static void
count_expiry(struct loop_timer *timer)
{
	LOOP_OWNER(timer, struct alarm, timer)->calls++;
}

/* Runs ${loop} for ${ms} milliseconds. */
static void
run_for(struct loop *loop, int64_t ms)
{
	struct alarm end = { .loop = loop };

	end.timer.expired = stop_on_time;
	assert_int_equal(loop_timer_set(loop, &end.timer, ms), 0);
	assert_int_equal(loop_run(loop), 0);
}

static void
loop_reports_what_came_true(void **state)
{
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);
	struct source source = new_source(loop, 1, stop_on_ready);

	(void)state;
	assert_int_equal(loop_watch(loop, &source.watch, EPOLLIN), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(source.calls, 1);
	assert_int_equal(source.seen, EPOLLIN);
	close(source.watch.fd);
	loop_free(loop);
}

static void
loop_watch_again_changes_the_events(void **state)
{
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);
	struct source source = new_source(loop, 1, stop_on_ready);

	(void)state;
	assert_int_equal(loop_watch(loop, &source.watch, EPOLLIN), 0);
	assert_int_equal(loop_watch(loop, &source.watch, EPOLLOUT), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(source.seen, EPOLLOUT);
	close(source.watch.fd);
	loop_free(loop);
}

static void
loop_watch_refuses_a_bad_descriptor(void **state)
{
	struct loop *loop = loop_new();
	struct loop_watch watch = { .fd = -1, .ready = only_count };

	(void)state;
	assert_int_equal(loop_watch(loop, &watch, EPOLLIN), -1);
	assert_int_equal(errno, EBADF);
	loop_free(loop);
}

static void
loop_unwatch_ends_delivery(void **state)
{
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);
	struct source source = new_source(loop, 1, only_count);

	(void)state;
	assert_int_equal(loop_watch(loop, &source.watch, EPOLLIN), 0);
	loop_unwatch(loop, &source.watch);
	run_for(loop, 5);
	assert_int_equal(source.calls, 0);
	close(source.watch.fd);
	loop_free(loop);
}

/* Both are in one batch; whichever comes first takes the other's away. */
static void
loop_unwatch_takes_back_fetched_events(void **state)
{
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);
	struct source a = new_source(loop, 1, unwatch_both);
	struct source b = new_source(loop, 1, unwatch_both);

	(void)state;
	a.other = &b;
	b.other = &a;
	assert_int_equal(loop_watch(loop, &a.watch, EPOLLIN), 0);
	assert_int_equal(loop_watch(loop, &b.watch, EPOLLIN), 0);
	run_for(loop, 5);
	assert_int_equal(a.calls + b.calls, 1);
	close(a.watch.fd);
	close(b.watch.fd);
	loop_free(loop);
}

/* An edge that was fetched but not delivered must not be lost. */
static void
loop_run_goes_on_where_it_stopped(void **state)
{
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);
	struct source a = new_source(loop, 1, stop_on_ready);
	struct source b = new_source(loop, 1, stop_on_ready);

	(void)state;
	assert_int_equal(loop_watch(loop, &a.watch, EPOLLIN | EPOLLET), 0);
	assert_int_equal(loop_watch(loop, &b.watch, EPOLLIN | EPOLLET), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(a.calls + b.calls, 1);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(a.calls, 1);
	assert_int_equal(b.calls, 1);
	close(a.watch.fd);
	close(b.watch.fd);
	loop_free(loop);
}

static void
loop_stop_before_run_counts(void **state)
{
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);

	(void)state;
	loop_stop(loop);
	assert_int_equal(loop_run(loop), 0);
	run_for(loop, 1);
	loop_free(loop);
}

static void
loop_timer_waits_its_time(void **state)
{
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);
	struct alarm alarm = { .loop = loop };
	int64_t start = sys_monotonic_ms();

	(void)state;
	alarm.timer.expired = stop_on_time;
	assert_int_equal(loop_timer_set(loop, &alarm.timer, 30), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(alarm.calls, 1);
	assert_in_range(alarm.at - start, 30, ALARM_MS);
	loop_free(loop);
}

static void
loop_timer_fires_once(void **state)
{
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);
	struct alarm alarm = { 0 };

	(void)state;
	alarm.timer.expired = count_expiry;
	assert_int_equal(loop_timer_set(loop, &alarm.timer, 0), 0);
	run_for(loop, 10);
	assert_int_equal(alarm.calls, 1);
	assert_int_equal(alarm.timer.place, 0);
	loop_free(loop);
}

static void
loop_timer_set_again_moves_it(void **state)
{
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);
	struct alarm sooner = { 0 }, later = { 0 };

	(void)state;
	sooner.timer.expired = count_expiry;
	later.timer.expired = count_expiry;
	loop_timer_set(loop, &sooner.timer, ALARM_MS);
	loop_timer_set(loop, &later.timer, 0);
	loop_timer_set(loop, &sooner.timer, 0);
	loop_timer_set(loop, &later.timer, ALARM_MS);
	run_for(loop, 5);
	assert_int_equal(sooner.calls, 1);
	assert_int_equal(later.calls, 0);
	loop_free(loop);
}

static void
loop_timer_clear_disarms(void **state)
{
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);
	struct alarm alarm = { 0 };

	(void)state;
	alarm.timer.expired = count_expiry;
	loop_timer_clear(loop, &alarm.timer);
	loop_timer_set(loop, &alarm.timer, 0);
	loop_timer_clear(loop, &alarm.timer);
	loop_timer_clear(loop, &alarm.timer);
	run_for(loop, 5);
	assert_int_equal(alarm.calls, 0);
	loop_free(loop);
}

static void
clear_other(struct loop_timer *timer)
{
	struct alarm *alarm = LOOP_OWNER(timer, struct alarm, timer);

	alarm->calls++;
	loop_timer_clear(alarm->loop, &alarm->other->timer);
}

/* Both are due; the one that fires first clears the other. */
static void
loop_timer_clear_works_on_a_due_timer(void **state)
{
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);
	struct alarm a = { .loop = loop }, b = { .loop = loop };

	(void)state;
	a.other = &b;
	b.other = &a;
	a.timer.expired = clear_other;
	b.timer.expired = clear_other;
	loop_timer_set(loop, &a.timer, 0);
	loop_timer_set(loop, &b.timer, 0);
	run_for(loop, 5);
	assert_int_equal(a.calls + b.calls, 1);
	loop_free(loop);
}

static void
set_again(struct loop_timer *timer)
{
	struct alarm *alarm = LOOP_OWNER(timer, struct alarm, timer);

	alarm->calls++;
	loop_timer_set(alarm->loop, timer, 0);
}

/*
 * Memory for timers runs out here on command: the loop calls this one, not
 * the C library's.
 */
static bool no_memory;

void *
reallocarray(void *array, size_t count, size_t size)
{
	if (no_memory || (size != 0 && count > SIZE_MAX / size))
		return NULL;
	return realloc(array, count * size);
}

#define TIMERS_MAX 10000 /* far above what the loop starts with */

/* Fills the loop up to where one more timer needs memory. */
static void
fill(struct loop *loop, struct loop_timer *timers)
{
	size_t count = 0;

	no_memory = true;
	while (loop_timer_set(loop, &timers[count], ALARM_MS) == 0)
		assert_true(++count < TIMERS_MAX);
	assert_int_equal(timers[count].place, 0);
	no_memory = false;
}

/* Tries to take the places of timers that are due or expiring. */
static void
set_another_then_itself(struct loop_timer *timer)
{
	struct alarm *alarm = LOOP_OWNER(timer, struct alarm, timer);
	struct loop_timer other = { 0 };

	no_memory = true;
	alarm->calls++;
	assert_int_equal(loop_timer_set(alarm->loop, &other, 0), -1);
	assert_int_equal(other.place, 0);
	assert_int_equal(loop_timer_set(alarm->loop, &alarm->other->timer,
			     alarm->calls < 5 ? 0 : ALARM_MS),
	    0);
	assert_int_equal(loop_timer_set(alarm->loop, timer,
			     alarm->calls < 5 ? 0 : ALARM_MS),
	    0);
	no_memory = false;
}

static void
loop_timer_set_again_needs_no_memory(void **state)
{
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);
	struct loop_timer *timers = calloc(TIMERS_MAX, sizeof(*timers));
	struct alarm a = { .loop = loop }, b = { .loop = loop };

	(void)state;
	assert_non_null(timers);
	a.other = &b;
	b.other = &a;
	a.timer.expired = set_another_then_itself;
	b.timer.expired = set_another_then_itself;
	assert_int_equal(loop_timer_set(loop, &a.timer, 0), 0);
	assert_int_equal(loop_timer_set(loop, &b.timer, 0), 0);
	fill(loop, timers);
	loop_timer_clear(loop, &timers[0]); /* for run_for() */
	run_for(loop, 20);
	assert_true(a.calls + b.calls >= 5);
	free(timers);
	loop_free(loop);
}

/* A timer that fired and was not set again makes room for another. */
static void
loop_timer_gives_its_place_back(void **state)
{
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);
	struct loop_timer *timers = calloc(TIMERS_MAX, sizeof(*timers));
	struct alarm once = { 0 };
	struct loop_timer spare = { 0 };

	(void)state;
	assert_non_null(timers);
	once.timer.expired = count_expiry;
	assert_int_equal(loop_timer_set(loop, &once.timer, 0), 0);
	fill(loop, timers);
	loop_timer_clear(loop, &timers[0]);
	run_for(loop, 5);
	assert_int_equal(once.calls, 1);
	no_memory = true;
	assert_int_equal(loop_timer_set(loop, &timers[0], ALARM_MS), 0);
	assert_int_equal(loop_timer_set(loop, &once.timer, ALARM_MS), 0);
	assert_int_equal(loop_timer_set(loop, &spare, ALARM_MS), -1);
	no_memory = false;
	free(timers);
	loop_free(loop);
}

static void
loop_timer_of_zero_starves_nobody(void **state)
{
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);
	struct alarm busy = { .loop = loop };
	struct source source = new_source(loop, 1, stop_on_ready);

	(void)state;
	busy.timer.expired = set_again;
	loop_timer_set(loop, &busy.timer, 0);
	run_for(loop, 3);
	assert_true(busy.calls > 1);
	assert_int_equal(loop_watch(loop, &source.watch, EPOLLIN), 0);
	assert_int_equal(loop_run(loop), 0);
	assert_int_equal(source.calls, 1);
	close(source.watch.fd);
	loop_free(loop);
}

static void
loop_timer_takes_any_time(void **state)
{
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);
	struct alarm never = { 0 }, past = { 0 };

	(void)state;
	never.timer.expired = count_expiry;
	past.timer.expired = count_expiry;
	loop_timer_set(loop, &never.timer, INT64_MAX);
	loop_timer_set(loop, &past.timer, INT64_MIN);
	run_for(loop, 5);
	assert_int_equal(never.calls, 0);
	assert_int_equal(past.calls, 1);
	loop_free(loop);
}

#define MANY 1000

struct order {
	int64_t last; /* when the timer before was due */
	int wrong;    /* timers that came too late or too early */
};

struct ranked {
	struct loop_timer timer;
	struct order *order;
	int calls;
};

static void
check_order(struct loop_timer *timer)
{
	struct ranked *ranked = LOOP_OWNER(timer, struct ranked, timer);

	ranked->calls++;
	if (timer->due < ranked->order->last)
		ranked->order->wrong++;
	ranked->order->last = timer->due;
}

/* Set in a scattered order, every third one cleared again. */
static void
loop_timers_fire_in_order_of_time(void **state)
{
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);
	struct ranked *timers = calloc(MANY, sizeof(*timers));
	struct order order = { 0 };

	(void)state;
	assert_non_null(timers);
	for (int i = 0; i < MANY; i++) {
		int slot = i * 617 % MANY; /* 617 and MANY share no factor */

		timers[slot].order = &order;
		timers[slot].timer.expired = check_order;
		assert_int_equal(loop_timer_set(loop, &timers[slot].timer,
				     slot / 20),
		    0);
	}
	for (int i = 0; i < MANY; i += 3)
		loop_timer_clear(loop, &timers[i].timer);
	run_for(loop, MANY / 20 + 20);
	assert_int_equal(order.wrong, 0);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(timers[i].calls, i % 3 == 0 ? 0 : 1);
	free(timers);
	loop_free(loop);
}

static void
on_signal(int number)
{
	(void)number;
}

static void
loop_run_survives_signals(void **state)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct itimerval every = { .it_interval.tv_usec = 2000,
		.it_value.tv_usec = 2000 };
	struct itimerval off = { 0 };
	struct loop_timer guard = { 0 };
	struct loop *loop = new_loop(&guard);

	(void)state;
	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
	run_for(loop, 30);
	setitimer(ITIMER_REAL, &off, NULL);
	loop_free(loop);
}

static void
loop_free_takes_null(void **state)
{
	(void)state;
	loop_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(loop_reports_what_came_true),
		cmocka_unit_test(loop_watch_again_changes_the_events),
		cmocka_unit_test(loop_watch_refuses_a_bad_descriptor),
		cmocka_unit_test(loop_unwatch_ends_delivery),
		cmocka_unit_test(loop_unwatch_takes_back_fetched_events),
		cmocka_unit_test(loop_run_goes_on_where_it_stopped),
		cmocka_unit_test(loop_stop_before_run_counts),
		cmocka_unit_test(loop_timer_waits_its_time),
		cmocka_unit_test(loop_timer_fires_once),
		cmocka_unit_test(loop_timer_set_again_moves_it),
		cmocka_unit_test(loop_timer_clear_disarms),
		cmocka_unit_test(loop_timer_clear_works_on_a_due_timer),
		cmocka_unit_test(loop_timer_set_again_needs_no_memory),
		cmocka_unit_test(loop_timer_gives_its_place_back),
		cmocka_unit_test(loop_timer_of_zero_starves_nobody),
		cmocka_unit_test(loop_timer_takes_any_time),
		cmocka_unit_test(loop_timers_fire_in_order_of_time),
		cmocka_unit_test(loop_run_survives_signals),
		cmocka_unit_test(loop_free_takes_null),
	};

	return cmocka_run_group_tests_name("loop", tests, NULL, NULL);
}
