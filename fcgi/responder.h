/*
 * FastCGI: many connections, one thread, one loop. The only file that knows
 * libfcgi.
 *
 * A connection waits in epoll until its whole request has arrived; only then
 * is it handed to libfcgi, whose blocking reads so never wait. After the
 * answer a kept connection goes back to waiting and costs one descriptor.
 */
#ifndef FCGI_RESPONDER_H
#define FCGI_RESPONDER_H

struct listener;
struct service;

/*
 * Serves ${service} on ${listener} until SIGTERM, SIGINT or SIGUSR1: then
 * accepts what is queued, answers everything that was accepted, and returns.
 * SIGHUP reads the settings again.
 * Returns the process's exit status: 0, or 1 when the loop could not run.
 */
int responder_serve(struct service *service, struct listener *listener);

#endif
