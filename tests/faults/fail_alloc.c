/*
 * For tests, as LD_PRELOAD: lets the N-th allocation of a program fail, so
 * that every place that can run out of memory can be tried.
 *
 *   FAIL_ALLOC=FILE
 *
 * FILE holds a struct control, which the test maps too: it arms a failure
 * when it likes, for example between two requests, and reads afterwards how
 * many allocations there were, where one failed, how many are alive, and
 * where the program crashed if it did. allocations.py is the test's side.
 *
 * malloc(3), calloc(3), realloc(3), aligned_alloc(3), posix_memalign(3) and
 * what the C library builds upon them count, in every thread; mmap(2) does
 * not. What happens before this library's constructor never fails.
 *
 * In a program with AddressSanitizer the allocations are the sanitizer's, and
 * so is the report of a crash; it needs
 * ASAN_OPTIONS=verify_asan_link_order=0 besides.
 */
#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FRAMES 24
#define PLACE_SIZE 4096 /* bytes, with the NUL */

/* All of it is shared with the test; allocations.py knows the layout. */
struct control {
	uint64_t fail_at; /* the first that fails, from 1; 0: none */
	uint64_t sticky;  /* 1: all from then on */
	uint64_t count;   /* allocations since the test set it to 0 */
	uint64_t failed;  /* of these, failed */
	int64_t alive;    /* not freed yet */
	char place[PLACE_SIZE]; /* frames of the first that failed */
	char crash[PLACE_SIZE]; /* frames of the crash */
};

/* glibc's own, and the sanitizer's where there is one. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);
__attribute__((weak)) void *__interceptor_malloc(size_t size);
__attribute__((weak)) void *__interceptor_calloc(size_t count, size_t size);
__attribute__((weak)) void *__interceptor_realloc(void *old, size_t size);
__attribute__((weak)) void *__interceptor_memalign(size_t alignment,
    size_t size);
__attribute__((weak)) void __interceptor_free(void *block);

static struct control *control;
static __thread bool busy; /* in here already */

/* ---- where ------------------------------------------------------------- */

/* Appends "file!symbol+offset " for one frame; 0 at the end of the room. */
static size_t
append_frame(char *text, size_t len, void *frame)
{
	const char *file = "?", *symbol = "?", *slash;
	uintptr_t base = 0;
	Dl_info info;
	int added;

	if (dladdr(frame, &info) != 0) {
		base = (uintptr_t)info.dli_fbase;
		if (info.dli_fname != NULL) {
			slash = strrchr(info.dli_fname, '/');
			file = slash != NULL ? slash + 1 : info.dli_fname;
		}
		if (info.dli_sname != NULL)
			symbol = info.dli_sname;
	}
	added = snprintf(text + len, PLACE_SIZE - len, "%s!%s+0x%lx ", file,
	    symbol, (unsigned long)((uintptr_t)frame - base));
	if (added < 0 || (size_t)added >= PLACE_SIZE - len) {
		text[len] = '\0';
		return 0;
	}
	return len + (size_t)added;
}

/* Writes the caller's frames, innermost first; this library's are left out. */
static void
describe(char text[PLACE_SIZE])
{
	void *frames[FRAMES];
	int i, count = backtrace(frames, FRAMES);
	size_t len = 0;
	Dl_info here, info;

	text[0] = '\0';
	if (dladdr((void *)(uintptr_t)describe, &here) == 0)
		return;
	for (i = 0; i < count; i++) {
		if (dladdr(frames[i], &info) != 0 &&
		    info.dli_fbase == here.dli_fbase)
			continue;
		len = append_frame(text, len, frames[i]);
		if (len == 0)
			break;
	}
}

static void
crashed(int number)
{
	busy = true;
	if (control->crash[0] == '\0')
		describe(control->crash);
	signal(number, SIG_DFL);
	raise(number);
}

/* ---- whether ----------------------------------------------------------- */

/* Counts an allocation. Returns whether it has to fail; errno is set. */
static bool
has_to_fail(void)
{
	uint64_t number, fail_at;

	if (control == NULL || busy)
		return false;
	number = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
	fail_at = __atomic_load_n(&control->fail_at, __ATOMIC_SEQ_CST);
	if (fail_at == 0 || number < fail_at ||
	    (number > fail_at && !control->sticky))
		return false;
	if (__atomic_add_fetch(&control->failed, 1, __ATOMIC_SEQ_CST) == 1) {
		busy = true;
		describe(control->place);
		busy = false;
	}
	errno = ENOMEM;
	return true;
}

static void *
counted(void *block)
{
	if (control != NULL && block != NULL)
		__atomic_add_fetch(&control->alive, 1, __ATOMIC_SEQ_CST);
	return block;
}

/* ---- what the program calls -------------------------------------------- */

void *
malloc(size_t size)
{
	if (has_to_fail())
		return NULL;
	return counted(__interceptor_malloc ? __interceptor_malloc(size) :
					      __libc_malloc(size));
}

void *
calloc(size_t count, size_t size)
{
	if (has_to_fail())
		return NULL;
	return counted(__interceptor_calloc ?
		__interceptor_calloc(count, size) :
		__libc_calloc(count, size));
}

void
free(void *block)
{
	if (control != NULL && block != NULL)
		__atomic_sub_fetch(&control->alive, 1, __ATOMIC_SEQ_CST);
	if (__interceptor_free)
		__interceptor_free(block);
	else
		__libc_free(block);
}

void *
realloc(void *old, size_t size)
{
	void *block;

	if (old == NULL)
		return malloc(size);
	if (size == 0) {
		free(old);
		return NULL;
	}
	if (has_to_fail())
		return NULL;
	block = __interceptor_realloc ? __interceptor_realloc(old, size) :
					__libc_realloc(old, size);
	return block;
}

void *
reallocarray(void *old, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(old, bytes);
}

void *
memalign(size_t alignment, size_t size)
{
	if (has_to_fail())
		return NULL;
	return counted(__interceptor_memalign ?
		__interceptor_memalign(alignment, size) :
		__libc_memalign(alignment, size));
}

void *
aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int
posix_memalign(void **block, size_t alignment, size_t size)
{
	void *fresh = memalign(alignment, size);

	if (fresh == NULL)
		return ENOMEM;
	*block = fresh;
	return 0;
}

/* ---- beginning --------------------------------------------------------- */

static void
watch_crashes(void)
{
	static const int numbers[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL,
		SIGABRT };
	struct sigaction action = { .sa_handler = crashed,
		.sa_flags = (int)SA_RESETHAND };
	size_t i;

	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		sigaction(numbers[i], &action, NULL);
}

__attribute__((constructor)) static void
begin(void)
{
	const char *path = getenv("FAIL_ALLOC");
	void *frame, *map;
	int fd;

	if (path == NULL || (fd = open(path, O_RDWR | O_CLOEXEC)) == -1)
		return;
	backtrace(&frame, 1); /* its first call loads a library */
	map = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED,
	    fd, 0);
	close(fd);
	if (map == MAP_FAILED)
		return;
	control = map;
	if (!__interceptor_malloc)
		watch_crashes();
}
