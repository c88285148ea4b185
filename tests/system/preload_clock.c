/*
 * For tests, as LD_PRELOAD: the wall clock is wrong by as many seconds as the
 * file $CLOCK_FILE says at that moment. The monotonic clock is left alone.
 */
#define _GNU_SOURCE

#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static time_t
wrong_by(void)
{
	const char *path = getenv("CLOCK_FILE");
	FILE *file = path == NULL ? NULL : fopen(path, "re");
	long seconds = 0;

	if (file == NULL)
		return 0;
	if (fscanf(file, "%ld", &seconds) != 1)
		seconds = 0;
	fclose(file);
	return seconds;
}

int
clock_gettime(clockid_t clock, struct timespec *ts)
{
	long rc = syscall(SYS_clock_gettime, clock, ts);

	if (rc == 0 && (clock == CLOCK_REALTIME ||
			clock == CLOCK_REALTIME_COARSE))
		ts->tv_sec += wrong_by();
	return (int)rc;
}

time_t
time(time_t *seconds)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	if (seconds != NULL)
		*seconds = ts.tv_sec;
	return ts.tv_sec;
}

int
gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
	struct timespec ts;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &ts);
	tv->tv_sec = ts.tv_sec;
	tv->tv_usec = ts.tv_nsec / 1000;
	return 0;
}
