/*
 * What a harness runs in. Clock, date, random numbers and log are those of
 * the harness, so that an input always gives the same run, and waiting takes
 * no time: when nothing is ready, epoll_wait(2) moves the clock to the end of
 * its time-out.
 *
 * A harness is a file fuzz_NAME.c with the two functions that libFuzzer
 * calls. The same objects are linked with libFuzzer, with AFL++'s driver, or
 * with replay.c, which runs the files of tests/fuzz/corpus.
 */
#ifndef FUZZ_WORLD_H
#define FUZZ_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* States what must hold; else the input is a finding. */
#define CHECK(condition)                                                       \
	do {                                                                   \
		if (!(condition)) {                                            \
			fprintf(stderr, "%s:%d: does not hold: %s\n",          \
			    __FILE__, __LINE__, #condition);                   \
			abort();                                               \
		}                                                              \
	} while (0)

#define WORLD_NOW 1770199765 /* seconds since 1970 */
#define WORLD_APP_ID "0123456789abcdef0123456789abcdef"
#define WORLD_CERTIFICATE "c0ffee00c0ffee11c0ffee22c0ffee33"

/* Stands in values that nobody may find in the log. */
#define WORLD_CANARY "C4n4ry*"

/*
 * Before each input: sets the clock back, forgets the log. Lines of log are
 * checked as they are written: one line, printable, not too long, without
 * certificate and canary.
 */
void world_reset(void);

/* While it is set, fork(2) fails. */
extern bool world_one_process;

/* What was written to standard output since the reset. NUL at [*len]. */
const char *world_output(size_t *len);

/*
 * Opens an anonymous file as descriptor ${fd}, or as any if -1, with mode
 * 0600. Returns the descriptor.
 */
int world_file(int fd);

/* Makes ${data} the content of it, read from its beginning. */
void world_write(int fd, const void *data, size_t len);

/* Pieces of an input are separated by this byte. */
#define WORLD_SEPARATOR 0x1e

/*
 * Takes the next piece off the input, as a copy with a NUL behind it, which
 * the caller frees: a read past its end is noticed. Never NULL.
 */
char *world_piece(const uint8_t **data, size_t *size, size_t *len);

#define WORLD_PARAMS_MAX 64

/*
 * Makes CGI variables of the lines of ${text}; of more than fit, those behind
 * are left out. world_params_free() releases them.
 */
void world_params(const char *text, char *params[static WORLD_PARAMS_MAX]);
void world_params_free(char *params[static WORLD_PARAMS_MAX]);

/* Whether ${needle} is in the ${len} bytes at ${text}. */
bool world_has(const char *text, size_t len, const char *needle);

#endif
