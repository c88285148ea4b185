#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "world.h"

#define CLOCK_START_MS 1000000
#define ROUNDS_MAX 100000 /* of the loop for one input */
#define OUTPUT_MAX (256 * 1024)

bool world_one_process;
static int64_t clock_ms = CLOCK_START_MS;
static unsigned int rounds;
static uint64_t random_state;
static char output[OUTPUT_MAX + 1];
static size_t output_len;

/* The linker sends what the product calls here (-Wl,--wrap=NAME). */
int __real_epoll_wait(int fd, struct epoll_event *events, int max, int ms);
int __wrap_epoll_wait(int fd, struct epoll_event *events, int max, int ms);
ssize_t __real_write(int fd, const void *data, size_t len);
ssize_t __wrap_write(int fd, const void *data, size_t len);
pid_t __real_fork(void);
pid_t __wrap_fork(void);
int64_t __wrap_sys_now(void);
int __wrap_sys_random(void *data, size_t len);

void
world_reset(void)
{
	clock_ms = CLOCK_START_MS;
	rounds = 0;
	random_state = 0x9e3779b97f4a7c15;
	output_len = 0;
}

/* Not wrapped but defined: libcurl has to see the same clock. */
int
clock_gettime(clockid_t id, struct timespec *ts)
{
	if (id != CLOCK_MONOTONIC && id != CLOCK_MONOTONIC_RAW &&
	    id != CLOCK_MONOTONIC_COARSE)
		return (int)syscall(SYS_clock_gettime, id, ts);
	ts->tv_sec = clock_ms / 1000;
	ts->tv_nsec = clock_ms % 1000 * 1000000;
	return 0;
}

int
__wrap_epoll_wait(int fd, struct epoll_event *events, int max, int ms)
{
	int count = __real_epoll_wait(fd, events, max, 0);

	CHECK(++rounds < ROUNDS_MAX);
	if (count == 0) {
		CHECK(ms >= 0); /* else it would wait for ever */
		clock_ms += ms;
	}
	return count;
}

int64_t
__wrap_sys_now(void)
{
	return WORLD_NOW + (clock_ms - CLOCK_START_MS) / 1000;
}

/* xorshift64 */
int
__wrap_sys_random(void *data, size_t len)
{
	uint8_t *bytes = data;

	while (len-- > 0) {
		random_state ^= random_state << 13;
		random_state ^= random_state >> 7;
		random_state ^= random_state << 17;
		*bytes++ = (uint8_t)(random_state >> 32);
	}
	return 0;
}

bool
world_has(const char *text, size_t len, const char *needle)
{
	return memmem(text, len, needle, strlen(needle)) != NULL;
}

static void
check_line(const char *line, size_t len)
{
	size_t i;

	CHECK(len <= LOG_LINE_MAX);
	for (i = 0; i < len - 1; i++)
		CHECK(line[i] >= 0x20 && line[i] <= 0x7e);
	CHECK(line[len - 1] == '\n');
	CHECK(!world_has(line, len, WORLD_CERTIFICATE));
	CHECK(!world_has(line, len, WORLD_CANARY));
}

/* Log and CGI answers; the fuzzer's own words pass. */
ssize_t
__wrap_write(int fd, const void *data, size_t len)
{
	if (fd == STDERR_FILENO && len > 1 && *(const char *)data == '<') {
		check_line(data, len);
	} else if (fd == STDOUT_FILENO) {
		CHECK(len <= OUTPUT_MAX - output_len);
		memcpy(output + output_len, data, len);
		output_len += len;
	} else {
		return __real_write(fd, data, len);
	}
	return (ssize_t)len;
}

/* An input is run by one process; AFL++ itself needs several. */
pid_t
__wrap_fork(void)
{
	if (!world_one_process)
		return __real_fork();
	errno = EAGAIN;
	return -1;
}

const char *
world_output(size_t *len)
{
	output[output_len] = '\0';
	*len = output_len;
	return output;
}

int
world_file(int fd)
{
	int file = memfd_create("fuzz", MFD_CLOEXEC);

	CHECK(file != -1 && fchmod(file, 0600) == 0);
	if (fd == -1)
		return file;
	CHECK(dup2(file, fd) == fd);
	close(file);
	return fd;
}

void
world_write(int fd, const void *data, size_t len)
{
	CHECK(ftruncate(fd, 0) == 0);
	CHECK(len == 0 || pwrite(fd, data, len, 0) == (ssize_t)len);
	CHECK(lseek(fd, 0, SEEK_SET) == 0);
}

char *
world_piece(const uint8_t **data, size_t *size, size_t *len)
{
	const uint8_t *end = NULL;
	char *piece;

	if (*size > 0)
		end = memchr(*data, WORLD_SEPARATOR, *size);
	*len = end == NULL ? *size : (size_t)(end - *data);
	piece = malloc(*len + 1);
	CHECK(piece != NULL);
	if (*len > 0)
		memcpy(piece, *data, *len);
	piece[*len] = '\0';
	*data += *len + (end != NULL);
	*size -= *len + (end != NULL);
	return piece;
}

void
world_params(const char *text, char *params[static WORLD_PARAMS_MAX])
{
	size_t count = 0, len;

	for (; *text != '\0' && count < WORLD_PARAMS_MAX - 1;
	     text += len + (text[len] == '\n')) {
		len = strcspn(text, "\n");
		params[count] = strndup(text, len);
		CHECK(params[count++] != NULL);
	}
	params[count] = NULL;
}

void
world_params_free(char *params[static WORLD_PARAMS_MAX])
{
	size_t i;

	for (i = 0; params[i] != NULL; i++)
		free(params[i]);
}
