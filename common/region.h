/*
 * Which hosts to call, in which order, for an area.
 */
#ifndef COMMON_REGION_H
#define COMMON_REGION_H

#include <stddef.h>

struct settings;

#define REGION_URL_SIZE 512 /* bytes, with the NUL */

/*
 * How many base URLs ${settings} give: one if AGORA_API_BASE_URL is set, else
 * the area's four.
 */
size_t region_count(const struct settings *settings);

/*
 * Writes the ${i}th base URL, without a trailing slash, to ${url}: the fixed
 * one, or p1.d1, p2.d1, p1.d2, p2.d2 of the area's prefixes and domains (the
 * pool of the official SDKs) with AGORA_API_PATH.
 */
void region_base(const struct settings *settings, size_t i,
    char url[static REGION_URL_SIZE]);

#endif
