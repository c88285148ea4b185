/*
 * Every test catches descriptor 2 in a pipe. cmocka reports on it, so it is
 * put back before anything is asserted.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/log.h"
#include "common/sys.h"

struct caught {
	int saved_fd;
	int read_fd;
	char text[8192];
};

static void
catch_begin(struct caught *caught)
{
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	assert_int_equal(sys_nonblock(ends[0]), 0);
	assert_int_equal(sys_nonblock(ends[1]), 0);
	caught->saved_fd = dup(STDERR_FILENO);
	assert_int_not_equal(caught->saved_fd, -1);
	assert_int_equal(dup2(ends[1], STDERR_FILENO), STDERR_FILENO);
	close(ends[1]);
	caught->read_fd = ends[0];
}

static void
catch_end(struct caught *caught)
{
	ssize_t n;

	n = read(caught->read_fd, caught->text, sizeof(caught->text) - 1);
	caught->text[n > 0 ? n : 0] = '\0';
	close(caught->read_fd);
	dup2(caught->saved_fd, STDERR_FILENO);
	close(caught->saved_fd);
}

static int
reset_level(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_INFO);
	return 0;
}

static void
log_writes_priority_and_name(void **state)
{
	struct caught caught = { 0 };

	(void)state;
	log_set_level(LOG_LEVEL_DEBUG);
	catch_begin(&caught);
	log_error("a: %d", 1);
	log_warn("b");
	log_info("c");
	log_debug("d");
	catch_end(&caught);
	assert_string_equal(caught.text,
	    "<3>agora-agent: a: 1\n"
	    "<4>agora-agent: b\n<6>agora-agent: c\n<7>agora-agent: d\n");
}

static void
log_starts_at_info(void **state)
{
	struct caught caught = { 0 };

	(void)state;
	catch_begin(&caught);
	log_info("yes");
	log_debug("no");
	catch_end(&caught);
	assert_string_equal(caught.text, "<6>agora-agent: yes\n");
}

static void
log_level_drops_what_is_above(void **state)
{
	struct caught caught = { 0 };

	(void)state;
	log_set_level(LOG_LEVEL_ERROR);
	catch_begin(&caught);
	log_warn("no");
	log_info("no");
	log_error("yes");
	log_set_level(LOG_LEVEL_NONE);
	log_error("no");
	catch_end(&caught);
	assert_string_equal(caught.text, "<3>agora-agent: yes\n");
}

static void
log_escapes_what_could_forge_a_line(void **state)
{
	struct caught caught = { 0 };

	(void)state;
	catch_begin(&caught);
	log_info("%s", "a\n<3>agora-agent: b\r\t\\ \x1b[31m\x7f\xc3\xa9~");
	catch_end(&caught);
	assert_string_equal(caught.text,
	    "<6>agora-agent: a\\x0a<3>agora-agent:"
	    " b\\x0d\\x09\\x5c \\x1b[31m\\x7f\\xc3\\xa9~\n");
}

static void
log_cuts_a_long_line(void **state)
{
	struct caught caught = { 0 };
	char text[4000] = { 0 };

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	catch_begin(&caught);
	log_info("%s", text);
	catch_end(&caught);
	assert_int_equal(strlen(caught.text), LOG_LINE_MAX);
	assert_string_equal(caught.text + LOG_LINE_MAX - 3, "xx\n");
}

static void
log_never_cuts_an_escape(void **state)
{
	static const char prefix[] = "<6>agora-agent: ";

	(void)state;
	for (size_t lead = 0; lead < 4; lead++) {
		struct caught caught = { 0 };
		char text[2000] = { 0 };
		size_t len;

		memset(text, 'x', lead);
		memset(text + lead, '\n', sizeof(text) - lead - 1);
		catch_begin(&caught);
		log_info("%s", text);
		catch_end(&caught);
		len = strlen(caught.text);
		assert_in_range(len, LOG_LINE_MAX - 4, LOG_LINE_MAX);
		assert_int_equal((len - strlen(prefix) - lead - 1) % 4, 0);
		assert_string_equal(caught.text + len - 5, "\\x0a\n");
	}
}

static void
log_keeps_errno(void **state)
{
	struct caught caught = { 0 };
	int after;

	(void)state;
	catch_begin(&caught);
	close(STDERR_FILENO);
	errno = EDOM;
	log_error("nobody listens");
	after = errno;
	catch_end(&caught);
	assert_int_equal(after, EDOM);
}

/* How many bytes a non-blocking ${fd} has to give. */
static size_t
drain(int fd)
{
	char data[4096];
	size_t total = 0;
	ssize_t n;

	while ((n = read(fd, data, sizeof(data))) > 0)
		total += (size_t)n;
	return total;
}

static size_t told_lost;

static void
lose(size_t lines)
{
	told_lost += lines;
}

static void
log_drops_a_line_when_the_reader_is_slow(void **state)
{
	struct caught caught = { 0 };
	size_t filled = 0, found;

	(void)state;
	catch_begin(&caught);
	log_error("what other tests lost is counted here");
	drain(caught.read_fd);
	while (write(STDERR_FILENO, "x", 1) == 1)
		filled++;
	/* Blocking, as it usually is: waiting would be for ever. */
	fcntl(STDERR_FILENO, F_SETFL, 0);
	alarm(10);
	log_on_loss(lose);
	log_error("must not wait");
	log_error("nor this one");
	log_on_loss(NULL);
	alarm(0);
	found = drain(caught.read_fd);
	log_error("back again");
	catch_end(&caught);
	assert_int_equal(found, filled);
	assert_int_equal(told_lost, 2);
	assert_string_equal(caught.text,
	    "<4>agora-agent: log: 2 lines lost, nobody read them\n"
	    "<3>agora-agent: back again\n");
}

static void
log_gathers_lines_for_one_write(void **state)
{
	struct caught caught = { 0 };
	size_t before;

	(void)state;
	catch_begin(&caught);
	log_gather(true);
	log_info("a");
	log_info("b");
	before = drain(caught.read_fd);
	log_flush();
	log_flush(); /* of nothing */
	log_gather(false);
	log_info("c");
	catch_end(&caught);
	assert_int_equal(before, 0);
	assert_string_equal(caught.text,
	    "<6>agora-agent: a\n<6>agora-agent: b\n<6>agora-agent: c\n");
}

static void
log_gathers_no_more_than_it_has_room_for(void **state)
{
	struct caught caught = { 0 };
	size_t written, lines = 0;

	(void)state;
	catch_begin(&caught);
	log_gather(true);
	do {
		log_info("%01000d", 0);
		lines++;
		written = drain(caught.read_fd);
	} while (written == 0 && lines < 100);
	log_gather(false);
	catch_end(&caught);
	assert_int_equal(written, (lines - 1) * 1017);
	assert_in_range(written, LOG_GATHER_MAX - 1017, LOG_GATHER_MAX);
	assert_int_equal(strlen(caught.text), 1017);
}

static void
log_warnings_wait_for_nobody(void **state)
{
	struct caught caught = { 0 };
	size_t written;

	(void)state;
	catch_begin(&caught);
	log_gather(true);
	log_info("a");
	log_warn("b");
	written = drain(caught.read_fd);
	log_gather(false);
	catch_end(&caught);
	assert_int_equal(written, 2 * strlen("<6>agora-agent: a\n"));
}

static void
log_level_parse_knows_four_words(void **state)
{
	enum log_level level = LOG_LEVEL_INFO;

	(void)state;
	assert_int_equal(log_level_parse("error", &level), 0);
	assert_int_equal(level, LOG_LEVEL_ERROR);
	assert_int_equal(log_level_parse("warn", &level), 0);
	assert_int_equal(level, LOG_LEVEL_WARN);
	assert_int_equal(log_level_parse("info", &level), 0);
	assert_int_equal(level, LOG_LEVEL_INFO);
	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_LEVEL_DEBUG);
	assert_int_equal(log_level_parse("Error", &level), 0);
	assert_int_equal(level, LOG_LEVEL_ERROR);
}

static void
log_level_parse_refuses_other_words(void **state)
{
	enum log_level level = LOG_LEVEL_WARN;

	(void)state;
	assert_int_equal(log_level_parse("", &level), -1);
	assert_int_equal(log_level_parse("info ", &level), -1);
	assert_int_equal(log_level_parse("warning", &level), -1);
	assert_int_equal(level, LOG_LEVEL_WARN);
}

#define log_test(function) cmocka_unit_test_setup(function, reset_level)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		log_test(log_starts_at_info),
		log_test(log_writes_priority_and_name),
		log_test(log_level_drops_what_is_above),
		log_test(log_escapes_what_could_forge_a_line),
		log_test(log_cuts_a_long_line),
		log_test(log_never_cuts_an_escape),
		log_test(log_keeps_errno),
		log_test(log_drops_a_line_when_the_reader_is_slow),
		log_test(log_gathers_lines_for_one_write),
		log_test(log_gathers_no_more_than_it_has_room_for),
		log_test(log_warnings_wait_for_nobody),
		log_test(log_level_parse_knows_four_words),
		log_test(log_level_parse_refuses_other_words),
	};

	return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}
