#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/sys.h"
#include "deploy/tool/doctor.h"
#include "deploy/tool/doctor_child.h"

#define PAUSE_NS 1000000 /* between two looks whether the child has ended */

static int
become_web_user(const struct doctor *doctor)
{
	if (!doctor->become)
		return 0;
	if (initgroups(doctor->web_user, doctor->web_gid) == -1 ||
	    setgid(doctor->web_gid) == -1 || setuid(doctor->web_uid) == -1)
		return -1;
	return 0;
}

/* Collects what comes until the child closes its end, or it is ${end}. */
static void
collect(int fd, int64_t end, struct doctor_child *child)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	char bytes[4096];
	int64_t left;
	ssize_t n;

	while ((left = end - sys_monotonic_ms()) > 0) {
		if (poll(&wait, 1, (int)left) <= 0)
			continue;
		n = read(fd, bytes, sizeof(bytes));
		if (n <= 0)
			return;
		buf_add(&child->output, bytes, (size_t)n);
	}
	child->late = true;
}

/* Waits for the child; one that has closed its end may go on for ever. */
static void
await(pid_t pid, int64_t end, struct doctor_child *child)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	pid_t ended;

	while ((ended = waitpid(pid, &child->status, WNOHANG)) == 0 &&
	    sys_monotonic_ms() < end)
		nanosleep(&pause, NULL);
	if (ended != 0)
		return;
	child->late = true;
	kill(pid, SIGKILL);
	while (waitpid(pid, &child->status, 0) == -1 && errno == EINTR)
		;
}

static void
run_child(const struct doctor *doctor,
    int (*work)(const void *arg, int out, int *error), const void *arg, int out,
    int *error)
{
	if (become_web_user(doctor) == -1) {
		*error = errno;
		_exit(1);
	}
	_exit(work(arg, out, error));
}

/* ${error} lies in memory that both processes see. */
static int
run(const struct doctor *doctor,
    int (*work)(const void *arg, int out, int *error), const void *arg,
    struct doctor_child *child, int *error)
{
	int64_t end = sys_monotonic_ms() + DOCTOR_CHILD_MS;
	int ends[2];
	pid_t pid;

	if (pipe(ends) == -1)
		return -1;
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		run_child(doctor, work, arg, ends[1], error);
	}
	close(ends[1]);
	if (pid != -1) {
		collect(ends[0], end, child);
		await(pid, end, child);
	}
	close(ends[0]);
	child->error = *error;
	return pid == -1 ? -1 : 0;
}

int
doctor_child_run(const struct doctor *doctor,
    int (*work)(const void *arg, int out, int *error), const void *arg,
    struct doctor_child *child)
{
	int *error = mmap(NULL, sizeof(*error), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int rc;

	*child = (struct doctor_child){ .output = BUF(DOCTOR_OUTPUT_MAX) };
	if (error == MAP_FAILED)
		return -1;
	rc = run(doctor, work, arg, child, error);
	munmap(error, sizeof(*error));
	return rc;
}

const char *
doctor_child_user(const struct doctor *doctor, char text[static 64])
{
	if (doctor->become)
		snprintf(text, 64, "as %s", doctor->web_user);
	else
		snprintf(text, 64, "as this user");
	return text;
}
