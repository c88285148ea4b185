#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "common/ascii.h"
#include "common/log.h"
#include "common/num.h"

static enum log_level threshold = LOG_LEVEL_INFO;

static void (*on_loss)(size_t lines);

/* Lines that are not written yet. */
static struct {
	bool on; /* and may wait */
	size_t count;
	size_t len;
	char lines[LOG_GATHER_MAX];
} gathered;

static const struct {
	const char *name;
	enum log_level level;
} levels[] = {
	{ "error", LOG_LEVEL_ERROR },
	{ "warn", LOG_LEVEL_WARN },
	{ "info", LOG_LEVEL_INFO },
	{ "debug", LOG_LEVEL_DEBUG },
};

void
log_set_level(enum log_level level)
{
	threshold = level;
}

int
log_level_parse(const char *text, enum log_level *level)
{
	for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcasecmp(text, levels[i].name) == 0) {
			*level = levels[i].level;
			return 0;
		}
	}
	return -1;
}

/*
 * Appends ${text} to ${line}, escaped; never half an escape, and room for the
 * newline stays. Returns the new length.
 */
static size_t
append_escaped(char line[static LOG_LINE_MAX], size_t len, const char *text)
{
	for (; *text != '\0'; text++) {
		if (ascii_is_print(*text) && *text != '\\') {
			if (len + 1 >= LOG_LINE_MAX)
				break;
			line[len++] = *text;
		} else {
			uint8_t byte = (uint8_t)*text;
			char hex[3];

			if (len + 4 >= LOG_LINE_MAX)
				break;
			num_hex(&byte, 1, hex);
			line[len++] = '\\';
			line[len++] = 'x';
			line[len++] = hex[0];
			line[len++] = hex[1];
		}
	}
	return len;
}

/*
 * Writes lines at once or not at all: in one write, so that those of several
 * processes do not mix, and none to a reader that does not keep up, for whom a
 * request must not wait. (Two processes may still race for a pipe's last room;
 * the one that loses waits for its reader.)
 */
static bool
write_lines(const char *lines, size_t len)
{
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	ssize_t n;

	if (poll(&out, 1, 0) != 1)
		return false;
	do
		n = write(STDERR_FILENO, lines, len);
	while (n == -1 && errno == EINTR);
	return n != -1;
}

/* Writes ${count} lines, and before them how many were lost until then. */
static void
write_or_count(const char *lines, size_t len, size_t count)
{
	static size_t lost;
	char note[80];
	int note_len;

	if (lost > 0) {
		note_len = snprintf(note, sizeof(note),
		    "<%d>agora-agent: log: %zu lines lost, nobody read them\n",
		    (int)LOG_LEVEL_WARN, lost);
		if (write_lines(note, (size_t)note_len))
			lost = 0;
	}
	if (lost > 0 || !write_lines(lines, len)) {
		lost += count;
		if (on_loss != NULL)
			on_loss(count);
	}
}

void
log_flush(void)
{
	int saved_errno = errno;

	if (gathered.count > 0)
		write_or_count(gathered.lines, gathered.len, gathered.count);
	gathered.len = 0;
	gathered.count = 0;
	errno = saved_errno;
}

void
log_on_loss(void (*lost)(size_t lines))
{
	on_loss = lost;
}

void
log_gather(bool on)
{
	gathered.on = on;
	if (!on)
		log_flush();
}

static void
put_line(enum log_level level, const char *line, size_t len)
{
	if (gathered.len + len > sizeof(gathered.lines))
		log_flush();
	memcpy(gathered.lines + gathered.len, line, len);
	gathered.len += len;
	gathered.count++;
	if (!gathered.on || level < LOG_LEVEL_INFO)
		log_flush();
}

__attribute__((format(printf, 2, 0))) static void
log_args(enum log_level level, const char *format, va_list args)
{
	char text[LOG_LINE_MAX], line[LOG_LINE_MAX];
	int saved_errno = errno;
	size_t len;

	if (level > threshold)
		return;
	if (vsnprintf(text, sizeof(text), format, args) < 0)
		text[0] = '\0';
	len = (size_t)snprintf(line, sizeof(line),
	    "<%d>agora-agent: ", (int)level);
	len = append_escaped(line, len, text);
	line[len++] = '\n';
	put_line(level, line, len);
	errno = saved_errno;
}

void
log_error(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(LOG_LEVEL_ERROR, format, args);
	va_end(args);
}

void
log_warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(LOG_LEVEL_WARN, format, args);
	va_end(args);
}

void
log_info(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(LOG_LEVEL_INFO, format, args);
	va_end(args);
}

void
log_debug(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	log_args(LOG_LEVEL_DEBUG, format, args);
	va_end(args);
}
