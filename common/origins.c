#include <string.h>

#include "common/ascii.h"
#include "common/list.h"
#include "common/num.h"
#include "common/origins.h"

static bool
is_lower(char c)
{
	return ascii_is_digit(c) || (c >= 'a' && c <= 'z');
}

/* The length of the scheme that ${text} starts with, 0: none. */
static size_t
scheme_len(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len && (is_lower(text[at]) || strchr("+-.", text[at])))
		at++;
	if (at == 0 || len - at < 3 || memcmp(text + at, "://", 3) != 0)
		return 0;
	return at;
}

/* The length of the host that ${text} starts with; [addresses] in brackets. */
static size_t
host_len(const char *text, size_t len)
{
	size_t at = 0;

	if (len > 0 && *text == '[') {
		for (at = 1; at < len && text[at] != ']'; at++)
			if (!is_lower(text[at]) && text[at] != ':' &&
			    text[at] != '.')
				return 0;
		return at < len ? at + 1 : 0;
	}
	while (at < len && (is_lower(text[at]) || strchr("-._", text[at])))
		at++;
	return at;
}

/* What is behind the host: ":" and a number. */
static const char *
port_fault(const char *scheme, const char *text, size_t len)
{
	char digits[6] = { 0 };
	int64_t port;

	if (len < 2 || len > sizeof(digits) || *text != ':')
		return "has an origin with something behind its host";
	memcpy(digits, text + 1, len - 1);
	if (num_parse(digits, 1, 65535, &port) == -1)
		return "has an origin with a port that is not 1 to 65535";
	if ((port == 443 && strncmp(scheme, "https:", 6) == 0) ||
	    (port == 80 && strncmp(scheme, "http:", 5) == 0))
		return "has an origin with the port that browsers leave out";
	return NULL;
}

static const char *
origin_fault(const char *origin, size_t len)
{
	size_t scheme = scheme_len(origin, len), host;

	for (size_t i = 0; i < len; i++)
		if (origin[i] >= 'A' && origin[i] <= 'Z')
			return "has an origin that is not in lower case";
	if (scheme == 0)
		return "has an origin without a scheme such as https://";
	scheme += 3;
	host = host_len(origin + scheme, len - scheme);
	if (host == 0)
		return "has an origin without a host";
	if (scheme + host == len)
		return NULL;
	return port_fault(origin, origin + scheme + host, len - scheme - host);
}

const char *
origins_fault(const char *list)
{
	const char *origin, *fault = NULL;
	size_t len;

	while (fault == NULL && (origin = list_next(&list, &len)) != NULL)
		fault = origin_fault(origin, len);
	return fault;
}

bool
origins_have(const char *list, const char *origin)
{
	const char *item;
	size_t len;

	while ((item = list_next(&list, &len)) != NULL)
		if (len > 0 && strncmp(item, origin, len) == 0 &&
		    origin[len] == '\0')
			return true;
	return false;
}
