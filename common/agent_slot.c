#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/agent.h"
#include "common/agent_file.h"
#include "common/agent_slot.h"
#include "common/buf.h"
#include "common/log.h"
#include "common/secret.h"
#include "common/settings.h"
#include "common/settings_vet.h"
#include "common/sys.h"
#include "common/teller.h"

#define REPORT_MAX 16384 /* bytes of all findings about a file */
#define REPORT_FULL (REPORT_MAX - 2 * LOG_LINE_MAX)
#define FRESH_S 2 /* a file that young may be changing still */
#define WAIT_MS 20

/* What agents are made with. */
struct means {
	const struct settings *settings;
	const struct settings_source *source;
};

/* ---- reading ------------------------------------------------------------ */

/* Like settings, but who can read it does not matter: it has no keys. */
static int
vet(const char *path, const struct stat *st, bool unsafe, struct teller *teller)
{
	unsigned flaws = settings_vet(path, st) &
	    ~(unsigned)(SETTINGS_FLAW_READABLE | SETTINGS_FLAW_PUBLISHED);
	unsigned refused = flaws & SETTINGS_FLAWS_REFUSED;

	if (refused != 0 && !unsafe) {
		teller_say(teller, true, "%s", settings_flaw_text(refused));
		return -1;
	}
	for (unsigned bit = 1; bit < SETTINGS_FLAWS_ALL; bit <<= 1)
		if (flaws & bit)
			teller_say(teller, false, "%s",
			    settings_flaw_text(bit));
	return 0;
}

static int
read_open(struct agent_slot *slot, int fd, bool unsafe, struct buf *text,
    struct teller *teller)
{
	struct stat st;
	int error = 0;

	if (fstat(fd, &st) == -1) {
		error = errno;
	} else {
		slot->stamp = file_stamp_of(&st);
		if (vet(slot->path, &st, unsafe, teller) == -1)
			return -1;
		error = S_ISREG(st.st_mode) ? file_read(fd, text) : EINVAL;
	}
	if (error == EFBIG)
		teller_say(teller, true, "it is larger than %d bytes",
		    AGENT_FILE_MAX);
	else if (error == EINVAL)
		teller_say(teller, true, "it is not a regular file");
	else if (error != 0)
		teller_say(teller, true, "cannot be read: %s", strerror(error));
	return error == 0 ? 0 : -1;
}

static int
read_file(struct agent_slot *slot, bool unsafe, struct buf *text,
    struct teller *teller)
{
	int fd = file_open(slot->path);
	int rc;

	if (fd == -1) {
		int error = errno;

		slot->stamp = file_stamp_at(slot->path);
		teller_say(teller, true, "cannot be opened: %s",
		    strerror(error));
		return -1;
	}
	rc = read_open(slot, fd, unsafe, text, teller);
	close(fd);
	return rc;
}

static void
keep_good(struct agent_slot *slot, struct buf *text)
{
	secret_free(slot->good);
	slot->good_len = text->len;
	slot->good = buf_take(text);
}

static const char *
get_variable(const void *arg, const char *name, const char **why)
{
	const struct means *means = arg;

	return settings_variable(means->settings, means->source, name, why);
}

static struct agent *
make(const char *text, size_t len, const struct means *means,
    struct teller *teller)
{
	struct agent_variables variables = { get_variable, means };

	return agent_new(text, len, means->settings, &variables, teller);
}

/* What the file makes; NULL after a problem. */
static struct agent *
build(struct agent_slot *slot, const struct means *means, struct teller *teller)
{
	struct buf text = BUF(AGENT_FILE_MAX);
	struct agent *agent = NULL;

	if (slot->path == NULL)
		return make(NULL, 0, means, teller);
	if (read_file(slot, settings_unsafe_files(means->source), &text,
		teller) == 0)
		agent = make(buf_str(&text), text.len, means, teller);
	if (agent != NULL)
		keep_good(slot, &text);
	buf_free(&text);
	return agent;
}

/* What it made when it was good last, with the settings of today. */
static struct agent *
rebuild(const struct agent_slot *slot, const struct means *means)
{
	struct teller nobody = { 0 };

	if (slot->good == NULL)
		return NULL;
	return make(slot->good, slot->good_len, means, &nobody);
}

/*
 * A stamp's clock ticks every few milliseconds: a file can change again without
 * showing it. And whoever writes a file may be in the middle of it, or have
 * removed the old one first.
 */
static bool
is_young(const struct file_stamp *stamp)
{
	int64_t now = sys_now();
	int64_t age = now - stamp->mtime.tv_sec;

	if (age >= FRESH_S) /* cp -p and tar set that */
		age = now - stamp->ctime.tv_sec;
	return stamp->there && age < FRESH_S && age > -FRESH_S;
}

/* A file that is not there may be coming if its folder has just changed. */
static bool
is_fresh(const struct agent_slot *slot)
{
	struct file_stamp folder;
	char *path, *slash;

	if (slot->path == NULL)
		return false;
	if (slot->stamp.there)
		return is_young(&slot->stamp);
	path = strdup(slot->path);
	slash = path != NULL ? strrchr(path, '/') : NULL;
	if (slash == NULL) {
		free(path);
		return false;
	}
	slash[1] = '\0';
	folder = file_stamp_at(path);
	free(path);
	return is_young(&folder);
}

/* A line for each finding; who has many is told of the first. */
static void
note(void *arg, bool problem, const char *text)
{
	struct buf *report = arg;

	if (report->len > REPORT_FULL)
		return;
	buf_text(report, problem ? "problem: " : "warning: ");
	for (; *text != '\0'; text++) /* members may be called anything */
		buf_add(report, (unsigned char)*text < ' ' ? "?" : text, 1);
	buf_text(report, "\n");
	if (report->len > REPORT_FULL)
		buf_text(report, "warning: there is more\n");
}

/* As build(), until it is good, or the file old, or no wait is left. */
static struct agent *
build_patiently(struct agent_slot *slot, const struct means *means, int *waits,
    struct buf *report)
{
	struct teller teller = { .tell = note, .arg = report };
	struct agent *agent = build(slot, means, &teller);

	while (agent == NULL && slot->good == NULL && is_fresh(slot) &&
	    *waits > 0) {
		--*waits;
		poll(NULL, 0, WAIT_MS);
		buf_reset(report);
		agent = build(slot, means, &teller);
	}
	return agent;
}

/* Returns whether it is news. */
static bool
keep_report(struct agent_slot *slot, struct buf *report)
{
	const char *old = slot->report != NULL ? slot->report : "";

	if (buf_failed(report))
		return false; /* no memory for it: what was said stays */
	if (strcmp(buf_str(report), old) == 0)
		return false;
	free(slot->report);
	slot->report = buf_take(report);
	return true;
}

bool
agent_slot_load(struct agent_slot *slot, const struct settings *settings,
    const struct settings_source *source, int *waits)
{
	struct means means = { settings, source };
	struct buf report = BUF(REPORT_MAX);
	struct agent *agent = build_patiently(slot, &means, waits, &report);
	bool news;

	if (agent == NULL)
		agent = rebuild(slot, &means);
	agent_free(slot->agent);
	slot->agent = agent;
	news = keep_report(slot, &report);
	buf_free(&report);
	return news;
}

bool
agent_slot_changed(const struct agent_slot *slot)
{
	struct file_stamp now;

	if (slot->path == NULL)
		return false;
	now = file_stamp_at(slot->path);
	return !file_stamp_same(&now, &slot->stamp) ||
	    (slot->stamp.there && is_fresh(slot));
}

void
agent_slot_empty(struct agent_slot *slot)
{
	agent_free(slot->agent);
	secret_free(slot->good);
	free(slot->report);
	free(slot->path);
	*slot = (struct agent_slot){ 0 };
}

/* ---- telling ------------------------------------------------------------ */

static const char *
title(const struct agent_slot *slot)
{
	return slot->path != NULL ? slot->path : "default agent";
}

void
agent_slot_log(const struct agent_slot *slot)
{
	const char *line = slot->report != NULL ? slot->report : "";
	size_t len;

	if (slot->report == NULL)
		log_info("agent: %s: is in order again", title(slot));
	for (; *line != '\0'; line += len + 1) {
		len = strcspn(line, "\n");
		if (*line == 'p')
			log_error("agent: %s: %.*s", title(slot), (int)len,
			    line);
		else
			log_warn("agent: %s: %.*s", title(slot), (int)len,
			    line);
	}
}

void
agent_slot_print(const struct agent_slot *slot, FILE *out)
{
	const char *line = slot->report != NULL ? slot->report : "";
	size_t len;

	fprintf(out, "  %s", title(slot));
	if (slot->name[0] != '\0')
		fprintf(out, " (profile %s)", slot->name);
	fprintf(out, ": %s\n", slot->agent != NULL ? "used" : "of no use");
	for (; *line != '\0'; line += len + 1) {
		len = strcspn(line, "\n");
		fprintf(out, "    %.*s\n", (int)len, line);
	}
}
