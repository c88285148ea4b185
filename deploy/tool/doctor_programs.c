/*
 * The programs: can they be run, do they find their libraries, and do they
 * answer with nothing but what a web server gives a CGI program?
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "deploy/tool/doctor.h"
#include "deploy/tool/doctor_child.h"

/* How to run a program. */
struct start {
	char *path;
	const char *folder;
	char *const *environment;
	bool errors_too; /* what it says on stderr is wanted */
};

/* Has the loader say what it finds, and run nothing: what ldd does. */
static char trace_wanted[] = "LD_TRACE_LOADED_OBJECTS=1";
static char *const trace[] = { trace_wanted, NULL };

/* No program takes OPTIONS: it says so, and does nothing else. */
static char gateway[] = "GATEWAY_INTERFACE=CGI/1.1";
static char protocol[] = "SERVER_PROTOCOL=HTTP/1.1";
static char method[] = "REQUEST_METHOD=OPTIONS";
static char peer[] = "REMOTE_ADDR=127.0.0.1";
static char *const cgi[] = { gateway, protocol, method, peer, NULL };

static int
become_program(const void *arg, int out, int *error)
{
	const struct start *start = arg;
	char *const argv[] = { start->path, NULL };
	int null = open("/dev/null", O_RDWR);

	if (null != -1 && chdir(start->folder) == 0 &&
	    dup2(null, STDIN_FILENO) != -1 && dup2(out, STDOUT_FILENO) != -1 &&
	    dup2(start->errors_too ? out : null, STDERR_FILENO) != -1) {
		close(out);
		close(null);
		execve(start->path, argv, start->environment);
	}
	*error = errno;
	return 127;
}

/* The length of the first line of ${text}. */
static int
line_len(const char *text)
{
	return (int)strcspn(text, "\r\n");
}

/* The line of ${text} with ${word} in it, or NULL. */
static const char *
line_with(const char *text, const char *word)
{
	const char *found = strstr(text, word);

	while (found != NULL && found > text && found[-1] != '\n')
		found--;
	return found;
}

/* Answers whether others than the owner can write to it; says so. */
static bool
is_open(struct doctor *doctor, const char *path)
{
	struct stat st;

	if (stat(path, &st) == -1 || (st.st_mode & 0022) == 0)
		return false;
	doctor_find(doctor, DOCTOR_PROGRAM_MODE, path,
	    "mode %04o: others than its owner can write to it",
	    st.st_mode & 07777);
	return true;
}

static bool
is_executable(struct doctor *doctor, const char *path)
{
	struct stat st;

	if (stat(path, &st) == -1 || (st.st_mode & 0111) != 0)
		return true;
	doctor_find(doctor, DOCTOR_PROGRAM_MODE, path,
	    "mode %04o: not executable", st.st_mode & 07777);
	return false;
}

/* ${child} could not become the program. */
static void
say_not_started(struct doctor *doctor, const char *path, int error)
{
	char user[64];

	if (error == EACCES)
		doctor_find(doctor, DOCTOR_PROGRAM_MODE, path,
		    "cannot be executed %s: %s",
		    doctor_child_user(doctor, user), strerror(error));
	else if (error == ENOENT) /* it is there; what loads it is not */
		doctor_find(doctor, DOCTOR_PROGRAM_LIBRARY, path,
		    "its loader is not here; built for another C library?");
	else
		doctor_find(doctor, DOCTOR_PROGRAM_CGI, path,
		    "cannot be executed: %s", strerror(error));
}

static bool
libraries_good(struct doctor *doctor, const struct start *start)
{
	struct doctor_child child;
	const char *line;
	bool good = false;

	if (doctor_child_run(doctor, become_program, start, &child) == -1) {
		doctor_skip(doctor, "programs", "%s: no process to be had",
		    start->path);
	} else if (child.error != 0) {
		say_not_started(doctor, start->path, child.error);
	} else if ((line = line_with(buf_str(&child.output), "not found")) !=
	    NULL) {
		line += strspn(line, " \t");
		doctor_find(doctor, DOCTOR_PROGRAM_LIBRARY, start->path, "%.*s",
		    line_len(line), line);
	} else {
		good = true;
	}
	buf_free(&child.output);
	return good;
}

/* A refusal in JSON, of any kind but "internal error". */
static bool
is_answer(const char *text)
{
	const char *end = strstr(text, "\r\n\r\n");

	return strncmp(text, "Status: 4", 9) == 0 && end != NULL &&
	    strstr(text, "application/json") != NULL && end[4] == '{';
}

/* What came instead of an answer. */
static void
say_no_answer(struct doctor *doctor, const char *path,
    const struct doctor_child *child)
{
	const char *text = buf_str(&child->output);

	if (child->error != 0)
		say_not_started(doctor, path, child->error);
	else if (child->late)
		doctor_find(doctor, DOCTOR_PROGRAM_CGI, path,
		    "no answer within %d s", DOCTOR_CHILD_MS / 1000);
	else if (WIFSIGNALED(child->status))
		doctor_find(doctor, DOCTOR_PROGRAM_CGI, path,
		    "ended by signal %d", WTERMSIG(child->status));
	else if (*text == '\0')
		doctor_find(doctor, DOCTOR_PROGRAM_CGI, path,
		    "exit status %d, and no answer",
		    WEXITSTATUS(child->status));
	else
		doctor_find(doctor, DOCTOR_PROGRAM_CGI, path,
		    "the answer begins \"%.*s\"", line_len(text), text);
}

static bool
answers(struct doctor *doctor, const struct start *start)
{
	struct doctor_child child;
	bool good = false;

	if (doctor_child_run(doctor, become_program, start, &child) == -1)
		doctor_skip(doctor, "programs", "%s: no process to be had",
		    start->path);
	else if (is_answer(buf_str(&child.output)))
		good = true;
	else
		say_no_answer(doctor, start->path, &child);
	buf_free(&child.output);
	return good;
}

/* What is in a folder may be anybody's: root itself runs none of it. */
static bool
may_run(const struct doctor *doctor)
{
	return doctor->become || geteuid() != 0;
}

static bool
program_good(struct doctor *doctor, char *path)
{
	struct start start = { .path = path,
		.folder = doctor->programs,
		.environment = trace,
		.errors_too = true };

	if (access(path, F_OK) == -1) {
		doctor_find(doctor, DOCTOR_PROGRAM_MISSING, path, "%s",
		    strerror(errno));
		return false;
	}
	if (!is_executable(doctor, path) || is_open(doctor, path) ||
	    !may_run(doctor) || !libraries_good(doctor, &start))
		return false;
	start.environment = cgi;
	start.errors_too = false;
	return answers(doctor, &start);
}

void
doctor_check_programs(struct doctor *doctor)
{
	char path[PATH_MAX], user[64];
	size_t good = 0, before = doctor->problems;

	is_open(doctor, doctor->programs);
	for (size_t i = 0; i < DOCTOR_ENDPOINTS; i++) {
		snprintf(path, sizeof(path), "%s/%s.fcgi", doctor->programs,
		    doctor_endpoints[i]);
		good += program_good(doctor, path);
	}
	doctor->backend_bad |= doctor->problems > before;
	if (!may_run(doctor))
		doctor_skip(doctor, "programs",
		    "no user www-data, nginx or apache to run them as: "
		    "--web-user names another");
	if (good == DOCTOR_ENDPOINTS)
		doctor_good(doctor, "programs",
		    "in %s: find their libraries, and answer as CGI programs "
		    "%s",
		    doctor->programs, doctor_child_user(doctor, user));
}
