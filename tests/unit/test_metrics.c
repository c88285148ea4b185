/*
 * metrics.c: counting, histograms, and a table that several processes have.
 * Parents and workers are children of the test, each with a table as new.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/fail.h"
#include "common/metrics.h"
#include "common/settings.h"
#include "fcgi/endpoint.h"
#include "fcgi/exposition.h"
#include "fcgi/service.h"

#define HOST "https://a.example/api"
#define NOW 1700000000
#define T0 5000

/* In a child: what it expects has come true, or not. */
#define HOLDS(what)                                                            \
	do {                                                                   \
		if (!(what)) {                                                 \
			fprintf(stderr, "%d: %s\n", __LINE__, #what);          \
			_exit(1);                                              \
		}                                                              \
	} while (0)

/* Runs ${work} in a child, with the counters of a new program. */
static void
in_child(void (*work)(void))
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		work();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* As a worker with ${slot} of the table ${fd}: does ${work}. */
static void
as_worker(int fd, size_t slot, void (*work)(void))
{
	pid_t pid = fork();
	int status = -1;

	if (pid == 0) {
		metrics_table_hand_over(dup(fd), slot);
		/* NOLINTNEXTLINE(concurrency-mt-unsafe) */
		metrics_begin(getenv(METRICS_VARIABLE), NOW + 1);
		work();
		_exit(0);
	}
	HOLDS(waitpid(pid, &status, 0) == pid);
	HOLDS(status == 0);
}

static struct metrics
sum_of_all(void)
{
	struct metrics sum;

	HOLDS(metrics_read(&sum) == 0);
	return sum;
}

/* ---- counting ----------------------------------------------------------- */

static void
count_some(void)
{
	struct metrics sum;

	metrics_begin(NULL, NOW);
	metrics_request(FAIL_NONE, 50, 0);
	metrics_request(FAIL_NONE, 51, 0);
	metrics_request(FAIL_UPSTREAM, 1000000, 20000001);
	metrics_request(FAIL_INTERNAL, 1000001, 50000);
	metrics_request(FAIL_INTERNAL, -3, 0); /* a clock's whim */
	metrics_call(AGORA_JOIN, AGORA_DONE);
	metrics_call(AGORA_LIST, AGORA_FINAL);
	metrics_lost_lines(1);
	metrics_orphans(2);
	metrics_starts(7);
	metrics_starts(6);
	sum = sum_of_all();
	HOLDS(sum.since == NOW && sum.processes == 1);
	HOLDS(sum.total.requests[FAIL_NONE] == 2);
	HOLDS(sum.total.requests[FAIL_UPSTREAM] == 1);
	HOLDS(sum.total.requests[FAIL_INTERNAL] == 2);
	HOLDS(sum.total.requests[FAIL_CONFIG] == 0);
	HOLDS(sum.total.own.count[0] == 2); /* 50 us is in "up to 50 us" */
	HOLDS(sum.total.own.count[1] == 1);
	HOLDS(sum.total.own.count[METRICS_BOUNDS - 2] == 1);
	HOLDS(sum.total.own.count[METRICS_BOUNDS - 1] == 1);
	HOLDS(sum.total.own.sum_us == 50 + 51 + 1000000 + 1000001);
	HOLDS(sum.total.agora.count[0] == 1);
	HOLDS(sum.total.agora.count[METRICS_BOUNDS - 1] == 1);
	HOLDS(sum.total.agora.sum_us == 20000001 + 50000);
	HOLDS(sum.total.calls[AGORA_JOIN][AGORA_DONE] == 1);
	HOLDS(sum.total.calls[AGORA_LIST][AGORA_FINAL] == 1);
	HOLDS(sum.total.lost_lines == 1);
	HOLDS(sum.total.orphans == 2 && sum.starts == 6);
}

static void
test_counts(void **state)
{
	(void)state;
	in_child(count_some);
}

static void
note_outcomes(void)
{
	HOLDS(sum_of_all().last == METRICS_NO_CALL);
	metrics_outcome(METRICS_REFUSED, T0);
	metrics_outcome(METRICS_ANSWERED, T0 + 1);
	HOLDS(sum_of_all().last == METRICS_ANSWERED);
	HOLDS(sum_of_all().last_ms == T0 + 1);
}

static void
test_last_outcome(void **state)
{
	(void)state;
	in_child(note_outcomes);
}

static void
shut_a_host(void)
{
	struct health health = { .next = 0 };

	for (int i = 0; i < HEALTH_FAILURES; i++)
		health_result(&health, HOST, false, T0);
	metrics_hosts(&health);
}

static void
see_a_shut_host(void)
{
	shut_a_host();
	HOLDS(metrics_shut(HOST, T0 + 1) == 1);
	HOLDS(metrics_shut("https://b.example/api", T0 + 1) == 0);
	HOLDS(metrics_shut(HOST, T0 + HEALTH_SHUT_MS) == 0);
}

static void
test_shut_hosts(void **state)
{
	(void)state;
	in_child(see_a_shut_host);
}

/* ---- several processes -------------------------------------------------- */

static void
serve_one(void)
{
	metrics_request(FAIL_NONE, 60, 0);
	metrics_outcome(METRICS_FAILED, T0 + 2);
	metrics_starts(1);
	shut_a_host();
	HOLDS(sum_of_all().starts == 1);
}

static void
serve_another(void)
{
	metrics_outcome(METRICS_ANSWERED, T0 + 1);
	for (int i = 0; i < 1000; i++)
		metrics_request(FAIL_NONE, 60, 0);
	HOLDS(sum_of_all().total.requests[FAIL_NONE] == 1001);
	HOLDS(metrics_shut(HOST, T0 + 1) == 1);
}

/* The sums are of all, whoever looks; what a process is at ends with it. */
static void
be_a_parent(void)
{
	int fd = metrics_table_make(NOW);
	struct metrics sum;

	HOLDS(fd != -1);
	as_worker(fd, 0, serve_one);
	as_worker(fd, 3, serve_another);
	sum = sum_of_all();
	HOLDS(sum.total.requests[FAIL_NONE] == 1001);
	HOLDS(sum.total.own.count[1] == 1001);
	HOLDS(sum.total.own.sum_us == 60060);
	HOLDS(sum.starts == 1 && metrics_shut(HOST, T0 + 1) == 1);
	HOLDS(sum.last == METRICS_FAILED && sum.last_ms == T0 + 2);
	HOLDS(sum.since == NOW && sum.processes == 2);
	metrics_table_ended(0);
	sum = sum_of_all();
	HOLDS(sum.total.requests[FAIL_NONE] == 1001);
	HOLDS(sum.starts == 0 && metrics_shut(HOST, T0 + 1) == 0);
	HOLDS(sum.last == METRICS_FAILED);
}

static void
test_workers_add_up(void **state)
{
	(void)state;
	in_child(be_a_parent);
}

static void
race(void)
{
	for (int i = 0; i < 100000; i++)
		metrics_request(FAIL_NONE, 1, 1);
}

/* Two that have one slot lose nothing either. */
static void
share_a_slot(void)
{
	int fd = metrics_table_make(NOW);
	pid_t pid;

	HOLDS(fd != -1);
	pid = fork();
	if (pid == 0) {
		race();
		_exit(0);
	}
	as_worker(fd, 0, race);
	HOLDS(waitpid(pid, NULL, 0) == pid);
	HOLDS(sum_of_all().total.requests[FAIL_NONE] == 200000);
	HOLDS(sum_of_all().total.agora.sum_us == 200000);
}

static void
test_a_shared_slot(void **state)
{
	(void)state;
	in_child(share_a_slot);
}

/* Counts by itself, and says that it cannot tell sums. */
static void
begin_with(const char *handed_over)
{
	struct metrics before, sum;

	metrics_begin(handed_over, NOW);
	HOLDS(metrics_read(&before) == -1);
	metrics_request(FAIL_NONE, 1, 0);
	HOLDS(metrics_read(&sum) == -1);
	HOLDS(sum.total.requests[FAIL_NONE] ==
	    before.total.requests[FAIL_NONE] + 1);
}

static void
begin_with_nonsense(void)
{
	begin_with("-1:0");
	begin_with("");
	begin_with("1");
	begin_with("999999:0");
	begin_with("1:0"); /* no table: must stay open */
	HOLDS(write(STDOUT_FILENO, "", 0) == 0);
}

/* A worker of another version has another idea of what is where. */
static void
begin_with_another_form(void)
{
	int fd = metrics_table_make(NOW);
	char text[32];

	HOLDS(pwrite(fd, "x", 1, 0) == 1);
	snprintf(text, sizeof(text), "%d:0", fd);
	metrics_begin(text, NOW);
	HOLDS(metrics_read(&(struct metrics){ 0 }) == -1);
	/* A place that is not there. */
	HOLDS(pwrite(fd, "a", 1, 0) == 1);
	snprintf(text, sizeof(text), "%d:%d", fd, METRICS_SLOTS);
	metrics_begin(text, NOW);
	HOLDS(metrics_read(&(struct metrics){ 0 }) == -1);
	snprintf(text, sizeof(text), "%d:%d", fd, METRICS_SLOTS - 1);
	metrics_begin(text, NOW);
	HOLDS(metrics_read(&(struct metrics){ 0 }) == 0);
}

static void
test_a_table_of_another_form(void **state)
{
	(void)state;
	in_child(begin_with_nonsense);
	in_child(begin_with_another_form);
}

/* ---- the text ----------------------------------------------------------- */

static char base_url[] = "https://agora.example:8443/api";
static struct settings settings = { .api_base_url = base_url };
static const struct endpoint endpoint = { .name = "start_agent",
	.agents = true };
static int no_agora;

/* What of the text stands in a line of its own? */
static bool
has_line(const struct buf *text, const char *line)
{
	const char *at = strstr(buf_str(text), line);

	return at != NULL && (at == buf_str(text) || at[-1] == '\n') &&
	    at[strlen(line)] == '\n';
}

static void
write_text(void)
{
	struct service service = { .endpoint = &endpoint,
		.settings = &settings,
		.agora = (struct agora *)&no_agora };
	struct buf text = BUF(EXPOSITION_MAX);
	struct metrics sum;

	metrics_begin(NULL, NOW);
	metrics_request(FAIL_NONE, 40, 0);
	metrics_request(FAIL_NONE, 2000, 9000000);
	metrics_request(FAIL_BUSY, 2000001, 0);
	metrics_outcome(METRICS_ANSWERED, T0);
	shut_a_host();
	sum = sum_of_all();
	exposition_write(&service, &sum, T0 + 2000, &text);
	HOLDS(!buf_failed(&text));
#define P "agora_agent_"
#define OWN P "request_own_seconds"
#define E "{endpoint=\"start_agent\""
	HOLDS(has_line(&text, "# TYPE " P "requests_total counter"));
	HOLDS(has_line(&text,
	    P "requests_total" E ",status=\"200\",outcome=\"success\"} 2"));
	HOLDS(has_line(&text,
	    P "requests_total" E ",status=\"500\",outcome=\"busy\"} 1"));
	HOLDS(has_line(&text, "# TYPE " OWN " histogram"));
	HOLDS(has_line(&text, OWN "_bucket" E ",le=\"0.000050\"} 1"));
	HOLDS(has_line(&text, OWN "_bucket" E ",le=\"0.001000\"} 1"));
	HOLDS(has_line(&text, OWN "_bucket" E ",le=\"0.002500\"} 2"));
	HOLDS(has_line(&text, OWN "_bucket" E ",le=\"1.000000\"} 2"));
	HOLDS(has_line(&text, OWN "_bucket" E ",le=\"+Inf\"} 3"));
	HOLDS(has_line(&text, OWN "_sum" E "} 2.002041"));
	HOLDS(has_line(&text, OWN "_count" E "} 3"));
	HOLDS(has_line(&text, P "request_agora_seconds_count" E "} 1"));
	HOLDS(has_line(&text, P "agora_last_call_age_seconds 2"));
	HOLDS(has_line(&text,
	    P "agora_host_shut_processes{host=\"agora.example:8443\"} 0"));
	HOLDS(has_line(&text, "process_start_time_seconds 1700000000"));
	buf_free(&text);

	/* One that calls nobody says nothing of Agora. */
	service.agora = NULL;
	exposition_write(&service, &sum, T0, &text);
	HOLDS(strstr(buf_str(&text), "_agora_") == NULL);
	HOLDS(strstr(buf_str(&text), "starts") == NULL);
	buf_free(&text);
}

static void
test_text(void **state)
{
	(void)state;
	in_child(write_text);
}

/* Twenty digits in every place, and the longest host. */
static void
write_the_largest(void)
{
	char url[SETTINGS_URL_MAX + 1] = "https://";
	struct settings longest = { .api_base_url = url };
	struct service service = { .endpoint = &endpoint,
		.settings = &longest,
		.agora = (struct agora *)&no_agora };
	struct buf text = BUF(EXPOSITION_MAX);
	struct metrics sum;

	memset(url + strlen(url), 'a', sizeof(url) - 1 - strlen(url));
	memset(&sum, 0xff, sizeof(sum));
	sum.last = METRICS_FAILED;
	sum.last_ms = 0;
	exposition_write(&service, &sum, INT64_MAX, &text);
	HOLDS(!buf_failed(&text));
	buf_free(&text);
}

static void
test_text_has_room(void **state)
{
	(void)state;
	in_child(write_the_largest);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_last_outcome),
		cmocka_unit_test(test_shut_hosts),
		cmocka_unit_test(test_workers_add_up),
		cmocka_unit_test(test_a_shared_slot),
		cmocka_unit_test(test_a_table_of_another_form),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_has_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
