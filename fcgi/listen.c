#define _GNU_SOURCE /* accept4(2) */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/fail.h"
#include "common/log.h"
#include "common/num.h"
#include "common/sys.h"
#include "fcgi/listen.h"
#include "fcgi/params.h"
#include "fcgi/record.h"

#define SYSTEMD_FIRST_FD 3
#define SOCKET_MODE 0660

static bool
is_listening(int fd)
{
	int on = 0;
	socklen_t len = sizeof(on);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}

/* sd_listen_fds(3): the variables are for us only if the pid is ours. */
static bool
from_systemd(char **environment)
{
	const char *pid = params_get(environment, "LISTEN_PID");
	const char *count = params_get(environment, "LISTEN_FDS");
	int64_t value;

	return pid != NULL && count != NULL &&
	    num_parse(pid, 1, INT32_MAX, &value) == 0 && value == getpid() &&
	    num_parse(count, 1, INT32_MAX, &value) == 0 &&
	    is_listening(SYSTEMD_FIRST_FD);
}

bool
listener_inherited(struct listener *listener, char **environment)
{
	*listener = (struct listener){ .fd = -1 };
	if (from_systemd(environment))
		listener->fd = SYSTEMD_FIRST_FD;
	else if (is_listening(STDIN_FILENO))
		listener->fd = STDIN_FILENO;
	return listener->fd != -1;
}

/*
 * Whoever can write to the socket can run any request. A unix socket has a
 * file with a mode; an abstract one and TCP have not.
 */
static int
check_family(struct listener *listener, const struct sockaddr_storage *address,
    struct fail *fail)
{
	const char *path = ((const struct sockaddr_un *)address)->sun_path;

	listener->unix_socket = address->ss_family == AF_UNIX;
	if (listener->unix_socket && *path == '\0')
		return fail_set(fail, FAIL_CONFIG,
		    "refusing to serve on an abstract socket that anybody may "
		    "connect to; use one with a path");
	if (!listener->unix_socket &&
	    (listener->server_addrs == NULL || *listener->server_addrs == '\0'))
		return fail_set(fail, FAIL_CONFIG,
		    "refusing to serve on a TCP socket that anybody may "
		    "connect to; use a unix socket, or list the web servers' "
		    "addresses in FCGI_WEB_SERVER_ADDRS");
	return 0;
}

int
listener_prepare(struct listener *listener, char **environment,
    struct fail *fail)
{
	struct sockaddr_storage address = { 0 };
	socklen_t len = sizeof(address);
	int room = 2 * RECORD_REQUEST_MAX;

	if (getsockname(listener->fd, (struct sockaddr *)&address, &len) ==
		-1 ||
	    sys_nonblock(listener->fd) == -1)
		return fail_set(fail, FAIL_INTERNAL, "listening socket: %s",
		    strerror(errno));
	listener->server_addrs =
	    params_get(environment, "FCGI_WEB_SERVER_ADDRS");
	if (check_family(listener, &address, fail) == -1)
		return -1;
	/* A request is looked at whole before it is read: give it room. */
	if (!listener->unix_socket)
		setsockopt(listener->fd, SOL_SOCKET, SO_RCVBUF, &room,
		    sizeof(room));
	return 0;
}

/* Is somebody serving on the socket at ${address}? */
static bool
answers(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	bool alive;

	if (fd == -1)
		return true;
	alive = connect(fd, (const struct sockaddr *)address,
		    sizeof(*address)) == 0 ||
	    errno == EAGAIN;
	close(fd);
	return alive;
}

/* A file that is no socket stays: bind(2) will complain about it. */
static int
remove_stale(const struct sockaddr_un *address, struct fail *fail)
{
	struct stat st;

	if (lstat(address->sun_path, &st) == -1 || !S_ISSOCK(st.st_mode))
		return 0;
	if (answers(address))
		return fail_set(fail, FAIL_CONFIG,
		    "%s: another program is serving there", address->sun_path);
	if (unlink(address->sun_path) == -1 && errno != ENOENT)
		return fail_set(fail, FAIL_CONFIG,
		    "%s: cannot remove the old socket: %s", address->sun_path,
		    strerror(errno));
	return 0;
}

int
listener_make(struct listener *listener, const char *path, struct fail *fail)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(path);
	mode_t mask;
	int bound;

	*listener = (struct listener){ .fd = -1, .unix_socket = true };
	if (len == 0 || len >= sizeof(address.sun_path))
		return fail_set(fail, FAIL_CONFIG,
		    "--listen: the path must have 1 to %zu bytes",
		    sizeof(address.sun_path) - 1);
	memcpy(address.sun_path, path, len + 1);
	if (remove_stale(&address, fail) == -1)
		return -1;
	listener->fd =
	    socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd == -1)
		return fail_set(fail, FAIL_INTERNAL, "socket: %s",
		    strerror(errno));
	mask = umask(0777 & ~SOCKET_MODE);
	bound = bind(listener->fd, (const struct sockaddr *)&address,
	    sizeof(address));
	umask(mask);
	if (bound == -1 || listen(listener->fd, SOMAXCONN) == -1) {
		fail_set(fail, FAIL_CONFIG, "--listen %s: %s", path,
		    strerror(errno));
		close(listener->fd);
		listener->fd = -1;
		return -1;
	}
	listener->path = path;
	return 0;
}

/* Is ${text} one of the comma-separated addresses in ${list}? */
static bool
listed(const char *list, const char *text)
{
	size_t len;

	for (; *list != '\0'; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		if (len == strlen(text) && strncmp(list, text, len) == 0)
			return true;
	}
	return false;
}

/* Writes the peer's address as FCGI_WEB_SERVER_ADDRS would have it. */
static void
peer_text(const struct sockaddr_storage *peer,
    char text[static INET6_ADDRSTRLEN])
{
	const struct in6_addr *six =
	    &((const struct sockaddr_in6 *)peer)->sin6_addr;

	if (peer->ss_family == AF_INET)
		inet_ntop(AF_INET,
		    &((const struct sockaddr_in *)peer)->sin_addr, text,
		    INET6_ADDRSTRLEN);
	else if (peer->ss_family != AF_INET6)
		snprintf(text, INET6_ADDRSTRLEN, "?");
	else if (IN6_IS_ADDR_V4MAPPED(six)) /* IPv4 on a dual-stack socket */
		inet_ntop(AF_INET, &six->s6_addr[12], text, INET6_ADDRSTRLEN);
	else
		inet_ntop(AF_INET6, six, text, INET6_ADDRSTRLEN);
}

static bool
peer_allowed(const struct listener *listener,
    const struct sockaddr_storage *peer)
{
	char text[INET6_ADDRSTRLEN] = "";

	if (listener->unix_socket)
		return true; /* the file's mode decides */
	peer_text(peer, text);
	if (listed(listener->server_addrs, text))
		return true;
	log_warn("fastcgi: %s is not in FCGI_WEB_SERVER_ADDRS", text);
	return false;
}

int
listener_accept(const struct listener *listener)
{
	struct sockaddr_storage peer = { 0 };
	socklen_t len = sizeof(peer);
	int fd;

	while ((fd = accept4(listener->fd, (struct sockaddr *)&peer, &len,
		    SOCK_CLOEXEC | SOCK_NONBLOCK)) != -1) {
		if (peer_allowed(listener, &peer))
			break;
		close(fd);
		len = sizeof(peer);
	}
	return fd;
}

void
listener_hide(struct listener *listener)
{
	if (listener->path != NULL)
		unlink(listener->path);
	listener->path = NULL;
}
