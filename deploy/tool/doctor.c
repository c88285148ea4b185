#include <getopt.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/log.h"
#include "common/settings.h"
#include "deploy/tool/commands.h"
#include "deploy/tool/doctor.h"
#include "deploy/tool/programs.h"
#include "deploy/tool/tool.h"

#define SOCKETS_MAX 16
#define SOCKET_FOLDER "/run/agora-agent"

enum { JSON = 1, URL, ORIGIN, SOCKET, WEB_USER, PROGRAMS, OFFLINE, CODES };

static const struct option known[] = {
	{ "json", no_argument, NULL, JSON },
	{ "url", required_argument, NULL, URL },
	{ "origin", required_argument, NULL, ORIGIN },
	{ "socket", required_argument, NULL, SOCKET },
	{ "web-user", required_argument, NULL, WEB_USER },
	{ "programs", required_argument, NULL, PROGRAMS },
	{ "offline", no_argument, NULL, OFFLINE },
	{ "codes", no_argument, NULL, CODES },
	{ NULL, 0, NULL, 0 },
};

static int
misuse(const char *text, const char *value)
{
	fprintf(stderr, "agora-agent doctor: %s%s\n", text, value);
	return -1;
}

/* Adds the full path of ${path}. Takes nothing. Returns 0 or -1. */
static int
add_socket(struct doctor *doctor, const char *path)
{
	char *here = getcwd(NULL, 0);
	char *full = here != NULL ? file_join(here, path) : NULL;

	free(here);
	if (full == NULL)
		return misuse("out of memory", "");
	if (doctor->sockets_len == SOCKETS_MAX) {
		free(full);
		return misuse("too many sockets: ", path);
	}
	doctor->sockets[doctor->sockets_len++] = full;
	return 0;
}

static int
set_web_user(struct doctor *doctor, const char *name)
{
	const struct passwd *user = getpwnam(name);

	if (user == NULL)
		return -1;
	doctor->web_user = name;
	doctor->web_uid = user->pw_uid;
	doctor->web_gid = user->pw_gid;
	doctor->become = geteuid() == 0;
	return 0;
}

static int
set_url(struct doctor *doctor, const char *url)
{
	const char *host = strstr(url, "://");

	if ((strncmp(url, "http://", 7) != 0 &&
		strncmp(url, "https://", 8) != 0) ||
	    host[3] == '\0' || host[3] == '/')
		return misuse("--url takes http://… or https://…, not ", url);
	doctor->url = url;
	return 0;
}

static int
set_programs(struct doctor *doctor, const char *folder)
{
	free(doctor->programs);
	doctor->programs = realpath(folder, NULL);
	if (doctor->programs == NULL)
		return misuse("there is no folder ", folder);
	return 0;
}

/* Takes one option; '?' is getopt's for one that it does not know. */
static int
take_option(struct doctor *doctor, int option, const char *value)
{
	switch (option) {
	case JSON:
		doctor->json_wanted = true;
		return 0;
	case OFFLINE:
		doctor->offline = true;
		return 0;
	case URL:
		return set_url(doctor, value);
	case ORIGIN:
		doctor->origin = value;
		return 0;
	case SOCKET:
		doctor->sockets_named = true;
		return add_socket(doctor, value);
	case WEB_USER:
		if (set_web_user(doctor, value) == -1)
			return misuse("there is no user ", value);
		return 0;
	case PROGRAMS:
		return set_programs(doctor, value);
	default:
		return -1;
	}
}

/* What no option said. */
static int
set_defaults(struct doctor *doctor)
{
	static const char *const users[] = { "www-data", "nginx", "apache",
		"http" };
	char path[128];

	for (size_t i = 0;
	     doctor->web_user == NULL && i < sizeof(users) / sizeof(users[0]);
	     i++)
		(void)set_web_user(doctor, users[i]);
	for (size_t i = 0; !doctor->sockets_named && i < DOCTOR_ENDPOINTS;
	     i++) {
		snprintf(path, sizeof(path), SOCKET_FOLDER "/%s.sock",
		    doctor_endpoints[i]);
		if (add_socket(doctor, path) == -1)
			return -1;
	}
	if (doctor->programs == NULL)
		doctor->programs = programs_folder();
	return doctor->programs != NULL ?
	    0 :
	    misuse("--programs FOLDER is needed", "");
}

/* Returns whether all was done that could be. */
static bool
examine(struct doctor *doctor)
{
	doctor_report_start(doctor);
	/* As a web server starts them: a .env of the caller's is not theirs. */
	if (chdir(doctor->programs) == -1)
		doctor_skip(doctor, "settings", "%s cannot be entered",
		    doctor->programs);
	doctor_check_settings(doctor);
	doctor_check_programs(doctor);
	doctor_check_sockets(doctor);
	doctor_check_agora(doctor);
	doctor_check_site(doctor);
	return doctor_report_finish(doctor) == 0;
}

static int
read_options(struct doctor *doctor, int argc, char *argv[])
{
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		if (option == CODES) {
			doctor_print_codes();
			exit(TOOL_GOOD);
		}
		if (take_option(doctor, option, optarg) == -1)
			return -1;
	}
	if (optind < argc)
		return misuse("what is ", argv[optind]);
	return 0;
}

int
doctor_run(int argc, char *argv[])
{
	char *sockets[SOCKETS_MAX];
	struct doctor doctor = { .sockets = sockets };
	int status = TOOL_USAGE;

	log_set_level(LOG_LEVEL_NONE);
	if (read_options(&doctor, argc, argv) == 0 &&
	    set_defaults(&doctor) == 0)
		status = examine(&doctor) && doctor.problems == 0 ? TOOL_GOOD :
								    TOOL_BAD;
	settings_free(doctor.settings);
	for (size_t i = 0; i < doctor.sockets_len; i++)
		free(sockets[i]);
	free(doctor.programs);
	return status;
}
