/*
 * For the benchmark: the least that can answer get_config over FastCGI, to
 * see what the shape itself costs. One epoll loop, one buffer per connection,
 * no parsing beyond record headers, no checks, no log. Tokens and names come
 * from common/, so that what differs from get_config.fcgi is get_config.fcgi.
 *
 *   fcgi_loop PATH APP_ID APP_CERTIFICATE     listens on the unix socket PATH
 */
#define _GNU_SOURCE /* accept4 */

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/channel.h"
#include "common/num.h"
#include "common/sys.h"
#include "common/token.h"

#define HEADER_SIZE 8
#define REQUEST_MAX 8192
#define ANSWER_MAX 4096
#define BATCH_MAX 256
#define TTL 86400

enum { BEGIN_REQUEST = 1, END_REQUEST = 3, STDIN = 5, STDOUT = 6 };

struct peer {
	int fd;
	size_t len;
	uint8_t bytes[REQUEST_MAX];
};

static const char *app_id, *certificate;
static int epoll_fd;

static void
die(const char *what)
{
	perror(what);
	exit(1);
}

/* Whether all of a request is there, and whether the peer keeps the line. */
static bool
is_whole(const struct peer *peer, bool *keep)
{
	const uint8_t *at = peer->bytes, *end = at + peer->len;
	size_t content;

	while (end - at >= HEADER_SIZE) {
		content = (size_t)at[4] << 8 | at[5];
		if (at[1] == STDIN && content == 0)
			return true;
		if (at[1] == BEGIN_REQUEST && end - at >= HEADER_SIZE + 3)
			*keep = at[HEADER_SIZE + 2] & 1;
		if ((size_t)(end - at) < HEADER_SIZE + content + at[6])
			return false;
		at += HEADER_SIZE + content + at[6];
	}
	return false;
}

/* The body that get_config.fcgi would send. */
static int
make_body(char *body, size_t size)
{
	struct token_claims claims = { .app_id = app_id, .expire = TTL };
	char token[TOKEN_SIZE], channel[CHANNEL_SIZE], uid[16];
	uint8_t random[32];
	uint32_t agent_uid = 0;
	int64_t now = sys_now();

	if (sys_random(random, sizeof(random)) == -1)
		die("random");
	snprintf(uid, sizeof(uid), "%d",
	    (int)num_in_range(random, 1000, 9999999));
	if (channel_issue(certificate, now, random + 8, uid, channel) == -1 ||
	    channel_agent_uid(certificate, channel, uid, &agent_uid) == -1)
		die("channel");
	claims.channel = channel;
	claims.account = uid;
	claims.issue_ts = (uint32_t)now;
	claims.salt = (uint32_t)num_in_range(random + 13, 1, UINT32_MAX);
	if (token_build(&claims, certificate, token, NULL) == -1)
		die("token");
	return snprintf(body, size,
	    "{\"code\":0,\"msg\":\"success\",\"data\":{\"app_id\":\"%s\","
	    "\"token\":\"%s\",\"uid\":\"%s\",\"channel_name\":\"%s\","
	    "\"agent_uid\":\"%u\",\"expires_at\":%lld}}",
	    app_id, token, uid, channel, agent_uid, (long long)now + TTL);
}

static void
put_header(uint8_t *at, int type, size_t len)
{
	const uint8_t header[HEADER_SIZE] = { 1, (uint8_t)type, 0, 1,
		(uint8_t)(len >> 8), (uint8_t)len, 0, 0 };

	memcpy(at, header, sizeof(header));
}

static bool
answer(struct peer *peer)
{
	uint8_t out[ANSWER_MAX] = { 0 };
	char *text = (char *)out + HEADER_SIZE, body[ANSWER_MAX - 512];
	int len, body_len = make_body(body, sizeof(body));
	size_t size;

	len = snprintf(text, sizeof(out) - 3 * HEADER_SIZE,
	    "Status: 200 OK\r\nContent-Type: application/json\r\n"
	    "Content-Length: %d\r\nCache-Control: no-store\r\n"
	    "X-Request-Id: 0123456789abcdef0123456789abcdef\r\n\r\n%s",
	    body_len, body);
	put_header(out, STDOUT, (size_t)len);
	size = HEADER_SIZE + (size_t)len;
	put_header(out + size, END_REQUEST, 8);
	size += 2 * HEADER_SIZE;
	return send(peer->fd, out, size, MSG_NOSIGNAL) == (ssize_t)size;
}

static void
serve(struct peer *peer)
{
	bool keep = false;
	ssize_t got;

	got =
	    recv(peer->fd, peer->bytes + peer->len, REQUEST_MAX - peer->len, 0);
	if (got > 0) {
		peer->len += (size_t)got;
		if (!is_whole(peer, &keep))
			return;
		peer->len = 0;
		if (answer(peer) && keep)
			return;
	}
	close(peer->fd);
	free(peer);
}

static void
open_peer(int listener)
{
	struct epoll_event event = { .events = EPOLLIN };
	struct peer *peer;
	int fd;

	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) != -1) {
		peer = malloc(sizeof(*peer));
		if (peer == NULL)
			die("malloc");
		peer->fd = fd;
		peer->len = 0;
		event.data.ptr = peer;
		if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == -1)
			die("epoll_ctl");
	}
}

static int
listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct epoll_event event = { .events = EPOLLIN };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd == -1 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) == -1 ||
	    listen(fd, SOMAXCONN) == -1 ||
	    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == -1)
		die(path);
	return fd;
}

int
main(int argc, char *argv[])
{
	struct epoll_event events[BATCH_MAX];
	int i, count, listener;

	if (argc != 4) {
		fprintf(stderr, "usage: %s PATH APP_ID APP_CERTIFICATE\n",
		    argv[0]);
		return 2;
	}
	app_id = argv[2];
	certificate = argv[3];
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	listener = listen_at(argv[1]);
	for (;;) {
		count = epoll_wait(epoll_fd, events, BATCH_MAX, -1);
		if (count == -1 && errno != EINTR)
			die("epoll_wait");
		for (i = 0; i < count; i++) {
			if (events[i].data.ptr == NULL)
				open_peer(listener);
			else
				serve(events[i].data.ptr);
		}
	}
}
