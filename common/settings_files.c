/*
 * Where .env files may lie, reading them, and noticing that they changed.
 */
#include <assert.h>
#include <errno.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/fail.h"
#include "common/file.h"
#include "common/settings_internal.h"

#define HOME_FILE ".config/agora-agent/env"
#define HOME_STATE ".config/agora-agent/state"
#define SYSTEM_FILE "/etc/agora-agent/env"

/* Takes ${path}. A path that is in the list already keeps its first place. */
static struct settings_file *
add_file(struct settings_source *source, int place, char *path)
{
	struct settings_file *file;

	if (path == NULL) {
		source->failed = true;
		return NULL;
	}
	for (size_t i = 0; i < source->len; i++) {
		if (strcmp(source->file[i].path, path) == 0) {
			free(path);
			return NULL;
		}
	}
	assert(source->len < SETTINGS_FILES_MAX);
	file = &source->file[source->len++];
	file->path = path;
	file->place = place;
	return file;
}

/* The file or folder that an environment variable names. */
static void
add_named(struct settings_source *source, int place, const char *variable,
    const char *cwd, const char *name)
{
	const char *value = settings_getenv(source, variable);
	struct settings_file *file;
	char *path;

	if (value == NULL || *value == '\0')
		return;
	path = file_join(cwd, value);
	if (path != NULL && name != NULL) {
		char *folder = path;

		path = file_join(folder, name);
		free(folder);
	}
	file = add_file(source, place, path);
	if (file == NULL)
		return;
	file->variable = variable;
	file->required = name == NULL;
}

static void
add_folder(struct settings_source *source, int place, const char *folder)
{
	add_file(source, place, file_join(folder, ".env.local"));
	add_file(source, place, file_join(folder, ".env"));
}

/* Cuts ${path} at its last slash. Answers whether a folder is left. */
static bool
cut_last(char *path)
{
	char *slash = strrchr(path, '/');

	if (slash == NULL)
		return false;
	slash[slash == path ? 1 : 0] = '\0';
	return true;
}

/* The folder above the one that ${program} lies in. */
static void
add_program(struct settings_source *source, int place, const char *program)
{
	char *path;

	if (program == NULL)
		return;
	path = realpath(program, NULL);
	if (path == NULL) /* started through PATH: argv[0] is no path */
		path = realpath("/proc/self/exe", NULL);
	if (path != NULL && cut_last(path) && cut_last(path))
		add_folder(source, place, path);
	/* Without memory it would be a place fewer, and nobody would know. */
	if (path == NULL && errno == ENOMEM)
		source->failed = true;
	free(path);
}

/* A file cannot vouch for itself: only the environment is asked. */
static void
add_home(struct settings_source *source, int place, const char *home)
{
	add_file(source, place, file_join(home, HOME_FILE));
	source->home_state = file_join(home, HOME_STATE);
	if (source->home_state == NULL)
		source->failed = true;
}

static bool
unsafe_files_allowed(const struct settings_source *source)
{
	const char *value = settings_getenv(source, "AGORA_ENV_FILE_UNSAFE");

	return value != NULL && strcmp(value, "1") == 0;
}

struct settings_source *
settings_source_under(const char *program, const char *home, const char *system)
{
	struct settings_source *source = calloc(1, sizeof(*source));
	char *cwd = getcwd(NULL, 0);
	const char *here = cwd != NULL ? cwd : ".";

	if (source == NULL) {
		free(cwd);
		return NULL;
	}
	settings_environment_take(source);
	source->unsafe_files = unsafe_files_allowed(source);
	add_named(source, 1, "AGORA_ENV_FILE", here, NULL);
	add_named(source, 2, "CREDENTIALS_DIRECTORY", here, "env");
	add_folder(source, 3, here);
	add_program(source, 4, program);
	if (home != NULL)
		add_home(source, 5, home);
	if (system != NULL)
		add_file(source, 6, file_join("", system));
	free(cwd);
	if (source->failed) {
		settings_source_free(source);
		return NULL;
	}
	return source;
}

/* The home folder is asked of the user database: suexec removes HOME. */
struct settings_source *
settings_source_new(const char *program)
{
	const struct passwd *user = getpwuid(geteuid());

	return settings_source_under(program,
	    user != NULL ? user->pw_dir : NULL, SYSTEM_FILE);
}

void
settings_source_free(struct settings_source *source)
{
	if (source == NULL)
		return;
	settings_files_forget(source);
	settings_environment_free(source);
	for (size_t i = 0; i < source->len; i++)
		free(source->file[i].path);
	free(source->home_state);
	free(source);
}

void
settings_files_forget(struct settings_source *source)
{
	for (size_t i = 0; i < source->len; i++)
		dotenv_free(&source->file[i].env);
}

bool
settings_changed(const struct settings_source *source)
{
	struct file_stamp now;

	if (!source->loaded)
		return true;
	for (size_t i = 0; i < source->len; i++) {
		now = file_stamp_at(source->file[i].path);
		if (!file_stamp_same(&now, &source->file[i].stamp))
			return true;
	}
	return false;
}

/* Sets what became of a file and why. */
static void
settle(struct settings_file *file, enum settings_file_state state,
    const char *why)
{
	size_t len = strnlen(why, sizeof(file->why) - 1);

	file->state = state;
	memcpy(file->why, why, len);
	file->why[len] = '\0';
}

/*
 * Why a file did not open. Only one that is certainly not there lets the
 * search go on in silence: what we may not read could name another project
 * than the next place does.
 */
static void
settle_unopened(struct settings_file *file, int error)
{
	struct stat st;
	bool there = lstat(file->path, &st) == 0;
	bool hidden = !there && errno == EACCES;

	if (!there && (error == ENOENT || error == ENOTDIR) && !file->required)
		file->state = SETTINGS_FILE_ABSENT;
	else if (there && error == ENOENT)
		settle(file, SETTINGS_FILE_BAD, "it is a link to nothing");
	else if (hidden && file->variable == NULL)
		settle(file, SETTINGS_FILE_UNKNOWN, strerror(error));
	else
		settle(file, SETTINGS_FILE_BAD, strerror(error));
}

/* Decides whether a file may be used. Sets ->flaws. */
static bool
judge(const struct settings_source *source, struct settings_file *file,
    const struct stat *st)
{
	unsigned refused;

	if (!S_ISREG(st->st_mode)) {
		settle(file, SETTINGS_FILE_BAD, "it is not a regular file");
		return false;
	}
	if (st->st_size > DOTENV_FILE_MAX) {
		settle(file, SETTINGS_FILE_BAD,
		    "it is larger than 65536 bytes");
		return false;
	}
	file->flaws = settings_vet(file->path, st);
	refused = file->flaws & SETTINGS_FLAWS_REFUSED;
	if (refused == 0 || source->unsafe_files)
		return true;
	settle(file, SETTINGS_FILE_REFUSED, settings_flaw_text(refused));
	return false;
}

struct outer {
	const struct settings_source *source;
	const struct settings_file *file;
};

/*
 * What ${NAME} means in a file besides the lines above it: python-dotenv
 * puts the values of one file into the environment before the next is read.
 */
static const char *
outer_value(void *arg, const char *name)
{
	const struct outer *outer = arg;
	const struct settings_file *file = outer->source->file;
	const char *value = settings_getenv(outer->source, name);

	for (; value == NULL && file < outer->file; file++)
		value = dotenv_get(&file->env, name);
	return value;
}

/* Windows editors begin a file with a byte order mark: not a part of a name. */
static int
parse(struct settings_source *source, struct settings_file *file,
    const struct buf *content)
{
	static const char mark[] = "\xef\xbb\xbf";
	struct outer outer = { source, file };
	const char *text = buf_str(content);
	size_t skip = strncmp(text, mark, 3) == 0 ? 3 : 0;
	struct fail fail = { 0 };

	if (dotenv_parse(&file->env, text + skip, content->len - skip,
		outer_value, &outer, &fail) == 0) {
		file->state = SETTINGS_FILE_READ;
		return 0;
	}
	settle(file, SETTINGS_FILE_BAD, fail.text);
	return fail.kind == FAIL_INTERNAL ? -1 : 0;
}

/* ${fd} is the open file. The stamp is taken before its content is. */
static int
read_open(struct settings_source *source, struct settings_file *file, int fd)
{
	struct buf content = BUF(DOTENV_FILE_MAX);
	struct stat st;
	int error, rc = 0;

	if (fstat(fd, &st) == -1) {
		settle(file, SETTINGS_FILE_BAD, strerror(errno));
		return 0;
	}
	file->stamp = file_stamp_of(&st);
	if (!judge(source, file, &st))
		return 0;
	error = file_read(fd, &content);
	if (error == ENOMEM)
		rc = -1;
	else if (error != 0)
		settle(file, SETTINGS_FILE_BAD, strerror(error));
	else
		rc = parse(source, file, &content);
	buf_free(&content);
	return rc;
}

/*
 * Links are followed (systemd and Kubernetes hand credentials over as such),
 * what they lead to is judged.
 */
static int
read_file(struct settings_source *source, struct settings_file *file)
{
	int fd = file_open(file->path);
	int rc;

	file->why[0] = '\0';
	file->flaws = 0;
	if (fd == -1) {
		int error = errno;

		file->stamp = file_stamp_at(file->path);
		settle_unopened(file, error);
		return 0;
	}
	rc = read_open(source, file, fd);
	close(fd);
	return rc;
}

static void
look_only(struct settings_file *file)
{
	file->why[0] = '\0';
	file->stamp = file_stamp_at(file->path);
	file->state =
	    file->stamp.there ? SETTINGS_FILE_LATER : SETTINGS_FILE_ABSENT;
}

int
settings_files_read(struct settings_source *source)
{
	struct settings_file *file = source->file;

	settings_files_forget(source);
	source->chosen = 0;
	source->loaded = true;
	for (; file < source->file + source->len; file++) {
		if (source->chosen != 0 && source->chosen != file->place) {
			look_only(file);
			continue;
		}
		if (read_file(source, file) == -1)
			return -1;
		if (file->state == SETTINGS_FILE_READ ||
		    file->state == SETTINGS_FILE_BAD ||
		    file->state == SETTINGS_FILE_REFUSED)
			source->chosen = file->place;
	}
	return 0;
}
