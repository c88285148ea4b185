#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/region.h"
#include "common/settings.h"

#define PATH "/api/conversational-ai-agent"

static char path[] = PATH;
static char none[] = "";

static void
expect(enum settings_area area, const char *const hosts[4])
{
	struct settings settings = { .area = area,
		.api_path = path,
		.api_base_url = none };
	char expected[REGION_URL_SIZE], url[REGION_URL_SIZE];
	size_t i;

	assert_int_equal(region_count(&settings), 4);
	for (i = 0; i < 4; i++) {
		snprintf(expected, sizeof(expected), "https://%s" PATH,
		    hosts[i]);
		region_base(&settings, i, url);
		assert_string_equal(url, expected);
	}
}

static void
test_order_of_hosts(void **state)
{
	static const char *const us[] = { "api-us-west-1.agora.io",
		"api-us-east-1.agora.io", "api-us-west-1.sd-rtn.com",
		"api-us-east-1.sd-rtn.com" };
	static const char *const eu[] = { "api-eu-west-1.agora.io",
		"api-eu-central-1.agora.io", "api-eu-west-1.sd-rtn.com",
		"api-eu-central-1.sd-rtn.com" };
	static const char *const ap[] = { "api-ap-southeast-1.agora.io",
		"api-ap-northeast-1.agora.io", "api-ap-southeast-1.sd-rtn.com",
		"api-ap-northeast-1.sd-rtn.com" };
	static const char *const cn[] = { "api-cn-east-1.sd-rtn.com",
		"api-cn-north-1.sd-rtn.com", "api-cn-east-1.agora.io",
		"api-cn-north-1.agora.io" };

	(void)state;
	expect(SETTINGS_AREA_US, us);
	expect(SETTINGS_AREA_EU, eu);
	expect(SETTINGS_AREA_AP, ap);
	expect(SETTINGS_AREA_CN, cn);
}

static void
test_path_is_the_setting(void **state)
{
	char chinese[] = "/cn/api/conversational-ai-agent";
	struct settings settings = { .area = SETTINGS_AREA_CN,
		.api_path = chinese,
		.api_base_url = none };
	char url[REGION_URL_SIZE];

	(void)state;
	region_base(&settings, 0, url);
	assert_string_equal(url,
	    "https://api-cn-east-1.sd-rtn.com"
	    "/cn/api/conversational-ai-agent");
}

static void
test_fixed_base_is_the_only_one(void **state)
{
	char base[] = "https://127.0.0.1:8443/agora";
	struct settings settings = { .area = SETTINGS_AREA_CN,
		.api_path = path,
		.api_base_url = base };
	char url[REGION_URL_SIZE];

	(void)state;
	assert_int_equal(region_count(&settings), 1);
	region_base(&settings, 0, url);
	assert_string_equal(url, "https://127.0.0.1:8443/agora");
}

/* As long as the settings let them be. */
static void
test_longest_urls_are_whole(void **state)
{
	char base[SETTINGS_URL_MAX + 1], longest[SETTINGS_PATH_MAX + 1];
	struct settings settings = { .area = SETTINGS_AREA_AP,
		.api_path = longest,
		.api_base_url = base };
	char url[REGION_URL_SIZE];

	(void)state;
	memset(base, 'a', SETTINGS_URL_MAX);
	base[SETTINGS_URL_MAX] = '\0';
	memset(longest, 'p', SETTINGS_PATH_MAX);
	longest[SETTINGS_PATH_MAX] = '\0';
	region_base(&settings, 0, url);
	assert_string_equal(url, base);
	base[0] = '\0';
	for (size_t i = 0; i < region_count(&settings); i++) {
		region_base(&settings, i, url);
		assert_string_equal(url + strlen(url) - SETTINGS_PATH_MAX,
		    longest);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order_of_hosts),
		cmocka_unit_test(test_path_is_the_setting),
		cmocka_unit_test(test_fixed_base_is_the_only_one),
		cmocka_unit_test(test_longest_urls_are_whole),
	};

	return cmocka_run_group_tests_name("region", tests, NULL, NULL);
}
