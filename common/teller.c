#include <stdarg.h>
#include <stdio.h>

#include "common/log.h"
#include "common/teller.h"

void
teller_say(struct teller *teller, bool problem, const char *format, ...)
{
	char text[LOG_LINE_MAX];
	va_list args;

	teller->problems += problem;
	if (teller->tell == NULL)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	teller->tell(teller->arg, problem, text);
}
