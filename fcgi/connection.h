/*
 * The FastCGI connections of a process. The only file that knows libfcgi.
 *
 * A connection waits in epoll until its whole request has arrived; only then
 * is it handed to libfcgi, whose blocking reads so never wait. After the
 * answer a kept connection goes back to waiting and costs one descriptor.
 *
 * What has arrived is looked at where it lies, in the socket's buffer. It
 * holds every request within the limits of record.h, but not one that a
 * sender cuts into hundreds of tiny writes; that one is closed as silent.
 */
#ifndef FCGI_CONNECTION_H
#define FCGI_CONNECTION_H

#include <stdbool.h>

struct connection;
struct service;

struct connections {
	struct service *service;
	struct connection *first; /* all that are open */
	bool stopping;            /* answers are the last of their connection */

	/* Called when the last one was closed; may be NULL. */
	void (*none_left)(struct connections *connections);
};

/* Prepares libfcgi; once per process. Returns 0, or -1. */
int connections_init(void);

/* Serves requests from ${fd}, which is non-blocking; takes it. */
void connection_open(struct connections *connections, int fd);

/*
 * From now on nothing is kept: closes what is idle, gives a fresh connection
 * a moment (its request is on the way), and what has half arrived a little
 * longer. What is being answered is not touched.
 */
void connections_stop(struct connections *connections);

/*
 * Closes some idle connections, to have their descriptors.
 * Returns false when there is none.
 */
bool connections_shed(struct connections *connections);

/* Closes all, answered or not. */
void connections_close(struct connections *connections);

#endif
