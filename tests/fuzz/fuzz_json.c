/*
 * JSON. Input: a text. What is accepted is printed, and that is accepted too
 * and printed the same.
 */
#include <string.h>

#include "common/buf.h"
#include "common/fail.h"
#include "common/json.h"
#include "common/utf8.h"
#include "world.h"

#define PRINTED_MAX (1024 * 1024) /* bytes */

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

/* The messages for a client's object, whatever it is. */
static void
check_reading(const struct json *json)
{
	static const char *const keys[] = { "channelName", "rtcUid", "a" };
	size_t i;

	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		struct fail fail = { 0 };
		const char *text = json_require_text(json, keys[i], &fail);
		char out[24] = "";

		CHECK((text != NULL) == (fail.kind == FAIL_NONE));
		CHECK(text == NULL || *text != '\0');
		CHECK(utf8_valid(fail.text, strlen(fail.text)));
		fail = (struct fail){ 0 };
		if (json_require_text_or_int(json, keys[i], out, sizeof(out),
			&fail) == 0)
			CHECK(*out != '\0' && strlen(out) < sizeof(out));
		else
			CHECK(fail.kind == FAIL_BAD_INPUT);
	}
}

static void
check_printed(const struct json *json)
{
	struct buf once = BUF(PRINTED_MAX), twice = BUF(PRINTED_MAX);
	struct json *again;

	json_print(json, &once);
	CHECK(!buf_failed(&once));
	CHECK(utf8_valid(once.data, once.len));
	again = json_parse(once.data, once.len, NULL);
	CHECK(again != NULL && json_kind(again) == json_kind(json));
	json_print(again, &twice);
	CHECK(once.len == twice.len &&
	    memcmp(once.data, twice.data, once.len) == 0);
	json_free(again);
	buf_free(&once);
	buf_free(&twice);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fail fail = { 0 };
	char *text = malloc(size + 1);
	struct json *json;

	CHECK(text != NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0'; /* json.h asks for no more than the bytes */
	json = json_parse(text, size, &fail);
	if (json == NULL) {
		CHECK(fail.kind == FAIL_BAD_INPUT);
		CHECK(utf8_valid(fail.text, strlen(fail.text)));
	} else {
		CHECK(fail.kind == FAIL_NONE);
		CHECK(utf8_valid(text, size));
		check_reading(json);
		check_printed(json);
	}
	json_free(json);
	free(text);
	return 0;
}
