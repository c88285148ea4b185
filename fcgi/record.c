#include <string.h>

#include "fcgi/record.h"

#define VERSION_1 1
#define ROLE_RESPONDER 1
#define BEGIN_BODY_LEN 8
#define LENGTHS_MAX 8 /* bytes that declare one name-value pair */

enum record_type {
	BEGIN_REQUEST = 1,
	ABORT_REQUEST = 2,
	END_REQUEST = 3,
	PARAMS = 4,
	STDIN = 5,
	STDOUT = 6,
};

bool
record_aborts(const uint8_t header[static RECORD_HEADER_SIZE])
{
	return header[0] == VERSION_1 && header[1] == ABORT_REQUEST;
}

/* What is expected next of the request. */
enum stage { AT_BEGIN, AT_PARAMS, AT_STDIN, AT_END };

/* Where the reading of name-value pairs stands between two records. */
struct pairs {
	uint8_t lengths[LENGTHS_MAX];
	size_t lengths_len;
	size_t skip; /* bytes of name and value still to come */
};

struct walk {
	enum stage stage;
	uint16_t id;
	bool second; /* BEGIN_REQUEST of another request was seen */
	size_t head_len, body_len;
	struct pairs pairs;
};

struct record {
	uint8_t type;
	uint16_t id;
	uint8_t padding_len;
	size_t content_len;
	const uint8_t *content; /* content_len bytes, if all have arrived */
};

/* Bytes that the length at ${first} takes: 1, or 4 with the top bit set. */
static size_t
length_size(uint8_t first)
{
	return first & 0x80 ? 4 : 1;
}

static size_t
length_value(const uint8_t *at)
{
	if (length_size(*at) == 1)
		return *at;
	return (size_t)(at[0] & 0x7f) << 24 | (size_t)at[1] << 16 |
	    (size_t)at[2] << 8 | at[3];
}

/* True when lengths[] holds both lengths of a pair. */
static bool
pairs_declared(const struct pairs *pairs)
{
	size_t name;

	if (pairs->lengths_len == 0)
		return false;
	name = length_size(pairs->lengths[0]);
	return pairs->lengths_len > name &&
	    pairs->lengths_len == name + length_size(pairs->lengths[name]);
}

/*
 * Follows the pairs through one record's content.
 * Returns false when a pair claims more than a request may have.
 */
static bool
pairs_follow(struct pairs *pairs, const uint8_t *bytes, size_t len)
{
	size_t name, value, step;

	while (len > 0) {
		if (pairs->skip > 0) {
			step = pairs->skip < len ? pairs->skip : len;
			pairs->skip -= step;
		} else {
			step = 1;
			pairs->lengths[pairs->lengths_len++] = *bytes;
			if (pairs_declared(pairs)) {
				name = length_value(pairs->lengths);
				value = length_value(pairs->lengths +
				    length_size(pairs->lengths[0]));
				if (name > RECORD_HEAD_MAX ||
				    value > RECORD_HEAD_MAX)
					return false;
				pairs->skip = name + value;
				pairs->lengths_len = 0;
			}
		}
		bytes += step;
		len -= step;
	}
	return true;
}

static enum record_verdict
walk_begin(struct walk *walk, const struct record *record)
{
	if (record->type != BEGIN_REQUEST ||
	    record->content_len != BEGIN_BODY_LEN)
		return RECORD_BAD;
	if ((record->content[0] << 8 | record->content[1]) != ROLE_RESPONDER)
		return RECORD_BAD;
	walk->id = record->id;
	walk->stage = AT_PARAMS;
	return RECORD_MORE;
}

static enum record_verdict
walk_params(struct walk *walk, const struct record *record)
{
	if (record->type != PARAMS)
		return RECORD_BAD;
	if (record->content_len == 0) {
		if (walk->pairs.skip > 0 || walk->pairs.lengths_len > 0)
			return RECORD_BAD;
		walk->stage = AT_STDIN;
		return RECORD_MORE;
	}
	if (!pairs_follow(&walk->pairs, record->content, record->content_len))
		return RECORD_HEAD_LARGE;
	return RECORD_MORE;
}

static enum record_verdict
walk_stdin(struct walk *walk, const struct record *record)
{
	if (record->type != STDIN)
		return RECORD_BAD;
	if (record->content_len == 0)
		walk->stage = AT_END;
	return RECORD_MORE;
}

/*
 * Another request on this connection: libfcgi refuses it, with a write that
 * nobody should be able to have it repeat.
 */
static enum record_verdict
walk_second(struct walk *walk)
{
	if (walk->second)
		return RECORD_BAD;
	walk->second = true;
	return RECORD_MORE;
}

/*
 * What libfcgi reads wrongly: at the end of a stream and behind BEGIN_REQUEST
 * it forgets the padding, and takes it for the next record; after an empty
 * record of another request it skips one of ours.
 */
static bool
is_misread(const struct walk *walk, const struct record *record)
{
	if (walk->stage != AT_BEGIN && record->id != walk->id)
		return record->type != BEGIN_REQUEST ||
		    record->content_len != BEGIN_BODY_LEN;
	return record->padding_len > 0 &&
	    (record->content_len == 0 || walk->stage == AT_BEGIN);
}

/* Takes one record that has arrived completely. */
static enum record_verdict
walk_record(struct walk *walk, const struct record *record)
{
	if (is_misread(walk, record))
		return RECORD_BAD;
	if (walk->stage == AT_BEGIN)
		return walk_begin(walk, record);
	if (record->id != walk->id)
		return walk_second(walk);
	if (walk->stage == AT_PARAMS)
		return walk_params(walk, record);
	return walk_stdin(walk, record);
}

/*
 * Counts what a record declares, before it has arrived: the sender of 16 MiB
 * gets its answer after the first header.
 */
static enum record_verdict
walk_sizes(struct walk *walk, const struct record *record)
{
	if (walk->stage == AT_BEGIN || record->id != walk->id)
		return RECORD_MORE;
	if (walk->stage == AT_PARAMS) {
		walk->head_len += record->content_len;
		if (walk->head_len > RECORD_HEAD_MAX)
			return RECORD_HEAD_LARGE;
	} else {
		walk->body_len += record->content_len;
		if (walk->body_len > RECORD_BODY_MAX)
			return RECORD_BODY_LARGE;
	}
	return RECORD_MORE;
}

/* The request fills all the room there is and is not complete. */
static enum record_verdict
walk_overflow(const struct walk *walk)
{
	if (walk->stage == AT_STDIN)
		return RECORD_BODY_LARGE;
	return walk->stage == AT_PARAMS ? RECORD_HEAD_LARGE : RECORD_BAD;
}

enum record_verdict
record_check(const uint8_t *bytes, size_t len, struct record_request *request)
{
	struct walk walk = { 0 };
	struct record record;
	enum record_verdict verdict = RECORD_MORE;
	size_t at = 0, whole;

	while (walk.stage != AT_END && len - at >= RECORD_HEADER_SIZE) {
		record.type = bytes[at + 1];
		record.id = (uint16_t)(bytes[at + 2] << 8 | bytes[at + 3]);
		record.content_len = (size_t)bytes[at + 4] << 8 | bytes[at + 5];
		record.padding_len = bytes[at + 6];
		record.content = bytes + at + RECORD_HEADER_SIZE;
		whole = RECORD_HEADER_SIZE + record.content_len +
		    record.padding_len;

		/* Id 0 is a management record; no web server sends one. */
		if (bytes[at] != VERSION_1 || record.id == 0)
			return RECORD_BAD;
		verdict = walk_sizes(&walk, &record);
		if (verdict != RECORD_MORE || len - at < whole)
			break;
		verdict = walk_record(&walk, &record);
		if (verdict != RECORD_MORE)
			break;
		at += whole;
	}
	if (walk.stage == AT_END)
		verdict = RECORD_WHOLE;
	else if (verdict == RECORD_MORE && len >= RECORD_REQUEST_MAX)
		verdict = walk_overflow(&walk);
	request->id = walk.id;
	request->len = at;
	return verdict;
}

static uint8_t *
put_header(uint8_t *out, enum record_type type, uint16_t id, size_t len)
{
	const uint8_t header[RECORD_HEADER_SIZE] = { VERSION_1, (uint8_t)type,
		(uint8_t)(id >> 8), (uint8_t)id, (uint8_t)(len >> 8),
		(uint8_t)len };

	memcpy(out, header, sizeof(header));
	return out + sizeof(header);
}

void
record_enclose(uint16_t id, size_t len,
    uint8_t before[static RECORD_BEFORE_SIZE],
    uint8_t after[static RECORD_AFTER_SIZE])
{
	static const uint8_t request_complete[8] = { 0 };

	put_header(before, STDOUT, id, len);
	after = put_header(after, STDOUT, id, 0);
	after = put_header(after, END_REQUEST, id, sizeof(request_complete));
	memcpy(after, request_complete, sizeof(request_complete));
}
