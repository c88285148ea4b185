/*
 * The pool of the official SDKs: two regions for each area, and two domains
 * that do not share a registry or a name server.
 */
#include <stdio.h>
#include <string.h>

#include "common/region.h"
#include "common/settings.h"

static const struct area {
	const char *prefix[2];
	const char *domain[2];
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

/*
 * Adds scheme, host and path as one base URL. One that does not fit is left
 * out: calling half a URL would be worse than calling none.
 */
static void
add(struct region *region, const char *scheme, const char *host,
    const char *path)
{
	char *base = region->base[region->len];
	int len = snprintf(base, REGION_URL_SIZE, "%s%s%s", scheme, host, path);

	if (len < 0 || len >= REGION_URL_SIZE) {
		base[0] = '\0';
		return;
	}
	while (len > 0 && base[len - 1] == '/')
		base[--len] = '\0';
	region->len++;
}

void
region_candidates(const struct settings *settings, struct region *region)
{
	const struct area *area = &areas[settings->area];
	char host[64];
	size_t d, p;

	memset(region, 0, sizeof(*region));
	if (settings->api_base_url != NULL &&
	    settings->api_base_url[0] != '\0') {
		add(region, "", settings->api_base_url, "");
		return;
	}
	for (d = 0; d < 2; d++) {
		for (p = 0; p < 2; p++) {
			snprintf(host, sizeof(host), "%s.%s", area->prefix[p],
			    area->domain[d]);
			add(region, "https://", host, settings->api_path);
		}
	}
}
