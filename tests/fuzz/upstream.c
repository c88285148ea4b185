#include <string.h>

#include "common/fail.h"
#include "common/http.h"
#include "common/json.h"
#include "common/loop.h"
#include "common/num.h"
#include "common/token.h"
#include "common/utf8.h"
#include "upstream.h"
#include "world.h"

#define CALLS_MAX 64 /* for one request */
#define ANSWER_MS 5
#define HEAD_SIZE 128 /* of an answer's first line, with the NUL */

struct http {
	struct loop *loop;
};

struct transfer {
	struct loop_timer timer;
	void (*done)(void *arg, const struct http_result *result);
	void *arg;
	struct http_result result;
	char *piece;
};

static const uint8_t *feed;
static size_t feed_size;
static unsigned int calls, open_calls;

void
upstream_feed(const uint8_t *data, size_t size)
{
	feed = data;
	feed_size = size;
	calls = 0;
	open_calls = 0;
}

unsigned int
upstream_calls(void)
{
	return calls;
}

unsigned int
upstream_open(void)
{
	return open_calls;
}

static enum http_outcome
outcome_of(char letter)
{
	switch (letter) {
	case 'n':
		return HTTP_NOT_SENT;
	case 'u':
		return HTTP_UNTRUSTED;
	case 'l':
		return HTTP_TOO_LARGE;
	case 'm':
		return HTTP_NO_MEMORY;
	default:
		return HTTP_BROKEN;
	}
}

/* The word at ${*at}, NUL-terminated in place; moves on behind it. */
static char *
next_word(char **at)
{
	char *word = *at;

	*at += strcspn(*at, " ");
	if (**at != '\0')
		*(*at)++ = '\0';
	return word;
}

void
upstream_read(const char *piece, size_t len, struct http_result *result)
{
	const char *line_end = memchr(piece, '\n', len);
	size_t line = line_end == NULL ? len : (size_t)(line_end - piece);
	size_t head_len = line < HEAD_SIZE ? line : HEAD_SIZE - 1;
	char head[HEAD_SIZE], *at = head;
	int64_t number;

	*result = (struct http_result){ .outcome = HTTP_BROKEN,
		.retry_after = -1,
		.date = -1 };
	memcpy(head, piece, head_len);
	head[head_len] = '\0';
	if (num_parse(next_word(&at), 100, 999, &number) == -1) {
		result->outcome = outcome_of(piece[0]);
		return;
	}
	result->outcome = HTTP_ANSWERED;
	result->status = (int)number;
	if (num_parse(next_word(&at), 0, INT64_MAX, &number) == 0)
		result->retry_after = number;
	if (num_parse(next_word(&at), -1, INT64_MAX, &number) == 0)
		result->date = number;
	line += line_end != NULL;
	result->body = piece + line;
	result->body_len = len - line;
}

struct http *
http_new(struct loop *loop, struct fail *fail)
{
	struct http *http = malloc(sizeof(*http));

	(void)fail;
	CHECK(http != NULL);
	http->loop = loop;
	return http;
}

void
http_free(struct http *http)
{
	free(http);
}

static void
check_token(const char *authorization)
{
	static const char scheme[] = "agora token=";
	struct token_parsed parsed;

	CHECK(strncmp(authorization, scheme, sizeof(scheme) - 1) == 0);
	CHECK(token_parse(authorization + sizeof(scheme) - 1, &parsed, NULL) ==
	    0);
	CHECK(token_signed_by(&parsed, WORLD_CERTIFICATE));
	CHECK(strcmp(parsed.app_id, WORLD_APP_ID) == 0);
}

static void
check_body(const struct http_request *request)
{
	struct json *body = json_parse(request->body, request->body_len, NULL);

	CHECK(json_kind(body) == JSON_OBJECT);
	CHECK(utf8_valid(request->body, request->body_len));
	CHECK(!world_has(request->body, request->body_len, WORLD_CERTIFICATE));
	CHECK(json_text(body, "name") != NULL);
	CHECK(json_at(body, "properties.token") != NULL);
	json_free(body);
}

static void
check_request(const struct http_request *request)
{
	const char *at;

	CHECK(strncmp(request->url, "https://", 8) == 0);
	for (at = request->url; *at != '\0'; at++)
		CHECK(*at > ' ' && *at < 0x7f && strchr("\"<>\\", *at) == NULL);
	CHECK(strstr(request->url, WORLD_APP_ID) != NULL);
	CHECK(strstr(request->url, WORLD_CERTIFICATE) == NULL);
	CHECK(strstr(request->url, "/../") == NULL);
	CHECK(request->timeout_ms > 0);
	check_token(request->authorization);
	if (request->body_len > 0)
		check_body(request);
}

static void
answer(struct loop_timer *timer)
{
	struct transfer *transfer = LOOP_OWNER(timer, struct transfer, timer);

	open_calls--;
	transfer->done(transfer->arg, &transfer->result);
	free(transfer->piece);
	free(transfer);
}

int
http_start(struct http *http, const struct http_request *request,
    void (*done)(void *arg, const struct http_result *result), void *arg,
    struct fail *fail)
{
	struct transfer *transfer = calloc(1, sizeof(*transfer));
	size_t len;
	bool silent = feed_size == 0;

	CHECK(transfer != NULL);
	CHECK(++calls < CALLS_MAX);
	check_request(request);
	transfer->piece = world_piece(&feed, &feed_size, &len);
	if (transfer->piece[0] == 'x') {
		free(transfer->piece);
		free(transfer);
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	}
	upstream_read(transfer->piece, len, &transfer->result);
	transfer->done = done;
	transfer->arg = arg;
	transfer->timer.expired = answer;
	open_calls++;
	return loop_timer_set(http->loop, &transfer->timer,
	    silent ? request->timeout_ms : ANSWER_MS);
}
