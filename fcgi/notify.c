#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/log.h"
#include "common/num.h"
#include "common/sys.h"
#include "fcgi/notify.h"
#include "fcgi/params.h"
#include "fcgi/pulse.h"

#define USEC_PER_MS 1000

static int64_t
watchdog_ms(char **environment)
{
	const char *text = params_get(environment, "WATCHDOG_USEC");
	int64_t usec;

	if (text == NULL || num_parse(text, 1, INT64_MAX, &usec) == -1)
		return 0;
	return usec < USEC_PER_MS ? 1 : usec / USEC_PER_MS;
}

int64_t
notify_limit(char **environment)
{
	const char *text = params_get(environment, "WATCHDOG_PID");
	int64_t pid = getpid();

	if (text != NULL && num_parse(text, 1, INT32_MAX, &pid) == -1)
		return 0;
	return pid == getpid() ? watchdog_ms(environment) : 0;
}

/*
 * The socket at ${name}; "@" stands for the NUL of an abstract one. It never
 * blocks: a manager that does not listen must not hold up requests.
 */
static int
connect_to(const char *name)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	size_t size = offsetof(struct sockaddr_un, sun_path) + len;
	int fd;

	if (len >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(address.sun_path, name, len);
	if (*name == '@')
		address.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	if (fd == -1)
		return -1;
	if (sys_nonblock(fd) == 0 &&
	    connect(fd, (const struct sockaddr *)&address, (socklen_t)size) ==
		0)
		return fd;
	close(fd);
	return -1;
}

static void
tell(const struct notify *notify, const char *text)
{
	ssize_t len = (ssize_t)strlen(text);

	if (notify->fd != -1 && write(notify->fd, text, (size_t)len) != len)
		log_warn("notify: %s: %s", text, strerror(errno));
}

static void
give_sign(struct loop_timer *timer)
{
	struct notify *notify = LOOP_OWNER(timer, struct notify, timer);

	tell(notify, "WATCHDOG=1");
	/* An expired timer is set again without memory. */
	(void)!loop_timer_set(notify->loop, timer, notify->interval);
}

static void
give_signs(struct notify *notify, int64_t limit)
{
	if (limit == 0 || notify->fd == -1)
		return;
	/* Half of it, as sd_watchdog_enabled(3) advises. */
	notify->interval = limit / 2;
	notify->timer.expired = give_sign;
	if (loop_timer_set(notify->loop, &notify->timer, 0) == -1)
		log_warn("notify: out of memory; taken for hung in %d s",
		    (int)(limit / 1000));
}

void
notify_open(struct notify *notify, struct loop *loop, char **environment)
{
	const char *name = params_get(environment, "NOTIFY_SOCKET");

	*notify = (struct notify){ .loop = loop };
	notify->fd = pulse_inherited(environment);
	if (notify->fd != -1) {
		give_signs(notify, watchdog_ms(environment));
		return;
	}
	if (name == NULL || *name == '\0')
		return;
	notify->fd = connect_to(name);
	if (notify->fd == -1)
		log_warn("notify: %s: %s", name, strerror(errno));
	tell(notify, "READY=1");
	give_signs(notify, notify_limit(environment));
}

void
notify_stopping(const struct notify *notify)
{
	tell(notify, "STOPPING=1");
}

void
notify_close(struct notify *notify)
{
	if (notify->loop == NULL)
		return;
	loop_timer_clear(notify->loop, &notify->timer);
	if (notify->fd != -1)
		close(notify->fd);
	*notify = (struct notify){ .fd = -1 };
}
