/*
 * FastCGI records. Input: bytes of a connection.
 */
#include <string.h>

#include "fcgi/record.h"
#include "world.h"

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	return 0;
}

/* The bytes in memory of their own size, so that a read past them shows. */
static enum record_verdict
check(const uint8_t *data, size_t size, struct record_request *request)
{
	uint8_t *bytes = malloc(size + (size == 0));
	enum record_verdict verdict;

	CHECK(bytes != NULL);
	if (size > 0)
		memcpy(bytes, data, size);
	verdict = record_check(bytes, size, request);
	free(bytes);
	return verdict;
}

/* Of a whole request every part is just a part, and more changes nothing. */
static void
check_whole(const uint8_t *data, size_t size,
    const struct record_request *whole)
{
	struct record_request request;
	const uint8_t *last = data + whole->len - 8;
	size_t cut;

	CHECK(whole->len >= 32 && whole->len <= size);
	CHECK(whole->id != 0 && whole->id == (data[2] << 8 | data[3]));
	CHECK(last[1] == 5 && last[4] == 0 && last[5] == 0 && last[6] == 0);
	CHECK((last[2] << 8 | last[3]) == whole->id);
	for (cut = 0; cut < whole->len; cut += 1 + cut / 8)
		CHECK(check(data, cut, &request) == RECORD_MORE);
	CHECK(check(data, whole->len - 1, &request) == RECORD_MORE);
	CHECK(check(data, whole->len, &request) == RECORD_WHOLE);
	CHECK(request.len == whole->len && request.id == whole->id);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record_request request, cut_request;
	enum record_verdict verdict = check(data, size, &request), cut;

	if (verdict == RECORD_WHOLE) {
		check_whole(data, size, &request);
		return 0;
	}
	/* A verdict stays, however much arrives behind it. */
	if (size > 0) {
		cut = check(data, size - 1, &cut_request);
		CHECK(cut == RECORD_MORE || cut == verdict);
		CHECK(cut != RECORD_MORE || verdict != RECORD_MORE ||
		    cut_request.len <= request.len);
	}
	if (verdict == RECORD_BODY_LARGE || verdict == RECORD_HEAD_LARGE)
		CHECK(request.id != 0);
	return 0;
}
