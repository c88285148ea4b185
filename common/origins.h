/*
 * Origins of web pages (RFC 6454), as browsers write them: scheme, host and,
 * if it is not the scheme's own, port.
 */
#ifndef COMMON_ORIGINS_H
#define COMMON_ORIGINS_H

#include <stdbool.h>

/*
 * Checks a comma separated list. Returns NULL, or what is wrong in words that
 * go behind the setting's name.
 */
const char *origins_fault(const char *list);

/*
 * Answers whether ${origin} stands in the list, byte for byte: a browser
 * writes an origin in one way only, and "null" is nobody.
 */
bool origins_have(const char *list, const char *origin);

#endif
