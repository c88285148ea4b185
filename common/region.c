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

void
region_candidates(const struct settings *settings, struct region *region)
{
	const struct area *area = &areas[settings->area];

	*region = (struct region){ 0 };
	if (settings->api_base_url[0] != '\0') {
		snprintf(region->base[0], REGION_URL_SIZE, "%s",
		    settings->api_base_url);
		region->len = 1;
		return;
	}
	for (size_t d = 0; d < 2; d++)
		for (size_t p = 0; p < 2; p++)
			snprintf(region->base[region->len++], REGION_URL_SIZE,
			    "https://%s.%s%s", area->prefix[p], area->domain[d],
			    settings->api_path);
}
