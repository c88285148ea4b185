/*
 * The sockets, as the web server's user: is somebody there, and is it one of
 * the programs? GET is harmless to all of them: get_config answers it, the
 * others refuse it.
 */
#include <errno.h>
#include <glob.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/settings.h"
#include "common/sys.h"
#include "deploy/tool/doctor.h"
#include "deploy/tool/doctor_child.h"

#define REQUEST_MAX 512
#define BUSY_TRIES 5 /* 100 ms apart */
#define STDOUT_RECORD 6

/* ---- FastCGI, as little of it as will do (specification, 3 to 5) ---------- */

static void
add_record(struct buf *out, char type, const struct buf *content)
{
	const char head[8] = { 1, type, 0, 1, (char)(content->len >> 8),
		(char)(content->len & 0xff), 0, 0 };

	buf_add(out, head, sizeof(head));
	buf_add(out, buf_str(content), content->len);
}

static void
add_pair(struct buf *out, const char *name, const char *value)
{
	const char lens[2] = { (char)strlen(name), (char)strlen(value) };

	buf_add(out, lens, sizeof(lens));
	buf_text(out, name);
	buf_text(out, value);
}

/* BEGIN_REQUEST to a responder, PARAMS, and the ends of PARAMS and STDIN. */
static void
compose_request(struct buf *out)
{
	struct buf none = BUF(1), begin = BUF(8), params = BUF(256);

	buf_add(&begin, "\0\1\0\0\0\0\0", 8);
	add_pair(&params, "GATEWAY_INTERFACE", "CGI/1.1");
	add_pair(&params, "SERVER_PROTOCOL", "HTTP/1.1");
	add_pair(&params, "REQUEST_METHOD", "GET");
	add_pair(&params, "QUERY_STRING", "");
	add_pair(&params, "REMOTE_ADDR", "127.0.0.1");
	add_pair(&params, "REQUEST_ID", "agora-agent-doctor");
	add_record(out, 1, &begin);
	add_record(out, 4, &params);
	add_record(out, 4, &none);
	add_record(out, 5, &none);
	buf_free(&begin);
	buf_free(&params);
}

/* What ${records} have of STDOUT, to ${out}. */
static void
take_stdout(const struct buf *records, struct buf *out)
{
	const unsigned char *at = (const void *)buf_str(records);
	size_t left = records->len, len;

	for (; left >= 8 && at[0] == 1; at += len, left -= len) {
		size_t content = (size_t)at[4] << 8 | at[5];

		len = 8 + content + at[6];
		if (len > left)
			return;
		if (at[1] == STDOUT_RECORD)
			buf_add(out, at + 8, content);
	}
}

/* ---- in the child --------------------------------------------------------- */

static int
connect_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const struct timespec pause = { .tv_nsec = 100000000 };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	int rc = -1;

	if (fd == -1 || strlen(path) >= sizeof(address.sun_path)) {
		errno = fd == -1 ? errno : ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	for (int i = 0; i < BUSY_TRIES && rc == -1; i++) {
		if (i > 0)
			nanosleep(&pause, NULL);
		rc = connect(fd, (void *)&address, sizeof(address));
		if (rc == -1 && errno != EAGAIN)
			return -1;
	}
	return rc == -1 ? -1 : fd;
}

/* The parent ends us when it takes too long. */
static int
pass_answer(int fd, int out)
{
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	char bytes[4096];
	ssize_t n;

	while (poll(&wait, 1, -1) != -1 &&
	    (n = read(fd, bytes, sizeof(bytes))) > 0)
		if (write(out, bytes, (size_t)n) == -1)
			return -1;
	return 0;
}

static int
ask(const void *arg, int out, int *error)
{
	struct buf request = BUF(REQUEST_MAX);
	int fd = connect_to(arg);

	if (fd == -1) {
		*error = errno;
		return 1;
	}
	compose_request(&request);
	if (send(fd, buf_str(&request), request.len, MSG_NOSIGNAL) == -1)
		return 0; /* it hung up: no answer */
	return pass_answer(fd, out);
}

/* ---- what came of it ------------------------------------------------------ */

static void
say_unconnected(struct doctor *doctor, const char *path, int error)
{
	enum doctor_code code = DOCTOR_SOCKET_REFUSED;
	char user[64];

	if (error == EACCES && !doctor->become) {
		doctor_skip(doctor, "sockets",
		    "%s: %s as this user; needs root, to try as the web "
		    "server's",
		    path, strerror(error));
		return;
	}
	if (error == ENOENT || error == ENOTDIR)
		code = DOCTOR_SOCKET_MISSING;
	else if (error == EACCES)
		code = DOCTOR_SOCKET_PERMISSION;
	else if (error == EAGAIN)
		code = DOCTOR_SOCKET_BUSY;
	doctor_find(doctor, code, path, "connect %s: %s (%d)",
	    doctor_child_user(doctor, user), strerror(error), error);
}

/* Answers whether a program of ours said ${text}, and says so if not. */
static bool
answer_good(struct doctor *doctor, const char *path, const char *text)
{
	if (strncmp(text, "Status: ", 8) != 0 ||
	    strstr(text, "X-Request-Id: agora-agent-doctor\r\n") == NULL)
		doctor_find(doctor, DOCTOR_SOCKET_ANSWER, path,
		    *text == '\0' ? "it hung up without an answer of FastCGI" :
				    "the answer begins \"%.*s\"",
		    (int)strcspn(text, "\r\n"), text);
	else if (strncmp(text, "Status: 500", 11) != 0)
		return true;
	else if (!doctor->settings_bad) /* else it follows from that */
		doctor_find(doctor, DOCTOR_SERVICE_UNCONFIGURED, path,
		    "500 Service not properly configured");
	return false;
}

static bool
judge(struct doctor *doctor, const char *path, const struct doctor_child *child)
{
	struct buf text = BUF(DOCTOR_OUTPUT_MAX);
	bool good = false;

	if (child->error != 0) {
		say_unconnected(doctor, path, child->error);
	} else if (child->late) {
		doctor_find(doctor, DOCTOR_SOCKET_SILENT, path,
		    "no answer within %d s", DOCTOR_CHILD_MS / 1000);
	} else {
		take_stdout(&child->output, &text);
		good = answer_good(doctor, path, buf_str(&text));
	}
	buf_free(&text);
	return good;
}

static bool
socket_good(struct doctor *doctor, const char *path)
{
	struct doctor_child child;
	struct stat st;
	bool good = false;

	if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	    (st.st_mode & S_IWOTH)) {
		doctor_find(doctor, DOCTOR_SOCKET_MODE, path, "mode %04o",
		    st.st_mode & 07777);
		return false;
	}
	if (doctor_child_run(doctor, ask, path, &child) == -1)
		doctor_skip(doctor, "sockets", "%s: no process to be had",
		    path);
	else
		good = judge(doctor, path, &child);
	buf_free(&child.output);
	return good;
}

/* Without a folder for them, and no unit, the web server runs the programs. */
static bool
expected(const struct doctor *doctor)
{
	static const char *const places[] = { "/run/agora-agent",
		"/etc/systemd/system/agora-agent*.socket",
		"/usr/local/lib/systemd/system/agora-agent*.socket",
		"/usr/lib/systemd/system/agora-agent*.socket",
		"/lib/systemd/system/agora-agent*.socket" };
	bool found = doctor->sockets_named;
	glob_t paths;

	for (size_t i = 0; !found && i < sizeof(places) / sizeof(places[0]);
	     i++) {
		found = glob(places[i], GLOB_NOSORT, NULL, &paths) == 0;
		globfree(&paths);
	}
	return found;
}

void
doctor_check_sockets(struct doctor *doctor)
{
	size_t before = doctor->problems;
	char user[64];

	if (!expected(doctor)) {
		doctor_skip(doctor, "sockets",
		    "neither /run/agora-agent nor systemd units: the web "
		    "server runs the programs itself");
		return;
	}
	if (doctor->web_user == NULL)
		doctor_skip(doctor, "sockets",
		    "no user www-data, nginx or apache to try as: "
		    "--web-user names another");
	for (size_t i = 0; i < doctor->sockets_len; i++)
		if (socket_good(doctor, doctor->sockets[i]))
			doctor_good(doctor, "sockets", "%s answers %s",
			    doctor->sockets[i],
			    doctor_child_user(doctor, user));
	doctor->backend_bad |= doctor->problems > before;
}
