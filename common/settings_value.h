/*
 * What a legal value of a setting is. Each function says what is wrong with
 * ${value}, in words that go behind the setting's name ("is too long"), and
 * returns NULL when nothing is.
 */
#ifndef COMMON_SETTINGS_VALUE_H
#define COMMON_SETTINGS_VALUE_H

#include <stddef.h>

/* ${len} hex digits. */
const char *settings_value_hex(const char *value, size_t len);

/* Printable ASCII without spaces: what keys and ids are made of. */
const char *settings_value_word(const char *value, size_t max);

/* UTF-8. */
const char *settings_value_text(const char *value, size_t max);

/* A regular file that this process can read. */
const char *settings_value_file(const char *value);

/* "https://host[:port][/path]", nothing else; slashes at its end are fine. */
const char *settings_value_url(const char *value, size_t max);

/* The path of a URL, from its first slash on; one at its end is fine. */
const char *settings_value_path(const char *value, size_t max);

/* The length of ${value} without the slashes at its end. */
size_t settings_value_trimmed(const char *value);

#endif
