#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/origins.h"

static void
origins_as_browsers_write_them_are_legal(void **state)
{
	static const char *const good[] = { "https://www.example.com",
		"http://localhost:3000", "https://www.example.com:8443",
		"http://192.0.2.1", "http://[2001:db8::1]:8080",
		"capacitor://localhost", "chrome-extension://abcdefgh",
		"http://a_b.example:443", "https://a.example,http://b.example",
		"https://a.example , http://b.example" };

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (origins_fault(good[i]) != NULL)
			fail_msg("%s %s", good[i], origins_fault(good[i]));
}

static void
what_no_browser_sends_is_refused(void **state)
{
	static const char *const bad[] = { "", ",", "*", "null", "example.com",
		"https://", "https:///", "https://a.example/",
		"https://a.example/path", "https://*.example",
		"https://user@a.example", "https://A.example",
		"HTTPS://a.example", "https://a.example:443",
		"http://a.example:80",
		"https://a.example:", "https://a.example:0",
		"https://a.example:65536", "https://a.example:080",
		"https://a.example:8x", "https://[::1", "https://[::1]x",
		"://a.example", "https://a.example,",
		"https://a.example https://b.example", "https://a.example,*" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (origins_fault(bad[i]) == NULL)
			fail_msg("\"%s\" is taken", bad[i]);
}

static void
an_origin_matches_byte_for_byte(void **state)
{
	static const char list[] =
	    "https://good.example, http://localhost:3000";
	static const char *const others[] = { "", "null", "*",
		"https://good.example.evil", "https://good.exampl",
		"https://good.example:443", "https://good.example:8443",
		"http://good.example", "https://GOOD.example",
		"https://good.example/", "https://good.example,", " ",
		"https://evil.example", "https://sub.good.example",
		"http://localhost", "http://localhost:30000",
		"http://localhost:300", list };

	(void)state;
	assert_true(origins_have(list, "https://good.example"));
	assert_true(origins_have(list, "http://localhost:3000"));
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (origins_have(list, others[i]))
			fail_msg("\"%s\" is in the list", others[i]);
	assert_false(origins_have("", ""));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(origins_as_browsers_write_them_are_legal),
		cmocka_unit_test(what_no_browser_sends_is_refused),
		cmocka_unit_test(an_origin_matches_byte_for_byte),
	};

	return cmocka_run_group_tests_name("origins", tests, NULL, NULL);
}
