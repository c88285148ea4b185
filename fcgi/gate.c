#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/apikeys.h"
#include "common/fail.h"
#include "common/limit.h"
#include "common/origins.h"
#include "common/secret.h"
#include "common/settings.h"
#include "common/shared.h"
#include "common/sys.h"
#include "common/token.h"
#include "fcgi/exchange.h"
#include "fcgi/gate.h"
#include "fcgi/params.h"
#include "fcgi/service.h"

/* ---- headers ----------------------------------------------------------- */

/* The value of the CGI variable ${name}, NULL if there is none or no text. */
static const char *
header(char **params, const char *name)
{
	const char *value = params_get(params, name);

	return value != NULL && *value != '\0' ? value : NULL;
}

/* Answers whether ${name} comes once, or always with the same value. */
static bool
is_single(char **params, const char *name)
{
	const char *first = params_get(params, name);
	size_t len = strlen(name);

	for (; params != NULL && *params != NULL; params++)
		if (strncmp(*params, name, len) == 0 && (*params)[len] == '=' &&
		    strcmp(*params + len + 1, first) != 0)
			return false;
	return true;
}

/* Apache passes it under the second name after an internal redirect. */
static const char *
authorization(char **params)
{
	const char *value = header(params, "HTTP_AUTHORIZATION");

	return value != NULL ? value :
			       header(params, "REDIRECT_HTTP_AUTHORIZATION");
}

/* What is behind ${scheme} and spaces in ${value}; NULL: another scheme. */
static const char *
credentials(const char *value, const char *scheme)
{
	size_t len = strlen(scheme);

	if (value == NULL || strncasecmp(value, scheme, len) != 0 ||
	    value[len] != ' ')
		return NULL;
	return value + len + strspn(value + len, " ");
}

/* ---- keys -------------------------------------------------------------- */

/* Spaces around a key do not count. */
static bool
key_good(const struct apikeys *keys, const char *text)
{
	char key[APIKEYS_LEN_MAX + 1];
	size_t len;
	bool good;

	text += strspn(text, " ");
	len = strlen(text);
	while (len > 0 && text[len - 1] == ' ')
		len--;
	if (len >= sizeof(key))
		return false;
	memcpy(key, text, len);
	key[len] = '\0';
	good = apikeys_match(keys, key);
	secret_wipe(key, sizeof(key));
	return good;
}

static int
check_key(const struct settings *settings, char **params, struct fail *fail)
{
	const struct apikeys *keys = &settings->api_keys;
	const char *bearer = credentials(authorization(params), "Bearer");
	const char *api_key = header(params, "HTTP_X_API_KEY");

	if (keys->len == 0)
		return 0;
	if (bearer == NULL && api_key == NULL)
		return fail_set(fail, FAIL_UNAUTHORIZED,
		    "an API key is required, as Authorization: Bearer or "
		    "X-Api-Key");
	if ((bearer != NULL && !key_good(keys, bearer)) ||
	    (api_key != NULL && !key_good(keys, api_key)) ||
	    (bearer != NULL && api_key != NULL && strcmp(bearer, api_key) != 0))
		return fail_set(fail, FAIL_UNAUTHORIZED,
		    "this API key is not valid");
	return 0;
}

/* ---- pages ------------------------------------------------------------- */

/* Only browsers send the two headers, and no page can change them. */
static int
check_page(const struct settings *settings, char **params, struct fail *fail)
{
	const char *origin = header(params, "HTTP_ORIGIN");
	const char *site = header(params, "HTTP_SEC_FETCH_SITE");

	if (*settings->allowed_origins == '\0')
		return 0;
	if (origin == NULL &&
	    (site == NULL || strcasecmp(site, "cross-site") != 0))
		return 0;
	if (origin != NULL && is_single(params, "HTTP_ORIGIN") &&
	    origins_have(settings->allowed_origins, origin))
		return 0;
	return fail_set(fail, FAIL_FORBIDDEN,
	    "web pages of this origin may not call");
}

/* ---- tokens ------------------------------------------------------------ */

/* The token that was shown, "" if none, NULL if two headers disagree. */
static const char *
token_shown(char **params)
{
	const char *one = credentials(authorization(params), "agora");
	const char *two = header(params, "HTTP_X_AGORA_TOKEN");

	if (one != NULL && strncasecmp(one, "token=", 6) == 0)
		one += 6;
	else
		one = NULL;
	if (one != NULL && two != NULL && strcmp(one, two) != 0)
		return NULL;
	if (one == NULL)
		one = two;
	return one != NULL ? one : "";
}

/* Whom ${parsed} lets into ${channel}, by its own word; NULL: nobody. */
static const char *
account_of(const struct token_parsed *parsed, const char *channel)
{
	for (size_t i = 0; i < parsed->services; i++)
		if (parsed->service[i].type == TOKEN_RTC &&
		    strcmp(parsed->service[i].channel, channel) == 0)
			return parsed->service[i].account;
	return NULL;
}

/* As token_verify(), for whatever user the token names. */
static bool
token_of_channel(const char *token, const struct settings *settings,
    const char *channel, int64_t now)
{
	struct token_parsed parsed;
	const char *account = NULL;
	bool good = false;

	if (token_parse(token, &parsed, NULL) == 0)
		account = account_of(&parsed, channel);
	if (account != NULL)
		good = token_verify(token, settings->app_id,
		    settings->certificate.text, channel, account, now);
	secret_wipe(&parsed, sizeof(parsed));
	return good;
}

int
gate_token(const struct exchange *exchange, const struct settings *settings,
    const char *channel, const char *uid, struct fail *fail)
{
	const char *token = exchange->request.token;
	int64_t now = exchange->request.now;
	bool good;

	if (!settings->require_token)
		return 0;
	if (channel == NULL)
		return fail_set(fail, FAIL_BAD_INPUT,
		    "channelName is required, that of the token");
	if (*token == '\0')
		return fail_set(fail, FAIL_UNAUTHORIZED,
		    "the token from get_config is required, as Authorization: "
		    "agora token=… or X-Agora-Token");
	if (uid == NULL)
		good = token_of_channel(token, settings, channel, now);
	else
		good = token_verify(token, settings->app_id,
		    settings->certificate.text, channel, uid, now);
	if (!good)
		return fail_set(fail, FAIL_FORBIDDEN,
		    "this token is not the one that get_config gave out for "
		    "this channel and user, or has expired");
	return 0;
}

/* ---- how often --------------------------------------------------------- */

/*
 * Who shares a limit with ${address}: of IPv6 its /64, which is what a single
 * line gets and can choose addresses from at will.
 */
static void
name_network(const char *address, char name[static INET6_ADDRSTRLEN])
{
	struct in6_addr ip;

	if (inet_pton(AF_INET6, address, &ip) != 1) {
		snprintf(name, INET6_ADDRSTRLEN, "%s", address);
	} else if (IN6_IS_ADDR_V4MAPPED(&ip)) {
		inet_ntop(AF_INET, &ip.s6_addr[12], name, INET6_ADDRSTRLEN);
	} else {
		memset(&ip.s6_addr[8], 0, 8);
		inet_ntop(AF_INET6, &ip, name, INET6_ADDRSTRLEN);
	}
}

int
gate_count_start(const struct exchange *exchange,
    const struct settings *settings, struct fail *fail)
{
	char network[INET6_ADDRSTRLEN];
	struct shared *shared;
	int64_t wait;

	if (settings->start_limit.count == 0)
		return 0;
	shared = service_shared(exchange->service);
	if (shared == NULL)
		return fail_set(fail, FAIL_INTERNAL, "out of memory");
	/* Of one request there is nothing to count. */
	if (exchange->service->alone && exchange->service->single)
		return fail_set(fail, FAIL_CONFIG,
		    "START_LIMIT is set, but there is no folder to count in; "
		    "see STATE_DIR");
	name_network(exchange->request.peer, network);
	wait = limit_take(&settings->start_limit, shared,
	    shared_key(settings->certificate.text, "start", network),
	    sys_monotonic_ms());
	if (wait == 0)
		return 0;
	fail->retry_after = (int)((wait + 999) / 1000);
	return fail_set(fail, FAIL_LIMIT,
	    "too many agents were started from your address; try again in %d "
	    "seconds",
	    fail->retry_after);
}

/* ---- every request ----------------------------------------------------- */

/* The headers of which two different ones are as good as none. */
static int
check_single(char **params, struct fail *fail)
{
	static const char *const names[] = { "HTTP_AUTHORIZATION",
		"REDIRECT_HTTP_AUTHORIZATION", "HTTP_X_API_KEY",
		"HTTP_X_AGORA_TOKEN" };
	const char *one = header(params, "HTTP_AUTHORIZATION");
	const char *two = header(params, "REDIRECT_HTTP_AUTHORIZATION");
	bool single = one == NULL || two == NULL || strcmp(one, two) == 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		single = single && is_single(params, names[i]);
	return single ? 0 :
			fail_set(fail, FAIL_UNAUTHORIZED,
			    "credentials came twice and differ");
}

int
gate_enter(struct exchange *exchange, char **params, struct fail *fail)
{
	const struct settings *settings = exchange->service->settings;
	struct request *request = &exchange->request;
	const char *peer = params_get(params, "REMOTE_ADDR");
	const char *token = token_shown(params);

	request->peer = peer != NULL ? peer : "";
	request->token = token != NULL ? token : "";
	if (!settings->usable)
		return 0; /* nothing is served at all */
	if (check_page(settings, params, fail) == -1)
		return -1;
	if (settings->api_keys.len == 0 && !settings->require_token)
		return 0;
	if (check_single(params, fail) == -1)
		return -1;
	if (token == NULL && settings->require_token)
		return fail_set(fail, FAIL_UNAUTHORIZED,
		    "two tokens came, and they differ");
	return check_key(settings, params, fail);
}
