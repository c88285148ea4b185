/*
 * libcurl asks for two things: sockets to be watched and one timer. Both come
 * true as events of the loop, and only those (socket_ready(), timer_expired())
 * reap finished transfers. Hence done() is never called from http_start(),
 * which merely adds a transfer and lets libcurl ask for its timer.
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <curl/curl.h>

#include "common/ascii.h"
#include "common/buf.h"
#include "common/fail.h"
#include "common/http.h"
#include "common/loop.h"
#include "common/num.h"
#include "common/secret.h"
#include "common/sys.h"

/* CURLOPT_QUICK_EXIT came with it; packages.sh asks for the same. */
#define LIBCURL_MIN "7.87"
_Static_assert(LIBCURL_VERSION_NUM >= 0x075700,
    "libcurl " LIBCURL_MIN " or newer is needed");

#define IDLE_CONNECTION_S 20 /* kept for reuse; a peer may drop it sooner */
#define IDLE_CONNECTIONS_MAX 16
#define SILENT_PEER_MS 4000 /* see socket_opened() */
#define STREAMS 64 /* that a connection is meant to carry, of its 100 */
#define CONNECTIONS_MIN 4
#define CONNECTIONS_AT_FIRST 64  /* while the version is not known */
#define TIMER_FAR_MS 3600000     /* see timer_wanted() */
#define TIMER_GRACE_MS 100       /* for libcurl to notice by itself */
#define UPLOAD_BUFFER_SIZE 16384 /* bytes, libcurl's minimum */
#define BUFFER_SIZE 1024         /* bytes, its minimum; for answers */

struct http {
	struct loop *loop;
	CURLM *multi;
	struct loop_timer timer;
	struct transfer *transfers;
	size_t count;   /* of transfers */
	size_t sharing; /* of these, not on connections of their own */
	struct socket *sockets;
	long version;   /* CURL_HTTP_VERSION_… of the last answer */
	bool unwatched; /* some transfer is; see socket_wanted() */
	bool ca_bundle; /* libcurl was built with a CA file of its own */
};

struct transfer {
	struct http *http;
	struct transfer *next, **link; /* link: what points to this one */
	CURL *easy;
	struct loop_timer timer; /* see connect_time_over() */
	bool fresh;
	void (*done)(void *arg, const struct http_result *result);
	void *arg;

	struct curl_slist *headers; /* holds the Authorization value */
	char *body;                 /* of the request */
	size_t body_len;

	struct buf answer;
	size_t header_count;
	bool head_complete;
	bool sending; /* from here on a byte of the request may have left */
	bool resent;
	bool too_large;
	bool uploaded;  /* see progressed() */
	bool unwatched; /* its socket could not be watched */
	char error[CURL_ERROR_SIZE];
};

struct socket {
	struct loop_watch watch;
	uint32_t events; /* it is watched for */
	struct http *http;
	struct socket *next, **link;
};

static const struct {
	CURLoption option;
	long value;
} fixed_options[] = {
	{ CURLOPT_NOSIGNAL, 1 },
	{ CURLOPT_NOPROGRESS, 0 }, /* or progressed() is not called */
	{ CURLOPT_NETRC, CURL_NETRC_IGNORED },
	{ CURLOPT_FOLLOWLOCATION, 0 },
	{ CURLOPT_SSL_VERIFYPEER, 1 },
	{ CURLOPT_SSL_VERIFYHOST, 2 },
	{ CURLOPT_SSLVERSION, CURL_SSLVERSION_TLSv1_2 },
	/*
	 * The cache belongs to a handle, and ours make one request; filling
	 * it frees a name twice when memory runs out (libcurl 7.88).
	 */
	{ CURLOPT_SSL_SESSIONID_CACHE, 0 },
	{ CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS },
	{ CURLOPT_HTTP09_ALLOWED, 0 },
	{ CURLOPT_HTTP_CONTENT_DECODING, 0 },
	{ CURLOPT_DISALLOW_USERNAME_IN_URL, 1 },
	{ CURLOPT_MAXAGE_CONN, IDLE_CONNECTION_S },
	{ CURLOPT_UPLOAD_BUFFERSIZE, UPLOAD_BUFFER_SIZE },
	{ CURLOPT_BUFFERSIZE, BUFFER_SIZE },
	/* Do not wait for the resolver's thread when giving up. */
	{ CURLOPT_QUICK_EXIT, 1 },
};

/*
 * Called by libcurl with a new socket. A peer that vanished (a firewall forgot
 * the connection) is given up when nothing is acknowledged for so long; else
 * the kernel takes 15 minutes, and all that time a connection in use would
 * swallow what is sent on it.
 */
static int
socket_opened(void *arg, curl_socket_t fd, curlsocktype purpose)
{
	const unsigned int ms = SILENT_PEER_MS;

	(void)arg;
	(void)purpose;
	if (setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)) ==
	    -1)
		return CURL_SOCKOPT_ERROR;
	return CURL_SOCKOPT_OK;
}

static const struct {
	CURLoption option;
	const char *value;
} fixed_texts[] = {
	{ CURLOPT_PROTOCOLS_STR, "https" },
	/* Not followed anyway; libcurl 7.88 refuses an empty list. */
	{ CURLOPT_REDIR_PROTOCOLS_STR, "https" },
	{ CURLOPT_PROXY, "" },
	{ CURLOPT_USERAGENT, "agora-agent/" VERSION },
};

/* Reads what libcurl said to an option; it knows none that is newer than it. */
static int
option_set(CURLoption option, CURLcode code, struct fail *fail)
{
	const struct curl_easyoption *known;
	const char *name;

	if (code == CURLE_OK)
		return 0;
	if (code == CURLE_OUT_OF_MEMORY)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	known = curl_easy_option_by_id(option); /* looks at some hundred */
	name = known != NULL ? known->name : "option";
	if (code == CURLE_UNKNOWN_OPTION)
		return fail_set(fail, FAIL_INTERNAL,
		    "libcurl %s lacks %s (%d); " LIBCURL_MIN
		    " or newer is needed",
		    curl_version_info(CURLVERSION_NOW)->version, name,
		    (int)option);
	return fail_set(fail, FAIL_INTERNAL, "libcurl does not take %s: %s",
	    name, curl_easy_strerror(code));
}

static int
set_long(CURL *easy, CURLoption option, long value, struct fail *fail)
{
	return option_set(option, curl_easy_setopt(easy, option, value), fail);
}

static int
set_pointer(CURL *easy, CURLoption option, const void *value, struct fail *fail)
{
	return option_set(option, curl_easy_setopt(easy, option, value), fail);
}

static int
set_fixed(CURL *easy, struct fail *fail)
{
	size_t i;

	for (i = 0; i < sizeof(fixed_options) / sizeof(fixed_options[0]); i++)
		if (set_long(easy, fixed_options[i].option,
			fixed_options[i].value, fail) == -1)
			return -1;
	for (i = 0; i < sizeof(fixed_texts) / sizeof(fixed_texts[0]); i++)
		if (set_pointer(easy, fixed_texts[i].option,
			fixed_texts[i].value, fail) == -1)
			return -1;
	return 0;
}

/*
 * As few connections as will do. Over HTTP/2 one carries a hundred transfers,
 * but for a burst libcurl opens hundreds of them all the same. Over HTTP/1
 * each transfer needs its own. Which it is, the first answer tells.
 */
static void
limit_connections(struct http *http)
{
	size_t limit = (http->sharing + STREAMS - 1) / STREAMS;

	if (http->version == CURL_HTTP_VERSION_NONE)
		limit = CONNECTIONS_AT_FIRST;
	else if (http->version < CURL_HTTP_VERSION_2_0)
		limit = http->sharing;
	if (limit < CONNECTIONS_MIN)
		limit = CONNECTIONS_MIN;
	limit += http->count - http->sharing;
	curl_multi_setopt(http->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
	    (long)limit);
}

static void
transfer_link(struct http *http, struct transfer *transfer)
{
	transfer->next = http->transfers;
	transfer->link = &http->transfers;
	if (transfer->next != NULL)
		transfer->next->link = &transfer->next;
	http->transfers = transfer;
	http->count++;
	http->sharing += !transfer->fresh;
	limit_connections(http);
}

static void
transfer_unlink(struct transfer *transfer)
{
	*transfer->link = transfer->next;
	if (transfer->next != NULL)
		transfer->next->link = transfer->link;
	transfer->http->count--;
	transfer->http->sharing -= !transfer->fresh;
	limit_connections(transfer->http);
}

/* The list holds a token. */
static void
headers_free(struct curl_slist *headers)
{
	struct curl_slist *header;

	for (header = headers; header != NULL; header = header->next)
		secret_wipe(header->data, strlen(header->data));
	curl_slist_free_all(headers);
}

/* ${transfer} is not linked, and not added to the multi handle, any more. */
static void
transfer_free(struct transfer *transfer)
{
	if (transfer == NULL)
		return;
	loop_timer_clear(transfer->http->loop, &transfer->timer);
	curl_easy_cleanup(transfer->easy);
	headers_free(transfer->headers);
	secret_wipe(transfer->body, transfer->body_len);
	free(transfer->body);
	buf_free(&transfer->answer);
	secret_wipe(transfer, sizeof(*transfer));
	free(transfer);
}

/* Called by libcurl with a piece of the answer's body. */
static size_t
body_arrived(char *data, size_t size, size_t count, void *arg)
{
	struct transfer *transfer = arg;
	size_t len = size * count;

	if (len > transfer->answer.max - transfer->answer.len) {
		transfer->too_large = true;
		return 0;
	}
	buf_add(&transfer->answer, data, len);
	return buf_failed(&transfer->answer) ? 0 : len;
}

/*
 * Called by libcurl with each line of the head: status line, headers, the
 * empty line; again for every interim answer and for trailers. All but one
 * status line and the empty ones count, so that an endless row of "100
 * Continue" ends too. A head that was cut is success to libcurl, not to us.
 */
static size_t
header_arrived(char *data, size_t size, size_t count, void *arg)
{
	struct transfer *transfer = arg;
	size_t len = size * count;

	if (len > 5 && memcmp(data, "HTTP/", 5) == 0)
		transfer->head_complete = false;
	if (len > 2)
		transfer->header_count++;
	else
		transfer->head_complete = true;
	if (transfer->header_count > HTTP_HEADERS_MAX + 1 ||
	    len > HTTP_HEADER_MAX) {
		transfer->too_large = true;
		return 0;
	}
	return len;
}

/*
 * Called by libcurl when the connection stands, before the first byte; again
 * when it sends the request once more, on another connection.
 */
static int
/* NOLINTNEXTLINE(readability-non-const-parameter): libcurl's signature */
about_to_send(void *arg, char *peer, char *local, int peer_port, int local_port)
{
	struct transfer *transfer = arg;

	(void)peer;
	(void)local;
	(void)peer_port;
	(void)local_port;
	transfer->resent = transfer->sending;
	transfer->sending = true;
	transfer->uploaded = false;
	return CURL_PREREQFUNC_OK;
}

/*
 * Called by libcurl all the time. When the whole body has left, the buffer it
 * went through is of no use, but libcurl keeps it until the answer is complete,
 * unless it is told its size again: then it releases it (7.88).
 */
static int
progressed(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t total,
    curl_off_t sent)
{
	struct transfer *transfer = arg;

	(void)down_total;
	(void)down;
	(void)total;
	if (transfer->uploaded || sent == 0 ||
	    (size_t)sent != transfer->body_len)
		return 0;
	transfer->uploaded = true;
	curl_easy_setopt(transfer->easy, CURLOPT_UPLOAD_BUFFERSIZE,
	    (long)UPLOAD_BUFFER_SIZE);
	return 0;
}

static bool
is_untrusted(CURLcode code)
{
	/* BADFILE: our own list of authorities cannot be read. */
	return code == CURLE_PEER_FAILED_VERIFICATION ||
	    code == CURLE_SSL_CACERT_BADFILE ||
	    code == CURLE_SSL_ISSUER_ERROR ||
	    code == CURLE_SSL_INVALIDCERTSTATUS ||
	    code == CURLE_SSL_PINNEDPUBKEYNOTMATCH;
}

/* The status of the final answer; 0 for one that is none (RFC 9110, 15). */
static int
status_of(const struct transfer *transfer)
{
	long status = 0;

	/* Of "HTTP/2 20!" libcurl makes 20. */
	curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
	return status >= 200 && status <= 599 ? (int)status : 0;
}

/*
 * Whether something was sent is known from about_to_send() alone: many codes
 * (time-out, reset, no memory) occur before and after.
 */
static enum http_outcome
outcome_of(const struct transfer *transfer, CURLcode code)
{
	if (transfer->too_large)
		return HTTP_TOO_LARGE;
	if (code == CURLE_OK && transfer->head_complete &&
	    status_of(transfer) != 0)
		return HTTP_ANSWERED;
	if (transfer->sending)
		return HTTP_BROKEN;
	if (code == CURLE_OUT_OF_MEMORY)
		return HTTP_NO_MEMORY;
	return is_untrusted(code) ? HTTP_UNTRUSTED : HTTP_NOT_SENT;
}

/* The value of the final answer's ${i}th header ${name}, or NULL. */
static const char *
find_header(const struct transfer *transfer, const char *name, size_t i)
{
	struct curl_header *found;

	if (curl_easy_header(transfer->easy, name, i, CURLH_HEADER, -1,
		&found) != CURLHE_OK)
		return NULL;
	return found->value;
}

const char *
http_header(const struct http_result *result, const char *name, size_t i)
{
	return result->head != NULL ? find_header(result->head, name, i) : NULL;
}

static bool
is_request_id(const char *text, size_t size)
{
	size_t i;

	for (i = 0; text[i] != '\0'; i++)
		if (!ascii_is_alnum(text[i]) && strchr("._-", text[i]) == NULL)
			return false;
	return i > 0 && i < size;
}

static void
read_request_id(const struct transfer *transfer, struct http_result *result)
{
	static const char *const names[] = { "Agora-Request-Id",
		"X-Request-Id" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		const char *value = find_header(transfer, names[i], 0);

		if (value == NULL ||
		    !is_request_id(value, sizeof(result->request_id)))
			continue;
		memcpy(result->request_id, value, strlen(value) + 1);
		return;
	}
}

/* Seconds, or the date of a moment (RFC 9110 10.2.3); -1: neither. */
static int64_t
seconds_until(const char *text, int64_t date)
{
	int64_t seconds;
	time_t when;

	if (num_parse(text, 0, INT64_MAX, &seconds) == 0)
		return seconds;
	when = curl_getdate(text, NULL);
	if (when == -1 || date == -1)
		return -1;
	return when > date ? (int64_t)when - date : 0;
}

/* What the answer does not say, or says wrong, stays as ${result} has it. */
static void
read_answer(struct transfer *transfer, struct http_result *result)
{
	const char *retry_after = find_header(transfer, "Retry-After", 0);
	const char *date = find_header(transfer, "Date", 0);
	time_t sent = date == NULL ? -1 : curl_getdate(date, NULL);

	result->status = status_of(transfer);
	result->head = transfer;
	if (sent >= 0) /* not before 1970 */
		result->date = (int64_t)sent;
	if (retry_after != NULL)
		result->retry_after = seconds_until(retry_after, result->date);
	read_request_id(transfer, result);
}

/* Says why in the log's words, which name host and port at most. */
static void
describe(const struct transfer *transfer, CURLcode code,
    struct http_result *result)
{
	const char *text = transfer->error;

	if (transfer->too_large)
		text = "the answer is larger than it may be";
	else if (transfer->unwatched)
		text = "the socket could not be watched";
	else if (code == CURLE_OK && transfer->head_complete)
		text = "the answer has no status that HTTP knows";
	else if (code == CURLE_OK)
		text = "the answer ends inside its head";
	else if (text[0] == '\0')
		text = curl_easy_strerror(code);
	snprintf(result->error, sizeof(result->error), "%.*s",
	    (int)sizeof(result->error) - 1, text);
}

/* The last answer says how the next will come. */
static void
learn_version(const struct transfer *transfer)
{
	long version = CURL_HTTP_VERSION_NONE;

	curl_easy_getinfo(transfer->easy, CURLINFO_HTTP_VERSION, &version);
	if (version != CURL_HTTP_VERSION_NONE)
		transfer->http->version = version;
}

/* Takes the transfer out of everything, reports, and releases it. */
static void
transfer_end(struct transfer *transfer, CURLcode code)
{
	struct http_result result = { .retry_after = -1, .date = -1 };

	curl_multi_remove_handle(transfer->http->multi, transfer->easy);
	learn_version(transfer);
	transfer_unlink(transfer);
	result.outcome = outcome_of(transfer, code);
	result.resent = transfer->resent;
	if (result.outcome == HTTP_ANSWERED ||
	    result.outcome == HTTP_TOO_LARGE) {
		result.body = buf_str(&transfer->answer);
		result.body_len = transfer->answer.len;
	}
	if (result.outcome == HTTP_ANSWERED)
		read_answer(transfer, &result);
	else
		describe(transfer, code, &result);
	transfer->done(transfer->arg, &result);
	transfer_free(transfer);
}

/*
 * To libcurl a transfer that waits for another one's connection, or for leave
 * to open one, is not connecting yet.
 */
static void
connect_time_over(struct loop_timer *timer)
{
	struct transfer *transfer = LOOP_OWNER(timer, struct transfer, timer);

	if (!transfer->sending)
		transfer_end(transfer, CURLE_OPERATION_TIMEDOUT);
}

/*
 * Ends the transfers whose socket nobody watches, or all. done() may start
 * others, but those come first in the list, so the next one stays the next.
 */
static void
reap_stuck(struct http *http, bool all)
{
	struct transfer *transfer, *next;

	if (!all && !http->unwatched)
		return;
	http->unwatched = false;
	for (transfer = http->transfers; transfer != NULL; transfer = next) {
		next = transfer->next;
		if (all || transfer->unwatched)
			transfer_end(transfer, CURLE_OUT_OF_MEMORY);
	}
}

static void
reap(struct http *http)
{
	const CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(http->multi, &left)) != NULL) {
		struct transfer *transfer = NULL;

		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
		    &transfer);
		if (message->msg == CURLMSG_DONE && transfer != NULL)
			transfer_end(transfer, message->data.result);
	}
}

/*
 * An action fails only when memory ran out. libcurl 7.88 then forgets a socket
 * of one transfer without saying whose, and never asks for its timer again:
 * that transfer would hang for ever. So all are ended.
 */
static void
act(struct http *http, curl_socket_t fd, int events)
{
	int running;
	CURLMcode code;

	code = curl_multi_socket_action(http->multi, fd, events, &running);
	reap(http);
	reap_stuck(http, code != CURLM_OK);
}

static void
socket_ready(struct loop_watch *watch, uint32_t events)
{
	struct socket *sock = LOOP_OWNER(watch, struct socket, watch);
	int bits = 0;

	/* With 0 libcurl looks itself: an error or hang-up is data to it. */
	if ((events & (EPOLLERR | EPOLLHUP)) == 0) {
		if ((events & EPOLLIN) != 0)
			bits |= CURL_CSELECT_IN;
		if ((events & EPOLLOUT) != 0)
			bits |= CURL_CSELECT_OUT;
	}
	act(sock->http, watch->fd, bits);
}

static void
timer_expired(struct loop_timer *timer)
{
	struct http *http = LOOP_OWNER(timer, struct http, timer);

	loop_timer_set(http->loop, timer, TIMER_FAR_MS);
	act(http, CURL_SOCKET_TIMEOUT, 0);
}

/*
 * Called by libcurl to arm (${ms} >= 0) or disarm its timer. The timer always
 * stays armed, if need be for a time far away: moving it needs no memory, so
 * libcurl's clock cannot be lost when memory runs out.
 */
static int
timer_wanted(CURLM *multi, long ms, void *arg)
{
	struct http *http = arg;

	(void)multi;
	return loop_timer_set(http->loop, &http->timer,
	    ms < 0 ? TIMER_FAR_MS : ms);
}

static void
socket_free(struct socket *sock)
{
	*sock->link = sock->next;
	if (sock->next != NULL)
		sock->next->link = sock->link;
	loop_unwatch(sock->http->loop, &sock->watch);
	free(sock);
}

static struct socket *
socket_new(struct http *http, curl_socket_t fd)
{
	struct socket *sock = calloc(1, sizeof(*sock));

	if (sock == NULL)
		return NULL;
	sock->http = http;
	sock->watch.fd = fd;
	sock->watch.ready = socket_ready;
	sock->next = http->sockets;
	sock->link = &http->sockets;
	if (sock->next != NULL)
		sock->next->link = &sock->next;
	http->sockets = sock;
	return sock;
}

static int
socket_watch(struct http *http, curl_socket_t fd, int what, struct socket *sock)
{
	uint32_t events = 0;

	if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
		events |= EPOLLIN;
	if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
		events |= EPOLLOUT;
	if (sock == NULL) {
		sock = socket_new(http, fd);
		if (sock == NULL)
			return -1;
		curl_multi_assign(http->multi, fd, sock);
	}
	/* libcurl asks again for each transfer that comes to share it. */
	if (sock->events == events)
		return 0;
	if (loop_watch(http->loop, &sock->watch, events) == -1)
		return -1;
	sock->events = events;
	return 0;
}

/*
 * Called by libcurl to watch a socket or to forget it. Returning an error
 * from here would end all transfers of the process; the one that cannot be
 * watched is marked instead, and ended in the next round.
 */
static int
socket_wanted(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct http *http = arg;
	struct socket *sock = known;
	struct transfer *transfer = NULL;

	if (what == CURL_POLL_REMOVE) {
		if (sock != NULL)
			socket_free(sock);
		return 0;
	}
	if (socket_watch(http, fd, what, sock) == 0)
		return 0;
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
	if (transfer != NULL) {
		transfer->unwatched = true;
		http->unwatched = true;
	}
	return loop_timer_set(http->loop, &http->timer, 0);
}

static int
multi_setup(struct http *http)
{
	CURLM *multi = http->multi;

	if (curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, socket_wanted) ||
	    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, http) ||
	    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, timer_wanted) ||
	    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, http) ||
	    curl_multi_setopt(multi, CURLMOPT_PIPELINING,
		(long)CURLPIPE_MULTIPLEX) ||
	    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS,
		(long)IDLE_CONNECTIONS_MAX))
		return -1;
	return 0;
}

/*
 * Tries what every request will ask for, so that a libcurl that is too old is
 * found when the program starts and not by its first user.
 */
static int
try_fixed(struct fail *fail)
{
	CURL *easy = curl_easy_init();
	int rc;

	if (easy == NULL)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	rc = set_fixed(easy, fail);
	curl_easy_cleanup(easy);
	return rc;
}

/* libcurl copies tokens and bodies to buffers of its own, and wipes none. */
static CURLcode
library_init(void)
{
	return curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc, secret_free,
	    secret_realloc, strdup, calloc);
}

struct http *
http_new(struct loop *loop, struct fail *fail)
{
	struct http *http = calloc(1, sizeof(*http));

	sys_tame_environment();
	/*
	 * libcurl's time-outs do not reach into the C library's resolver, whose
	 * own are longer than a whole request may take.
	 */
	setenv("RES_OPTIONS", "timeout:1 attempts:2", 0);
	if (http == NULL || library_init() != CURLE_OK) {
		free(http);
		fail_set(fail, FAIL_INTERNAL, "The HTTPS client cannot start");
		return NULL;
	}
	http->loop = loop;
	http->timer.expired = timer_expired;
	http->ca_bundle = curl_version_info(CURLVERSION_NOW)->cainfo != NULL;
	http->multi = curl_multi_init();
	if (try_fixed(fail) == -1 || http->multi == NULL ||
	    multi_setup(http) == -1 ||
	    loop_timer_set(loop, &http->timer, TIMER_FAR_MS) == -1) {
		http_free(http);
		fail_set(fail, FAIL_INTERNAL, "The HTTPS client cannot start");
		return NULL;
	}
	return http;
}

void
http_free(struct http *http)
{
	struct transfer *transfer, *next;
	struct socket *sock, *next_sock;

	if (http == NULL)
		return;
	for (transfer = http->transfers; transfer != NULL; transfer = next) {
		next = transfer->next;
		curl_multi_remove_handle(http->multi, transfer->easy);
		transfer_free(transfer);
	}
	curl_multi_cleanup(http->multi);
	for (sock = http->sockets; sock != NULL; sock = next_sock) {
		next_sock = sock->next;
		socket_free(sock);
	}
	loop_timer_clear(http->loop, &http->timer);
	curl_global_cleanup();
	free(http);
}

static int
add_line(struct transfer *transfer, const char *line, struct fail *fail)
{
	struct curl_slist *list = curl_slist_append(transfer->headers, line);

	if (list == NULL)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	transfer->headers = list;
	return 0;
}

/* Adds "${name}: ${value}", or "${name}:", which removes libcurl's own. */
static int
add_header(struct transfer *transfer, const char *name, const char *value,
    struct fail *fail)
{
	struct buf line = BUF(HTTP_HEADER_MAX);
	int rc;

	if (value != NULL &&
	    strlen(value) > HTTP_HEADER_MAX - strlen(name) - strlen(": "))
		return fail_set(fail, FAIL_INTERNAL,
		    "a header of the request is too long");
	buf_text(&line, name);
	buf_text(&line, value == NULL ? ":" : ": ");
	buf_text(&line, value == NULL ? "" : value);
	if (buf_failed(&line))
		rc = fail_set(fail, FAIL_INTERNAL, "out of memory");
	else
		rc = add_line(transfer, buf_str(&line), fail);
	buf_free(&line);
	return rc;
}

static int
set_headers(struct transfer *transfer, const struct http_request *request,
    struct fail *fail)
{
	const char *const *more = request->headers;

	if (add_header(transfer, "Expect", NULL, fail) == -1 ||
	    add_header(transfer, "Content-Type", request->content_type, fail) ==
		-1)
		return -1;
	if (request->authorization != NULL &&
	    add_header(transfer, "Authorization", request->authorization,
		fail) == -1)
		return -1;
	for (; more != NULL && *more != NULL; more++)
		if (add_line(transfer, *more, fail) == -1)
			return -1;
	return set_pointer(transfer->easy, CURLOPT_HTTPHEADER,
	    transfer->headers, fail);
}

/*
 * For a body of no bytes libcurl takes an upload buffer too, and keeps it, and
 * sends an empty frame of data. So to libcurl it is a GET by another name.
 */
static int
set_no_body(struct transfer *transfer, const char *method, struct fail *fail)
{
	if (set_long(transfer->easy, CURLOPT_HTTPGET, 1, fail) == -1)
		return -1;
	if (strcmp(method, "GET") == 0)
		return 0;
	if (strcmp(method, "POST") == 0 &&
	    add_header(transfer, "Content-Length", "0", fail) == -1)
		return -1;
	return set_pointer(transfer->easy, CURLOPT_CUSTOMREQUEST, method, fail);
}

/* libcurl keeps a pointer to our copy, which transfer_free() wipes. */
static int
set_body(struct transfer *transfer, const struct http_request *request,
    struct fail *fail)
{
	size_t len = request->body == NULL ? 0 : request->body_len;
	bool post = strcmp(request->method, "POST") == 0;

	if (!post && strcmp(request->method, "GET") != 0 &&
	    strcmp(request->method, "OPTIONS") != 0)
		return fail_set(fail, FAIL_INTERNAL,
		    "the method is not GET, POST or OPTIONS");
	if (!post || len == 0)
		return set_no_body(transfer, request->method, fail);
	transfer->body = calloc(1, len + 1);
	if (transfer->body == NULL)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	memcpy(transfer->body, request->body, len);
	transfer->body_len = len;
	if (option_set(CURLOPT_POSTFIELDSIZE_LARGE,
		curl_easy_setopt(transfer->easy, CURLOPT_POSTFIELDSIZE_LARGE,
		    (curl_off_t)len),
		fail) == -1)
		return -1;
	return set_pointer(transfer->easy, CURLOPT_POSTFIELDS, transfer->body,
	    fail);
}

/* None of these copies anything: they cannot run out of memory. */
static int
set_callbacks(struct transfer *transfer, struct fail *fail)
{
	CURL *easy = transfer->easy;

	if (curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body_arrived) ||
	    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer) ||
	    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, header_arrived) ||
	    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer) ||
	    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, about_to_send) ||
	    curl_easy_setopt(easy, CURLOPT_PREREQDATA, transfer) ||
	    curl_easy_setopt(easy, CURLOPT_XFERINFOFUNCTION, progressed) ||
	    curl_easy_setopt(easy, CURLOPT_XFERINFODATA, transfer) ||
	    curl_easy_setopt(easy, CURLOPT_SOCKOPTFUNCTION, socket_opened) ||
	    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error) ||
	    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer))
		return fail_set(fail, FAIL_INTERNAL,
		    "libcurl does not take a callback");
	return 0;
}

/*
 * libcurl parses the list of authorities once and keeps it, but only when
 * there is a file of them and no folder.
 */
static int
set_authorities(struct transfer *transfer, const char *ca_file,
    struct fail *fail)
{
	bool own = ca_file != NULL && ca_file[0] != '\0';

	if (own &&
	    set_pointer(transfer->easy, CURLOPT_CAINFO, ca_file, fail) == -1)
		return -1;
	if (own || transfer->http->ca_bundle)
		return set_pointer(transfer->easy, CURLOPT_CAPATH, NULL, fail);
	return 0;
}

static long
connect_time(const struct http_request *request)
{
	if (request->timeout_ms >= HTTP_CONNECT_MS)
		return HTTP_CONNECT_MS;
	/* To libcurl 0 is no limit at all. */
	return request->timeout_ms > 0 ? (long)request->timeout_ms : 1;
}

/*
 * A fresh connection is neither taken from the pool nor put there; otherwise
 * wait for one that will carry several requests at once.
 */
static int
set_connection(struct transfer *transfer, const struct http_request *request,
    struct fail *fail)
{
	CURL *easy = transfer->easy;
	int64_t total = request->timeout_ms > 0 ? request->timeout_ms : 1;
	long connect = connect_time(request);

	if (set_long(easy, CURLOPT_TIMEOUT_MS, (long)total, fail) == -1 ||
	    set_long(easy, CURLOPT_CONNECTTIMEOUT_MS, connect, fail) == -1 ||
	    set_long(easy, CURLOPT_FRESH_CONNECT, request->fresh, fail) == -1 ||
	    set_long(easy, CURLOPT_FORBID_REUSE, request->fresh, fail) == -1 ||
	    set_long(easy, CURLOPT_PIPEWAIT, !request->fresh, fail) == -1)
		return -1;
	return 0;
}

static int
set_url(CURL *easy, const struct http_request *request, struct fail *fail)
{
	if (request->plain &&
	    set_pointer(easy, CURLOPT_PROTOCOLS_STR, "http,https", fail) == -1)
		return -1;
	return set_pointer(easy, CURLOPT_URL, request->url, fail);
}

static struct transfer *
transfer_new(struct http *http, const struct http_request *request,
    struct fail *fail)
{
	struct transfer *transfer = calloc(1, sizeof(*transfer));
	CURL *easy = curl_easy_init();

	if (transfer == NULL || easy == NULL) {
		curl_easy_cleanup(easy);
		free(transfer);
		fail_set(fail, FAIL_INTERNAL, "out of memory");
		return NULL;
	}
	transfer->http = http;
	transfer->answer.max = HTTP_BODY_MAX;
	transfer->easy = easy;
	if (set_fixed(easy, fail) == -1 ||
	    set_callbacks(transfer, fail) == -1 ||
	    set_url(easy, request, fail) == -1 ||
	    set_body(transfer, request, fail) == -1 ||
	    set_headers(transfer, request, fail) == -1 ||
	    set_authorities(transfer, request->ca_file, fail) == -1 ||
	    set_connection(transfer, request, fail) == -1) {
		transfer_free(transfer);
		return NULL;
	}
	return transfer;
}

int
http_start(struct http *http, const struct http_request *request,
    void (*done)(void *arg, const struct http_result *result), void *arg,
    struct fail *fail)
{
	struct transfer *transfer = transfer_new(http, request, fail);
	CURLMcode code;

	if (transfer == NULL)
		return -1;
	transfer->done = done;
	transfer->arg = arg;
	transfer->timer.expired = connect_time_over;
	transfer->fresh = request->fresh;
	if (loop_timer_set(http->loop, &transfer->timer,
		connect_time(request) + TIMER_GRACE_MS) == -1) {
		transfer_free(transfer);
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	}
	code = curl_multi_add_handle(http->multi, transfer->easy);
	if (code != CURLM_OK) {
		curl_multi_remove_handle(http->multi, transfer->easy);
		transfer_free(transfer);
		return fail_set(fail, FAIL_INTERNAL, "%s",
		    code == CURLM_OUT_OF_MEMORY ? "out of memory" :
						  curl_multi_strerror(code));
	}
	transfer_link(http, transfer);
	return 0;
}
