/*
 * Who may call. Input, in pieces: which settings are there ("k" API_KEYS, "o"
 * ALLOWED_ORIGINS, "t" REQUIRE_TOKEN), then variables, one a line.
 */
#include <string.h>

#include "common/fail.h"
#include "common/settings.h"
#include "common/shared.h"
#include "common/token.h"
#include "common/utf8.h"
#include "fcgi/endpoint.h"
#include "fcgi/exchange.h"
#include "fcgi/gate.h"
#include "fcgi/service.h"
#include "world.h"

#define KEY_1 "first-key-0123456789"
#define KEY_2 "second/key+0123456789=="
#define ORIGIN "https://shop.example"
#define CHANNEL "demo"
#define UID "1234567"
#define LIMIT 2 /* starts */

static const struct endpoint endpoint = { .name = "fuzz", .method = "POST" };
static struct service service;
static struct settings all_off;

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	char no_settings[32];
	struct fail fail = { 0 };

	(void)argc;
	(void)argv;
	world_reset();
	snprintf(no_settings, sizeof(no_settings), "/proc/self/fd/%d",
	    world_file(-1));
	setenv("AGORA_ENV_FILE", no_settings, 1);
	setenv("APP_ID", WORLD_APP_ID, 1);
	setenv("APP_CERTIFICATE", WORLD_CERTIFICATE, 1);
	setenv("API_KEYS", KEY_1 "," KEY_2, 1);
	setenv("ALLOWED_ORIGINS", ORIGIN ",https://b.example:8443", 1);
	setenv("START_LIMIT", "2/60", 1);
	CHECK(service_open(&service, &endpoint, &fail) == 0);
	CHECK(service.settings->usable);
	all_off = *service.settings;
	all_off.api_keys.len = 0;
	all_off.allowed_origins = all_off.api_base_url; /* "" */
	return 0;
}

/* Whether all variables ${name} that have a value have the same one. */
static bool
agree(char **params, const char *name, const char **value)
{
	size_t len = strlen(name);
	bool same = true;

	for (*value = NULL; *params != NULL; params++) {
		if (strncmp(*params, name, len) != 0)
			continue;
		same = same &&
		    (*value == NULL || strcmp(*value, *params + len) == 0);
		*value = *params + len;
	}
	return same;
}

static void
check_credentials(char **params, const char *lines, bool keys)
{
	const char *value;

	CHECK(agree(params, "HTTP_AUTHORIZATION=", &value));
	CHECK(agree(params, "HTTP_X_API_KEY=", &value));
	CHECK(agree(params, "HTTP_X_AGORA_TOKEN=", &value));
	CHECK(!keys || strstr(lines, KEY_1) != NULL ||
	    strstr(lines, KEY_2) != NULL);
}

static void
check_origin(char **params)
{
	const char *origin;

	CHECK(agree(params, "HTTP_ORIGIN=", &origin));
	CHECK(origin == NULL || *origin == '\0' ||
	    strcmp(origin, ORIGIN) == 0 ||
	    strcmp(origin, "https://b.example:8443") == 0);
}

static void
check_refusal(const struct fail *fail)
{
	CHECK(fail->kind == FAIL_UNAUTHORIZED || fail->kind == FAIL_FORBIDDEN ||
	    fail->kind == FAIL_BAD_INPUT || fail->kind == FAIL_LIMIT);
	CHECK(utf8_valid(fail->text, strlen(fail->text)));
	CHECK(strstr(fail->text, KEY_1) == NULL);
	CHECK(strstr(fail->text, KEY_2) == NULL);
	CHECK(strstr(fail->text, "007") == NULL);
}

static void
check_token(const struct exchange *exchange)
{
	const char *token = exchange->request.token;
	struct fail fail = { 0 };

	if (gate_token(exchange, service.settings, CHANNEL, UID, &fail) == 0)
		CHECK(token_verify(token, WORLD_APP_ID, WORLD_CERTIFICATE,
		    CHANNEL, UID, WORLD_NOW));
	else
		check_refusal(&fail);
	fail = (struct fail){ 0 };
	if (gate_token(exchange, service.settings, CHANNEL, NULL, &fail) == 0)
		CHECK(strncmp(token, "007", 3) == 0);
	CHECK(gate_token(exchange, service.settings, NULL, NULL, &fail) == -1);
}

/* So many, and not one more, whatever the address is. */
static void
check_limit(const struct exchange *exchange)
{
	struct fail fail = { 0 };
	int i;

	service.shared = shared_open(NULL, NULL);
	CHECK(service.shared != NULL);
	for (i = 0; i < LIMIT; i++)
		CHECK(gate_count_start(exchange, service.settings, &fail) == 0);
	CHECK(gate_count_start(exchange, service.settings, &fail) == -1);
	check_refusal(&fail);
	CHECK(fail.retry_after >= 1 && fail.retry_after <= 60);
	shared_close(service.shared);
	service.shared = NULL;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings on = *service.settings, *kept = service.settings;
	struct exchange exchange = { .service = &service,
		.request.now = WORLD_NOW };
	char *params[WORLD_PARAMS_MAX], *letters, *lines;
	struct fail fail = { 0 };
	size_t len;

	world_reset();
	letters = world_piece(&data, &size, &len);
	lines = world_piece(&data, &size, &len);
	world_params(lines, params);
	on.require_token = strchr(letters, 't') != NULL;
	if (strchr(letters, 'k') == NULL)
		on.api_keys = all_off.api_keys;
	if (strchr(letters, 'o') == NULL)
		on.allowed_origins = all_off.allowed_origins;
	service.settings = &on;
	if (gate_enter(&exchange, params, &fail) == -1) {
		check_refusal(&fail);
	} else {
		if (on.api_keys.len > 0 || on.require_token)
			check_credentials(params, lines, on.api_keys.len > 0);
		if (*on.allowed_origins != '\0')
			check_origin(params);
		if (on.require_token)
			check_token(&exchange);
		check_limit(&exchange);
	}
	service.settings = kept;
	world_params_free(params);
	free(letters);
	free(lines);
	return 0;
}
