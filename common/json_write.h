/*
 * JSON as text, written member by member without a tree: for answers, which
 * are small, known, and must be possible when memory has run out. All append
 * to a struct buf, whose errors are sticky.
 */
#ifndef COMMON_JSON_WRITE_H
#define COMMON_JSON_WRITE_H

#include <stddef.h>
#include <stdint.h>

struct buf;

/*
 * Begins an object, as member ${key} of the one that is open, or with NULL as
 * the whole. Ends it.
 */
void json_write_open(struct buf *out, const char *key);
void json_write_close(struct buf *out);

/*
 * Members of the object that is open, in the order of the calls; that no key
 * is there twice is up to the caller. ${json} is a value's JSON, not checked.
 */
void json_write_text(struct buf *out, const char *key, const char *text);
void json_write_int(struct buf *out, const char *key, int64_t value);
void json_write_json(struct buf *out, const char *key, const struct buf *json);

/*
 * A string of ${len} bytes, in its quotes. Bytes that are not UTF-8 become
 * U+FFFD, so that the output is JSON whatever the text was.
 */
void json_write_string(struct buf *out, const char *text, size_t len);

#endif
