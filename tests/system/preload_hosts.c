/*
 * For tests, as LD_PRELOAD: sends host names to loopback ports of the test's
 * choice, so that failover over Agora's hosts can be tried without root,
 * without port 443 and without leaving the machine.
 *
 *   FAKE_HOSTS=api-us-west-1.agora.io=refused,api-us-east-1.agora.io=127.0.0.1:4443
 *
 * NAME=TARGET, separated by commas; a name with several targets has several
 * addresses, in that order. Targets:
 *   127.x.y.z:PORT  there, whatever port the program asks for
 *   refused         connection refused
 *   silent          the handshake of TCP is never answered
 *   mute            connects; then nobody reads or writes
 *   nxdomain        the name does not exist
 *   again           the name servers do not answer (SERVFAIL)
 * FAKE_HOSTS_LOG=FILE gets a line "resolve NAME" or "connect NAME TARGET" for
 * each such call.
 *
 * Names not listed resolve only when that asks no name server: addresses,
 * localhost and this machine's own name. A connection to anything but the
 * loopback is refused. libc's own look-ups do not pass here, so they are not
 * let begin.
 *
 * Each target gets an address of its own, 127.77.0.N, by which connect()
 * recognises it. Programs built with ASan need
 * ASAN_OPTIONS=verify_asan_link_order=0 besides.
 */
#define _GNU_SOURCE

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOSTS_MAX 64
#define NAME_SIZE 256     /* bytes, with the NUL */
#define TEXT_SIZE 16384   /* bytes, with the NUL, of FAKE_HOSTS */
#define BLOCK 0x7f4d0000U /* 127.77.0.0 */
#define FILLERS 4         /* connections that fill a backlog of 0 */

enum kind {
	KIND_ADDRESS,
	KIND_REFUSED,
	KIND_SILENT,
	KIND_MUTE,
	KIND_NXDOMAIN,
	KIND_AGAIN
};

static const char *const kinds[] = {
	[KIND_REFUSED] = "refused",
	[KIND_SILENT] = "silent",
	[KIND_MUTE] = "mute",
	[KIND_NXDOMAIN] = "nxdomain",
	[KIND_AGAIN] = "again",
};

struct host {
	char name[NAME_SIZE];
	enum kind kind;
	struct sockaddr_in to; /* KIND_ADDRESS */
};

typedef int resolve_fn(
    const char *, const char *, const struct addrinfo *, struct addrinfo **);
typedef int connect_fn(int, const struct sockaddr *, socklen_t);

/* Written once, before the first use; read by any thread after that. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct host hosts[HOSTS_MAX];
static size_t host_count;
static struct sockaddr_in silent_at, mute_at;
static char own_name[NAME_SIZE];
static const char *log_path;
static resolve_fn *next_getaddrinfo;
static connect_fn *next_connect;

/* A mistake in a test must not look like a passing test. */
static void
die(const char *what, const char *text)
{
	fprintf(stderr, "preload_hosts: %s: %s\n", what, text);
	abort();
}

/* One line in one write(2): threads and processes share the file. */
static void
note(const char *call, const char *name, const char *target)
{
	char line[2 * NAME_SIZE + 64];
	int saved = errno;
	int fd, n;

	if (log_path == NULL)
		return;
	n = snprintf(line, sizeof(line), "%s %s%s%s\n", call, name,
	    *target == '\0' ? "" : " ", target);
	fd = open(log_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd == -1 || n < 0 || write(fd, line, (size_t)n) != n)
		die("log", log_path);
	(void)close(fd);
	errno = saved;
}

/*
 * A listening socket on the loopback that nobody accepts from, kept open for
 * the life of the process. Its address goes to ${at}.
 */
static void
listen_nowhere(int backlog, struct sockaddr_in *at)
{
	socklen_t len = sizeof(*at);
	int fd;

	*at = (struct sockaddr_in){ .sin_family = AF_INET };
	at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd == -1 || bind(fd, (struct sockaddr *)at, len) == -1 ||
	    listen(fd, backlog) == -1 ||
	    getsockname(fd, (struct sockaddr *)at, &len) == -1)
		die("listen", strerror(errno));
}

/* Linux drops a SYN to a listener whose queue is full: fill it. */
static void
fill_silent(void)
{
	int fd, i;

	listen_nowhere(0, &silent_at);
	for (i = 0; i < FILLERS; i++) {
		fd = socket(
		    AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd == -1)
			die("socket", strerror(errno));
		(void)next_connect(
		    fd, (struct sockaddr *)&silent_at, sizeof(silent_at));
	}
}

/* ${text} is "127.x.y.z:PORT". */
static void
parse_address(struct host *host, char *text)
{
	char *colon = strchr(text, ':');
	char *end;
	unsigned long port;

	if (colon == NULL)
		die("target", text);
	*colon = '\0';
	port = strtoul(colon + 1, &end, 10);
	host->to.sin_family = AF_INET;
	if (*end != '\0' || end == colon + 1 || port == 0 || port > 65535 ||
	    inet_pton(AF_INET, text, &host->to.sin_addr) != 1 ||
	    ntohl(host->to.sin_addr.s_addr) >> 24 != 127)
		die("target", text);
	host->to.sin_port = htons((uint16_t)port);
}

/* ${item} is "NAME=TARGET". */
static void
parse_host(char *item)
{
	struct host *host = &hosts[host_count];
	char *equals = strchr(item, '=');
	size_t kind;

	if (equals == NULL || host_count == HOSTS_MAX ||
	    equals - item >= NAME_SIZE)
		die("FAKE_HOSTS", item);
	memcpy(host->name, item, (size_t)(equals - item));
	host_count++;
	for (kind = KIND_REFUSED; kind <= KIND_AGAIN; kind++) {
		if (strcmp(equals + 1, kinds[kind]) == 0) {
			host->kind = (enum kind)kind;
			return;
		}
	}
	host->kind = KIND_ADDRESS;
	parse_address(host, equals + 1);
}

static bool
any(enum kind kind)
{
	size_t i;

	for (i = 0; i < host_count; i++)
		if (hosts[i].kind == kind)
			return true;
	return false;
}

/* dlsym() returns an object pointer; ISO C wants the bytes copied. */
static void
find_next(const char *name, void *fn, size_t size)
{
	void *symbol = dlsym(RTLD_NEXT, name);

	if (symbol == NULL)
		die("dlsym", name);
	memcpy(fn, &symbol, size);
}

static void
start(void)
{
	static char text[TEXT_SIZE];
	const char *given = getenv("FAKE_HOSTS");
	char *item, *comma;

	find_next("getaddrinfo", &next_getaddrinfo, sizeof(next_getaddrinfo));
	find_next("connect", &next_connect, sizeof(next_connect));
	log_path = getenv("FAKE_HOSTS_LOG");
	if (gethostname(own_name, sizeof(own_name) - 1) == -1)
		own_name[0] = '\0';
	if (given == NULL || *given == '\0')
		return;
	if (strlen(given) >= sizeof(text))
		die("FAKE_HOSTS", "too long");
	memcpy(text, given, strlen(given) + 1);
	for (item = text; item != NULL; item = comma) {
		comma = strchr(item, ',');
		if (comma != NULL)
			*comma++ = '\0';
		parse_host(item);
	}
	if (any(KIND_SILENT))
		fill_silent();
	if (any(KIND_MUTE))
		listen_nowhere(SOMAXCONN, &mute_at);
}

/* Names compare without case and without the root's dot. */
static bool
same_name(const char *a, const char *b)
{
	size_t len = strlen(b);

	if (len > 0 && b[len - 1] == '.')
		len--;
	return strlen(a) == len && strncasecmp(a, b, len) == 0;
}

/* The address by which connect() recognises host number ${i}. */
static int
resolve_one(size_t i, const char *service, const struct addrinfo *hints,
    struct addrinfo **result)
{
	struct in_addr address = { .s_addr = htonl(BLOCK + (uint32_t)i + 1) };
	struct addrinfo numeric = { 0 };
	char text[INET_ADDRSTRLEN];

	if (hints != NULL)
		numeric = *hints;
	if (numeric.ai_family == AF_INET6)
		return EAI_NONAME;
	/* AI_ADDRCONFIG forgets the loopback where there is no network. */
	numeric.ai_flags &= ~AI_ADDRCONFIG;
	numeric.ai_flags |= AI_NUMERICHOST;
	if (inet_ntop(AF_INET, &address, text, sizeof(text)) == NULL)
		return EAI_SYSTEM;
	return next_getaddrinfo(text, service, &numeric, result);
}

/* What getaddrinfo() says for a target that has no address, else 0. */
static int
refusal(enum kind kind)
{
	if (kind == KIND_NXDOMAIN)
		return EAI_NONAME;
	return kind == KIND_AGAIN ? EAI_AGAIN : 0;
}

/*
 * All addresses of the listed name ${node}, chained as freeaddrinfo() expects
 * them. Returns as getaddrinfo(), or 1 if the name is not listed.
 */
static int
resolve_listed(const char *node, const char *service,
    const struct addrinfo *hints, struct addrinfo **result)
{
	struct addrinfo **tail = result;
	size_t i;
	int rc = 1;

	*result = NULL;
	for (i = 0; i < host_count; i++) {
		if (!same_name(hosts[i].name, node))
			continue;
		rc = refusal(hosts[i].kind);
		if (rc == 0)
			rc = resolve_one(i, service, hints, tail);
		if (rc != 0)
			break;
		while (*tail != NULL)
			tail = &(*tail)->ai_next;
	}
	if (rc != 1)
		note("resolve", node, "");
	if (rc != 0 && *result != NULL) {
		freeaddrinfo(*result);
		*result = NULL;
	}
	return rc;
}

/* Names that libc resolves without asking the network. */
static bool
local_name(const char *node)
{
	return same_name("localhost", node) ||
	       (own_name[0] != '\0' && same_name(own_name, node));
}

int
getaddrinfo(const char *restrict node, const char *restrict service,
    const struct addrinfo *restrict hints, struct addrinfo **restrict result)
{
	struct addrinfo numeric = { 0 };
	int rc;

	pthread_once(&once, start);
	if (node == NULL || local_name(node))
		return next_getaddrinfo(node, service, hints, result);
	rc = resolve_listed(node, service, hints, result);
	if (rc != 1)
		return rc;
	if (hints != NULL)
		numeric = *hints;
	numeric.ai_flags |= AI_NUMERICHOST;
	return next_getaddrinfo(node, service, &numeric, result);
}

static bool
is_loopback(const struct sockaddr *address, socklen_t len)
{
	struct sockaddr_in6 six;
	struct sockaddr_in four;

	if (address->sa_family == AF_INET && len >= sizeof(four)) {
		memcpy(&four, address, sizeof(four));
		return ntohl(four.sin_addr.s_addr) >> 24 == 127;
	}
	if (address->sa_family == AF_INET6 && len >= sizeof(six)) {
		memcpy(&six, address, sizeof(six));
		return IN6_IS_ADDR_LOOPBACK(&six.sin6_addr) ||
		       (IN6_IS_ADDR_V4MAPPED(&six.sin6_addr) &&
			   six.sin6_addr.s6_addr[12] == 127);
	}
	/* Unix sockets, and AF_UNSPEC, which only undoes a connect. */
	return address->sa_family != AF_INET && address->sa_family != AF_INET6;
}

/* The host that ${address} stands for, or NULL. */
static const struct host *
host_at(const struct sockaddr *address, socklen_t len)
{
	struct sockaddr_in four;
	uint32_t ip;

	if (address->sa_family != AF_INET || len < sizeof(four))
		return NULL;
	memcpy(&four, address, sizeof(four));
	ip = ntohl(four.sin_addr.s_addr);
	if (ip <= BLOCK || ip > BLOCK + host_count)
		return NULL;
	return &hosts[ip - BLOCK - 1];
}

static int
connect_host(int fd, const struct host *host)
{
	const struct sockaddr_in *to = &host->to;

	note("connect", host->name,
	    host->kind == KIND_ADDRESS ? "address" : kinds[host->kind]);
	if (host->kind == KIND_SILENT)
		to = &silent_at;
	else if (host->kind == KIND_MUTE)
		to = &mute_at;
	else if (host->kind != KIND_ADDRESS) {
		errno = ECONNREFUSED;
		return -1;
	}
	return next_connect(fd, (const struct sockaddr *)to, sizeof(*to));
}

/* The second argument is libc's union of all kinds of address. */
int
connect(int fd, __CONST_SOCKADDR_ARG argument, socklen_t len)
{
	const struct sockaddr *address = argument.__sockaddr__;
	const struct host *host;

	pthread_once(&once, start);
	if (address == NULL || len < sizeof(address->sa_family))
		return next_connect(fd, address, len);
	host = host_at(address, len);
	if (host != NULL)
		return connect_host(fd, host);
	if (!is_loopback(address, len)) {
		errno = ECONNREFUSED;
		return -1;
	}
	return next_connect(fd, address, len);
}
