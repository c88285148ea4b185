/*
 * The pool of the official SDKs: two regions for each area, and two domains
 * that do not share a registry or a name server.
 */
#include <stdio.h>

#include "common/region.h"
#include "common/settings.h"

static const struct area {
	char prefix[2][24];
	char domain[2][16];
} areas[] = {
	[SETTINGS_AREA_US] = { { "api-us-west-1", "api-us-east-1" },
	    { "agora.io", "sd-rtn.com" } },
	[SETTINGS_AREA_EU] = { { "api-eu-west-1", "api-eu-central-1" },
	    { "agora.io", "sd-rtn.com" } },
	[SETTINGS_AREA_AP] = { { "api-ap-southeast-1", "api-ap-northeast-1" },
	    { "agora.io", "sd-rtn.com" } },
	[SETTINGS_AREA_CN] = { { "api-cn-east-1", "api-cn-north-1" },
	    { "sd-rtn.com", "agora.io" } },
};

/* Settings are checked for these lengths: no URL is ever cut. */
_Static_assert(SETTINGS_URL_MAX < REGION_URL_SIZE, "a base URL must fit");
_Static_assert(sizeof("https://") + sizeof(areas[0].prefix[0]) +
	    sizeof(areas[0].domain[0]) + SETTINGS_PATH_MAX <=
	REGION_URL_SIZE,
    "host and path must fit");

size_t
region_count(const struct settings *settings)
{
	return settings->api_base_url[0] != '\0' ? 1 : 4;
}

void
region_base(const struct settings *settings, size_t i,
    char url[static REGION_URL_SIZE])
{
	const struct area *area = &areas[settings->area];

	if (settings->api_base_url[0] != '\0')
		snprintf(url, REGION_URL_SIZE, "%s", settings->api_base_url);
	else
		snprintf(url, REGION_URL_SIZE, "https://%s.%s%s",
		    area->prefix[i % 2], area->domain[i / 2 % 2],
		    settings->api_path);
}
