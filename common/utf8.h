/*
 * UTF-8 (Unicode standard, table 3-7: no overlong forms, no surrogates).
 */
#ifndef COMMON_UTF8_H
#define COMMON_UTF8_H

#include <stdbool.h>
#include <stddef.h>

/*
 * The length of the character that the ${len} bytes at ${text} begin with; 0
 * when there is none.
 */
size_t utf8_character(const char *text, size_t len);

/* Answers whether the ${len} bytes at ${text} are characters throughout. */
bool utf8_valid(const char *text, size_t len);

#endif
