/*
 * A program as CGI: variables and body of a request, and what Agora says.
 * Linked once with each endpoint, whose main() is renamed.
 *
 * Input, in pieces: settings ("i" CHANNELS=issued, "t" REQUIRE_TOKEN);
 * variables, one a line; the body; then the answers of Agora (upstream.h).
 */
#include <string.h>
#include <unistd.h>

#include "common/ascii.h"
#include "common/fail.h"
#include "common/json.h"
#include "common/settings.h"
#include "common/shared.h"
#include "common/utf8.h"
#include "fcgi/cgi.h"
#include "fcgi/endpoint.h"
#include "fcgi/params.h"
#include "fcgi/program.h"
#include "fcgi/service.h"
#include "upstream.h"
#include "world.h"

int endpoint_main(int argc, char *argv[]);

static struct service service;

/* Called by the endpoint's main(): here it only says which one it is. */
int
program_main(int argc, char *argv[], const struct endpoint *endpoint)
{
	struct fail fail = { 0 };

	(void)argc;
	(void)argv;
	CHECK(service_open(&service, endpoint, &fail) == 0);
	CHECK(service.settings->usable);
	return 0;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char no_settings[32];

	world_reset();
	upstream_feed(NULL, 0);
	snprintf(no_settings, sizeof(no_settings), "/proc/self/fd/%d",
	    world_file(-1));
	world_file(STDIN_FILENO);
	setenv("AGORA_ENV_FILE", no_settings, 1);
	setenv("APP_ID", WORLD_APP_ID, 1);
	setenv("APP_CERTIFICATE", WORLD_CERTIFICATE, 1);
	setenv("AGENT_INSTRUCTIONS", WORLD_CANARY, 1);
	setenv("LOG_LEVEL", "debug", 1);
	return endpoint_main(*argc, *argv);
}

/* The value of the header field ${name} (with ": ") before ${end}. */
static const char *
field(const char *head, const char *end, const char *name)
{
	size_t len = strlen(name);
	const char *at;

	for (at = head; at < end; at = strstr(at, "\r\n") + 2)
		if (strncmp(at, name, len) == 0)
			return at + len;
	return NULL;
}

static void
check_envelope(const char *body, size_t len, long status)
{
	struct json *json = json_parse(body, len, NULL);
	const char *detail = json_text(json, "detail");

	CHECK(utf8_valid(body, len));
	CHECK(json_kind(json) == JSON_OBJECT);
	CHECK(json_text(json, "msg") != NULL);
	CHECK(json_kind(json_member(json, "code")) == JSON_INT);
	CHECK(world_has(body, len, "{\"code\":0,") == (status == 200));
	CHECK((detail != NULL && *detail != '\0') == (status != 200));
	CHECK((json_text(json, "request_id") != NULL) == (status != 200));
	json_free(json);
}

/* One whole answer, that a web server reads as we mean it. */
static void
check_answer(bool head_only)
{
	size_t len, i, body_len;
	const char *answer = world_output(&len);
	const char *head_end = strstr(answer, "\r\n\r\n");
	const char *body = head_end + 4;
	long status;

	CHECK(strlen(answer) == len);
	CHECK(head_end != NULL);
	for (i = 0; answer + i < head_end; i++)
		CHECK(ascii_is_print(answer[i]) ||
		    (answer[i] == '\r' && answer[i + 1] == '\n') ||
		    (answer[i] == '\n' && answer[i - 1] == '\r'));
	body_len = len - (size_t)(body - answer);
	CHECK(strncmp(answer, "Status: ", 8) == 0);
	status = strtol(answer + 8, NULL, 10);
	CHECK(status == 200 || (status >= 400 && status < 600));
	CHECK(field(answer, body, "X-Request-Id: ") != NULL);
	CHECK(strncmp(field(answer, body, "Content-Type: "),
		  "application/json\r\n", 18) == 0);
	if (head_only) {
		CHECK(body_len == 0);
	} else {
		CHECK(strtoul(field(answer, body, "Content-Length: "), NULL,
			  10) == body_len);
		check_envelope(body, body_len, status);
	}
	CHECK(!world_has(answer, len, WORLD_CERTIFICATE));
	CHECK(!world_has(answer, len, WORLD_CANARY));
}

/* Nothing is left of the last input: claims, hosts that failed, budgets. */
static void
start_anew(void)
{
	struct fail fail = { 0 };

	shared_close(service.shared);
	service.shared = shared_open(NULL, NULL);
	CHECK(service.shared != NULL);
	if (service.endpoint->open == NULL)
		return;
	service.endpoint->close(service.agora);
	service.agora = service.endpoint->open(service.loop, &fail);
	CHECK(service.agora != NULL);
}

/* One request; ${settings}, ${lines} and ${body} are pieces of the input. */
static void
run(const char *settings, const char *lines, const char *body, size_t body_len)
{
	char *params[WORLD_PARAMS_MAX];
	const char *method;

	world_params(lines, params);
	world_write(STDIN_FILENO, body, body_len);
	service.settings->channels_issued = strchr(settings, 'i') != NULL;
	service.settings->require_token = strchr(settings, 't') != NULL;
	service.settings_checked = 0;
	start_anew();
	world_one_process = true;
	CHECK(cgi_serve(&service, params) == 0);
	world_one_process = false;
	CHECK(upstream_open() == 0);
	method = params_get(params, "REQUEST_METHOD");
	check_answer(method != NULL && strcmp(method, "HEAD") == 0);
	world_params_free(params);
}

/* A client that knows our secrets may hear them again. */
static bool
knows_secrets(const char *lines, const char *body, size_t body_len)
{
	return strstr(lines, WORLD_CANARY) != NULL ||
	    world_has(body, body_len, WORLD_CANARY);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *settings, *lines, *body;
	size_t len, body_len;

	if (world_has((const char *)data, size, WORLD_CERTIFICATE))
		return 0;
	world_reset();
	settings = world_piece(&data, &size, &len);
	lines = world_piece(&data, &size, &len);
	body = world_piece(&data, &size, &body_len);
	upstream_feed(data, size);
	if (!knows_secrets(lines, body, body_len))
		run(settings, lines, body, body_len);
	free(settings);
	free(lines);
	free(body);
	return 0;
}
