/*
 * agora-agent doctor: finds out why an installation does not work. It looks,
 * and changes nothing; it starts no agent.
 */
#ifndef DEPLOY_TOOL_DOCTOR_H
#define DEPLOY_TOOL_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct json;
struct settings;

/* What can be wrong. The words for it are in doctor_codes.c. */
enum doctor_code {
	DOCTOR_SETTINGS_MISSING,
	DOCTOR_SETTINGS_UNREADABLE,
	DOCTOR_SETTINGS_MODE,
	DOCTOR_SETTINGS_FOLDER,
	DOCTOR_SETTINGS_OWNER,
	DOCTOR_SETTINGS_GROUP,
	DOCTOR_SETTINGS_WEBROOT,
	DOCTOR_SETTINGS_LINE,
	DOCTOR_SETTINGS_VALUE,
	DOCTOR_SETTINGS_TWICE,
	DOCTOR_APP_ID_SHAPE,
	DOCTOR_CERTIFICATE_SHAPE,
	DOCTOR_AGENT_FILE,
	DOCTOR_PROGRAM_MISSING,
	DOCTOR_PROGRAM_MODE,
	DOCTOR_PROGRAM_LIBRARY,
	DOCTOR_PROGRAM_CGI,
	DOCTOR_SOCKET_MISSING,
	DOCTOR_SOCKET_REFUSED,
	DOCTOR_SOCKET_PERMISSION,
	DOCTOR_SOCKET_BUSY,
	DOCTOR_SOCKET_MODE,
	DOCTOR_SOCKET_SILENT,
	DOCTOR_SOCKET_ANSWER,
	DOCTOR_SERVICE_UNCONFIGURED,
	DOCTOR_DNS,
	DOCTOR_DNS_PARTLY,
	DOCTOR_CA_BUNDLE,
	DOCTOR_AGORA_UNREACHABLE,
	DOCTOR_CLOCK,
	DOCTOR_CREDENTIALS,
	DOCTOR_SERVICE_NOT_ENABLED,
	DOCTOR_AREA,
	DOCTOR_AGORA_REFUSED,
	DOCTOR_URL_UNREACHABLE,
	DOCTOR_URL_CERTIFICATE,
	DOCTOR_URL_REDIRECT,
	DOCTOR_URL_DOWNLOAD,
	DOCTOR_URL_MISSING,
	DOCTOR_URL_DOWN,
	DOCTOR_URL_TIMEOUT,
	DOCTOR_URL_ERROR,
	DOCTOR_URL_UNCONFIGURED,
	DOCTOR_URL_STATUS,
	DOCTOR_URL_NOT_JSON,
	DOCTOR_URL_CORS,
	DOCTOR_URL_CORS_NONE,
	DOCTOR_URL_PREFLIGHT,
	DOCTOR_ENV_EXPOSED,
	DOCTOR_AUTHORIZATION_DROPPED,
	DOCTOR_CODES
};

struct doctor_code_text {
	const char *name;  /* never changes: scripts know it */
	bool warning;      /* works all the same, for now */
	const char *cause; /* one sentence */
	const char
	    *cure; /* what to type; "{}": the subject, "{name}": its name */
};

extern const struct doctor_code_text doctor_codes[DOCTOR_CODES];

#define DOCTOR_ENDPOINTS 3
extern const char *const doctor_endpoints[DOCTOR_ENDPOINTS];

/* One examination: what was asked for, and what came of it. */
struct doctor {
	/* As the options say, or by default. */
	bool json_wanted;
	bool offline;
	const char *url;    /* of the site, or NULL */
	const char *origin; /* of the pages that call, or NULL */
	char *programs;     /* the folder, a full path */
	char **sockets;     /* full paths */
	size_t sockets_len;
	bool sockets_named; /* by options */

	/* The user that the web server runs as; NULL: no such user. */
	const char *web_user;
	uid_t web_uid;
	gid_t web_gid;
	bool become; /* we can, and do */

	struct settings *settings; /* NULL: not usable */

	size_t problems;
	bool settings_bad; /* there are problems with them */
	bool backend_bad;  /* with programs or sockets: the site's follow */
	struct json *findings, *checks;
};

/* ---- doctor_report.c ----------------------------------------------------- */

/* Something is wrong with ${subject}; the rest is what was seen. */
void doctor_find(struct doctor *doctor, enum doctor_code code,
    const char *subject, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The same, but it works all the same. */
void doctor_warn(struct doctor *doctor, enum doctor_code code,
    const char *subject, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* ${check} came out well, or could not be made; the rest says how or why. */
void doctor_good(struct doctor *doctor, const char *check, const char *format,
    ...) __attribute__((format(printf, 3, 4)));
void doctor_skip(struct doctor *doctor, const char *check, const char *format,
    ...) __attribute__((format(printf, 3, 4)));

/* Starts and ends the report. finish returns -1 when memory ran out. */
void doctor_report_start(struct doctor *doctor);
int doctor_report_finish(struct doctor *doctor);

/* All codes with their cause and cure, a line each with tabs between. */
void doctor_print_codes(void);

/* ---- what is looked at ---------------------------------------------------- */

void doctor_check_settings(struct doctor *doctor);
void doctor_check_programs(struct doctor *doctor);
void doctor_check_sockets(struct doctor *doctor);
void doctor_check_agora(struct doctor *doctor);
void doctor_check_site(struct doctor *doctor);

#endif
