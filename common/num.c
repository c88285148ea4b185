#include <stdbool.h>

#include "common/ascii.h"
#include "common/num.h"

/* Room for one more digit without leaving int64_t? ${value} is negative. */
static bool
digit_fits(int64_t value, int digit)
{
	return value >= (INT64_MIN + digit) / 10;
}

int
num_parse(const char *text, int64_t min, int64_t max, int64_t *out)
{
	bool negative = *text == '-';
	int64_t value = 0; /* kept negative: INT64_MIN has no positive twin */
	const char *p = negative ? text + 1 : text;

	if (*p == '\0' || (p[0] == '0' && p[1] != '\0'))
		return -1;
	for (; *p != '\0'; p++) {
		int digit = *p - '0';

		if (!ascii_is_digit(*p) || !digit_fits(value, digit))
			return -1;
		value = value * 10 - digit;
	}
	if (!negative) {
		if (value == INT64_MIN)
			return -1;
		value = -value;
	}
	if (value < min || value > max)
		return -1;
	*out = value;
	return 0;
}

uint64_t
num_in_range(const uint8_t random[static 8], uint64_t first, uint64_t last)
{
	uint64_t number = 0;

	for (int i = 7; i >= 0; i--)
		number = number << 8 | random[i];
	if (first == 0 && last == UINT64_MAX)
		return number; /* 2^64 values do not fit the divisor */
	return first + number % (last - first + 1);
}

void
num_hex(const uint8_t *bytes, size_t len, char *hex)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < len; i++) {
		*hex++ = digits[bytes[i] >> 4];
		*hex++ = digits[bytes[i] & 0x0f];
	}
	*hex = '\0';
}
