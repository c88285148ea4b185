/*
 * What a server of Agora's sends, through the real HTTPS client. libcurl is
 * told to take a socket of ours for the connection, and to do without TLS.
 *
 * Input: a byte of flags (1: the body goes on for more than HTTP_BODY_MAX
 * bytes, 2: the connection stays open, 4: GET), then the bytes of the answer.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "common/agora_outcome.h"
#include "common/ascii.h"
#include "common/fail.h"
#include "common/http.h"
#include "common/loop.h"
#include "world.h"

#define LONG_BODY (HTTP_BODY_MAX + 4096)

static struct loop *loop;
static struct http *http;
static int connection = -1; /* libcurl's end of it */
static int done_calls;

CURLcode __real_curl_easy_setopt(CURL *easy, CURLoption option, ...);
CURLcode __wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...);

static curl_socket_t
open_socket(void *arg, curlsocktype type, struct curl_sockaddr *address)
{
	int fd = connection;

	(void)arg;
	(void)type;
	(void)address;
	connection = -1;
	return fd == -1 ? CURL_SOCKET_BAD : fd;
}

/* libcurl's socket is connected already, whatever libcurl is told about it. */
int
connect(int fd, const struct sockaddr *address, socklen_t len)
{
	(void)fd;
	(void)address;
	(void)len;
	return 0;
}

CURLcode
__wrap_curl_easy_setopt(CURL *easy, CURLoption option, ...)
{
	va_list args;
	const void *value;

	/* Long, offset and pointer are all passed alike where we run. */
	va_start(args, option);
	value = va_arg(args, const void *);
	va_end(args);
	if (option == CURLOPT_PROTOCOLS_STR) {
		value = "http";
		__real_curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION,
		    open_socket);
	}
	return __real_curl_easy_setopt(easy, option, value);
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct fail fail = { 0 };

	(void)argc;
	(void)argv;
	world_reset();
	loop = loop_new();
	CHECK(loop != NULL);
	http = http_new(loop, &fail);
	CHECK(http != NULL);
	return 0;
}

static void
check_request_id(const char *id)
{
	size_t i;

	for (i = 0; id[i] != '\0'; i++)
		CHECK(ascii_is_alnum(id[i]) || strchr("._-", id[i]) != NULL);
	CHECK(i < sizeof(((struct http_result *)0)->request_id));
}

static void
ended(void *arg, const struct http_result *result)
{
	struct agora_asked asked = { .call = AGORA_JOIN, .now = WORLD_NOW };
	struct agora_said said;
	struct fail fail = { 0 };
	enum agora_class class;

	(void)arg;
	done_calls++;
	CHECK(result->outcome != HTTP_UNTRUSTED);
	if (result->outcome == HTTP_ANSWERED) {
		CHECK(result->status >= 200 && result->status <= 599);
		CHECK(result->body_len <= HTTP_BODY_MAX);
		CHECK(result->body[result->body_len] == '\0');
		CHECK(result->error[0] == '\0');
	} else {
		CHECK(result->status == 0 && result->body == NULL);
		CHECK(result->error[0] != '\0');
		CHECK(strstr(result->error, WORLD_CANARY) == NULL);
	}
	CHECK(result->retry_after >= -1 && result->date >= -1);
	check_request_id(result->request_id);
	agora_read(result, &said);
	class = agora_classify(AGORA_JOIN, result, &said);
	if (class != AGORA_DONE)
		agora_explain(&asked, class, result, &said, &fail);
	loop_stop(loop);
}

/* Nobody reads what the client sends: it fits the socket's buffer. */
static int
connect_to(const uint8_t *data, size_t size, unsigned int flags)
{
	static uint8_t filler[LONG_BODY];
	int pair[2], room = 4 * LONG_BODY;

	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		  pair) == 0);
	setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	(void)!write(pair[1], data, size);
	if (flags & 1)
		(void)!write(pair[1], filler, sizeof(filler));
	if (!(flags & 2))
		shutdown(pair[1], SHUT_WR);
	connection = pair[0];
	return pair[1];
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct http_request request = { .method = "POST",
		.url = "http://127.0.0.1/v2/projects/" WORLD_APP_ID "/join",
		.authorization = "agora token=" WORLD_CANARY,
		.content_type = "application/json",
		.body = "{}",
		.body_len = 2,
		.timeout_ms = 8000,
		.fresh = true };
	struct fail fail = { 0 };
	unsigned int flags;
	int peer;

	if (size == 0)
		return 0;
	flags = *data++;
	size--;
	world_reset();
	done_calls = 0;
	peer = connect_to(data, size, flags);
	if (flags & 4)
		request.method = "GET";
	CHECK(http_start(http, &request, ended, NULL, &fail) == 0);
	CHECK(done_calls == 0);
	CHECK(loop_run(loop) == 0);
	CHECK(done_calls == 1);
	close(peer);
	if (connection != -1)
		close(connection);
	connection = -1;
	return 0;
}
