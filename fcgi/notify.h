/*
 * Signs of life: to the service manager, as sd_notify(3) gives them but
 * without its library, and from a worker to its parent. Where nobody asks for
 * them, none are given.
 */
#ifndef FCGI_NOTIFY_H
#define FCGI_NOTIFY_H

#include <stdint.h>

#include "common/loop.h"

struct notify {
	struct loop *loop;
	struct loop_timer timer;
	int64_t interval; /* ms between two signs */
	int fd;           /* whom they go to, or -1 */
};

/*
 * After how many milliseconds of silence the service manager will take this
 * process for hung (WATCHDOG_USEC, if WATCHDOG_PID is this process or not
 * set); 0: it keeps no watch.
 */
int64_t notify_limit(char **environment);

/*
 * Says that this process serves, and from then on, as often as it is wanted,
 * that ${loop} turns. Listeners are named by ${environment}: a parent's pipe
 * (pulse.h), or NOTIFY_SOCKET. To be called once the loop is about to run.
 */
void notify_open(struct notify *notify, struct loop *loop, char **environment);

/* Says that this process is about to end. Signs of life go on meanwhile. */
void notify_stopping(const struct notify *notify);

/* To be called before the loop is freed. Twice is fine, and without open(). */
void notify_close(struct notify *notify);

#endif
