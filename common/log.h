/*
 * One escaped line per event on stderr, with the priority prefix that
 * journald and syslog know (<3>error, <4>warning, <6>info, <7>debug).
 */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stddef.h>

enum log_level {
	LOG_LEVEL_NONE = 0, /* for a program that says all itself */
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARN = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7
};

/* The one global: lines above this level are dropped. Starts at info. */
void log_set_level(enum log_level level);

/*
 * Reads "error", "warn", "info" or "debug", in upper or lower case.
 * Returns 0, or -1 with ${level} untouched.
 */
int log_level_parse(const char *text, enum log_level *level);

/*
 * Writes "<3>agora-agent: " and the formatted text. Control bytes, bytes above
 * 126 and backslashes come out as \xNN; a line is cut at LOG_LINE_MAX bytes.
 * Secrets, tokens and bodies must not be passed in. errno is preserved.
 * Never waits: a line for which there is no room is lost, and counted in the
 * next one that gets through.
 */
#define LOG_LINE_MAX 1024
void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Has ${lost} called with how many lines were lost, whenever some are. */
void log_on_loss(void (*lost)(size_t lines));

/*
 * Whether lines of info and debug may wait in memory, for log_flush(), for a
 * worse line, or for LOG_GATHER_MAX bytes of them: two system calls for all of
 * them and not for each. They are lost if the process crashes meanwhile, so
 * only an event loop should, which flushes before it sleeps. Starts at false;
 * turning it off flushes.
 */
#define LOG_GATHER_MAX 4096 /* PIPE_BUF: never mixed with another process's */
void log_gather(bool on);
void log_flush(void);

#endif
