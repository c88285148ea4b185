/*
 * What must be tried by another user, or may crash or hang: in a child.
 */
#ifndef DEPLOY_TOOL_DOCTOR_CHILD_H
#define DEPLOY_TOOL_DOCTOR_CHILD_H

#include <stdbool.h>

#include "common/buf.h"

struct doctor;

#define DOCTOR_CHILD_MS 3000 /* then it is killed */
#define DOCTOR_OUTPUT_MAX 65536

struct doctor_child {
	struct buf output; /* what it wrote to its descriptor; buf_free() it */
	int error;         /* errno of what it could not do, 0: none */
	int status;        /* as of waitpid(2) */
	bool late;         /* it had to be killed */
};

/*
 * Runs ${work} in a child process as the web server's user, if we can become
 * that, else as ourselves. ${work} writes its findings to ${out}, and an errno
 * to ${error}; it returns the exit status, or becomes another program.
 * Returns 0, or -1 when there could be no such child.
 */
int doctor_child_run(const struct doctor *doctor,
    int (*work)(const void *arg, int out, int *error), const void *arg,
    struct doctor_child *child);

/* Who that is, for people: "as www-data" or "as this user". */
const char *doctor_child_user(const struct doctor *doctor,
    char text[static 64]);

#endif
