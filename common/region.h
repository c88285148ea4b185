/*
 * Which hosts to call, in which order, for an area.
 */
#ifndef COMMON_REGION_H
#define COMMON_REGION_H

#include <stddef.h>

struct settings;

#define REGION_CANDIDATES_MAX 4
#define REGION_URL_SIZE 512 /* bytes, with the NUL */

struct region {
	size_t len;
	char base[REGION_CANDIDATES_MAX][REGION_URL_SIZE];
};

/*
 * Fills ${region} with the base URLs for ${settings}: the fixed one if
 * AGORA_API_BASE_URL is set, else p1.d1, p2.d1, p1.d2, p2.d2 of the area's
 * prefixes and domains (pool of the official SDKs) with AGORA_API_PATH. No
 * trailing slash.
 */
void region_candidates(const struct settings *settings, struct region *region);

#endif
