/*
 * Comma separated values of settings.
 */
#ifndef COMMON_LIST_H
#define COMMON_LIST_H

#include <stddef.h>

/*
 * The next item of ${*rest}, which is moved behind it, with its length in
 * ${len}; spaces around it do not count. NULL at the end. An item may be
 * empty, and an empty list has one that is.
 */
const char *list_next(const char **rest, size_t *len);

#endif
