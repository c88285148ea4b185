#include <string.h>

#include "common/apikeys.h"
#include "common/ascii.h"
#include "common/list.h"
#include "common/secret.h"
#include "common/sys.h"

static const char *
key_fault(const char *key, size_t len)
{
	if (len < APIKEYS_LEN_MIN)
		return "has a key that is too short";
	if (len > APIKEYS_LEN_MAX)
		return "has a key that is too long";
	for (size_t i = 0; i < len; i++)
		if (!ascii_is_print(key[i]) || key[i] == ' ')
			return "has a key with a space or a character that is "
			       "not ASCII";
	return NULL;
}

static const char *
add_key(struct apikeys *keys, const char *key, size_t len)
{
	const char *fault = key_fault(key, len);

	if (fault != NULL)
		return fault;
	if (keys->len == APIKEYS_MAX)
		return "has too many keys";
	if (hmac_sha256(keys->own, sizeof(keys->own), key, len,
		keys->mac[keys->len]) == -1)
		return "cannot be hashed: out of memory";
	keys->len++;
	return NULL;
}

const char *
apikeys_set(struct apikeys *keys, const char *list)
{
	const char *key, *fault = NULL;
	size_t len;

	*keys = (struct apikeys){ 0 };
	if (sys_random(keys->own, sizeof(keys->own)) == -1)
		return "cannot be hashed: no random numbers to be had";
	while (fault == NULL && (key = list_next(&list, &len)) != NULL)
		fault = add_key(keys, key, len);
	if (fault != NULL)
		secret_wipe(keys, sizeof(*keys));
	return fault;
}

/* All keys are compared, whichever it is. */
bool
apikeys_match(const struct apikeys *keys, const char *key)
{
	size_t len = strnlen(key, APIKEYS_LEN_MAX + 1);
	uint8_t mac[HMAC_SIZE];
	bool found = false;

	if (len > APIKEYS_LEN_MAX ||
	    hmac_sha256(keys->own, sizeof(keys->own), key, len, mac) == -1)
		return false;
	for (size_t i = 0; i < keys->len; i++)
		found |= secret_equal(keys->mac[i], mac, sizeof(mac));
	return found;
}
