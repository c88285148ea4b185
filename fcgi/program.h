/*
 * A whole program: options, who am I, and on to the right way of serving.
 */
#ifndef FCGI_PROGRAM_H
#define FCGI_PROGRAM_H

struct endpoint;

/*
 * Finds out how the program was started, in this order, and serves:
 *   1. LISTEN_PID is us and LISTEN_FDS is set: systemd's socket;
 *   2. descriptor 0 is a listening socket: mod_fcgid, spawn-fcgi, a worker;
 *   3. GATEWAY_INTERFACE or REQUEST_METHOD: CGI, and argv is ignored, since
 *      Apache fills it from the query string;
 *   4. --listen PATH;
 *   5. else usage and 2.
 * Returns the exit status: 0; 1 for a failure; 2 for wrong use.
 */
int program_main(int argc, char *argv[], const struct endpoint *endpoint);

#endif
