/*
 * The HTTPS client against tls_peer.py, a peer that misbehaves on command.
 * Loopback only.
 */
#define _GNU_SOURCE /* RTLD_NEXT */

#include <dlfcn.h>
#include <malloc.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <curl/curl.h>

#include "common/fail.h"
#include "common/http.h"
#include "common/loop.h"
#include "common/secret.h"
#include "common/sys.h"

#define PYTHON "/usr/bin/python3"
#define PEER "tests/unit/tls_peer.py"
#define WATCHDOG_MS 20000
#define TOKEN "agora token=007secret"

static struct peer {
	pid_t pid;
	int lifeline; /* the peer ends when this is closed */
	char folder[128], ca[160], stranger_ca[160];
	int good, other, stranger, expired, old, plain, mute, closed;
} peer;

/* One exchange, as its done() saw it. */
struct seen {
	struct http_result result; /* body is not valid any more */
	char body[HTTP_BODY_MAX + 1];
	int calls;
	int headers; /* called env.header */
};

struct env {
	struct loop *loop;
	struct http *http;
	struct loop_timer watchdog;
	int open; /* exchanges that are not done */
	const char *header;
};

static struct env env;

/* A port where nobody listens: one that was given and returned. */
static int
closed_port(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (void *)&addr, len), 0);
	assert_int_equal(getsockname(fd, (void *)&addr, &len), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

/* Its standard input and output are one socket to us. */
static void
exec_peer(int fd)
{
	if (dup2(fd, STDIN_FILENO) == -1 || dup2(fd, STDOUT_FILENO) == -1)
		_exit(126);
	execl(PYTHON, PYTHON, PEER, (char *)NULL);
	_exit(127);
}

/* The line that says it is ready; it ends the text that comes. */
static int
read_line(int fd, char *line, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while (len < size - 1 && (len == 0 || line[len - 1] != '\n')) {
		n = read(fd, line + len, size - 1 - len);
		if (n <= 0)
			return -1;
		len += (size_t)n;
	}
	line[len] = '\0';
	return 0;
}

static int
start_peer(void **state)
{
	char line[256], lax[160];
	int pair[2];

	(void)state;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == -1)
		return -1;
	peer.pid = fork();
	if (peer.pid == 0)
		exec_peer(pair[1]);
	close(pair[1]);
	peer.lifeline = pair[0];
	if (read_line(pair[0], line, sizeof(line)) == -1 ||
	    sscanf(line, "%127s %d %d %d %d %d %d %d", peer.folder, &peer.good,
		&peer.other, &peer.stranger, &peer.expired, &peer.old,
		&peer.plain, &peer.mute) != 8)
		return -1;
	/* OpenSSL as lax as a machine can have it, before libcurl starts. */
	snprintf(lax, sizeof(lax), "%s/lax.cnf", peer.folder);
	setenv("OPENSSL_CONF", lax, 1);
	snprintf(peer.ca, sizeof(peer.ca), "%s/ca.pem", peer.folder);
	snprintf(peer.stranger_ca, sizeof(peer.stranger_ca),
	    "%s/stranger-ca.pem", peer.folder);
	peer.closed = closed_port();
	return 0;
}

static int
stop_peer(void **state)
{
	int status = 0;

	(void)state;
	close(peer.lifeline);
	return waitpid(peer.pid, &status, 0) == peer.pid && status == 0 ? 0 :
									  -1;
}

static void
give_up(struct loop_timer *timer)
{
	(void)timer;
	loop_stop(env.loop);
}

static int
setup(void **state)
{
	struct fail fail = { 0 };

	(void)state;
	memset(&env, 0, sizeof(env));
	env.watchdog.expired = give_up;
	env.loop = loop_new();
	if (env.loop == NULL)
		return -1;
	env.http = http_new(env.loop, &fail);
	return env.http == NULL ? -1 : 0;
}

static int
teardown(void **state)
{
	(void)state;
	http_free(env.http);
	loop_free(env.loop);
	return 0;
}

static void
remember(void *arg, const struct http_result *result)
{
	struct seen *seen = arg;

	seen->calls++;
	seen->result = *result;
	seen->result.body = NULL;
	while (env.header != NULL &&
	    http_header(result, env.header, (size_t)seen->headers) != NULL)
		seen->headers++;
	if (result->outcome == HTTP_ANSWERED ||
	    result->outcome == HTTP_TOO_LARGE) {
		assert_int_equal(result->body[result->body_len], '\0');
		memcpy(seen->body, result->body, result->body_len + 1);
	}
	if (--env.open == 0)
		loop_stop(env.loop);
}

/* A POST as the calls to Agora are, to ${path} of the peer at ${port}. */
static struct http_request
request(int port, const char *path, char url[static 128])
{
	struct http_request request = { .method = "POST",
		.url = url,
		.authorization = TOKEN,
		.content_type = "application/json",
		.body = "{}",
		.body_len = 2,
		.ca_file = peer.ca,
		.timeout_ms = 5000,
		.fresh = true };

	snprintf(url, 128, "https://127.0.0.1:%d%s", port, path);
	return request;
}

static void
begin(const struct http_request *req, struct seen *seen)
{
	struct fail fail = { 0 };

	memset(seen, 0, sizeof(*seen));
	env.open++;
	assert_int_equal(http_start(env.http, req, remember, seen, &fail), 0);
	assert_int_equal(seen->calls, 0);
}

static void
run(void)
{
	assert_int_equal(loop_timer_set(env.loop, &env.watchdog, WATCHDOG_MS),
	    0);
	assert_int_equal(loop_run(env.loop), 0);
	loop_timer_clear(env.loop, &env.watchdog);
	assert_int_equal(env.open, 0);
}

static void
exchange(const struct http_request *req, struct seen *seen)
{
	begin(req, seen);
	run();
	assert_int_equal(seen->calls, 1);
}

static void
call(int port, const char *path, struct seen *seen)
{
	char url[128];
	struct http_request req = request(port, path, url);

	exchange(&req, seen);
}

static void
expect(int port, const char *path, enum http_outcome outcome)
{
	struct seen seen;

	call(port, path, &seen);
	if (seen.result.outcome != outcome)
		print_message("%s: %s\n", path, seen.result.error);
	assert_int_equal(seen.result.outcome, outcome);
	assert_int_equal(seen.result.status, 0);
	assert_true(seen.result.error[0] != '\0');
	assert_null(strstr(seen.result.error, "secret"));
}

static void
test_answer_is_read(void **state)
{
	struct seen seen;

	(void)state;
	call(peer.good, "/ok", &seen);
	assert_int_equal(seen.result.outcome, HTTP_ANSWERED);
	assert_int_equal(seen.result.status, 200);
	assert_string_equal(seen.body, "ok");
	assert_int_equal(seen.result.body_len, 2);
	assert_int_equal(seen.result.retry_after, -1);
	assert_int_equal(seen.result.date, -1);
	assert_string_equal(seen.result.request_id, "");
}

static void
test_empty_answer_has_a_body(void **state)
{
	struct seen seen;

	(void)state;
	call(peer.good, "/empty", &seen);
	assert_int_equal(seen.result.outcome, HTTP_ANSWERED);
	assert_int_equal(seen.result.body_len, 0);
}

static void
test_request_is_sent_as_asked(void **state)
{
	struct seen seen;

	(void)state;
	call(peer.good, "/echo", &seen);
	assert_int_equal(seen.result.status, 200);
	assert_memory_equal(seen.body, "POST /echo HTTP/1.1\r\n", 21);
	assert_non_null(strstr(seen.body, "\r\nAuthorization: " TOKEN "\r\n"));
	assert_non_null(
	    strstr(seen.body, "\r\nContent-Type: application/json\r\n"));
	assert_non_null(strstr(seen.body, "\r\nContent-Length: 2\r\n"));
	assert_non_null(
	    strstr(seen.body, "\r\nUser-Agent: agora-agent/" VERSION "\r\n"));
	assert_null(strstr(seen.body, "Accept-Encoding"));
	assert_null(strstr(seen.body, "Expect"));
	assert_non_null(strstr(seen.body, "\r\n\r\n{}"));
}

static void
test_more_headers(void **state)
{
	static const char *const headers[] = { "Origin: https://page.example",
		"X-Other: value", NULL };
	char url[128];
	struct http_request req = request(peer.good, "/echo", url);
	struct seen seen;

	(void)state;
	req.method = "OPTIONS";
	req.headers = headers;
	exchange(&req, &seen);
	assert_memory_equal(seen.body, "OPTIONS /echo HTTP/1.1\r\n", 24);
	assert_non_null(
	    strstr(seen.body, "\r\nOrigin: https://page.example\r\n"));
	assert_non_null(strstr(seen.body, "\r\nX-Other: value\r\n"));
}

static void
test_post_without_body(void **state)
{
	struct seen seen;
	char url[128];
	struct http_request req = request(peer.good, "/echo", url);

	(void)state;
	req.body = NULL;
	req.content_type = NULL;
	req.authorization = NULL;
	exchange(&req, &seen);
	assert_memory_equal(seen.body, "POST /echo HTTP/1.1\r\n", 21);
	assert_non_null(strstr(seen.body, "\r\nContent-Length: 0\r\n"));
	assert_null(strstr(seen.body, "Content-Type"));
	assert_null(strstr(seen.body, "Authorization"));
}

static void
test_get(void **state)
{
	struct seen seen;
	char url[128];
	struct http_request req = request(peer.good, "/echo", url);

	(void)state;
	req.method = "GET";
	exchange(&req, &seen);
	assert_memory_equal(seen.body, "GET /echo HTTP/1.1\r\n", 20);
}

/* A body of libcurl's "Expect: 100-continue" size goes out at once. */
static void
test_large_request(void **state)
{
	static char body[40000];
	struct seen seen;
	char url[128];
	struct http_request req = request(peer.good, "/echo", url);

	(void)state;
	memset(body, 'b', sizeof(body));
	req.body = body;
	req.body_len = sizeof(body);
	exchange(&req, &seen);
	assert_int_equal(seen.result.status, 200);
	assert_null(strstr(seen.body, "Expect"));
	assert_memory_equal(strstr(seen.body, "\r\n\r\n") + 4, body,
	    sizeof(body));
}

static void
test_answer_headers(void **state)
{
	struct seen seen;

	(void)state;
	call(peer.good, "/described", &seen);
	assert_int_equal(seen.result.retry_after, 7);
	assert_int_equal(seen.result.date, 784111777);
	assert_string_equal(seen.result.request_id, "first-1.a_b");
	call(peer.good, "/odd", &seen);
	assert_int_equal(seen.result.retry_after, -1);
	assert_int_equal(seen.result.date, -1);
	assert_string_equal(seen.result.request_id, "second");
	call(peer.good, "/early", &seen);
	assert_int_equal(seen.result.date, -1);
}

/* Each header of a name can be had: two where one is right is a fault. */
static void
test_headers_of_a_name(void **state)
{
	static const struct {
		const char *name;
		int count;
	} expected[] = { { "Content-Length", 1 }, { "x-1", 1 }, { "Vary", 0 } };
	struct seen seen;

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		env.header = expected[i].name;
		call(peer.good, "/fields-100", &seen);
		assert_int_equal(seen.headers, expected[i].count);
	}
	env.header = NULL;
}

static void
test_request_id_of_64_characters(void **state)
{
	char path[80] = "/id/";
	struct seen seen;

	(void)state;
	memset(path + 4, 'r', 64);
	call(peer.good, path, &seen);
	assert_string_equal(seen.result.request_id, path + 4);
	memset(path + 4, 'r', 65);
	call(peer.good, path, &seen);
	assert_int_equal(seen.result.outcome, HTTP_ANSWERED);
	assert_string_equal(seen.result.request_id, "");
}

static void
test_http2_is_offered(void **state)
{
	struct seen seen;

	(void)state;
	call(peer.good, "/offered", &seen);
	assert_string_equal(seen.body, "h2,http/1.1");
}

static void
test_nothing_sent(void **state)
{
	(void)state;
	expect(peer.closed, "/ok", HTTP_NOT_SENT);
	expect(peer.plain, "/ok", HTTP_NOT_SENT);
}

/* Whatever the machine's own configuration of OpenSSL allows. */
static void
test_old_tls_is_refused(void **state)
{
	(void)state;
	expect(peer.old, "/ok", HTTP_NOT_SENT);
}

static void
test_handshake_that_never_ends(void **state)
{
	struct seen seen;
	char url[128];
	struct http_request req = request(peer.mute, "/ok", url);

	(void)state;
	req.timeout_ms = 300;
	exchange(&req, &seen);
	assert_int_equal(seen.result.outcome, HTTP_NOT_SENT);
}

/* More than there may be connections: the others wait, but not for ever. */
static void
test_waiting_for_a_connection_has_an_end(void **state)
{
	enum { COUNT = 200 };
	struct seen *seen = calloc(COUNT, sizeof(*seen));
	char url[128];
	struct http_request req = request(peer.mute, "/ok", url);
	int64_t start = sys_monotonic_ms();
	size_t i;

	(void)state;
	assert_non_null(seen);
	req.fresh = false;
	req.timeout_ms = 15000;
	for (i = 0; i < COUNT; i++)
		begin(&req, &seen[i]);
	run();
	for (i = 0; i < COUNT; i++) {
		assert_int_equal(seen[i].calls, 1);
		assert_int_equal(seen[i].result.outcome, HTTP_NOT_SENT);
	}
	assert_in_range(sys_monotonic_ms() - start, HTTP_CONNECT_MS - 100,
	    HTTP_CONNECT_MS + 2000);
	free(seen);
}

static void
test_connect_limit_is_below_the_total(void **state)
{
	struct seen seen;
	char url[128];
	struct http_request req = request(peer.mute, "/ok", url);
	int64_t start = sys_monotonic_ms();

	(void)state;
	req.timeout_ms = 15000;
	exchange(&req, &seen);
	assert_int_equal(seen.result.outcome, HTTP_NOT_SENT);
	assert_in_range(sys_monotonic_ms() - start, HTTP_CONNECT_MS - 100,
	    HTTP_CONNECT_MS + 2000);
}

static void
test_unknown_name(void **state)
{
	struct seen seen;
	char url[128];
	struct http_request req = request(peer.good, "/ok", url);

	(void)state;
	req.url = "https://nobody.invalid/ok";
	exchange(&req, &seen);
	assert_int_equal(seen.result.outcome, HTTP_NOT_SENT);
}

static void
test_untrusted(void **state)
{
	(void)state;
	expect(peer.stranger, "/ok", HTTP_UNTRUSTED);
	expect(peer.other, "/ok", HTTP_UNTRUSTED);
	expect(peer.expired, "/ok", HTTP_UNTRUSTED);
}

static void
test_ca_file_decides(void **state)
{
	struct seen seen;
	char url[128];
	struct http_request req = request(peer.stranger, "/ok", url);

	(void)state;
	req.ca_file = peer.stranger_ca;
	exchange(&req, &seen);
	assert_int_equal(seen.result.outcome, HTTP_ANSWERED);
	req.ca_file = ""; /* the system's list does not know it */
	exchange(&req, &seen);
	assert_int_equal(seen.result.outcome, HTTP_UNTRUSTED);
	req.ca_file = "/nonexistent.pem";
	exchange(&req, &seen);
	assert_int_equal(seen.result.outcome, HTTP_UNTRUSTED);
}

static void
test_only_https(void **state)
{
	static const char *const schemes[] = { "http", "ftp", "file" };
	struct seen seen;
	char url[128];
	struct http_request req = request(peer.plain, "/ok", url);
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		snprintf(url, sizeof(url), "%s://127.0.0.1:%d/ok", schemes[i],
		    peer.plain);
		exchange(&req, &seen);
		assert_int_equal(seen.result.outcome, HTTP_NOT_SENT);
	}
}

static void
test_broken_after_sending(void **state)
{
	(void)state;
	expect(peer.good, "/drop", HTTP_BROKEN);
	expect(peer.good, "/cut", HTTP_BROKEN);
	expect(peer.good, "/cut-head", HTTP_BROKEN);
	expect(peer.good, "/old", HTTP_BROKEN);
	expect(peer.good, "/no-status", HTTP_BROKEN);
	expect(peer.good, "/low-status", HTTP_BROKEN);
}

static void
expect_timeout(const char *path)
{
	struct seen seen;
	char url[128];
	struct http_request req = request(peer.good, path, url);
	int64_t start = sys_monotonic_ms();

	req.timeout_ms = 500;
	exchange(&req, &seen);
	assert_int_equal(seen.result.outcome, HTTP_BROKEN);
	assert_in_range(sys_monotonic_ms() - start, 450, 3000);
}

static void
test_timeout_after_sending(void **state)
{
	(void)state;
	expect_timeout("/silent");
	expect_timeout("/drip");
}

#define UPLOAD_BUFFER 16384 /* bytes, the least that libcurl takes */

static size_t released; /* blocks of at least that size */
static size_t released_early;

void __real_secret_free(void *data);

void
__wrap_secret_free(void *data)
{
	if (malloc_usable_size(data) >= UPLOAD_BUFFER)
		released++;
	__real_secret_free(data);
}

/* The transfer has no answer yet. */
static void
look_at_released(struct loop_timer *timer)
{
	(void)timer;
	assert_int_equal(env.open, 1);
	released_early = released;
}

/* A thousand that wait for Agora would have 16 MiB of them. */
static void
test_what_waits_has_no_upload_buffer(void **state)
{
	struct loop_timer look = { .expired = look_at_released };
	struct seen seen;
	char url[128], body[3000] = "";
	struct http_request req = request(peer.good, "/silent", url);

	(void)state;
	req.body = body;
	req.body_len = sizeof(body);
	req.timeout_ms = 500;
	released = released_early = 0;
	assert_int_equal(loop_timer_set(env.loop, &look, 250), 0);
	exchange(&req, &seen);
	assert_int_equal(seen.result.outcome, HTTP_BROKEN);
	assert_true(released_early > 0);
}

static void
test_body_limit(void **state)
{
	struct seen seen;

	(void)state;
	call(peer.good, "/body-limit", &seen);
	assert_int_equal(seen.result.outcome, HTTP_ANSWERED);
	assert_int_equal(seen.result.body_len, HTTP_BODY_MAX);
	call(peer.good, "/body-over", &seen);
	assert_int_equal(seen.result.outcome, HTTP_TOO_LARGE);
	assert_memory_equal(seen.body, "xxxx", 4); /* what it began with */
	expect(peer.good, "/body-endless", HTTP_TOO_LARGE);
}

static void
test_header_limits(void **state)
{
	struct seen seen;

	(void)state;
	call(peer.good, "/fields-100", &seen);
	assert_int_equal(seen.result.outcome, HTTP_ANSWERED);
	expect(peer.good, "/fields-101", HTTP_TOO_LARGE);
	expect(peer.good, "/field-long", HTTP_TOO_LARGE);
	expect(peer.good, "/continue", HTTP_TOO_LARGE);
}

static void
test_redirect_is_not_followed(void **state)
{
	struct seen seen;

	(void)state;
	call(peer.good, "/moved", &seen);
	assert_int_equal(seen.result.outcome, HTTP_ANSWERED);
	assert_int_equal(seen.result.status, 302);
}

static int
times_seen(const char *path)
{
	struct seen seen;
	char url[64];

	snprintf(url, sizeof(url), "/seen%s", path);
	call(peer.good, url, &seen);
	assert_int_equal(seen.result.status, 200);
	return (int)strtol(seen.body, NULL, 10);
}

/*
 * libcurl sends a request again when a connection from its pool dies before
 * the answer. A fresh one is not from the pool, although one waits there.
 */
static void
test_fresh_is_never_sent_twice(void **state)
{
	struct seen seen;
	char url[128];
	struct http_request req = request(peer.good, "/ok", url);

	(void)state;
	req.fresh = false;
	exchange(&req, &seen);
	assert_int_equal(seen.result.status, 200);
	expect(peer.good, "/drop/once", HTTP_BROKEN);
	assert_int_equal(times_seen("/drop/once"), 1);
}

static void
test_sent_twice_is_told(void **state)
{
	struct seen seen;
	char url[128];
	struct http_request req = request(peer.good, "/ok", url);

	(void)state;
	req.fresh = false;
	exchange(&req, &seen);
	assert_false(seen.result.resent);
	req = request(peer.good, "/drop/pooled", url);
	req.fresh = false;
	exchange(&req, &seen);
	assert_true(seen.result.resent);
	assert_int_equal(times_seen("/drop/pooled"), 2);
}

static void
connection_used(bool fresh, struct seen *seen)
{
	char url[128];
	struct http_request req = request(peer.good, "/connection", url);

	req.fresh = fresh;
	exchange(&req, seen);
	assert_int_equal(seen->result.status, 200);
}

static void
test_reuse_unless_fresh(void **state)
{
	struct seen first, again, fresh;

	(void)state;
	connection_used(false, &first);
	connection_used(true, &fresh);
	connection_used(false, &again);
	assert_string_equal(first.body, again.body);
	assert_string_not_equal(first.body, fresh.body);
}

/* What was on a connection of its own leaves none behind for others. */
static void
test_fresh_connection_is_not_kept(void **state)
{
	struct seen fresh, next;

	(void)state;
	connection_used(true, &fresh);
	connection_used(false, &next);
	assert_string_not_equal(fresh.body, next.body);
}

/* Set before http_new(), as a careless parent process would. */
static int
setup_hostile_environment(void **state)
{
	static const char *const names[] = { "http_proxy", "https_proxy",
		"HTTPS_PROXY", "all_proxy", "ALL_PROXY" };
	char keys[160];
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		setenv(names[i], "http://127.0.0.1:1", 1);
	snprintf(keys, sizeof(keys), "%s/keys", peer.folder);
	setenv("SSLKEYLOGFILE", keys, 1);
	setenv("HOME", peer.folder, 1); /* where the .netrc lies */
	unsetenv("RES_OPTIONS");
	return setup(state);
}

static void
test_environment_is_ignored(void **state)
{
	struct seen seen;
	char keys[160];

	(void)state;
	call(peer.good, "/ok", &seen);
	assert_int_equal(seen.result.status, 200);
	snprintf(keys, sizeof(keys), "%s/keys", peer.folder);
	assert_int_equal(access(keys, F_OK), -1);
	assert_string_equal(getenv("RES_OPTIONS"), "timeout:1 attempts:2");
}

static void
test_netrc_is_ignored(void **state)
{
	struct seen seen;
	char url[128], netrc[160];
	struct http_request req = request(peer.good, "/echo", url);

	(void)state;
	snprintf(netrc, sizeof(netrc), "%s/.netrc", getenv("HOME"));
	assert_int_equal(access(netrc, R_OK), 0);
	req.authorization = NULL;
	exchange(&req, &seen);
	assert_int_equal(seen.result.status, 200);
	assert_null(strstr(seen.body, "Authorization"));
}

static void
test_fifty_at_once(void **state)
{
	enum { COUNT = 50 };
	struct seen *seen = calloc(COUNT, sizeof(*seen));
	char url[128];
	struct http_request req = request(peer.good, "/ok", url);
	size_t i;

	(void)state;
	assert_non_null(seen);
	for (i = 0; i < COUNT; i++) {
		req.fresh = i % 2 == 0;
		begin(&req, &seen[i]);
	}
	run();
	for (i = 0; i < COUNT; i++) {
		assert_int_equal(seen[i].calls, 1);
		assert_int_equal(seen[i].result.status, 200);
		assert_string_equal(seen[i].body, "ok");
	}
	free(seen);
}

/* Everything was copied: the caller's memory may go at once. */
static void
test_request_is_copied(void **state)
{
	struct seen seen;
	char url[128], body[] = "abc", token[] = TOKEN;
	struct http_request req = request(peer.good, "/echo", url);

	(void)state;
	req.body = body;
	req.body_len = 3;
	req.authorization = token;
	begin(&req, &seen);
	memset(url, 'x', sizeof(url));
	memset(body, 'x', sizeof(body));
	memset(token, 'x', sizeof(token));
	run();
	assert_int_equal(seen.result.status, 200);
	assert_non_null(strstr(seen.body, TOKEN));
	assert_non_null(strstr(seen.body, "\r\n\r\nabc"));
}

/* The done() of one exchange may start the next. */
static void
start_next(void *arg, const struct http_result *result)
{
	char url[128];
	struct http_request req = request(peer.good, "/ok", url);
	struct fail fail = { 0 };

	assert_int_equal(result->status, 200);
	assert_int_equal(http_start(env.http, &req, remember, arg, &fail), 0);
}

static void
test_done_starts_another(void **state)
{
	struct seen seen = { 0 };
	char url[128];
	struct http_request req = request(peer.good, "/ok", url);
	struct fail fail = { 0 };

	(void)state;
	env.open = 1;
	assert_int_equal(http_start(env.http, &req, start_next, &seen, &fail),
	    0);
	run();
	assert_int_equal(seen.calls, 1);
	assert_int_equal(seen.result.status, 200);
}

static void
never(void *arg, const struct http_result *result)
{
	(void)arg;
	(void)result;
	fail_msg("done() after http_free()");
}

/* Once before anything happened, once in the middle of an exchange. */
static void
test_free_ends_transfers(void **state)
{
	struct fail fail = { 0 };
	char url[128];
	struct http_request req = request(peer.good, "/silent", url);

	assert_int_equal(http_start(env.http, &req, never, NULL, &fail), 0);
	assert_int_equal(loop_timer_set(env.loop, &env.watchdog, 300), 0);
	assert_int_equal(loop_run(env.loop), 0);
	assert_int_equal(http_start(env.http, &req, never, NULL, &fail), 0);
	teardown(state);
	setup(state);
}

static void
test_method_must_be_known(void **state)
{
	char url[128];
	struct http_request req = request(peer.good, "/ok", url);
	struct fail fail = { 0 };

	(void)state;
	req.method = "DELETE";
	assert_int_equal(http_start(env.http, &req, never, NULL, &fail), -1);
	assert_int_equal(fail.kind, FAIL_INTERNAL);
	assert_string_equal(fail.text,
	    "the method is not GET, POST or OPTIONS");
}

static void
test_header_must_fit(void **state)
{
	static char value[HTTP_HEADER_MAX + 1];
	char url[128];
	struct http_request req = request(peer.good, "/ok", url);
	struct fail fail = { 0 };

	(void)state;
	memset(value, 'x', sizeof(value) - 1);
	req.authorization = value;
	assert_int_equal(http_start(env.http, &req, never, NULL, &fail), -1);
	assert_int_equal(fail.kind, FAIL_INTERNAL);
	assert_string_equal(fail.text, "a header of the request is too long");
}

/* The option that libcurl refuses on command, and with which code. */
static struct {
	CURLoption option;
	CURLcode code;
} refused;

#undef curl_easy_setopt

/* http.c calls this one, which hands on to libcurl. */
CURLcode
curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
	static CURLcode (*real)(CURL * easy, CURLoption option, ...);
	va_list args;
	CURLcode code;

	if (real == NULL) {
		void *symbol = dlsym(RTLD_NEXT, "curl_easy_setopt");

		memcpy(&real, &symbol, sizeof(real));
	}
	if (refused.code != CURLE_OK && option == refused.option)
		return refused.code;
	va_start(args, option);
	if (option < CURLOPTTYPE_OBJECTPOINT)
		code = real(easy, option, va_arg(args, long));
	else if (option >= CURLOPTTYPE_OFF_T && option < CURLOPTTYPE_BLOB)
		code = real(easy, option, va_arg(args, curl_off_t));
	else
		code = real(easy, option, va_arg(args, void *));
	va_end(args);
	return code;
}

/* Built against one libcurl, started with an older one. */
static void
test_old_libcurl_is_named_at_the_start(void **state)
{
	struct fail fail = { 0 };

	(void)state;
	refused.option = CURLOPT_QUICK_EXIT;
	refused.code = CURLE_UNKNOWN_OPTION;
	assert_null(http_new(env.loop, &fail));
	refused.code = CURLE_OK;
	assert_int_equal(fail.kind, FAIL_INTERNAL);
	assert_non_null(strstr(fail.text,
	    " lacks QUICK_EXIT (322); "
	    "7.87 or newer is needed"));
}

static void
expect_refused(CURLoption option, CURLcode code, const char *why)
{
	char url[128];
	struct http_request req = request(peer.good, "/ok", url);
	struct fail fail = { 0 };

	refused.option = option;
	refused.code = code;
	assert_int_equal(http_start(env.http, &req, never, NULL, &fail), -1);
	refused.code = CURLE_OK;
	assert_int_equal(fail.kind, FAIL_INTERNAL);
	assert_string_equal(fail.text, why);
}

static void
test_refused_options_are_told(void **state)
{
	(void)state;
	expect_refused(CURLOPT_URL, CURLE_OUT_OF_MEMORY, "out of memory");
	expect_refused(CURLOPT_TIMEOUT_MS, CURLE_BAD_FUNCTION_ARGUMENT,
	    "libcurl does not take TIMEOUT_MS: "
	    "A libcurl function was given a bad argument");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_answer_is_read),
		TEST(test_empty_answer_has_a_body),
		TEST(test_request_is_sent_as_asked),
		TEST(test_more_headers),
		TEST(test_post_without_body),
		TEST(test_get),
		TEST(test_large_request),
		TEST(test_answer_headers),
		TEST(test_headers_of_a_name),
		TEST(test_request_id_of_64_characters),
		TEST(test_http2_is_offered),
		TEST(test_nothing_sent),
		TEST(test_old_tls_is_refused),
		TEST(test_handshake_that_never_ends),
		TEST(test_waiting_for_a_connection_has_an_end),
		TEST(test_connect_limit_is_below_the_total),
		TEST(test_unknown_name),
		TEST(test_untrusted),
		TEST(test_ca_file_decides),
		TEST(test_only_https),
		TEST(test_broken_after_sending),
		TEST(test_timeout_after_sending),
		TEST(test_what_waits_has_no_upload_buffer),
		TEST(test_body_limit),
		TEST(test_header_limits),
		TEST(test_redirect_is_not_followed),
		TEST(test_fresh_is_never_sent_twice),
		TEST(test_sent_twice_is_told),
		TEST(test_reuse_unless_fresh),
		TEST(test_fresh_connection_is_not_kept),
		cmocka_unit_test_setup_teardown(test_environment_is_ignored,
		    setup_hostile_environment, teardown),
		cmocka_unit_test_setup_teardown(test_netrc_is_ignored,
		    setup_hostile_environment, teardown),
		TEST(test_fifty_at_once),
		TEST(test_request_is_copied),
		TEST(test_done_starts_another),
		TEST(test_free_ends_transfers),
		TEST(test_method_must_be_known),
		TEST(test_header_must_fit),
		TEST(test_old_libcurl_is_named_at_the_start),
		TEST(test_refused_options_are_told),
	};

	return cmocka_run_group_tests_name("http", tests, start_peer,
	    stop_peer);
}
