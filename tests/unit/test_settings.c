/*
 * Settings: where they are looked for, what is legal, what is said about them.
 * Every test has an empty folder of its own as working directory, with home
 * and /etc in it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/buf.h"
#include "common/dotenv.h"
#include "common/fail.h"
#include "common/settings.h"
#include "common/settings_internal.h"

#define ID "0123456789abcdef0123456789ABCDEF"
#define ID2 "11111111111111111111111111111111"
#define CERT "fedcba9876543210fedcba9876543210"
#define BOTH "APP_ID=" ID "\nAPP_CERTIFICATE=" CERT "\n"
#define NOBODY 65534 /* a user that is not root, for files closed to it */

static char start[PATH_MAX]; /* where the program was started */
static char dir[PATH_MAX];   /* the test's folder, resolved */
static struct settings_source *source;
static struct settings *settings;
static char said[32 * 1024]; /* what the last load logged, or check printed */

static void
forget_environment(void)
{
	const struct settings_entry *entry;

	for (size_t i = 0; (entry = settings_entry_at(i)) != NULL; i++) {
		unsetenv(entry->name);
		if (entry->alias != NULL)
			unsetenv(entry->alias);
	}
	unsetenv("AGORA_AGENT_SECRETS_FD");
	unsetenv("AGORA_ENV_FILE_UNSAFE");
	unsetenv("AGORA_ENV_FILE");
	unsetenv("CREDENTIALS_DIRECTORY");
	unsetenv("RUNTIME_DIRECTORY");
}

static int
enter_folder(void **state)
{
	char template[] = "/tmp/test_settings.XXXXXX";

	(void)state;
	forget_environment();
	log_set_level(LOG_LEVEL_INFO);
	umask(022);
	if (getcwd(start, sizeof(start)) == NULL || mkdtemp(template) == NULL ||
	    realpath(template, dir) == NULL || chdir(dir) == -1)
		return -1;
	return chmod(dir, 0755);
}

/* Removes ${path} and all in it, links themselves. */
static int
remove_tree(const char *path)
{
	char copy[PATH_MAX];
	char *const roots[] = { copy, NULL };
	FTSENT *entry;
	int rc = 0;
	FTS *tree;

	snprintf(copy, sizeof(copy), "%s", path);
	tree = fts_open(roots, FTS_PHYSICAL | FTS_NOCHDIR, NULL);
	if (tree == NULL)
		return -1;
	while ((entry = fts_read(tree)) != NULL)
		if (entry->fts_info != FTS_D && remove(entry->fts_path) == -1)
			rc = -1;
	return fts_close(tree) == -1 ? -1 : rc;
}

static void
forget_source(void)
{
	settings_free(settings);
	settings_source_free(source);
	settings = NULL;
	source = NULL;
}

static int
leave_folder(void **state)
{
	(void)state;
	forget_source();
	forget_environment();
	if (chdir(start) == -1)
		return -1;
	return remove_tree(dir);
}

/* The path of ${name} in the test's folder. Valid until the next call. */
static const char *
in_dir(const char *name)
{
	static char path[PATH_MAX + 64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* Makes the file ${name} with the folders it needs. */
static void
write_bytes(const char *name, const char *text, size_t len, mode_t mode)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s", name);
	for (char *at = strchr(path + 1, '/'); at; at = strchr(at + 1, '/')) {
		*at = '\0';
		if (mkdir(path, 0755) == -1)
			assert_int_equal(errno, EEXIST);
		*at = '/';
	}
	fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_not_equal(fd, -1);
	assert_int_equal(write(fd, text, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
}

static void
write_file(const char *name, const char *text)
{
	write_bytes(name, text, strlen(text), 0600);
}

/* Sets standard error aside and lets ${said} receive it, or puts it back. */
static void
catch_log(bool on)
{
	static int saved = -1;
	ssize_t len;
	int fd;

	if (on) {
		saved = dup(2);
		fd = open("log", O_RDWR | O_CREAT | O_TRUNC, 0600);
		assert_int_not_equal(fd, -1);
		dup2(fd, 2);
		close(fd);
		return;
	}
	len = pread(2, said, sizeof(said) - 1, 0);
	dup2(saved, 2);
	close(saved);
	assert_true(len >= 0);
	said[len] = '\0';
	remove("log");
}

static void
new_source(void)
{
	char *home = strdup(in_dir("home"));

	forget_source();
	source = settings_source_under("bin/folder/program", home,
	    in_dir("etc/env"));
	free(home);
	assert_non_null(source);
}

static void
load_again(void)
{
	settings_free(settings);
	catch_log(true);
	settings = settings_load(source);
	catch_log(false);
	assert_non_null(settings);
}

static void
load(void)
{
	new_source();
	load_again();
}

/* Runs --check and expects it to return ${rc}. */
static void
print_check(int rc)
{
	FILE *out;

	memset(said, 0, sizeof(said));
	out = fmemopen(said, sizeof(said) - 1, "w");
	assert_non_null(out);
	assert_int_equal(settings_check(source, out), rc);
	fclose(out);
}

static void
check(int rc)
{
	new_source();
	print_check(rc);
}

static void
assert_said(const char *text)
{
	if (strstr(said, text) == NULL)
		fail_msg("\"%s\" is not in:\n%s", text, said);
}

static void
assert_not_said(const char *text)
{
	if (strstr(said, text) != NULL)
		fail_msg("\"%s\" is in:\n%s", text, said);
}

static size_t
lines_said(void)
{
	size_t lines = 0;

	for (const char *at = said; (at = strchr(at, '\n')) != NULL; at++)
		lines++;
	return lines;
}

static void
set_both(void)
{
	setenv("APP_ID", ID, 1);
	setenv("APP_CERTIFICATE", CERT, 1);
}

/* Defaults and the table */

static void
has_the_defaults(void **state)
{
	(void)state;
	set_both();
	load();
	assert_true(settings->usable);
	assert_string_equal(said, "");
	assert_string_equal(settings->app_id, ID);
	assert_string_equal(settings->certificate.text, CERT);
	assert_int_equal(settings->asr_key.len, 0);
	assert_int_equal(settings->llm_key.len, 0);
	assert_int_equal(settings->tts_key.len, 0);
	assert_string_equal(settings->tts_model_id, "eleven_flash_v2_5");
	assert_string_equal(settings->tts_voice_id, "pNInz6obpgDQGcFmaJgB");
	assert_int_equal(settings->area, SETTINGS_AREA_CN);
	assert_string_equal(settings->api_path, "/api/conversational-ai-agent");
	assert_string_equal(settings->api_base_url, "");
	assert_string_equal(settings->ca_file, "");
	assert_string_equal(settings->greeting,
	    "Hello! I'm your voice assistant. What can I do for you?");
	assert_string_equal(settings->instructions,
	    "You are a helpful voice assistant. Answer briefly and clearly.");
	assert_string_equal(settings->failure_message,
	    "Sorry, that did not work. Please say it again.");
	assert_false(settings->channels_issued);
	assert_int_equal(settings->token_ttl, 86400);
	assert_int_equal(settings->log_level, LOG_LEVEL_INFO);
	assert_int_equal(settings->api_keys.len, 0);
	assert_false(settings->require_token);
	assert_string_equal(settings->allowed_origins, "");
	assert_int_equal(settings->start_limit.count, 0);
}

static void
assert_state_dirs(const char *one, const char *two, const char *three)
{
	const char *const expected[] = { one, two, three, NULL };

	for (size_t i = 0; i <= SETTINGS_STATE_DIRS; i++) {
		if (expected[i] == NULL)
			assert_null(settings->state_dir[i]);
		else
			assert_string_equal(settings->state_dir[i],
			    expected[i]);
	}
}

static void
access_settings_are_kept(void **state)
{
	(void)state;
	write_file(".env",
	    BOTH "API_KEYS=0123456789abcdef,fedcba9876543210\n"
		 "REQUIRE_TOKEN=1\nSTART_LIMIT=6/60\nSTATE_DIR=/tmp/a/\n"
		 "ALLOWED_ORIGINS=https://a.example\n");
	load();
	assert_true(settings->usable);
	assert_true(apikeys_match(&settings->api_keys, "fedcba9876543210"));
	assert_true(settings->require_token);
	assert_string_equal(settings->allowed_origins, "https://a.example");
	assert_int_equal(settings->start_limit.count, 6);
	assert_int_equal(settings->start_limit.seconds, 60);
	assert_state_dirs("/tmp/a", NULL, NULL);
}

static void
state_dir_is_the_services_or_the_users(void **state)
{
	char tmp[64], *home = strdup(in_dir("home/.config/agora-agent/state"));

	(void)state;
	snprintf(tmp, sizeof(tmp), "/tmp/agora-agent-%u", (unsigned)geteuid());
	set_both();
	load();
	assert_state_dirs(home, tmp, NULL);
	setenv("RUNTIME_DIRECTORY", "/run/one:/run/two", 1);
	load();
	assert_state_dirs("/run/one", home, tmp);
	assert_int_equal(mkdir("real", 0700), 0);
	assert_int_equal(symlink("real", "link"), 0);
	setenv("RUNTIME_DIRECTORY", in_dir("link"), 1);
	load();
	assert_string_equal(settings->state_dir[0], in_dir("real"));
	setenv("STATE_DIR", "/srv/state", 1);
	load();
	assert_state_dirs("/srv/state", NULL, NULL);
	free(home);
}

static void
every_default_is_legal(void **state)
{
	const struct settings_entry *entry;
	size_t i;

	(void)state;
	set_both();
	for (i = 0; (entry = settings_entry_at(i)) != NULL; i++)
		if (entry->fallback != NULL && *entry->fallback != '\0')
			setenv(entry->name, entry->fallback, 1);
	assert_int_equal(i, SETTINGS_COUNT);
	load();
	assert_string_equal(said, "");
	assert_true(settings->usable);
}

/*
 * Removes the "#" before a name in each line of ${text}, in place. Returns
 * how many there were. Explanations have a space behind their "#".
 */
static size_t
uncomment(char *text)
{
	size_t count = 0;

	for (char *at = text; at != NULL; at = strchr(at + 1, '\n')) {
		char *c = *at == '\n' ? at + 1 : at;

		if (c[0] == '#' && c[1] >= 'A' && c[1] <= 'Z') {
			c[0] = ' ';
			count++;
		}
	}
	return count;
}

static void
env_sample_is_the_table(void **state)
{
	const struct settings_entry *entry;
	char text[16 * 1024] = { 0 };
	struct fail fail = { 0 };
	struct dotenv env;
	size_t i, len;
	FILE *file;

	(void)state;
	file = fopen("env.sample", "r");
	assert_non_null(file);
	len = fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	assert_int_equal(dotenv_parse(&env, text, len, NULL, NULL, &fail), 0);
	assert_int_equal(env.len, 2);
	assert_string_equal(env.entry[0].name, "APP_ID");
	assert_string_equal(env.entry[1].name, "APP_CERTIFICATE");
	dotenv_free(&env);

	assert_int_equal(uncomment(text), SETTINGS_COUNT - 2);
	assert_int_equal(dotenv_parse(&env, text, len, NULL, NULL, &fail), 0);
	assert_int_equal(env.bad_line, 0);
	for (i = 0; (entry = settings_entry_at(i)) != NULL; i++) {
		const char *value = dotenv_get(&env, entry->name);

		if (value == NULL)
			fail_msg("env.sample lacks %s", entry->name);
		assert_string_equal(value,
		    entry->fallback != NULL ? entry->fallback : "");
		if (entry->alias != NULL)
			assert_non_null(strstr(text, entry->alias));
	}
	assert_int_equal(env.len, i);
	dotenv_free(&env);
}

/* Look-up order */

static void
environment_beats_files(void **state)
{
	(void)state;
	write_file(".env.local", BOTH "TOKEN_TTL=301\nAGORA_AREA=US\n");
	write_file(".env", "TOKEN_TTL=302\nAGORA_AREA=EU\nCHANNELS=issued\n");
	setenv("TOKEN_TTL", "300", 1);
	load();
	assert_true(settings->usable);
	assert_int_equal(settings->token_ttl, 300);
	assert_int_equal(settings->area, SETTINGS_AREA_US);
	assert_true(settings->channels_issued);
}

static void
empty_counts_as_unset(void **state)
{
	(void)state;
	setenv("APP_ID", "", 1);
	setenv("TOKEN_TTL", "", 1);
	setenv("AGENT_GREETING", "", 1);
	write_file(".env.local", "TOKEN_TTL=\nAGORA_AREA=\nAPP_CERTIFICATE\n");
	write_file(".env", BOTH "TOKEN_TTL=400\n");
	load();
	assert_true(settings->usable);
	assert_string_equal(settings->app_id, ID);
	assert_int_equal(settings->token_ttl, 400);
	assert_int_equal(settings->area, SETTINGS_AREA_CN);
	assert_memory_equal(settings->greeting, "Hello!", 6);
	assert_string_equal(said, "");
}

/* Each place is used when it is the first, and not when it is the second. */
static void
first_place_with_files_wins(void **state)
{
	static const char *const files[] = { "etc/env",
		"home/.config/agora-agent/env", "bin/.env", ".env",
		"credentials/env", "named" };
	char text[32];

	(void)state;
	set_both();
	write_file("bin/folder/program", "");
	setenv("CREDENTIALS_DIRECTORY", in_dir("credentials"), 1);
	for (int i = 0; i < 6; i++) {
		snprintf(text, sizeof(text), "TOKEN_TTL=%d\n", 300 + i);
		write_file(files[i], text);
		if (i == 5)
			setenv("AGORA_ENV_FILE", in_dir("named"), 1);
		load();
		assert_int_equal(settings->token_ttl, 300 + i);
	}
	assert_int_equal(source->len, 8);
}

/* A later place adds nothing to an earlier one: it may be another project. */
static void
places_do_not_mix(void **state)
{
	(void)state;
	write_file(".env", "APP_ID=" ID "\n");
	write_file("etc/env", "APP_CERTIFICATE=" CERT "\n");
	load();
	assert_false(settings->usable);
	assert_said("settings: APP_CERTIFICATE is missing; "
		    "expected: 32 hex digits\n");
	assert_int_equal(lines_said(), 1);
}

static void
program_folder_has_two_files(void **state)
{
	(void)state;
	write_file("bin/folder/program", "");
	write_file("bin/.env.local", "APP_ID=" ID "\n");
	write_file("bin/.env", "APP_ID=" ID2 "\nAPP_CERTIFICATE=" CERT "\n");
	load();
	assert_true(settings->usable);
	assert_string_equal(settings->app_id, ID);
}

/* The program in build/ and the .env beside it, started in the project. */
static void
the_same_folder_is_one_place(void **state)
{
	(void)state;
	write_file("build/program", "");
	source = settings_source_under("build/program", NULL, NULL);
	assert_non_null(source);
	assert_int_equal(source->len, 2);
	assert_int_equal(source->file[1].place, 3);
}

static void
real_places_end_in_etc(void **state)
{
	(void)state;
	source = settings_source_new("/proc/self/exe");
	assert_non_null(source);
	assert_true(source->len >= 3);
	assert_string_equal(source->file[source->len - 1].path,
	    "/etc/agora-agent/env");
	assert_true(settings_changed(source));
	settings_source_free(NULL);
	settings_free(NULL);
}

static void
named_file_must_be_there(void **state)
{
	(void)state;
	write_file(".env", BOTH);
	setenv("AGORA_ENV_FILE", "missing", 1);
	load();
	assert_false(settings->usable);
	assert_string_equal(settings->app_id, "");
	assert_said("settings: AGORA_ENV_FILE: ");
	assert_said("/missing: No such file or directory\n");
	setenv("AGORA_ENV_FILE", ".env", 1);
	load();
	assert_true(settings->usable);
	assert_string_equal(said, "");
}

static void
credentials_may_lack_env(void **state)
{
	(void)state;
	write_file(".env", BOTH);
	setenv("CREDENTIALS_DIRECTORY", in_dir("nowhere"), 1);
	load();
	assert_true(settings->usable);
	assert_string_equal(said, "");
}

/* Two spellings */

static void
other_spellings_work(void **state)
{
	(void)state;
	write_file(".env",
	    "AGORA_APP_ID=" ID "\nAGORA_APP_CERTIFICATE=" CERT "\n"
	    "DEEPGRAM_API_KEY=d\nOPENAI_API_KEY=o\nELEVENLABS_API_KEY=e\n"
	    "ELEVENLABS_VOICE_ID=v\n");
	load();
	assert_true(settings->usable);
	assert_string_equal(said, "");
	assert_string_equal(settings->app_id, ID);
	assert_string_equal(settings->certificate.text, CERT);
	assert_string_equal(settings->asr_key.text, "d");
	assert_string_equal(settings->llm_key.text, "o");
	assert_string_equal(settings->tts_key.text, "e");
	assert_string_equal(settings->tts_voice_id, "v");
}

static void
table_name_wins_in_one_source(void **state)
{
	(void)state;
	write_file(".env", "AGORA_APP_ID=" ID2 "\n" BOTH);
	load();
	assert_true(settings->usable);
	assert_string_equal(settings->app_id, ID);
	assert_said("<4>");
	assert_said("APP_ID in ");
	assert_said("/.env is used; AGORA_APP_ID in ");
	assert_said("/.env has another value\n");
	assert_not_said(ID2);
	write_file(".env", "AGORA_APP_ID=" ID "\n" BOTH);
	load();
	assert_string_equal(said, "");
}

static void
table_name_wins_across_sources(void **state)
{
	(void)state;
	setenv("AGORA_APP_ID", ID2, 1);
	write_file(".env", BOTH);
	load();
	assert_true(settings->usable);
	assert_string_equal(settings->app_id, ID);
	assert_said("/.env is used; AGORA_APP_ID in the process environment "
		    "has another value\n");
	assert_int_equal(lines_said(), 1);
}

static void
first_source_wins_in_one_spelling(void **state)
{
	(void)state;
	setenv("AGORA_APP_ID", ID, 1);
	write_file(".env.local", "AGORA_APP_ID=" ID2 "\nOPENAI_API_KEY=k1\n");
	write_file(".env",
	    "AGORA_APP_ID=" ID2 "\nAPP_CERTIFICATE=" CERT "\n"
	    "OPENAI_API_KEY=k2\n");
	load();
	assert_true(settings->usable);
	assert_string_equal(said, "");
	assert_string_equal(settings->app_id, ID);
	assert_string_equal(settings->llm_key.text, "k1");
}

static void
base_url_makes_the_path_useless(void **state)
{
	(void)state;
	write_file(".env",
	    BOTH "AGORA_API_BASE_URL=https://a/b\nAGORA_API_PATH=/c\n");
	check(0);
	assert_said("  warning: AGORA_API_BASE_URL in ");
	assert_said("/.env takes the place of AGORA_API_PATH in ");
	load();
	assert_true(settings->usable);
	assert_int_equal(lines_said(), 1);
	write_file(".env", BOTH "AGORA_API_BASE_URL=https://a/b\n");
	load();
	assert_string_equal(said, "");
	write_file(".env", BOTH "AGORA_API_PATH=/c\n");
	load();
	assert_string_equal(said, "");
}

/* Reading files */

static void
variables_see_what_python_dotenv_shows(void **state)
{
	(void)state;
	set_both();
	setenv("TEST_SETTINGS_X", "outer", 1);
	write_file(".env.local",
	    "A=local\nAGENT_GREETING=${TEST_SETTINGS_X}\n"
	    "TEST_SETTINGS_X=file\n");
	write_file(".env",
	    "A=env\nAGENT_INSTRUCTIONS=${A} ${NONE:-none}\n"
	    "AGENT_FAILURE_MESSAGE=${APP_ID}\n");
	load();
	unsetenv("TEST_SETTINGS_X");
	assert_string_equal(settings->greeting, "outer");
	assert_string_equal(settings->instructions, "local none");
	assert_string_equal(settings->failure_message, ID);
}

static void
byte_order_mark_is_no_part_of_a_name(void **state)
{
	(void)state;
	write_file(".env", "\xef\xbb\xbf" BOTH);
	load();
	assert_true(settings->usable);
}

static void
skipped_line_is_named(void **state)
{
	(void)state;
	write_file(".env", BOTH "\nthis is no setting\nneither is this\n");
	load();
	assert_true(settings->usable);
	assert_said("/.env: line 4 is not understood and skipped\n");
	assert_int_equal(lines_said(), 1);
}

static void
links_are_followed(void **state)
{
	(void)state;
	write_file("real", BOTH);
	assert_int_equal(symlink("real", ".env"), 0);
	load();
	assert_true(settings->usable);
	assert_string_equal(said, "");
}

/* Expects .env to be refused with ${why}, and nothing else to be asked. */
static void
refused(const char *why)
{
	char line[256];

	write_file("etc/env", BOTH);
	load();
	assert_false(settings->usable);
	assert_string_equal(settings->app_id, "");
	snprintf(line, sizeof(line), "/.env: %s\n", why);
	assert_said(line);
	assert_said("settings: /");
	assert_not_said("is missing"); /* it may be in there */
	assert_int_equal(lines_said(), 1);
	assert_int_equal(remove_tree(".env"), 0);
}

static void
refuses_files_of_no_use(void **state)
{
	char *big = calloc(1, DOTENV_FILE_MAX + 1);

	(void)state;
	assert_int_equal(mkdir(".env", 0700), 0);
	refused("it is not a regular file");
	assert_int_equal(mkfifo(".env", 0600), 0);
	refused("it is not a regular file");
	assert_int_equal(symlink("nothing", ".env"), 0);
	refused("it is a link to nothing");
	assert_int_equal(symlink(".env", ".env"), 0);
	refused("Too many levels of symbolic links");
	write_file(".env", BOTH "A=\xff\n");
	refused("it is not UTF-8");
	write_bytes(".env", BOTH "\0", strlen(BOTH) + 1, 0600);
	refused("there is a NUL byte in it");
	assert_non_null(big);
	memset(big, '#', DOTENV_FILE_MAX + 1);
	write_bytes(".env", big, DOTENV_FILE_MAX + 1, 0600);
	refused("it is larger than 65536 bytes");
	free(big);
}

/* Root may read everything, so root steps back to somebody for a moment. */
static void
as_nobody(bool on)
{
	if (getuid() == 0)
		assert_int_equal(seteuid(on ? NOBODY : 0), 0);
}

static void
file_closed_to_us_stops_the_search(void **state)
{
	(void)state;
	write_bytes(".env", BOTH, strlen(BOTH), 0);
	write_bytes("etc/env", BOTH, strlen(BOTH), 0640);
	new_source();
	catch_log(true);
	as_nobody(true);
	settings = settings_load(source);
	as_nobody(false);
	catch_log(false);
	assert_non_null(settings);
	assert_false(settings->usable);
	assert_string_equal(settings->app_id, "");
	assert_said("/.env: Permission denied\n");
	assert_false(settings_changed(source));
	assert_int_equal(chmod(".env", 0600), 0);
	assert_true(settings_changed(source));
}

static void
folder_closed_to_us_is_mentioned(void **state)
{
	(void)state;
	write_file("home/.config/agora-agent/env", BOTH);
	write_bytes("etc/env", BOTH, strlen(BOTH), 0640);
	assert_int_equal(chmod("home", 0), 0);
	new_source();
	catch_log(true);
	as_nobody(true);
	settings = settings_load(source);
	as_nobody(false);
	catch_log(false);
	assert_non_null(settings);
	assert_true(settings->usable);
	assert_said("home/.config/agora-agent/env: cannot be looked for: "
		    "Permission denied\n");
	assert_int_equal(chmod("home", 0700), 0);
}

/* Expects ${name} to be used, with the one warning ${why}. */
static void
warned(const char *name, const char *why)
{
	char line[256];

	load();
	assert_true(settings->usable);
	snprintf(line, sizeof(line), "/%s: %s\n", name, why);
	assert_said(line);
	assert_said("<4>");
	assert_int_equal(lines_said(), 1);
}

static void
warns_of_files_open_to_a_group(void **state)
{
	(void)state;
	write_bytes(".env", BOTH, strlen(BOTH), 0660);
	warned(".env", "its group can write to it; chmod g-w");
	assert_int_equal(chmod(".env", 0640), 0);
	load();
	assert_string_equal(said, "");
	assert_int_equal(chmod(".env", 0400), 0);
	load();
	assert_string_equal(said, "");
}

#define READABLE                                                               \
	"everybody on this machine can read it; chmod 600, or 640 for the "    \
	"web server's group"
#define WRITABLE "everybody on this machine can write to it; chmod 600"
#define FOLDER                                                                 \
	"everybody on this machine can write to a folder above it; chmod o-w " \
	"the folder"
#define OWNER                                                                  \
	"it belongs to another user, neither root nor the program's; chown it"

/*
 * Expects ${name} not to be used because of ${why}, unless the environment
 * says so. (It is not enough that the file says so.)
 */
static void
refused_unless_told(const char *name, const char *why)
{
	char line[256];

	snprintf(line, sizeof(line), "/%s: %s\n", name, why);
	load();
	assert_false(settings->usable);
	assert_string_equal(settings->app_id, "");
	assert_said("<3>");
	assert_said(line);
	assert_said("AGORA_ENV_FILE_UNSAFE=1 in the process environment");
	check(1);
	assert_said("refused: ");
	assert_said(line);
	setenv("AGORA_ENV_FILE_UNSAFE", "0", 1);
	load();
	assert_false(settings->usable);
	setenv("AGORA_ENV_FILE_UNSAFE", "1", 1);
	load();
	unsetenv("AGORA_ENV_FILE_UNSAFE");
	assert_true(settings->usable);
	assert_said("<4>");
	assert_said(line);
}

static void
refuses_files_that_everybody_can_read(void **state)
{
	static const mode_t modes[] = { 0644, 0444, 0604, 0664 };
	const char text[] = BOTH "AGORA_ENV_FILE_UNSAFE=1\n";

	(void)state;
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		write_bytes(".env", text, strlen(text), modes[i]);
		refused_unless_told(".env", READABLE);
		assert_int_equal(chmod(".env", 0600), 0);
		assert_true(settings_changed(source));
		load_again();
		assert_true(settings->usable);
	}
}

static void
refuses_files_that_everybody_can_write(void **state)
{
	(void)state;
	write_bytes(".env", BOTH, strlen(BOTH), 0602);
	refused_unless_told(".env", WRITABLE);
}

/* Not even the next place is looked at: it may be another project's. */
static void
refused_files_stop_the_search(void **state)
{
	(void)state;
	write_file("etc/env", BOTH);
	write_bytes(".env", BOTH, strlen(BOTH), 0644);
	load();
	assert_false(settings->usable);
	assert_string_equal(settings->app_id, "");
}

static void
refuses_files_in_folders_open_to_all(void **state)
{
	(void)state;
	setenv("AGORA_ENV_FILE", "open/below/env", 1);
	write_file("open/below/env", BOTH);
	assert_int_equal(chmod("open", 0777), 0);
	refused_unless_told("open/below/env", FOLDER);
	assert_int_equal(chmod("open", 01777), 0); /* as /tmp */
	load();
	assert_true(settings->usable);
	assert_string_equal(said, "");
}

static void
refuses_links_into_folders_open_to_all(void **state)
{
	(void)state;
	write_file("open/env", BOTH);
	assert_int_equal(chmod("open", 0777), 0);
	assert_int_equal(symlink("open/env", ".env"), 0);
	refused_unless_told(".env", FOLDER);
	assert_int_equal(chmod("open", 0755), 0);
	load();
	assert_true(settings->usable);
	assert_string_equal(said, "");
}

static void
refuses_what_another_user_owns(void **state)
{
	(void)state;
	if (getuid() != 0)
		skip();
	write_file(".env", BOTH);
	assert_int_equal(chown(".env", NOBODY, 0), 0);
	refused_unless_told(".env", OWNER);
	assert_int_equal(rename(".env", "env"), 0);
	assert_int_equal(chown("env", 0, 0), 0);
	assert_int_equal(symlink("env", ".env"), 0);
	load();
	assert_true(settings->usable);
	assert_int_equal(lchown(".env", NOBODY, 0), 0);
	refused_unless_told(".env",
	    "it is a link that another user has made; remove it");
}

static void
refuses_what_is_published(void **state)
{
	static const char *const inside[] = { "public_html/.env",
		"x/htdocs/y/.env" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		write_file(inside[i], BOTH);
		setenv("AGORA_ENV_FILE", inside[i], 1);
		refused_unless_told(inside[i],
		    "it lies in a folder that web servers publish; move it "
		    "out, to ~/.config/agora-agent/env");
	}
}

static void
warns_of_web_roots(void **state)
{
	static const char *const inside[] = { "www/api/.env", "x/html/y/.env" };
	static const char *const outside[] = { "public_html2/.env",
		"wwwroot/.env", "xhtml/.env" };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		write_file(inside[i], BOTH);
		setenv("AGORA_ENV_FILE", inside[i], 1);
		warned(inside[i],
		    "it lies in a folder that a web server may publish");
	}
	for (size_t i = 0; i < 3; i++) {
		write_file(outside[i], BOTH);
		setenv("AGORA_ENV_FILE", outside[i], 1);
		load();
		assert_string_equal(said, "");
	}
}

/* Values */

struct bad_value {
	const char *name, *value, *why;
};

static const struct bad_value bad_values[] = {
	{ "APP_ID", "0123456789abcdef0123456789abcde", "has the wrong length" },
	{ "APP_ID", ID "0", "has the wrong length" },
	{ "APP_ID", "g123456789abcdef0123456789abcdef",
	    "has characters that are no hex digits" },
	{ "APP_ID", " " ID, "has white space at its start or end" },
	{ "APP_CERTIFICATE", CERT "\n", "has white space at its start or end" },
	{ "APP_CERTIFICATE", "fedcba9876543210 fedcba987654321",
	    "has characters that are no hex digits" },
	{ "APP_CERTIFICATE", "<your certificate>",
	    "has characters that are no hex digits" },
	{ "AGORA_APP_CERTIFICATE", "fedcba98", "has the wrong length" },
	{ "LLM_API_KEY", "sk-abcdef ghi",
	    "has a space or a character that is not ASCII" },
	{ "LLM_API_KEY", "sk-abcdef\tghi",
	    "has a space or a character that is not ASCII" },
	{ "OPENAI_API_KEY", "sk-abcdef\xc3\xbc",
	    "has a space or a character that is not ASCII" },
	{ "TTS_ELEVENLABS_VOICE_ID", "voice\x7f",
	    "has a space or a character that is not ASCII" },
	{ "AGORA_AREA", "XX-nowhere", "is none of these words" },
	{ "AGORA_AREA", "us ", "has white space at its start or end" },
	{ "CHANNELS", "closed", "is none of these words" },
	{ "START_CONCURRENCY", "100001",
	    "is not a whole number in that range" },
	{ "AGENT_IDLE_TIMEOUT", "259201",
	    "is not a whole number in that range" },
	{ "TOKEN_TTL", "299", "is not a whole number in that range" },
	{ "TOKEN_TTL", "86401", "is not a whole number in that range" },
	{ "TOKEN_TTL", "1h", "is not a whole number in that range" },
	{ "TOKEN_TTL", "99999999999999999999",
	    "is not a whole number in that range" },
	{ "AGENT_GREETING", "Gr\xfc\xdf", "is not UTF-8" },
	{ "AGORA_API_PATH", "apipath", "does not start with a slash" },
	{ "AGORA_API_PATH", "/a b",
	    "has a character that a URL path must not have" },
	{ "AGORA_API_PATH", "/aaa?b",
	    "has a character that a URL path must not have" },
	{ "AGORA_API_PATH", "/aaa%2f",
	    "has a character that a URL path must not have" },
	{ "AGORA_API_PATH", "//aaa", "has an empty part between two slashes" },
	{ "AGORA_API_PATH", "/aaa//", "has an empty part between two slashes" },
	{ "AGORA_API_BASE_URL", "http://api.example",
	    "does not start with https://" },
	{ "AGORA_API_BASE_URL", "api.example", "does not start with https://" },
	{ "AGORA_API_BASE_URL", "https://user:pw@api.example",
	    "has a user name, a query or a fragment" },
	{ "AGORA_API_BASE_URL", "https://api.example?x=y",
	    "has a user name, a query or a fragment" },
	{ "AGORA_API_BASE_URL", "https://api.example#x",
	    "has a user name, a query or a fragment" },
	{ "AGORA_API_BASE_URL", "https://///", "has no host" },
	{ "AGORA_API_BASE_URL", "https:///path/x", "has no host" },
	{ "AGORA_API_BASE_URL", "https://:443/x", "has no host" },
	{ "AGORA_API_BASE_URL", "https://api_example",
	    "has no valid host name" },
	{ "AGORA_API_BASE_URL", "https://[::1", "has no valid host name" },
	{ "AGORA_API_BASE_URL", "https://[]/xxx", "has no valid host name" },
	{ "AGORA_API_BASE_URL", "https://[::1]x", "has no valid host name" },
	{ "AGORA_API_BASE_URL", "https://api.example:/",
	    "has a port that is not 1 to 65535" },
	{ "AGORA_API_BASE_URL", "https://api.example:0",
	    "has a port that is not 1 to 65535" },
	{ "AGORA_API_BASE_URL", "https://api.example:65536",
	    "has a port that is not 1 to 65535" },
	{ "AGORA_API_BASE_URL", "https://api.example:443443",
	    "has a port that is not 1 to 65535" },
	{ "AGORA_API_BASE_URL", "https://api.example:44a/",
	    "has a port that is not 1 to 65535" },
	{ "AGORA_API_BASE_URL", "https://api.example/x//y",
	    "has an empty part between two slashes" },
	{ "AGORA_API_BASE_URL", "https://api.example/\"",
	    "has a character that a URL path must not have" },
	{ "AGORA_CA_FILE", "/nowhere/ca.pem",
	    "names a file that cannot be read" },
	{ "AGORA_CA_FILE", "/tmp", "does not name a file" },
	{ "API_KEYS", "0123456789abcde", "has a key that is too short" },
	{ "REQUIRE_TOKEN", "yes-please", "is none of these words" },
	{ "ALLOWED_ORIGINS", "https://Www.example",
	    "has an origin that is not in lower case" },
	{ "START_LIMIT", "6:60",
	    "is not two whole numbers with a slash between them" },
	{ "STATE_DIR", "state:dir", "is not the full path of a folder" },
	{ "STATE_DIR", "//", "is not the full path of a folder" },
};

static const struct settings_entry *
entry_of(const char *name)
{
	const struct settings_entry *entry;

	for (size_t i = 0; (entry = settings_entry_at(i)) != NULL; i++)
		if (strcmp(entry->name, name) == 0 ||
		    (entry->alias != NULL && strcmp(entry->alias, name) == 0))
			return entry;
	fail_msg("%s is not in the table", name);
	return NULL;
}

static void
refuses_bad_value(const struct bad_value *bad)
{
	char line[512];

	forget_environment();
	set_both();
	unsetenv(entry_of(bad->name)->name);
	setenv(bad->name, bad->value, 1);
	load();
	if (settings->usable)
		fail_msg("%s=%s was taken", bad->name, bad->value);
	snprintf(line, sizeof(line),
	    "settings: %s in the process environment %s; expected: %s\n",
	    bad->name, bad->why, entry_of(bad->name)->expected);
	assert_said(line);
	assert_not_said(bad->value);
	assert_int_equal(lines_said(), 2); /* and that no file is there */
}

static void
refuses_bad_values(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(bad_values) / sizeof(bad_values[0]); i++)
		refuses_bad_value(&bad_values[i]);
}

/* PORT and LOG_LEVEL serve no request: a slip there stops none either. */
static void
harmless_values_are_warned_of(void **state)
{
	static const struct bad_value harmless[] = {
		{ "PORT", "0", "is not a whole number in that range" },
		{ "PORT", "65536", "is not a whole number in that range" },
		{ "PORT", "http", "is not a whole number in that range" },
		{ "LOG_LEVEL", "nonsense", "is none of these words" },
	};
	char line[256];

	(void)state;
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++) {
		const struct bad_value *bad = &harmless[i];

		forget_environment();
		set_both();
		setenv(bad->name, bad->value, 1);
		load();
		assert_true(settings->usable);
		assert_int_equal(settings->log_level, LOG_LEVEL_INFO);
		snprintf(line, sizeof(line),
		    "<4>agora-agent: settings: %s in the process environment "
		    "%s; expected: %s; the default is used\n",
		    bad->name, bad->why, entry_of(bad->name)->expected);
		assert_string_equal(said, line);
		print_check(0);
		assert_said("settings: ok\n");
	}
}

static void
words_are_taken_in_any_case(void **state)
{
	(void)state;
	set_both();
	setenv("AGORA_AREA", "eu", 1);
	setenv("CHANNELS", "Issued", 1);
	setenv("LOG_LEVEL", "ERROR", 1);
	load();
	assert_string_equal(said, "");
	assert_true(settings->usable);
	assert_int_equal(settings->area, SETTINGS_AREA_EU);
	assert_true(settings->channels_issued);
	assert_int_equal(settings->log_level, LOG_LEVEL_ERROR);
}

/* An agent for ever is no slip of a 0. */
static void
endless_agents_must_be_asked_for(void **state)
{
	static const char *const slips[] = { "0", "4", "none" };

	(void)state;
	for (size_t i = 0; i < sizeof(slips) / sizeof(slips[0]); i++) {
		set_both();
		setenv("AGENT_IDLE_TIMEOUT", slips[i], 1);
		load();
		assert_false(settings->usable);
		assert_int_equal(settings->idle_timeout, 30);
		settings_free(settings);
		settings = NULL;
	}
	set_both();
	setenv("AGENT_IDLE_TIMEOUT", "unlimited", 1);
	load();
	assert_true(settings->usable);
	assert_int_equal(settings->idle_timeout, 0);
}

/* What outlives the next reading. */
static void
shared_settings_stay(void **state)
{
	(void)state;
	set_both();
	load();
	settings_share(settings);
	settings_free(settings);
	assert_true(settings->usable);
}

static void
bad_value_leaves_the_default(void **state)
{
	(void)state;
	set_both();
	write_file(".env",
	    "TOKEN_TTL=1\nAGORA_AREA=Mars\nAGORA_API_PATH=x\n"
	    "LLM_API_KEY='a b'\nCHANNELS=issued\n");
	load();
	assert_false(settings->usable);
	assert_int_equal(lines_said(), 4);
	assert_int_equal(settings->token_ttl, 86400);
	assert_int_equal(settings->area, SETTINGS_AREA_CN);
	assert_string_equal(settings->api_path, "/api/conversational-ai-agent");
	assert_int_equal(settings->llm_key.len, 0);
	assert_true(settings->channels_issued);
}

/* Sets ${name} to ${len} times "x" behind ${begin}; is it legal? */
static bool
takes_length(const char *name, const char *begin, size_t len)
{
	char value[10000];
	size_t at = strlen(begin);

	assert_true(len < sizeof(value) && len >= at);
	memset(value, 'x', len);
	memcpy(value, begin, at);
	value[len] = '\0';
	set_both();
	setenv(name, value, 1);
	load();
	unsetenv(name);
	return settings->usable;
}

static void
lengths_are_limited(void **state)
{
	static const struct {
		const char *name, *begin;
		size_t max;
	} limits[] = { { "AGENT_INSTRUCTIONS", "", SETTINGS_TEXT_MAX },
		{ "LLM_API_KEY", "", SECRET_MAX },
		{ "TTS_ELEVENLABS_MODEL_ID", "", 256 },
		{ "AGORA_API_PATH", "/", 200 },
		{ "AGORA_API_BASE_URL", "https://", 400 } };

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		assert_true(takes_length(limits[i].name, limits[i].begin,
		    limits[i].max));
		assert_false(takes_length(limits[i].name, limits[i].begin,
		    limits[i].max + 1));
		assert_said("is too long");
	}
}

static void
takes_good_values(void **state)
{
	(void)state;
	write_file("ca.pem", "x");
	write_file(".env",
	    BOTH
	    "LLM_API_KEY=sk-1\nASR_DEEPGRAM_API_KEY=k2\n"
	    "TTS_ELEVENLABS_API_KEY=k3\nTTS_ELEVENLABS_MODEL_ID=m\n"
	    "AGORA_AREA=AP\nAGORA_API_PATH=/cn/api/x-y_z.~1/\n"
	    "AGORA_API_BASE_URL=https://127.0.0.1:8443/a/b//\n"
	    "AGORA_CA_FILE=ca.pem\nAGENT_GREETING='  Gr\xc3\xbc\xc3\x9f  '\n"
	    "AGENT_INSTRUCTIONS=\"one\\ntwo\"\nCHANNELS=issued\n"
	    "TOKEN_TTL=300\nLOG_LEVEL=debug\nPORT=65535\n");
	load();
	assert_int_equal(lines_said(), 2);
	assert_said("takes the place of AGORA_API_PATH");
	assert_said("/.env is read\n");
	assert_true(settings->usable);
	assert_string_equal(settings->llm_key.text, "sk-1");
	assert_string_equal(settings->asr_key.text, "k2");
	assert_string_equal(settings->tts_key.text, "k3");
	assert_string_equal(settings->tts_model_id, "m");
	assert_int_equal(settings->area, SETTINGS_AREA_AP);
	assert_string_equal(settings->api_path, "/cn/api/x-y_z.~1");
	assert_string_equal(settings->api_base_url,
	    "https://127.0.0.1:8443/a/b");
	assert_string_equal(settings->ca_file, "ca.pem");
	assert_string_equal(settings->greeting, "  Gr\xc3\xbc\xc3\x9f  ");
	assert_string_equal(settings->instructions, "one\ntwo");
	assert_true(settings->channels_issued);
	assert_int_equal(settings->token_ttl, 300);
	assert_int_equal(settings->log_level, LOG_LEVEL_DEBUG);
}

static void
takes_good_words_and_urls(void **state)
{
	static const char *const good[][2] = { { "AGORA_AREA", "US" },
		{ "AGORA_AREA", "EU" }, { "AGORA_AREA", "CN" },
		{ "LOG_LEVEL", "error" }, { "LOG_LEVEL", "warn" },
		{ "LOG_LEVEL", "info" }, { "TOKEN_TTL", "86400" },
		{ "PORT", "1" }, { "AGORA_API_PATH", "/" },
		{ "AGORA_API_BASE_URL", "https://a" },
		{ "AGORA_API_BASE_URL", "https://api.example:65535" },
		{ "AGORA_API_BASE_URL", "https://[::1]:8443/x" },
		{ "AGORA_API_BASE_URL", "https://[2001:db8::1]" } };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		forget_environment();
		set_both();
		setenv(good[i][0], good[i][1], 1);
		load();
		assert_string_equal(said, "");
		assert_true(settings->usable);
	}
}

/* From the first load on, whatever the level was before. */
static void
log_level_is_set_before_anything_is_logged(void **state)
{
	(void)state;
	write_file(".env", BOTH "LOG_LEVEL=debug\n");
	write_file(".env.local", "");
	load();
	assert_said("<7>agora-agent: settings: /");
	assert_said("/.env.local is read\n");
	assert_said("/.env is read\n");
	assert_int_equal(lines_said(), 2);
	write_bytes(".env", BOTH "LOG_LEVEL=error\n",
	    strlen(BOTH "LOG_LEVEL=error\n"), 0660);
	load();
	assert_string_equal(said, "");
}

/* Changes */

static void
notices_changes(void **state)
{
	(void)state;
	write_file(".env", BOTH);
	new_source();
	assert_true(settings_changed(source));
	load_again();
	assert_false(settings_changed(source));
	assert_false(settings_changed(source));

	write_file(".env.local", ""); /* appeared */
	assert_true(settings_changed(source));
	load_again();
	assert_false(settings_changed(source));
	write_file(".env", BOTH "PORT=1\n"); /* edited in place */
	assert_true(settings_changed(source));
	load_again();
	write_file("new", BOTH "PORT=2\n"); /* replaced, same size */
	assert_int_equal(rename("new", ".env"), 0);
	assert_true(settings_changed(source));
	load_again();
	assert_int_equal(chmod(".env", 0640), 0);
	assert_true(settings_changed(source));
	load_again();
	assert_int_equal(unlink(".env.local"), 0); /* went away */
	assert_true(settings_changed(source));
	load_again();
	assert_false(settings_changed(source));
	assert_true(settings->usable);
}

static void
notices_files_of_other_places(void **state)
{
	(void)state;
	write_file("etc/env", BOTH);
	load();
	assert_false(settings_changed(source));
	write_file("home/.config/agora-agent/env", "APP_ID=" ID2 "\n");
	assert_true(settings_changed(source));
	load_again();
	assert_string_equal(settings->app_id, ID2);
	assert_false(settings->usable);
	write_file("etc/env", BOTH "PORT=1\n");
	assert_true(settings_changed(source));
}

/* --check */

/* What --check prints for the files below; "@" is the test's folder. */
static const char report[] =
    "process environment first, then the first place of these that "
    "has files:\n"
    "  @/.env.local: not there\n"
    "  @/.env: used\n"
    "  @/bin/.env.local: not there\n"
    "  @/bin/.env: not there\n"
    "  @/home/.config/agora-agent/env: not there\n"
    "  @/etc/env: not used: an earlier place has files\n"
    "settings:\n"
    "  APP_ID                  set in @/.env as AGORA_APP_ID\n"
    "  APP_CERTIFICATE         set in @/.env (\xe2\x80\xa6"
    "3210)\n"
    "  ASR_DEEPGRAM_API_KEY    not set\n"
    "  LLM_API_KEY             set in @/.env (set)\n"
    "  TTS_ELEVENLABS_API_KEY  not set\n"
    "  TTS_ELEVENLABS_MODEL_ID default: eleven_flash_v2_5\n"
    "  TTS_ELEVENLABS_VOICE_ID default: pNInz6obpgDQGcFmaJgB\n"
    "  AGENT_GREETING          default: Hello! I'm your voice "
    "assistant. What can I do for you?\n"
    "  AGENT_INSTRUCTIONS      default: You are a helpful voice "
    "assistant. Answer briefly and clearly.\n"
    "  AGENT_FAILURE_MESSAGE   default: Sorry, that did not work. "
    "Please say it again.\n"
    "  AGENT_FILE              not set\n"
    "  AGENT_DIR               not set\n"
    "  AGENT_CLIENT_FIELDS     default: parameters.output_audio_codec\n"
    "  MANAGED_MODE            default: preset\n"
    "  AGORA_AREA              default: CN\n"
    "  AGORA_API_PATH          default: /api/conversational-ai-agent\n"
    "  AGORA_API_BASE_URL      not set\n"
    "  AGORA_CA_FILE           not set\n"
    "  CHANNELS                default: open\n"
    "  TOKEN_TTL               illegal in the process environment: is "
    "not a whole number in that range; expected: 300 to 86400 seconds\n"
    "  API_KEYS                not set\n"
    "  REQUIRE_TOKEN           default: 0\n"
    "  ALLOWED_ORIGINS         not set\n"
    "  START_LIMIT             not set\n"
    "  STATE_DIR               not set\n"
    "  START_CONCURRENCY       default: 256\n"
    "  AGENT_IDLE_TIMEOUT      default: 30\n"
    "  LOG_LEVEL               default: info\n"
    "  PORT                    default: 8000\n"
    "  problem: TOKEN_TTL in the process environment is not a whole "
    "number in that range; expected: 300 to 86400 seconds\n"
    "  hint: @/.env: unknown setting LLM_APIKEY (did you mean "
    "LLM_API_KEY?)\n"
    "settings: not usable: 1 problem\n";

static void
assert_report(const char *with_at)
{
	struct buf expected = BUF(sizeof(said));

	for (; *with_at != '\0'; with_at++) {
		if (*with_at == '@')
			buf_text(&expected, dir);
		else
			buf_add(&expected, with_at, 1);
	}
	assert_false(buf_failed(&expected));
	assert_string_equal(said, buf_str(&expected));
	buf_free(&expected);
}

static void
check_says_it_all(void **state)
{
	(void)state;
	setenv("TOKEN_TTL", "5", 1);
	write_file("bin/folder/program", "");
	write_file(".env",
	    "AGORA_APP_ID=" ID "\nAPP_CERTIFICATE=" CERT "\n"
	    "LLM_API_KEY=sk-short\nLLM_APIKEY=sk-other\n");
	write_file("etc/env", BOTH);
	check(1);
	assert_report(report);
}

static void
check_is_silent_about_values(void **state)
{
	(void)state;
	write_file(".env",
	    "APP_ID=" ID "\nAPP_CERTIFICATE=" CERT "\n"
	    "AGORA_APP_CERTIFICATE=" ID2 "\nSECRET=hush-hush\n"
	    "LLM_API_KEY=sk-0123456789abcdef\n");
	check(0);
	assert_said("settings: ok\n");
	assert_said("(\xe2\x80\xa6"
		    "cdef)");
	assert_said("warning: APP_CERTIFICATE in ");
	assert_said("AGORA_APP_CERTIFICATE in ");
	assert_not_said(ID);
	assert_not_said(ID2);
	assert_not_said("fedcba");
	assert_not_said("hush");
	assert_not_said("sk-");
}

static void
check_counts_problems(void **state)
{
	(void)state;
	setenv("AGORA_ENV_FILE", "missing", 1);
	check(1);
	assert_said("/missing ($AGORA_ENV_FILE): cannot be read: "
		    "No such file or directory\n");
	assert_said("APP_ID                  not known: a file was not read\n");
	assert_not_said("missing;");
	assert_said("settings: not usable: 1 problem\n");
	unsetenv("AGORA_ENV_FILE");
	check(1);
	assert_said("APP_ID                  missing; expected: 32 hex digits");
	assert_said("settings: not usable: 2 problems\n");
}

/* What was wrong with a file is forgotten when the file no longer counts. */
static void
check_looks_again(void **state)
{
	(void)state;
	set_both();
	new_source();
	assert_int_equal(mkdir("etc", 0700), 0);
	assert_int_equal(mkdir("etc/env", 0700), 0);
	load_again();
	assert_false(settings->usable);
	write_file(".env", "");
	print_check(0);
	assert_said("/etc/env: not used: an earlier place has files\n");
	assert_said("settings: ok\n");
}

static void
check_says_what_a_token_is_worth(void **state)
{
	(void)state;
	set_both();
	write_file(".env", "REQUIRE_TOKEN=1\n");
	check(0);
	assert_said("warning: REQUIRE_TOKEN=1 with CHANNELS=open");
	write_file(".env", "REQUIRE_TOKEN=1\nCHANNELS=issued\n");
	print_check(0);
	assert_not_said("warning");
	write_file(".env", "");
	print_check(0);
	assert_not_said("warning");
}

static void
check_guesses_typos(void **state)
{
	static const char *const typos[][2] = { { "LLM_APIKEY", "LLM_API_KEY" },
		{ "APPID", "APP_ID" }, { "app_id", "APP_ID" },
		{ "LLM_KEY", "LLM_API_KEY" }, { "TOKEN_TLL", "TOKEN_TTL" },
		{ "CHANNEL", "CHANNELS" },
		{ "AGENT_GREETINGS", "AGENT_GREETING" },
		{ "AGORA_APP_CERT", "AGORA_APP_ID" },
		{ "OPENAI_KEY", "OPENAI_API_KEY" }, { "PORTS", "PORT" } };
	static const char *const others[] = { "HOST", "SECRET", "DATABASE_URL",
		"A", "PATH", "HOME", "NODE_ENV" };
	char text[256];

	(void)state;
	set_both();
	new_source();
	for (size_t i = 0; i < sizeof(typos) / sizeof(typos[0]); i++) {
		snprintf(text, sizeof(text), "%s=x\n", typos[i][0]);
		write_file(".env", text);
		print_check(0);
		snprintf(text, sizeof(text),
		    "unknown setting %s (did you mean %s?)\n", typos[i][0],
		    typos[i][1]);
		assert_said(text);
	}
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		snprintf(text, sizeof(text), "%s=x\n", others[i]);
		write_file(".env", text);
		print_check(0);
		assert_not_said("hint");
	}
}

/* With another sign in place of "=" the value is part of the name. */
static void
check_guess_shows_no_value(void **state)
{
	(void)state;
	set_both();
	write_file(".env", "APP_CERTIFICATE:" CERT "\nLLM_API_KEY" CERT "\n");
	check(0);
	assert_said("unknown setting APP_CERTIFICATE… (did you mean "
		    "APP_CERTIFICATE?)\n");
	assert_said("unknown setting LLM_API_KEYfe… (did you mean "
		    "LLM_API_KEY?)\n");
	assert_not_said("9876543210");
	write_file(".env",
	    "API_KEYScanarysecret\nAPI_KEY canary\n"
	    "APP_CERTIFICATEcanary\nLLM_API_KEYcanary==\n");
	print_check(0);
	assert_said("unknown setting API_KEYSca… (did you mean API_KEYS?)\n");
	assert_said("unknown setting LLM_API_KEYca… (did you mean "
		    "LLM_API_KEY?)\n");
	assert_not_said("cana");
}

static void
check_explains_odd_names(void **state)
{
	char text[300];

	(void)state;
	set_both();
	write_file(".env", "AGORA_ENV_FILE=/x\n'LLM_\x1b[2J_KEY'=1\n");
	check(0);
	assert_said("AGORA_ENV_FILE counts only in the process environment\n");
	assert_said("unknown setting LLM_… (did you mean");
	snprintf(text, sizeof(text), "AGORA_%0290d", 0);
	write_file(".env", text);
	print_check(0);
	assert_not_said("hint");
}

/* What lies there can be read in /proc/PID/environ, also when it is unset. */
static void
secrets_leave_the_environment(void **state)
{
	const char *certificate, *key;

	(void)state;
	set_both();
	setenv("OPENAI_API_KEY", "canary", 1);
	certificate = getenv("APP_CERTIFICATE");
	key = getenv("OPENAI_API_KEY");
	new_source();
	assert_string_equal(certificate, "");
	assert_string_equal(key, "");
	assert_null(getenv("APP_CERTIFICATE"));
	assert_null(getenv("OPENAI_API_KEY"));
	assert_string_equal(getenv("APP_ID"), ID);
}

static void
taken_secrets_stay_set(void **state)
{
	(void)state;
	set_both();
	setenv("LLM_API_KEY", "canary", 1);
	new_source();
	for (int i = 0; i < 2; i++) {
		load_again();
		assert_true(settings->usable);
		assert_string_equal(settings->certificate.text, CERT);
		assert_string_equal(settings->llm_key.text, "canary");
		write_file(".env", "LLM_API_KEY=file\nAPP_CERTIFICATE=x\n");
		assert_true(settings_changed(source) || i > 0);
	}
}

static void
files_may_name_taken_secrets(void **state)
{
	(void)state;
	set_both();
	setenv("OPENAI_API_KEY", "canary", 1);
	write_file(".env", "LLM_API_KEY=\"a-${OPENAI_API_KEY}\"\n");
	load();
	assert_string_equal(settings->llm_key.text, "a-canary");
}

static void
hidden_secrets_are_found_again(void **state)
{
	const char *certificate;
	int fd;

	(void)state;
	set_both();
	setenv("LLM_API_KEY", "canary", 1);
	certificate = getenv("APP_CERTIFICATE");
	fd = settings_environment_hide();
	assert_true(fd >= 0);
	assert_string_equal(certificate, "");
	assert_null(getenv("APP_CERTIFICATE"));
	assert_int_equal(write(fd, "x", 1), -1); /* sealed */
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	load();
	assert_true(settings->usable);
	assert_string_equal(settings->certificate.text, CERT);
	assert_string_equal(settings->llm_key.text, "canary");
	assert_int_equal(fcntl(fd, F_GETFD), -1); /* closed */
	assert_null(getenv("AGORA_AGENT_SECRETS_FD"));
}

static void
nothing_to_hide(void **state)
{
	(void)state;
	assert_int_equal(settings_environment_hide(), -1);
	assert_null(getenv("AGORA_AGENT_SECRETS_FD"));
}

/* A descriptor that nobody handed over stays what it is. */
static void
foreign_descriptors_are_not_read(void **state)
{
	static const char *const numbers[] = { "0", "2", "-1", "99999", "x",
		"" };

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		set_both();
		setenv("AGORA_AGENT_SECRETS_FD", numbers[i], 1);
		load();
		assert_true(settings->usable);
	}
	assert_int_not_equal(fcntl(0, F_GETFD), -1);
	assert_int_not_equal(fcntl(2, F_GETFD), -1);
}

int
main(void)
{
#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, enter_folder, leave_folder)
	const struct CMUnitTest tests[] = {
		TEST(has_the_defaults),
		TEST(secrets_leave_the_environment),
		TEST(taken_secrets_stay_set),
		TEST(files_may_name_taken_secrets),
		TEST(hidden_secrets_are_found_again),
		TEST(nothing_to_hide),
		TEST(foreign_descriptors_are_not_read),
		TEST(every_default_is_legal),
		cmocka_unit_test(env_sample_is_the_table),
		TEST(environment_beats_files),
		TEST(empty_counts_as_unset),
		TEST(first_place_with_files_wins),
		TEST(places_do_not_mix),
		TEST(program_folder_has_two_files),
		TEST(the_same_folder_is_one_place),
		TEST(real_places_end_in_etc),
		TEST(named_file_must_be_there),
		TEST(credentials_may_lack_env),
		TEST(other_spellings_work),
		TEST(table_name_wins_in_one_source),
		TEST(table_name_wins_across_sources),
		TEST(first_source_wins_in_one_spelling),
		TEST(base_url_makes_the_path_useless),
		TEST(variables_see_what_python_dotenv_shows),
		TEST(byte_order_mark_is_no_part_of_a_name),
		TEST(skipped_line_is_named),
		TEST(links_are_followed),
		TEST(refuses_files_of_no_use),
		TEST(file_closed_to_us_stops_the_search),
		TEST(folder_closed_to_us_is_mentioned),
		TEST(warns_of_files_open_to_a_group),
		TEST(refuses_files_that_everybody_can_read),
		TEST(refuses_files_that_everybody_can_write),
		TEST(refused_files_stop_the_search),
		TEST(refuses_files_in_folders_open_to_all),
		TEST(refuses_links_into_folders_open_to_all),
		TEST(refuses_what_another_user_owns),
		TEST(refuses_what_is_published),
		TEST(warns_of_web_roots),
		TEST(refuses_bad_values),
		TEST(access_settings_are_kept),
		TEST(state_dir_is_the_services_or_the_users),
		TEST(harmless_values_are_warned_of),
		TEST(words_are_taken_in_any_case),
		TEST(endless_agents_must_be_asked_for),
		TEST(shared_settings_stay),
		TEST(bad_value_leaves_the_default),
		TEST(lengths_are_limited),
		TEST(takes_good_values),
		TEST(takes_good_words_and_urls),
		TEST(log_level_is_set_before_anything_is_logged),
		TEST(notices_changes),
		TEST(notices_files_of_other_places),
		TEST(check_says_it_all),
		TEST(check_is_silent_about_values),
		TEST(check_counts_problems),
		TEST(check_looks_again),
		TEST(check_says_what_a_token_is_worth),
		TEST(check_guesses_typos),
		TEST(check_guess_shows_no_value),
		TEST(check_explains_odd_names),
	};

	cmocka_set_message_output(CM_OUTPUT_TAP);
	return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}
