#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <time.h>

#include "common/sys.h"

#define RANDOM_MAX 256 /* bytes that getrandom(2) gives in one piece */

int64_t
sys_now(void)
{
	return (int64_t)time(NULL);
}

int64_t
sys_monotonic_us(void)
{
	struct timespec ts = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

int64_t
sys_monotonic_ms(void)
{
	struct timespec ts = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int
sys_random(void *data, size_t len)
{
	ssize_t n;

	if (len > RANDOM_MAX) {
		memset(data, 0, len);
		errno = EINVAL;
		return -1;
	}
	/*
	 * GRND_NONBLOCK: right after boot the generator may not be seeded yet;
	 * then the request fails instead of hanging.
	 */
	do
		n = getrandom(data, len, GRND_NONBLOCK);
	while (n == -1 && errno == EINTR);
	if (n == (ssize_t)len)
		return 0;
	memset(data, 0, len);
	return -1;
}

void
sys_tame_environment(void)
{
	static const char *const unwanted[] = {
		"SSLKEYLOGFILE",
		"http_proxy",
		"HTTP_PROXY",
		"https_proxy",
		"HTTPS_PROXY",
		"all_proxy",
		"ALL_PROXY",
		"no_proxy",
		"NO_PROXY",
		"CURL_HOME",
		"CURL_CA_BUNDLE",
		"CURL_SSL_BACKEND",
		"SSL_CERT_FILE",
		"SSL_CERT_DIR",
		"OPENSSL_CONF",
		"OPENSSL_CONF_INCLUDE",
		"OPENSSL_MODULES",
		"OPENSSL_ENGINES",
		"HOSTALIASES",
		"LOCALDOMAIN",
	};

	for (size_t i = 0; i < sizeof(unwanted) / sizeof(unwanted[0]); i++)
		unsetenv(unwanted[i]);
}

void
sys_forbid_cores(void)
{
	const struct rlimit none = { 0 };

	setrlimit(RLIMIT_CORE, &none);
#ifndef __SANITIZE_ADDRESS__ /* its leak check attaches to the process */
	prctl(PR_SET_DUMPABLE, 0);
#endif
}

int
sys_nonblock(int fd)
{
	int status = fcntl(fd, F_GETFL);
	int flags = fcntl(fd, F_GETFD);

	if (status == -1 || flags == -1)
		return -1;
	if (fcntl(fd, F_SETFL, status | O_NONBLOCK) == -1)
		return -1;
	return fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == -1 ? -1 : 0;
}
