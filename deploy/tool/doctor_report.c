/*
 * What the doctor says: a line per check and a block per finding for people,
 * one object at the end for machines.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/utf8.h"
#include "deploy/tool/doctor.h"

#define SEEN_SIZE 512 /* bytes, with the NUL */
#define CURE_MAX 4096 /* bytes */
#define OUTPUT_MAX 1048576

/*
 * What must not reach a terminal of the ${size} bytes at ${text}, which are one
 * character or, with 0, none: controls, U+0080 to U+009F too, and other bytes.
 */
static bool
is_unfit(const char *text, size_t size)
{
	unsigned char first = (unsigned char)text[0];

	if (size == 2)
		return first == 0xc2 && (unsigned char)text[1] < 0xa0;
	return size == 0 || first < ' ' || first == 0x7f;
}

/* Much of it was said by others: what is unfit comes out as "?". */
static void compose(char text[static SEEN_SIZE], const char *format,
    va_list args) __attribute__((format(printf, 2, 0)));

static void
compose(char text[static SEEN_SIZE], const char *format, va_list args)
{
	size_t size;

	vsnprintf(text, SEEN_SIZE, format, args);
	for (; *text != '\0'; text += size) {
		size_t len = utf8_character(text, strlen(text));

		size = len > 0 ? len : 1;
		if (is_unfit(text, len))
			memset(text, '?', size);
	}
}

/* The name in a path: "get_config" of "/run/agora-agent/get_config.sock". */
static void
add_name(struct buf *out, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash != NULL ? slash + 1 : path;

	buf_add(out, name, strcspn(name, "."));
}

/* The cure with ${subject} in its places. */
static void
fill_in(struct buf *out, const char *cure, const char *subject)
{
	const char *place;

	for (; (place = strchr(cure, '{')) != NULL;
	     cure = strchr(place, '}') + 1) {
		buf_add(out, cure, (size_t)(place - cure));
		if (strncmp(place, "{}", 2) == 0)
			buf_text(out, subject);
		else
			add_name(out, subject);
	}
	buf_text(out, cure);
}

static void
say(struct doctor *doctor, enum doctor_code code, bool warning,
    const char *subject, const char *seen)
{
	const struct doctor_code_text *text = &doctor_codes[code];
	const char *severity = warning ? "warning" : "problem";
	struct json *finding = json_new_object();
	struct buf cure = BUF(CURE_MAX);

	fill_in(&cure, text->cure, subject);
	json_put_text(finding, "code", text->name);
	json_put_text(finding, "severity", severity);
	json_put_text(finding, "subject", subject);
	json_put_text(finding, "seen", seen);
	json_put_text(finding, "cause", text->cause);
	json_put_text(finding, "cure", buf_str(&cure));
	json_push(doctor->findings, finding);
	if (!warning)
		doctor->problems++;
	if (!doctor->json_wanted)
		printf("%s  %s  %s\n"
		       "         seen   %s\n"
		       "         cause  %s\n"
		       "         cure   %s\n",
		    severity, text->name, subject, seen, text->cause,
		    buf_str(&cure));
	buf_free(&cure);
}

void
doctor_find(struct doctor *doctor, enum doctor_code code, const char *subject,
    const char *format, ...)
{
	char seen[SEEN_SIZE];
	va_list args;

	va_start(args, format);
	compose(seen, format, args);
	va_end(args);
	say(doctor, code, doctor_codes[code].warning, subject, seen);
}

void
doctor_warn(struct doctor *doctor, enum doctor_code code, const char *subject,
    const char *format, ...)
{
	char seen[SEEN_SIZE];
	va_list args;

	va_start(args, format);
	compose(seen, format, args);
	va_end(args);
	say(doctor, code, true, subject, seen);
}

static void note(struct doctor *doctor, const char *result, const char *check,
    const char *format, va_list args) __attribute__((format(printf, 4, 0)));

static void
note(struct doctor *doctor, const char *result, const char *check,
    const char *format, va_list args)
{
	struct json *entry = json_new_object();
	char seen[SEEN_SIZE];

	compose(seen, format, args);
	json_put_text(entry, "check", check);
	json_put_text(entry, "result", result);
	json_put_text(entry, "seen", seen);
	json_push(doctor->checks, entry);
	if (!doctor->json_wanted)
		printf("%-7s  %-8s  %s\n", result, check, seen);
}

void
doctor_good(struct doctor *doctor, const char *check, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	note(doctor, "ok", check, format, args);
	va_end(args);
}

void
doctor_skip(struct doctor *doctor, const char *check, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	note(doctor, "skipped", check, format, args);
	va_end(args);
}

void
doctor_report_start(struct doctor *doctor)
{
	doctor->findings = json_new_array();
	doctor->checks = json_new_array();
}

static int
print_json(struct doctor *doctor)
{
	struct json *report = json_new_object();
	struct buf out = BUF(OUTPUT_MAX);
	int rc = -1;

	json_put_text(report, "version", VERSION);
	json_put(report, "findings", doctor->findings);
	json_put(report, "checks", doctor->checks);
	doctor->findings = doctor->checks = NULL;
	json_print(report, &out);
	if (!buf_failed(&out))
		rc = puts(buf_str(&out)) == EOF ? -1 : 0;
	json_free(report);
	buf_free(&out);
	return rc;
}

int
doctor_report_finish(struct doctor *doctor)
{
	int rc = 0;

	if (doctor->json_wanted)
		rc = print_json(doctor);
	else if (doctor->problems == 0)
		puts("no problem found");
	else
		printf("%zu problem%s\n", doctor->problems,
		    doctor->problems == 1 ? "" : "s");
	json_free(doctor->findings);
	json_free(doctor->checks);
	return rc;
}

void
doctor_print_codes(void)
{
	for (size_t i = 0; i < DOCTOR_CODES; i++)
		printf("%s\t%s\t%s\t%s\n", doctor_codes[i].name,
		    doctor_codes[i].warning ? "warning" : "problem",
		    doctor_codes[i].cause, doctor_codes[i].cure);
}
