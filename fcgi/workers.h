/*
 * The parent: keeps the listening socket, runs N copies of the program on it,
 * replaces them when they end.
 */
#ifndef FCGI_WORKERS_H
#define FCGI_WORKERS_H

struct listener;

#define WORKERS_MAX 256

/*
 * Runs ${count} workers (1 to WORKERS_MAX) on ${listener} until SIGTERM or
 * SIGINT. Each is this program executed anew with the socket as descriptor 0,
 * so that it reads fresh settings and, after an upgrade, is the new program.
 * One that ends is replaced at once, or after a growing pause (up to 5 s) when
 * it did not live for 250 ms. If nobody serves in such a pause of over 400 ms,
 * connections are accepted and closed, so that the web server need not wait.
 * SIGHUP replaces all, one after the other: the old one is ended when the new
 * one has lived for 100 ms; if it dies before, the old one stays and the
 * restart is abandoned.
 * Where a service manager keeps watch (notify.h), so does the parent: a worker
 * whose loop no longer turns is killed, and replaced like any that ended.
 * Returns the exit status: 0 after a signal, 1 when nothing could be started.
 */
int workers_run(struct listener *listener, int count);

#endif
