#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "fcgi/signals.h"

void
signals_ignore_pipe(void)
{
	signal(SIGPIPE, SIG_IGN);
}

void
signals_hold(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_SETMASK, &set, NULL);
}

int
signals_open(const int *numbers)
{
	sigset_t set;

	sigemptyset(&set);
	for (; *numbers != 0; numbers++)
		sigaddset(&set, *numbers);
	if (sigprocmask(SIG_BLOCK, &set, NULL) == -1)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

int
signals_next(int fd)
{
	struct signalfd_siginfo info;

	if (read(fd, &info, sizeof(info)) != sizeof(info))
		return 0;
	return (int)info.ssi_signo;
}
