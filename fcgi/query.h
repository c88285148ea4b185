/*
 * Query strings.
 */
#ifndef FCGI_QUERY_H
#define FCGI_QUERY_H

#include <stddef.h>

/*
 * Writes the value of the first parameter ${name} of ${query} to ${value},
 * with %XX and + decoded; "" when it is absent.
 * Returns 0, or -1 with ${value} empty when it does not fit ${size} bytes, has
 * a bad %XX, or contains a NUL.
 */
int query_get(const char *query, const char *name, char *value, size_t size)
    __attribute__((warn_unused_result));

#endif
