#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <json-c/json.h>

#include "common/fail.h"
#include "common/json.h"

/* Parses ${text}, which must be good. The caller frees the value. */
static struct json *
parse(const char *text)
{
	struct fail fail = { 0 };
	struct json *json = json_parse(text, strlen(text), &fail);

	if (json == NULL)
		fail_msg("%s: %s", text, fail.text);
	assert_int_equal(fail.kind, FAIL_NONE);
	return json;
}

/* ${len} bytes at ${text} must be refused for ${why}. */
static void
refuse_bytes(const char *text, size_t len, const char *why)
{
	struct fail fail = { 0 };
	char *copy = malloc(len > 0 ? len : 1); /* no NUL to lean on */

	assert_non_null(copy);
	memcpy(copy, text, len);
	assert_null(json_parse(copy, len, &fail));
	free(copy);
	assert_int_equal(fail.kind, FAIL_BAD_INPUT);
	assert_string_equal(fail.text, why);
}

static void
refuse(const char *text, const char *why)
{
	char sentence[FAIL_TEXT_SIZE] = "body is not valid JSON: ";

	assert_true(strlen(sentence) + strlen(why) < sizeof(sentence));
	memcpy(sentence + strlen(sentence), why, strlen(why) + 1);
	refuse_bytes(text, strlen(text), sentence);
}

/* ${json} printed must be ${expected}; NULL: must not print at all. */
static void
check_print(const struct json *json, const char *expected)
{
	struct buf out = BUF(10000);

	json_print(json, &out);
	if (expected == NULL) {
		assert_true(buf_failed(&out));
	} else {
		assert_false(buf_failed(&out));
		assert_string_equal(buf_str(&out), expected);
	}
	buf_free(&out);
}

static void
check_round(const char *text, const char *expected)
{
	struct json *json = parse(text);

	check_print(json, expected);
	json_free(json);
}

static void
json_reads_every_kind(void **state)
{
	static const struct {
		const char *key;
		enum json_kind kind;
	} members[] = { { "o", JSON_OBJECT }, { "a", JSON_ARRAY },
		{ "s", JSON_TEXT }, { "i", JSON_INT }, { "d", JSON_DOUBLE },
		{ "b", JSON_BOOL }, { "n", JSON_NONE }, { "x", JSON_NONE } };
	struct json *json = parse("{\"o\":{},\"a\":[],\"s\":\"t\",\"i\":1,"
				  "\"d\":1.5,\"b\":false,\"n\":null}");

	(void)state;
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		assert_int_equal(json_kind(json_member(json, members[i].key)),
		    members[i].kind);
	json_free(json);
}

static void
json_reads_a_lone_scalar(void **state)
{
	(void)state;
	check_round("1", "1");
	check_round(" 12 \r\n\t", "12");
	check_round("-0.5e+3", "-0.5e+3");
	check_round("\"a\"", "\"a\"");
	check_round("true", "true");
	check_round("false", "false");
}

static void
json_reads_no_byte_past_the_length(void **state)
{
	struct fail fail = { 0 };
	struct json *json = json_parse("12345", 2, &fail);

	(void)state;
	check_print(json, "12");
	json_free(json);
}

static void
json_refuses_nothing_at_all(void **state)
{
	(void)state;
	refuse("", "unexpected end at byte 0");
	refuse(" \n", "unexpected end at byte 2");
}

static void
json_refuses_cut_text(void **state)
{
	(void)state;
	refuse("{", "unexpected end at byte 1");
	refuse("{\"a\"", "unexpected end at byte 4");
	refuse("{\"a\":", "unexpected end at byte 5");
	refuse("{\"a\":1", "unexpected end at byte 6");
	refuse("[1,", "unexpected end at byte 3");
	refuse("\"ab", "string without an end at byte 3");
	refuse("\"ab\\", "unknown escape at byte 3");
	refuse("\"\\u12", "\\u without four hex digits at byte 1");
	refuse("tru", "unexpected character at byte 0");
	refuse("-", "bad number at byte 1");
}

static void
json_refuses_bytes_after_the_value(void **state)
{
	(void)state;
	refuse("{} x", "unexpected character at byte 3");
	refuse("{}{}", "unexpected character at byte 2");
	refuse("1 2", "unexpected character at byte 2");
	refuse("[]]", "unexpected character at byte 2");
	refuse_bytes("{}\0", 3,
	    "body is not valid JSON: unexpected character at byte 2");
}

static void
json_refuses_nan(void **state)
{
	(void)state;
	refuse("[NaN]", "unexpected character at byte 1");
	refuse("[nan]", "unexpected character at byte 1");
	refuse("[Infinity]", "unexpected character at byte 1");
	refuse("[-Infinity]", "bad number at byte 2");
}

static void
json_refuses_comments(void **state)
{
	(void)state;
	refuse("{}/**/", "unexpected character at byte 2");
	refuse("// a\n{}", "unexpected character at byte 0");
	refuse("# a\n{}", "unexpected character at byte 0");
}

static void
json_refuses_single_quotes(void **state)
{
	(void)state;
	refuse("{'a':1}", "unexpected character at byte 1");
	refuse("['a']", "unexpected character at byte 1");
}

static void
json_refuses_tokens_in_wrong_order(void **state)
{
	static const char *const texts[] = { "[1,]", "{\"a\":1,}", "[,1]",
		"[1,,2]", "[1 2]", "[1}", "{\"a\":1]", "{\"a\" 1}", "{1:2}",
		"{\"a\":1 \"b\":2}", "{,}", "{\"a\":}", "[\"a\":1]", ":", "]",
		"{true:1}", "[1][2]", "{\"a\"::1}" };

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct fail fail = { 0 };

		assert_null(json_parse(texts[i], strlen(texts[i]), &fail));
		assert_int_equal(fail.kind, FAIL_BAD_INPUT);
		assert_non_null(strstr(fail.text, " at byte "));
	}
}

static void
json_refuses_words_in_other_case(void **state)
{
	(void)state;
	refuse("[TRUE]", "unexpected character at byte 1");
	refuse("[Null]", "unexpected character at byte 1");
	refuse("[truefalse]", "unexpected character at byte 5");
}

static void
json_refuses_bad_numbers(void **state)
{
	(void)state;
	refuse("[01]", "number with a leading zero at byte 1");
	refuse("[-01]", "number with a leading zero at byte 2");
	refuse("[1.]", "bad number at byte 3");
	refuse("[.5]", "unexpected character at byte 1");
	refuse("[+1]", "unexpected character at byte 1");
	refuse("[1e]", "bad number at byte 3");
	refuse("[1e+]", "bad number at byte 4");
	refuse("[--1]", "bad number at byte 2");
	refuse("[1.5.5]", "unexpected character at byte 4");
	refuse("[0x10]", "unexpected character at byte 2");
	refuse("[1true]", "unexpected character at byte 2");
}

static void
json_refuses_integers_over_64_bits(void **state)
{
	(void)state;
	check_round("[9223372036854775807,-9223372036854775808]",
	    "[9223372036854775807,-9223372036854775808]");
	refuse("[9223372036854775808]",
	    "integer outside -2^63..2^63-1 at byte 1");
	refuse("[-9223372036854775809]",
	    "integer outside -2^63..2^63-1 at byte 1");
	refuse("[1,123456789012345678901234567890]",
	    "integer outside -2^63..2^63-1 at byte 3");
}

static void
json_refuses_a_byte_order_mark(void **state)
{
	(void)state;
	refuse("\xef\xbb\xbf{}", "byte order mark at byte 0");
}

static void
json_refuses_raw_control_characters(void **state)
{
	(void)state;
	refuse("[\"a\nb\"]", "control character in a string at byte 3");
	refuse("[\"a\tb\"]", "control character in a string at byte 3");
	refuse("[\"\x01\"]", "control character in a string at byte 2");
	refuse_bytes("[\"\0\"]", 5,
	    "body is not valid JSON: "
	    "control character in a string at byte 2");
	check_round("[\"\x7f\"]", "[\"\x7f\"]");
}

static void
json_refuses_other_white_space(void **state)
{
	(void)state;
	refuse("[\v1]", "unexpected character at byte 1");
	refuse("[\f1]", "unexpected character at byte 1");
	refuse("[\xc2\xa0]", "unexpected character at byte 1");
}

static void
json_refuses_bad_escapes(void **state)
{
	(void)state;
	refuse("[\"\\x\"]", "unknown escape at byte 2");
	refuse("[\"\\'\"]", "unknown escape at byte 2");
	refuse("[\"\\U0041\"]", "unknown escape at byte 2");
	refuse("[\"\\u00g0\"]", "\\u without four hex digits at byte 2");
}

static void
json_refuses_half_a_surrogate_pair(void **state)
{
	(void)state;
	refuse("[\"\\ud800\"]", "half a surrogate pair at byte 2");
	refuse("[\"\\udc00\"]", "half a surrogate pair at byte 2");
	refuse("[\"\\ud800\\ud800\"]", "half a surrogate pair at byte 2");
	refuse("[\"\\udc00\\ud800\"]", "half a surrogate pair at byte 2");
	refuse("[\"\\ud800\\n\"]", "half a surrogate pair at byte 2");
	check_round("[\"\\ud83d\\uDE00\"]", "[\"\xf0\x9f\x98\x80\"]");
}

static void
json_refuses_bad_utf8(void **state)
{
	static const char *const bad[] = { "\x80", "\xff", "\xc3", "\xc0\x80",
		"\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80", "\xed\xbf\xbf",
		"\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
		"\xe2\x82", "\xe2\x28\xa1", "\xf0\x9f\x98" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct buf text = BUF(20);

		buf_format(&text, "[\"%s\"]", bad[i]);
		refuse(buf_str(&text), "invalid UTF-8 at byte 2");
		buf_free(&text);
	}
}

static void
json_takes_every_length_of_utf8(void **state)
{
	static const char text[] =
	    "[\"\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80"
	    "\xed\x9f\xbf\xee\x80\x80\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\"]";

	(void)state;
	check_round(text, text);
}

/* ${depth} arrays in each other, with a number in the middle. */
static void
nest(struct buf *text, int depth)
{
	for (int i = 0; i < depth; i++)
		buf_text(text, "[");
	buf_text(text, "1");
	for (int i = 0; i < depth; i++)
		buf_text(text, "]");
}

static void
json_takes_32_levels_and_no_more(void **state)
{
	struct buf good = BUF(200), bad = BUF(200);

	(void)state;
	nest(&good, JSON_DEPTH_MAX);
	check_round(buf_str(&good), buf_str(&good));
	nest(&bad, JSON_DEPTH_MAX + 1);
	refuse(buf_str(&bad), "too many levels at byte 32");
	buf_free(&good);
	buf_free(&bad);
}

static void
json_counts_levels_and_not_brackets(void **state)
{
	struct buf text = BUF(1000);
	struct json *json;

	(void)state;
	buf_text(&text, "[\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"");
	for (int i = 0; i < 40; i++)
		buf_text(&text, ",[{}]");
	buf_text(&text, "]");
	json = parse(buf_str(&text));
	json_free(json);
	buf_free(&text);
}

static void
json_refuses_hostile_depth(void **state)
{
	struct buf text = BUF(100000);

	(void)state;
	for (int i = 0; i < 100000; i++)
		buf_text(&text, i % 2 == 0 ? "[" : "{");
	refuse(buf_str(&text), "too many levels at byte 32");
	buf_free(&text);
}

static void
json_refuses_a_lone_null(void **state)
{
	(void)state;
	refuse_bytes("null", 4, "body must not be null");
}

static void
json_takes_the_last_duplicate(void **state)
{
	(void)state;
	check_round("{\"a\":1,\"b\":2,\"a\":3}", "{\"a\":3,\"b\":2}");
}

static void
json_refuses_nul_in_a_name(void **state)
{
	(void)state;
	refuse("{\"a\\u0000b\":1}", "NUL in a member's name at byte 11");
	refuse("{\"a\\u0000b\" \n:1}", "NUL in a member's name at byte 13");
}

static void
json_text_gives_strings_only(void **state)
{
	struct json *json =
	    parse("{\"s\":\"text\",\"i\":1,\"n\":null,"
		  "\"z\":\"a\\u0000b\",\"e\":\"\",\"o\":{\"s\":\"inner\"}}");

	(void)state;
	assert_string_equal(json_text(json, "s"), "text");
	assert_string_equal(json_text(json, "e"), "");
	assert_null(json_text(json, "i"));
	assert_null(json_text(json, "n"));
	assert_null(json_text(json, "z"));
	assert_null(json_text(json, "o"));
	assert_null(json_text(json, "absent"));
	assert_null(json_text(NULL, "s"));
	assert_null(json_text(json_member(json, "s"), "s"));
	json_free(json);
}

/* json_require_text() must refuse the k of ${object} for ${why}. */
static void
check_require(const char *object, const char *why)
{
	struct json *json = parse(object);
	struct fail fail = { 0 };

	assert_null(json_require_text(json, "k", &fail));
	assert_int_equal(fail.kind, FAIL_BAD_INPUT);
	assert_string_equal(fail.text, why);
	json_free(json);
}

static void
json_require_text_takes_a_string(void **state)
{
	struct json *json = parse("{\"k\":\" a \"}");
	struct fail fail = { 0 };

	(void)state;
	assert_string_equal(json_require_text(json, "k", &fail), " a ");
	assert_int_equal(fail.kind, FAIL_NONE);
	json_free(json);
}

static void
json_require_text_names_what_is_missing(void **state)
{
	static const char missing[] = "k is required and cannot be empty";

	(void)state;
	check_require("{}", missing);
	check_require("[]", missing);
	check_require("{\"k\":null}", missing);
	check_require("{\"k\":\"\"}", missing);
	check_require("{\"k\":\" \\t\\n\"}", missing);
}

static void
json_require_text_names_a_wrong_kind(void **state)
{
	(void)state;
	check_require("{\"k\":1}", "k must be a string");
	check_require("{\"k\":true}", "k must be a string");
	check_require("{\"k\":[\"a\"]}", "k must be a string");
	check_require("{\"k\":{}}", "k must be a string");
	check_require("{\"k\":\"a\\u0000\"}",
	    "k must not contain a NUL character");
	check_require("{\"k\":\"\\u0000\"}",
	    "k must not contain a NUL character");
}

static void
json_require_text_or_int_takes_both(void **state)
{
	struct json *json = parse("{\"s\":\"12345\",\"i\":-12345,"
				  "\"max\":9223372036854775807}");
	struct fail fail = { 0 };
	char out[32];

	(void)state;
	assert_int_equal(json_require_text_or_int(json, "s", out, 6, &fail), 0);
	assert_string_equal(out, "12345");
	assert_int_equal(json_require_text_or_int(json, "i", out, 7, &fail), 0);
	assert_string_equal(out, "-12345");
	assert_int_equal(json_require_text_or_int(json, "max", out, sizeof(out),
			     &fail),
	    0);
	assert_string_equal(out, "9223372036854775807");
	assert_int_equal(fail.kind, FAIL_NONE);
	json_free(json);
}

static void
json_require_text_or_int_refuses_the_rest(void **state)
{
	static const struct {
		const char *object;
		const char *why;
	} cases[] = {
		{ "{}", "k is required and cannot be empty" },
		{ "{\"k\":null}", "k is required and cannot be empty" },
		{ "{\"k\":\"\"}", "k is required and cannot be empty" },
		{ "{\"k\":1.5}", "k must be a string or an integer" },
		{ "{\"k\":1.0}", "k must be a string or an integer" },
		{ "{\"k\":true}", "k must be a string or an integer" },
		{ "{\"k\":[]}", "k must be a string or an integer" },
		{ "{\"k\":\"1\\u0000\"}",
		    "k must not contain a NUL character" },
		{ "{\"k\":\"12345678\"}", "k is too long" },
		{ "{\"k\":12345678}", "k is too long" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json *json = parse(cases[i].object);
		struct fail fail = { 0 };
		char out[8] = "before";

		assert_int_equal(json_require_text_or_int(json, "k", out,
				     sizeof(out), &fail),
		    -1);
		assert_int_equal(fail.kind, FAIL_BAD_INPUT);
		assert_string_equal(fail.text, cases[i].why);
		assert_string_equal(out, "before");
		json_free(json);
	}
}

static void
json_at_walks_a_path(void **state)
{
	struct json *json = parse("{\"a\":{\"b\":{\"c\":7}},\"n\":null}");

	(void)state;
	check_print(json_at(json, "a.b.c"), "7");
	check_print(json_at(json, "a.b"), "{\"c\":7}");
	assert_null(json_at(json, "a.x.c"));
	assert_null(json_at(json, "a.b.c.d"));
	assert_null(json_at(json, "n.a"));
	assert_null(json_at(json, ""));
	assert_null(json_at(json, "a."));
	assert_null(json_at(NULL, "a"));
	assert_null(json_at(json,
	    "a_name_that_is_longer_than_any_that_this_"
	    "program_will_ever_ask_for.b"));
	json_free(json);
}

static void
json_builds_a_tree(void **state)
{
	struct json *object = json_new_object();
	struct json *array = json_new_array();

	(void)state;
	json_put_text(object, "s", "a");
	json_put_int(object, "i", INT64_MIN);
	json_push(array, json_new_text("x"));
	json_push(array, json_new_object());
	json_push(array, json_new_array());
	json_put(object, "a", array);
	check_print(object,
	    "{\"s\":\"a\",\"i\":-9223372036854775808,"
	    "\"a\":[\"x\",{},[]]}");
	json_free(object);
}

static void
json_put_replaces(void **state)
{
	struct json *object = parse("{\"a\":1,\"b\":[2]}");

	(void)state;
	json_put_text(object, "b", "new");
	check_print(object, "{\"a\":1,\"b\":\"new\"}");
	json_free(object);
}

static void
json_put_copies_the_text(void **state)
{
	struct json *object = json_new_object();
	char key[] = "key", text[] = "text";

	(void)state;
	json_put_text(object, key, text);
	key[0] = 'X';
	text[0] = 'X';
	check_print(object, "{\"key\":\"text\"}");
	json_free(object);
}

static void
json_remove_takes_a_member_away(void **state)
{
	struct json *object = parse("{\"a\":1,\"b\":2}");

	(void)state;
	json_remove(object, "a");
	json_remove(object, "absent");
	json_remove(NULL, "a");
	check_print(object, "{\"b\":2}");
	json_remove(json_member(object, "b"), "a");
	json_free(object);
}

static void
json_print_refuses_an_incomplete_tree(void **state)
{
	struct json *root = json_new_object();
	struct json *inner = json_new_object();
	struct json *array = json_new_array();

	(void)state;
	json_put_text(inner, "lost", NULL);
	json_put(root, "inner", inner);
	check_print(inner, NULL);
	check_print(root, NULL);
	json_put(NULL, "key", json_new_text("freed"));
	json_push(array, NULL);
	check_print(array, NULL);
	json_push(NULL, json_new_text("freed"));
	json_free(array);
	json_free(root);
}

static void
json_puts_at_a_path(void **state)
{
	struct json *root = parse("{\"a\":{\"b\":{},\"c\":[]}}");

	(void)state;
	json_put_at(root, "a.b", "o", json_new_object());
	json_put_text_at(root, "a.b", "t", "x");
	json_put_text_at(root, "a", "d", "y");
	json_push_at(root, "a.c", json_new_text("z"));
	check_print(root,
	    "{\"a\":{\"b\":{\"o\":{},\"t\":\"x\"},\"c\":[\"z\"],"
	    "\"d\":\"y\"}}");
	json_free(root);
}

/* A slip in a path must not send a request that lacks something. */
static void
json_print_refuses_what_was_put_nowhere(void **state)
{
	static const char text[] =
	    "{\"a\":{\"b\":true},\"s\":\"t\",\"d\":0.5,\"i\":1,\"n\":null}";
	static const char *const nowhere[] = { "x", "a.x", "a.b.c", "", "a.b",
		"s", "d", "i", "n" };

	(void)state;
	for (size_t i = 0; i < sizeof(nowhere) / sizeof(nowhere[0]); i++) {
		struct json *put = parse(text), *put_text = parse(text);
		struct json *push = parse(text);

		json_put_at(put, nowhere[i], "k", json_new_object());
		json_put_text_at(put_text, nowhere[i], "k", "v");
		json_push_at(push, nowhere[i], json_new_object());
		check_print(put, NULL);
		check_print(put_text, NULL);
		check_print(push, NULL);
		json_free(put);
		json_free(put_text);
		json_free(push);
	}
	json_put_at(NULL, "a", "k", json_new_object()); /* frees it */
}

static void
json_print_refuses_a_member_of_no_object(void **state)
{
	struct json *array = json_new_array();
	struct json *object = json_new_object();

	(void)state;
	json_put_text(array, "key", "text");
	check_print(array, NULL);
	json_push(object, json_new_text("text"));
	check_print(object, NULL);
	json_free(array);
	json_free(object);
}

static void
json_print_refuses_null(void **state)
{
	(void)state;
	check_print(NULL, NULL);
}

static void
json_print_keeps_numbers_as_written(void **state)
{
	static const char text[] =
	    "[0.7,0.70,1e3,1E-3,-0.0,1e999,100000000000000000000.0,-7]";

	(void)state;
	check_round(text, text);
}

static void
json_print_is_compact_and_keeps_order(void **state)
{
	(void)state;
	check_round(" { \"z\" : [ 1 , null ] , \"a\" : { } , \"\" : true } ",
	    "{\"z\":[1,null],\"a\":{},\"\":true}");
}

static void
json_print_escapes_what_it_must(void **state)
{
	(void)state;
	check_round("[\"\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\\\/\\u00e9\"]",
	    "[\"\\u0000\\u001f\\b\\f\\n\\r\\t\\\"\\\\/\xc3\xa9\"]");
	check_round("{\"a\\n\\\"\":1}", "{\"a\\n\\\"\":1}");
}

static void
json_print_keeps_to_the_ceiling(void **state)
{
	struct json *json = parse("[\"12345\"]");
	struct buf exact = BUF(9), small = BUF(8);

	(void)state;
	json_print(json, &exact);
	json_print(json, &small);
	assert_string_equal(buf_str(&exact), "[\"12345\"]");
	assert_true(buf_failed(&small));
	buf_free(&exact);
	buf_free(&small);
	json_free(json);
}

static void
json_print_replaces_bad_utf8(void **state)
{
	struct json *array = json_new_array();

	(void)state;
	json_push(array,
	    json_new_text("a\xff"
			  "b\xe2\x82"));
	json_push(array, json_new_text("\xe2\x82\xac"));
	check_print(array,
	    "[\"a\xef\xbf\xbd"
	    "b\xef\xbf\xbd\xef\xbf\xbd\","
	    "\"\xe2\x82\xac\"]");
	json_free(array);
	assert_null(json_new_text(NULL));
}

/* Called by json-c when it releases a string, whose bytes it still has. */
static void
look_at_freed(struct json_object *string, void *arg)
{
	const char *text = json_object_get_string(string);
	int len = json_object_get_string_len(string);
	int *wiped = arg;

	for (int i = 0; i < len; i++)
		assert_int_equal(text[i], '\0');
	(*wiped)++;
}

static void
watch(struct json *string, int *wiped)
{
	assert_int_equal(json_kind(string), JSON_TEXT);
	json_object_set_userdata((struct json_object *)string, wiped,
	    look_at_freed);
}

/* Keys of vendors and tokens pass through here; one short, one long. */
static void
json_free_wipes_strings(void **state)
{
	struct json *root = parse("{\"token\":\"007x\",\"n\":1,\"a\":[[{}]]}");
	struct json *text = json_new_text("sk-0123456789abcdef0123456789abcdef"
					  "0123456789abcdef0123456789abcdef");
	int wiped = 0;

	(void)state;
	watch(json_member(root, "token"), &wiped);
	watch(text, &wiped);
	json_push(json_member(root, "a"), text);
	json_free(root);
	assert_int_equal(wiped, 2);
}

static void
json_free_takes_null(void **state)
{
	(void)state;
	json_free(NULL);
}

/* ${object} merged with ${patch} must be ${expected}. */
static void
check_merge(const char *object, const char *patch, const char *expected)
{
	struct json *json = parse(object);
	struct json *change = parse(patch);

	json_merge(json, change);
	json_free(change);
	check_print(json, expected);
	json_free(json);
}

/* RFC 7396, appendix A: what there is about objects. */
static void
json_merges_as_rfc_7396_says(void **state)
{
	(void)state;
	check_merge("{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
	check_merge("{\"a\":\"b\"}", "{\"b\":\"c\"}",
	    "{\"a\":\"b\",\"b\":\"c\"}");
	check_merge("{\"a\":\"b\"}", "{\"a\":null}", "{}");
	check_merge("{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}",
	    "{\"b\":\"c\"}");
	check_merge("{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}");
	check_merge("{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}");
	check_merge("{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}",
	    "{\"a\":{\"b\":\"d\"}}");
	check_merge("{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}");
	check_merge("{\"e\":null}", "{\"a\":1}", "{\"e\":null,\"a\":1}");
	check_merge("{}", "{\"a\":{\"bb\":{\"ccc\":null}}}",
	    "{\"a\":{\"bb\":{}}}");
	check_merge("{\"a\":[1]}", "{\"a\":{\"b\":true}}",
	    "{\"a\":{\"b\":true}}");
}

static void
json_merge_keeps_nulls_in_arrays(void **state)
{
	(void)state;
	check_merge("{}", "{\"a\":[null,{\"b\":null,\"c\":[1.50,false]}]}",
	    "{\"a\":[null,{\"b\":null,\"c\":[1.50,false]}]}");
}

static void
json_merge_copies(void **state)
{
	struct json *json = parse("{}"), *patch = parse("{\"a\":\"b\"}");

	(void)state;
	json_merge(json, patch);
	json_free(patch); /* which wipes its texts */
	assert_string_equal(json_text(json, "a"), "b");
	json_free(json);
}

static void
json_next_walks_the_members(void **state)
{
	struct json *json = parse("{\"a\":1,\"b\":null,\"c\":{}}");
	struct json_iter it = { .object = json };
	struct json_iter none = { .object = json_member(json, "a") };

	(void)state;
	assert_true(json_next(&it));
	assert_string_equal(it.key, "a");
	assert_int_equal(json_kind(it.value), JSON_INT);
	assert_true(json_next(&it));
	assert_string_equal(it.key, "b");
	assert_null(it.value);
	assert_true(json_next(&it));
	assert_string_equal(it.key, "c");
	assert_int_equal(json_kind(it.value), JSON_OBJECT);
	assert_false(json_next(&it));
	assert_false(json_next(&none));
	json_free(json);
}

static void
json_number_takes_every_number(void **state)
{
	struct json *json = parse("[2,0.25,\"3\",true]");
	double value = 7;

	(void)state;
	assert_true(json_number(json_item(json, 0), &value));
	assert_true(value > 1.9 && value < 2.1);
	assert_true(json_number(json_item(json, 1), &value));
	assert_true(value > 0.24 && value < 0.26);
	assert_false(json_number(json_item(json, 2), &value));
	assert_false(json_number(json_item(json, 3), &value));
	assert_false(json_number(NULL, &value));
	assert_true(value > 0.24 && value < 0.26);
	assert_int_equal(json_count(json), 4);
	assert_int_equal(json_count(json_item(json, 0)), 0);
	json_free(json);
}

static void
json_set_text_replaces_a_string(void **state)
{
	struct json *json = parse("{\"a\":\"b\"}");

	(void)state;
	assert_int_equal(json_set_text(json_member(json, "a"), "long text, cut",
			     9),
	    0);
	check_print(json, "{\"a\":\"long text\"}");
	json_free(json);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(json_reads_every_kind),
		cmocka_unit_test(json_reads_a_lone_scalar),
		cmocka_unit_test(json_reads_no_byte_past_the_length),
		cmocka_unit_test(json_refuses_nothing_at_all),
		cmocka_unit_test(json_refuses_cut_text),
		cmocka_unit_test(json_refuses_bytes_after_the_value),
		cmocka_unit_test(json_refuses_nan),
		cmocka_unit_test(json_refuses_comments),
		cmocka_unit_test(json_refuses_single_quotes),
		cmocka_unit_test(json_refuses_tokens_in_wrong_order),
		cmocka_unit_test(json_refuses_words_in_other_case),
		cmocka_unit_test(json_refuses_bad_numbers),
		cmocka_unit_test(json_refuses_integers_over_64_bits),
		cmocka_unit_test(json_refuses_a_byte_order_mark),
		cmocka_unit_test(json_refuses_raw_control_characters),
		cmocka_unit_test(json_refuses_other_white_space),
		cmocka_unit_test(json_refuses_bad_escapes),
		cmocka_unit_test(json_refuses_half_a_surrogate_pair),
		cmocka_unit_test(json_refuses_bad_utf8),
		cmocka_unit_test(json_takes_every_length_of_utf8),
		cmocka_unit_test(json_takes_32_levels_and_no_more),
		cmocka_unit_test(json_counts_levels_and_not_brackets),
		cmocka_unit_test(json_refuses_hostile_depth),
		cmocka_unit_test(json_refuses_a_lone_null),
		cmocka_unit_test(json_takes_the_last_duplicate),
		cmocka_unit_test(json_refuses_nul_in_a_name),
		cmocka_unit_test(json_text_gives_strings_only),
		cmocka_unit_test(json_require_text_takes_a_string),
		cmocka_unit_test(json_require_text_names_what_is_missing),
		cmocka_unit_test(json_require_text_names_a_wrong_kind),
		cmocka_unit_test(json_require_text_or_int_takes_both),
		cmocka_unit_test(json_require_text_or_int_refuses_the_rest),
		cmocka_unit_test(json_at_walks_a_path),
		cmocka_unit_test(json_builds_a_tree),
		cmocka_unit_test(json_put_replaces),
		cmocka_unit_test(json_put_copies_the_text),
		cmocka_unit_test(json_remove_takes_a_member_away),
		cmocka_unit_test(json_merges_as_rfc_7396_says),
		cmocka_unit_test(json_merge_keeps_nulls_in_arrays),
		cmocka_unit_test(json_merge_copies),
		cmocka_unit_test(json_next_walks_the_members),
		cmocka_unit_test(json_number_takes_every_number),
		cmocka_unit_test(json_set_text_replaces_a_string),
		cmocka_unit_test(json_print_refuses_an_incomplete_tree),
		cmocka_unit_test(json_puts_at_a_path),
		cmocka_unit_test(json_print_refuses_what_was_put_nowhere),
		cmocka_unit_test(json_print_refuses_a_member_of_no_object),
		cmocka_unit_test(json_print_refuses_null),
		cmocka_unit_test(json_print_keeps_numbers_as_written),
		cmocka_unit_test(json_print_is_compact_and_keeps_order),
		cmocka_unit_test(json_print_escapes_what_it_must),
		cmocka_unit_test(json_print_keeps_to_the_ceiling),
		cmocka_unit_test(json_print_replaces_bad_utf8),
		cmocka_unit_test(json_free_wipes_strings),
		cmocka_unit_test(json_free_takes_null),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
