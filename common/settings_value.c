#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/ascii.h"
#include "common/num.h"
#include "common/settings_value.h"
#include "common/utf8.h"

const char *
settings_value_hex(const char *value, size_t len)
{
	for (const char *at = value; *at != '\0'; at++)
		if (!ascii_is_hex(*at))
			return "has characters that are no hex digits";
	return strlen(value) == len ? NULL : "has the wrong length";
}

const char *
settings_value_word(const char *value, size_t max)
{
	for (const char *at = value; *at != '\0'; at++)
		if (!ascii_is_print(*at) || *at == ' ')
			return "has a space or a character that is not ASCII";
	return strlen(value) <= max ? NULL : "is too long";
}

const char *
settings_value_text(const char *value, size_t max)
{
	size_t len = strlen(value);

	if (len > max)
		return "is too long";
	return utf8_valid(value, len) ? NULL : "is not UTF-8";
}

const char *
settings_value_file(const char *value)
{
	struct stat st;

	if (stat(value, &st) == -1 || access(value, R_OK) == -1)
		return "names a file that cannot be read";
	return S_ISREG(st.st_mode) ? NULL : "does not name a file";
}

/* Letters, digits and -._~ (RFC 3986 2.3), joined by single slashes. */
static const char *
check_path(const char *path, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (path[i] == '/' && i + 1 < len && path[i + 1] == '/')
			return "has an empty part between two slashes";
		if (!ascii_is_alnum(path[i]) && !strchr("/-._~", path[i]))
			return "has a character that a URL path must not have";
	}
	return NULL;
}

/* ":port" or nothing, up to ${end}. */
static const char *
check_port(const char *at, const char *end)
{
	char digits[6] = { 0 };
	size_t len = (size_t)(end - at);
	int64_t port;

	if (len == 0)
		return NULL;
	if (*at == ':' && len <= sizeof(digits)) {
		memcpy(digits, at + 1, len - 1);
		if (num_parse(digits, 1, 65535, &port) == 0)
			return NULL;
	}
	return "has a port that is not 1 to 65535";
}

/* A host name or address, up to ":" or ${end}; an IPv6 one in brackets. */
static const char *
host_end(const char *at, const char *end)
{
	if (at < end && *at == '[') {
		for (at++; at < end &&
		     (ascii_is_hex(*at) || *at == ':' || *at == '.');
		     at++)
			;
		return at < end && *at == ']' ? at + 1 : end;
	}
	while (at < end && (ascii_is_alnum(*at) || *at == '.' || *at == '-'))
		at++;
	return at;
}

const char *
settings_value_url(const char *value, size_t max)
{
	static const char scheme[] = "https://";
	const char *host = value + sizeof(scheme) - 1;
	const char *end = value + settings_value_trimmed(value);
	const char *path, *port, *why;

	if (strncmp(value, scheme, sizeof(scheme) - 1) != 0)
		return "does not start with https://";
	if (strpbrk(host, "@?#") != NULL)
		return "has a user name, a query or a fragment";
	if (end <= host || (!ascii_is_alnum(*host) && *host != '['))
		return "has no host";
	path = memchr(host, '/', (size_t)(end - host));
	if (path == NULL)
		path = end;
	port = host_end(host, path);
	if ((*host == '[' && (port[-1] != ']' || port - host < 4)) ||
	    (port < path && *port != ':'))
		return "has no valid host name";
	why = check_port(port, path);
	if (why == NULL)
		why = check_path(path, (size_t)(end - path));
	if (why == NULL && (size_t)(end - value) > max)
		why = "is too long";
	return why;
}

const char *
settings_value_path(const char *value, size_t max)
{
	if (*value != '/')
		return "does not start with a slash";
	if (settings_value_trimmed(value) > max)
		return "is too long";
	return check_path(value, strlen(value));
}

size_t
settings_value_trimmed(const char *value)
{
	size_t len = strlen(value);

	while (len > 0 && value[len - 1] == '/')
		len--;
	return len;
}
