/*
 * Keys that callers show (API_KEYS). Only a MAC of each is kept, under a key
 * of this process: what leaks from memory opens nothing.
 */
#ifndef COMMON_APIKEYS_H
#define COMMON_APIKEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/hmac.h"

#define APIKEYS_MAX 16      /* keys */
#define APIKEYS_LEN_MIN 16  /* bytes of one */
#define APIKEYS_LEN_MAX 256 /* bytes of one */

struct apikeys {
	uint8_t own[HMAC_SIZE]; /* key of the MACs, random */
	uint8_t mac[APIKEYS_MAX][HMAC_SIZE];
	size_t len; /* 0: no key is asked for */
};

/*
 * Reads comma separated keys of printable ASCII without spaces.
 * Returns NULL, or what is wrong in words that go behind the setting's name;
 * ${keys} is then empty.
 */
const char *apikeys_set(struct apikeys *keys, const char *list);

/*
 * Answers whether ${key} is one of the keys, in a time that depends on its
 * length alone.
 */
bool apikeys_match(const struct apikeys *keys, const char *key);

#endif
