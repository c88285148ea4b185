/*
 * The site's routes, from outside, as a browser asks for them. A start without
 * a channel is refused before anything is done, and so is a stop without an
 * agent.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/buf.h"
#include "common/dotenv.h"
#include "common/fail.h"
#include "common/http.h"
#include "common/json.h"
#include "common/list.h"
#include "common/loop.h"
#include "common/settings.h"
#include "deploy/tool/doctor.h"

#define SITE_LINE_MAX 4096 /* bytes of a URL or a header */
#define TIMEOUT_MS 5000    /* nothing that is asked takes time */
#define NO_SETTINGS "Service not properly configured"

struct site {
	struct doctor *doctor;
	struct loop *loop;
	struct http *http;
	char *base;     /* without a slash at its end */
	size_t top_len; /* bytes of it: scheme and host */
	char *origin;
	bool origin_known; /* it is of a page that is to call */
	bool there;        /* a web server answers */
	bool good;         /* so far */
};

struct question {
	const char *method;
	const char *path;
	bool top;         /* of the host's top folder, not of the site's */
	const char *body; /* or NULL */
	const char *authorization; /* or NULL */
	const char *const *more;   /* headers, besides Origin; or NULL */
};

/* An answer, and what was asked. */
struct reply {
	struct buf url;
	enum http_outcome outcome;
	int status;
	struct buf body;
	char type[128];     /* Content-Type, "" if there is none */
	char location[256]; /* the same */
	char allowed[256];  /* Access-Control-Allow-Origin, the first */
	size_t origins;     /* how many of that there are */
	char headers[256];  /* Access-Control-Allow-Headers */
	bool credentials;   /* Access-Control-Allow-Credentials */
	char error[160];
	struct loop *loop;
};

/* ---- asking ---------------------------------------------------------------- */

static void
copy_header(const struct http_result *result, const char *name, char *out,
    size_t size)
{
	const char *value = http_header(result, name, 0);

	snprintf(out, size, "%s", value != NULL ? value : "");
}

static void
answered(void *arg, const struct http_result *result)
{
	static const char allow[] = "Access-Control-Allow-Origin";
	struct reply *reply = arg;

	reply->outcome = result->outcome;
	reply->status = result->status;
	if (result->body != NULL)
		buf_add(&reply->body, result->body, result->body_len);
	copy_header(result, "Content-Type", reply->type, sizeof(reply->type));
	copy_header(result, "Location", reply->location,
	    sizeof(reply->location));
	copy_header(result, allow, reply->allowed, sizeof(reply->allowed));
	copy_header(result, "Access-Control-Allow-Headers", reply->headers,
	    sizeof(reply->headers));
	while (http_header(result, allow, reply->origins) != NULL)
		reply->origins++;
	reply->credentials =
	    http_header(result, "Access-Control-Allow-Credentials", 0) != NULL;
	memcpy(reply->error, result->error, sizeof(reply->error));
	loop_stop(reply->loop);
}

/* Fills ${reply}, whose body the caller frees. */
static void
ask(struct site *site, const struct question *question, struct reply *reply)
{
	struct buf origin = BUF(SITE_LINE_MAX);
	const char *headers[4] = { NULL };
	struct http_request request = { .method = question->method,
		.authorization = question->authorization,
		.content_type =
		    question->body != NULL ? "application/json" : NULL,
		.body = question->body,
		.body_len = question->body != NULL ? strlen(question->body) : 0,
		.timeout_ms = TIMEOUT_MS,
		.plain = true,
		.headers = headers };
	struct fail fail = { 0 };

	*reply = (struct reply){ .outcome = HTTP_NO_MEMORY,
		.url = BUF(SITE_LINE_MAX),
		.body = BUF(HTTP_BODY_MAX),
		.loop = site->loop };
	buf_add(&reply->url, site->base,
	    question->top ? site->top_len : strlen(site->base));
	buf_text(&reply->url, question->path);
	buf_format(&origin, "Origin: %s", site->origin);
	request.url = buf_str(&reply->url);
	headers[0] = buf_str(&origin);
	for (size_t i = 0; i < 2 && question->more != NULL; i++)
		headers[i + 1] = question->more[i];
	if (http_start(site->http, &request, answered, reply, &fail) == -1 ||
	    loop_run(site->loop) == -1)
		snprintf(reply->error, sizeof(reply->error), "%s",
		    "it could not be asked");
	buf_free(&origin);
}

static void
reply_free(struct reply *reply)
{
	buf_free(&reply->url);
	buf_free(&reply->body);
}

/* ---- one answer ------------------------------------------------------------ */

static bool
is_json(const struct reply *reply)
{
	static const char type[] = "application/json";
	struct json *json =
	    json_parse(buf_str(&reply->body), reply->body.len, NULL);
	bool good = json_kind(json) == JSON_OBJECT &&
	    strncasecmp(reply->type, type, sizeof(type) - 1) == 0;

	json_free(json);
	return good;
}

/* The detail of an error, to ${detail}; "" if there is none. */
static void
read_detail(const struct reply *reply, char detail[static FAIL_TEXT_SIZE])
{
	struct json *json =
	    json_parse(buf_str(&reply->body), reply->body.len, NULL);
	const char *text = json_text(json, "detail");

	snprintf(detail, FAIL_TEXT_SIZE, "%s", text != NULL ? text : "");
	json_free(json);
}

static bool
is_program(const struct reply *reply)
{
	return reply->body.len >= 4 &&
	    memcmp(buf_str(&reply->body), "\177ELF", 4) == 0;
}

/* A web server is there; a page may be longer than any answer of ours. */
static bool
is_reached(const struct reply *reply)
{
	return reply->outcome == HTTP_ANSWERED ||
	    reply->outcome == HTTP_TOO_LARGE;
}

/* There is no answer, or none that was read to its end. */
static void
say_unanswered(struct doctor *doctor, const struct reply *reply)
{
	enum doctor_code code = DOCTOR_URL_UNREACHABLE;

	if (reply->outcome == HTTP_TOO_LARGE)
		code = DOCTOR_URL_NOT_JSON;
	else if (reply->outcome == HTTP_UNTRUSTED)
		code = DOCTOR_URL_CERTIFICATE;
	else if (reply->outcome == HTTP_BROKEN)
		code = DOCTOR_URL_TIMEOUT;
	doctor_find(doctor, code, buf_str(&reply->url), "%s", reply->error);
}

/* What a status that is no answer of ours is called. */
static enum doctor_code
code_of(const struct reply *reply, const char *detail)
{
	switch (reply->status) {
	case 404:
		return DOCTOR_URL_MISSING;
	case 502:
	case 503:
		return DOCTOR_URL_DOWN;
	case 504:
		return DOCTOR_URL_TIMEOUT;
	case 500:
		return strncmp(detail, NO_SETTINGS, strlen(NO_SETTINGS)) == 0 ?
		    DOCTOR_URL_UNCONFIGURED :
		    DOCTOR_URL_ERROR;
	default:
		return DOCTOR_URL_STATUS;
	}
}

/* Answers whether that is because of something that was said already. */
static bool
follows(const struct doctor *doctor, enum doctor_code code)
{
	if (code == DOCTOR_URL_UNCONFIGURED)
		return doctor->settings_bad || doctor->backend_bad;
	return (code == DOCTOR_URL_DOWN || code == DOCTOR_URL_TIMEOUT ||
		   code == DOCTOR_URL_ERROR) &&
	    doctor->backend_bad;
}

static void
say_status(struct doctor *doctor, const struct reply *reply)
{
	char detail[FAIL_TEXT_SIZE];
	enum doctor_code code;

	read_detail(reply, detail);
	code = code_of(reply, detail);
	if (follows(doctor, code))
		doctor_skip(doctor, "site",
		    "%s: HTTP %d, which follows from "
		    "the above",
		    buf_str(&reply->url), reply->status);
	else
		doctor_find(doctor, code, buf_str(&reply->url), "HTTP %d%s%s",
		    reply->status, *detail != '\0' ? ": " : "", detail);
}

/*
 * ${status} is what the program says to such a request. It, or the web server,
 * may want a log-in first, may count, and may serve listed pages only.
 */
static bool
is_expected(const struct site *site, const struct reply *reply, int status)
{
	char detail[FAIL_TEXT_SIZE];

	if (reply->status == status || reply->status == 401 ||
	    reply->status == 429)
		return true;
	read_detail(reply, detail);
	return reply->status == 403 && !site->origin_known &&
	    strstr(detail, "pages of this origin") != NULL;
}

/* Answers whether a program of ours said it; says why not. */
static bool
reply_good(struct site *site, const struct reply *reply, int status)
{
	struct doctor *doctor = site->doctor;

	if (is_program(reply))
		doctor_find(doctor, DOCTOR_URL_DOWNLOAD, buf_str(&reply->url),
		    "an executable file");
	else if (reply->outcome != HTTP_ANSWERED)
		say_unanswered(doctor, reply);
	else if (reply->status >= 300 && reply->status < 400)
		doctor_find(doctor, DOCTOR_URL_REDIRECT, buf_str(&reply->url),
		    "HTTP %d to %s", reply->status, reply->location);
	else if (!is_expected(site, reply, status))
		say_status(doctor, reply);
	else if (!is_json(reply))
		doctor_find(doctor, DOCTOR_URL_NOT_JSON, buf_str(&reply->url),
		    "HTTP %d, Content-Type \"%s\"", reply->status, reply->type);
	else
		return true;
	return false;
}

/* ---- CORS ------------------------------------------------------------------ */

static bool
cors_good(struct site *site, const struct reply *reply)
{
	struct doctor *doctor = site->doctor;
	bool any = strcmp(reply->allowed, "*") == 0;

	if (reply->origins == 0 && !site->origin_known)
		doctor_find(doctor, DOCTOR_URL_CORS_NONE, buf_str(&reply->url),
		    "HTTP %d, no Access-Control-Allow-Origin for %s",
		    reply->status, site->origin);
	else if (reply->origins != 1)
		doctor_find(doctor, DOCTOR_URL_CORS, buf_str(&reply->url),
		    "HTTP %d, Access-Control-Allow-Origin %zu times",
		    reply->status, reply->origins);
	else if (!any && strcmp(reply->allowed, site->origin) != 0)
		doctor_find(doctor, DOCTOR_URL_CORS, buf_str(&reply->url),
		    "HTTP %d, Access-Control-Allow-Origin: %s, for a page of "
		    "%s",
		    reply->status, reply->allowed, site->origin);
	else if (any && reply->credentials)
		doctor_find(doctor, DOCTOR_URL_CORS, buf_str(&reply->url),
		    "HTTP %d, Access-Control-Allow-Credentials with *",
		    reply->status);
	else
		return true;
	return false;
}

/* Answers whether the ${list} of header names allows Content-Type. */
static bool
lists_content_type(const char *list)
{
	static const char name[] = "Content-Type";
	const char *item;
	size_t len;

	while ((item = list_next(&list, &len)) != NULL)
		if ((len == 1 && *item == '*') ||
		    (len == sizeof(name) - 1 &&
			strncasecmp(item, name, len) == 0))
			return true;
	return false;
}

/* What a browser asks before it sends JSON from another host's page. */
static bool
preflight_good(struct site *site, const char *path)
{
	static const char *const more[] = {
		"Access-Control-Request-Method: POST",
		"Access-Control-Request-Headers: content-type"
	};
	const struct question question = { .method = "OPTIONS",
		.path = path,
		.more = more };
	struct reply reply;
	bool good;

	ask(site, &question, &reply);
	good = reply.outcome == HTTP_ANSWERED && reply.status / 100 == 2 &&
	    reply.origins == 1 && lists_content_type(reply.headers);
	if (!good)
		doctor_find(site->doctor, DOCTOR_URL_PREFLIGHT,
		    buf_str(&reply.url),
		    "OPTIONS: HTTP %d, Access-Control-Allow-Origin %zu times, "
		    "Access-Control-Allow-Headers: %s",
		    reply.status, reply.origins, reply.headers);
	reply_free(&reply);
	return good;
}

/* ---- the routes ------------------------------------------------------------ */

static bool
route_good(struct site *site, const struct question *question, int status)
{
	struct reply reply;
	bool good;

	ask(site, question, &reply);
	good = reply_good(site, &reply, status) && cors_good(site, &reply);
	reply_free(&reply);
	return good;
}

/*
 * Asks for the program beside its route, where Apache runs what lies in a
 * folder, and sees whether it is handed out, and whether anybody is there.
 */
static void
check_presence(struct site *site)
{
	static const struct question question = { .method = "GET",
		.path = "/get_config.fcgi" };
	struct reply reply;

	ask(site, &question, &reply);
	site->good = false;
	site->there = true;
	if (is_program(&reply)) {
		doctor_find(site->doctor, DOCTOR_URL_DOWNLOAD,
		    buf_str(&reply.url), "an executable file");
	} else if (!is_reached(&reply)) {
		say_unanswered(site->doctor, &reply);
		site->there = false;
	} else {
		site->good = true;
	}
	reply_free(&reply);
}

static void
check_routes(struct site *site)
{
	static const struct question config = { .method = "GET",
		.path = "/get_config" };
	static const struct question start = { .method = "POST",
		.path = "/v2/startAgent",
		.body = "{}" };
	static const struct question stop = { .method = "POST",
		.path = "/v2/stopAgent",
		.body = "{}" };

	/* What is wrong with the first is wrong with all, most of the time. */
	site->good = site->good && route_good(site, &config, 200) &&
	    route_good(site, &start, 400) && route_good(site, &stop, 400) &&
	    preflight_good(site, start.path);
	if (site->good)
		doctor_good(site->doctor, "site",
		    "%s: three routes answer in JSON, with CORS", site->base);
}

/* ---- what must not be handed out, and what must be handed on --------------- */

static bool
has_settings(const struct buf *text)
{
	const struct settings_entry *entry;
	struct dotenv env = { 0 };
	bool found = false;

	if (dotenv_parse(&env, buf_str(text), text->len, NULL, NULL, NULL) ==
	    -1)
		return false;
	for (size_t i = 0; (entry = settings_entry_at(i)) != NULL; i++)
		found |= dotenv_get(&env, entry->name) != NULL ||
		    (entry->alias != NULL &&
			dotenv_get(&env, entry->alias) != NULL);
	dotenv_free(&env);
	return found;
}

/* Answers whether there are settings; says so. */
static bool
is_exposed(struct site *site, const struct question *question)
{
	struct reply reply;
	bool exposed;

	ask(site, question, &reply);
	exposed = reply.status == 200 && has_settings(&reply.body);
	if (exposed)
		doctor_find(site->doctor, DOCTOR_ENV_EXPOSED,
		    buf_str(&reply.url), "HTTP 200, with settings in it");
	reply_free(&reply);
	return exposed;
}

static void
check_exposure(struct site *site)
{
	static const struct question questions[] = {
		{ .method = "GET", .path = "/.env" },
		{ .method = "GET", .path = "/.env.local" },
		{ .method = "GET", .path = "/env" },
		{ .method = "GET", .path = "/.env", .top = true },
	};
	size_t len = sizeof(questions) / sizeof(questions[0]);
	size_t exposed = 0;

	if (site->top_len == strlen(site->base))
		len--; /* the last is the first */
	for (size_t i = 0; i < len; i++)
		exposed += is_exposed(site, &questions[i]);
	if (exposed == 0)
		doctor_good(site->doctor, "site",
		    "no settings file is handed out");
}

/*
 * A wrong key or token is refused in other words than none at all, before
 * anything is done.
 */
static void
check_authorization(struct site *site)
{
	static const struct question key = { .method = "GET",
		.path = "/get_config",
		.authorization = "Bearer agora-agent-doctor" };
	static const struct question token = { .method = "POST",
		.path = "/v2/stopAgent",
		.body = "{\"channelName\":\"agora-agent-doctor\","
			"\"agentId\":\"agora-agent-doctor\"}",
		.authorization = "agora token=agora-agent-doctor" };
	const struct settings *settings = site->doctor->settings;
	char detail[FAIL_TEXT_SIZE];
	struct reply reply;

	if (settings == NULL ||
	    (settings->api_keys.len == 0 && !settings->require_token)) {
		doctor_skip(site->doctor, "site",
		    "Authorization is not needed: neither API_KEYS nor "
		    "REQUIRE_TOKEN is set");
		return;
	}
	ask(site, settings->api_keys.len > 0 ? &key : &token, &reply);
	read_detail(&reply, detail);
	if (reply.status == 401 && strstr(detail, "required") != NULL)
		doctor_find(site->doctor, DOCTOR_AUTHORIZATION_DROPPED,
		    buf_str(&reply.url), "HTTP 401: %s", detail);
	else
		doctor_good(site->doctor, "site",
		    "Authorization reaches the program");
	reply_free(&reply);
}

/* ---- putting it together --------------------------------------------------- */

/*
 * What the pages are from: as the option says, the first that may call, or the
 * site itself. The caller frees it; NULL when out of memory.
 */
static char *
choose_origin(struct site *site)
{
	const struct settings *settings = site->doctor->settings;
	const char *listed = settings != NULL ? settings->allowed_origins : "";
	size_t len;

	site->origin_known = true;
	if (site->doctor->origin != NULL)
		return strdup(site->doctor->origin);
	if (*listed != '\0') {
		listed = list_next(&listed, &len);
		return strndup(listed, len);
	}
	site->origin_known = false;
	return strndup(site->base, site->top_len);
}

static void
check_all(struct site *site)
{
	check_presence(site);
	check_routes(site);
	if (site->there)
		check_exposure(site);
	if (site->good)
		check_authorization(site);
}

void
doctor_check_site(struct doctor *doctor)
{
	struct site site = { .doctor = doctor };
	struct fail fail = { .text = "out of memory" };
	size_t len;

	if (doctor->url == NULL) {
		doctor_skip(doctor, "site",
		    "--url https://… of the site was not given");
		return;
	}
	for (len = strlen(doctor->url); doctor->url[len - 1] == '/'; len--)
		;
	site.base = strndup(doctor->url, len);
	site.top_len = strcspn(doctor->url, ":") + 3; /* "://" */
	site.top_len += strcspn(doctor->url + site.top_len, "/");
	if (site.base != NULL)
		site.origin = choose_origin(&site);
	if (site.origin != NULL)
		site.loop = loop_new();
	if (site.loop != NULL)
		site.http = http_new(site.loop, &fail);
	if (site.http == NULL)
		doctor_skip(doctor, "site", "cannot be asked: %s", fail.text);
	else
		check_all(&site);
	http_free(site.http);
	loop_free(site.loop);
	free(site.base);
	free(site.origin);
}
