#define _GNU_SOURCE /* memfd_create(2) */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/fail.h"
#include "common/hmac.h"
#include "common/shared.h"
#include "common/sys.h"

#define FILE_NAME "agora-agent.shared"
#define FRESH_NAME "agora-agent.shared.new" /* until it is complete */
#define LOCK_NAME "agora-agent.lock"
#define MAGIC "agora-agent "
#define SET 8          /* slots that a key may have */
#define PAUSE_NS 50000 /* between two tries for a lock */

struct header {
	char form[16]; /* what follows, and how */
	uint32_t slots, set;
	char boot[40]; /* whose clock the values are of */
};

/* A slot whose value is 0 is free, whatever its key. */
struct slot {
	uint64_t key, value;
};

#define FILE_SIZE (sizeof(struct header) + SHARED_SLOTS * sizeof(struct slot))
_Static_assert(sizeof(struct header) == 64, "part of the file's form");
_Static_assert(sizeof(struct slot) == 16, "part of the file's form");

/* A part of the file that is read, locked and replaced as one. */
struct set {
	off_t offset;
	struct slot slot[SET];
};

struct shared {
	int fd;
	char *folder; /* NULL: private */
};

uint64_t
shared_key(const char *certificate, const char *purpose, const char *text)
{
	uint8_t mac[HMAC_SIZE];
	uint64_t key = 0;

	if (hmac_sha256(certificate, strlen(certificate), purpose,
		strlen(purpose), mac) == -1 ||
	    hmac_sha256(mac, sizeof(mac), text, strlen(text), mac) == -1)
		return 0;
	memcpy(&key, mac, sizeof(key));
	return key != 0 ? key : 1;
}

/* ---- the file ---------------------------------------------------------- */

static int
config_fail(struct fail *fail, const char *folder, const char *what)
{
	return fail_set(fail, FAIL_CONFIG, "%.100s: %s", folder, what);
}

/*
 * What the file of this boot begins with. Without /proc the boot is not
 * known; values of an earlier one then look as if they were from the future.
 */
static void
header_make(struct header *header)
{
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	*header = (struct header){ .form = MAGIC "1",
		.slots = SHARED_SLOTS,
		.set = SET };
	if (fd == -1)
		return;
	if (read(fd, header->boot, sizeof(header->boot) - 1) <= 0)
		memset(header->boot, 0, sizeof(header->boot));
	close(fd);
}

/* Fills the empty file ${fd}: nothing in the table. */
static int
file_fill(int fd)
{
	struct header header;
	char zeros[1024] = { 0 };
	size_t left = FILE_SIZE - sizeof(header);
	size_t len;

	header_make(&header);
	if (write(fd, &header, sizeof(header)) != (ssize_t)sizeof(header))
		return -1;
	for (; left > 0; left -= len) {
		len = left < sizeof(zeros) ? left : sizeof(zeros);
		if (write(fd, zeros, len) != (ssize_t)len)
			return -1;
	}
	return 0;
}

/* Answers whether ${fd} is a whole table of this boot that nobody else opens */
static bool
file_good(int fd)
{
	struct header expected, found;
	struct stat st;

	header_make(&expected);
	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    st.st_uid == geteuid() && (st.st_mode & 0777) == 0600 &&
	    st.st_nlink == 1 && st.st_size == (off_t)FILE_SIZE &&
	    pread(fd, &found, sizeof(found), 0) == (ssize_t)sizeof(found) &&
	    memcmp(&found, &expected, sizeof(found)) == 0;
}

/* Makes a new file in place of the one that is there. Returns it, or -1. */
static int
file_replace(int folder)
{
	int fd;

	(void)unlinkat(folder, FRESH_NAME,
	    0); /* of a process that was killed */
	fd = openat(folder, FRESH_NAME,
	    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd == -1)
		return -1;
	if (fchmod(fd, 0600) == 0 && file_fill(fd) == 0 &&
	    renameat(folder, FRESH_NAME, folder, FILE_NAME) == 0)
		return fd;
	close(fd);
	(void)unlinkat(folder, FRESH_NAME, 0);
	return -1;
}

/*
 * Why ${fd} must be left alone, or NULL: a table, if of another form, or, after
 * a power cut, nothing but zeros.
 */
static const char *
file_fault(int fd)
{
	const char zeros[sizeof(MAGIC)] = { 0 };
	char found[sizeof(MAGIC)] = { 0 };
	struct stat st;

	if (fstat(fd, &st) == -1)
		return strerror(errno);
	if (!S_ISREG(st.st_mode) ||
	    pread(fd, found, sizeof(found) - 1, 0) == -1 ||
	    (memcmp(found, MAGIC, sizeof(MAGIC)) != 0 &&
		memcmp(found, zeros, sizeof(zeros)) != 0))
		return FILE_NAME " is not ours";
	return NULL;
}

/* Opens what has the file's name; -1 with ${fault} NULL: nothing has. */
static int
file_look(int folder, int mode, const char **fault)
{
	int fd = openat(folder, FILE_NAME,
	    mode | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd == -1)
		*fault = errno == ENOENT ? NULL : strerror(errno);
	else
		*fault = file_fault(fd);
	return fd;
}

/*
 * The file in ${folder}, made if need be. The caller has the lock.
 * Returns -1 with ${fault} set.
 */
static int
file_open(int folder, const char **fault)
{
	int fd = file_look(folder, O_RDWR, fault);

	if (fd != -1 && *fault == NULL && file_good(fd))
		return fd;
	if (fd != -1)
		close(fd);
	if (*fault != NULL)
		return -1;
	fd = file_replace(folder);
	if (fd == -1)
		*fault = strerror(errno);
	return fd;
}

/*
 * Takes the lock of ${folder}, so that all who come at the same time get the
 * same file. It is a file that nobody else can open: a folder that others may
 * read they could lock too. Not for ever, as set_lock().
 * Returns what to close, or -1 with ${fault} set.
 */
static int
folder_lock(int folder, const char **fault)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	int64_t until = sys_monotonic_ms() + SHARED_WAIT_MS;
	int fd = openat(folder, LOCK_NAME,
	    O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);

	if (fd == -1) {
		*fault = strerror(errno);
		return -1;
	}
	while (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		if (errno != EWOULDBLOCK || sys_monotonic_ms() >= until) {
			*fault = errno == EWOULDBLOCK ? LOCK_NAME
			    " is held by another process" :
							strerror(errno);
			close(fd);
			return -1;
		}
		nanosleep(&pause, NULL);
	}
	return fd;
}

/* Why ${st} is no place for the file, or NULL. */
static const char *
folder_fault(const struct stat *st)
{
	if (!S_ISDIR(st->st_mode))
		return "is not a folder";
	if (st->st_uid != geteuid())
		return "belongs to another user";
	if ((st->st_mode & 022) != 0)
		return "others may write there";
	return NULL;
}

static int
folder_open(const char *path, struct fail *fail)
{
	const char *fault;
	struct stat st;
	int fd;

	if (mkdir(path, 0700) == -1 && errno != EEXIST)
		return config_fail(fail, path, strerror(errno));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd == -1)
		return config_fail(fail, path, strerror(errno));
	fault = fstat(fd, &st) == 0 ? folder_fault(&st) : strerror(errno);
	if (fault == NULL)
		return fd;
	close(fd);
	return config_fail(fail, path, fault);
}

/* The file in the folder ${path}. */
static int
open_in(const char *path, struct fail *fail)
{
	int folder = folder_open(path, fail);
	const char *fault = NULL;
	int lock, fd = -1;

	if (folder == -1)
		return -1;
	lock = folder_lock(folder, &fault);
	if (lock != -1) {
		fd = file_open(folder, &fault);
		close(lock);
	}
	close(folder);
	return fd != -1 ? fd : config_fail(fail, path, fault);
}

/* A file without a name. */
static int
open_private(struct fail *fail)
{
	int fd = memfd_create(FILE_NAME, MFD_CLOEXEC);

	if (fd != -1 && file_fill(fd) == 0)
		return fd;
	if (fd != -1)
		close(fd);
	return fail_set(fail, FAIL_INTERNAL, "no memory for a table");
}

struct shared *
shared_open(const char *folder, struct fail *fail)
{
	struct shared *shared = calloc(1, sizeof(*shared));
	bool private = folder == NULL || *folder == '\0';

	if (shared == NULL ||
	    (!private && !(shared->folder = strdup(folder)))) {
		fail_set(fail, FAIL_INTERNAL, "out of memory");
		free(shared);
		return NULL;
	}
	shared->fd = private ? open_private(fail) : open_in(folder, fail);
	if (shared->fd != -1)
		return shared;
	shared_close(shared);
	return NULL;
}

/* Why the missing folder ${path} can not be made, or NULL. */
static const char *
parent_fault(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *parent = slash != NULL ?
	    strndup(path, (size_t)(slash - path) + 1) :
	    strdup("./");
	const char *fault = NULL;

	if (parent == NULL || access(parent, W_OK | X_OK) == -1)
		fault = strerror(errno);
	free(parent);
	return fault;
}

/* Why what is in the folder ${path} can not be used, or NULL. */
static const char *
content_fault(const char *path)
{
	int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *fault;
	int fd;

	if (folder == -1)
		return strerror(errno);
	fd = file_look(folder, O_RDONLY, &fault);
	if (fd != -1)
		close(fd);
	close(folder);
	return fault;
}

int
shared_check(const char *folder, struct fail *fail)
{
	const char *fault;
	struct stat st;

	if (lstat(folder, &st) == 0) {
		fault = folder_fault(&st);
		if (fault == NULL)
			fault = content_fault(folder);
	} else if (errno == ENOENT)
		fault = parent_fault(folder);
	else
		fault = strerror(errno);
	return fault == NULL ? 0 : config_fail(fail, folder, fault);
}

void
shared_close(struct shared *shared)
{
	if (shared == NULL)
		return;
	if (shared->fd != -1)
		close(shared->fd);
	free(shared->folder);
	free(shared);
}

/* ---- the table --------------------------------------------------------- */

/*
 * Takes or (F_UNLCK) gives back the lock on a set. Not F_SETLKW: nobody shall
 * wait for good because somebody was stopped with the lock in hand.
 */
static int
set_lock(const struct shared *shared, const struct set *set, short type)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	struct flock lock = { .l_type = type,
		.l_whence = SEEK_SET,
		.l_start = set->offset,
		.l_len = sizeof(set->slot) };
	int64_t until = 0;

	while (fcntl(shared->fd, F_SETLK, &lock) == -1) {
		if (errno != EAGAIN && errno != EACCES)
			return -1;
		if (until == 0)
			until = sys_monotonic_ms() + SHARED_WAIT_MS;
		else if (sys_monotonic_ms() >= until)
			return -1;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static void
set_unlock(const struct shared *shared, const struct set *set)
{
	(void)set_lock(shared, set, F_UNLCK);
}

/* Locks the set of ${key} and reads it. The caller unlocks after 0. */
static int
set_take(const struct shared *shared, uint64_t key, short type, struct set *set)
{
	uint64_t number = key % (SHARED_SLOTS / SET);

	set->offset =
	    (off_t)(sizeof(struct header) + number * sizeof(set->slot));
	if (set_lock(shared, set, type) == -1)
		return -1;
	if (pread(shared->fd, set->slot, sizeof(set->slot), set->offset) ==
	    (ssize_t)sizeof(set->slot))
		return 0;
	set_unlock(shared, set);
	return -1;
}

/* The index of ${key} in the set, or -1. */
static int
set_find(const struct set *set, uint64_t key)
{
	for (int i = 0; i < SET; i++)
		if (set->slot[i].key == key && set->slot[i].value != 0)
			return i;
	return -1;
}

static int
set_oldest(const struct set *set)
{
	int oldest = 0;

	for (int i = 1; i < SET; i++)
		if (set->slot[i].value < set->slot[oldest].value)
			oldest = i;
	return oldest;
}

/* In one write(2), which no signal cuts in two. */
static bool
set_put(const struct shared *shared, const struct set *set, int i,
    struct slot slot)
{
	off_t offset = set->offset + (off_t)sizeof(slot) * i;

	return pwrite(shared->fd, &slot, sizeof(slot), offset) ==
	    (ssize_t)sizeof(slot);
}

/*
 * A file that somebody removed or cut (a cleaner of /tmp) is opened anew; the
 * other processes do the same, and meet in it.
 */
static void
reopen_if_gone(struct shared *shared)
{
	struct stat st;
	int fd;

	if (shared->folder == NULL ||
	    (fstat(shared->fd, &st) == 0 && st.st_nlink == 1 &&
		st.st_size == (off_t)FILE_SIZE))
		return;
	fd = open_in(shared->folder, NULL);
	if (fd == -1)
		return;
	close(shared->fd);
	shared->fd = fd;
}

uint64_t
shared_get(struct shared *shared, uint64_t key)
{
	struct set set;
	int i;

	reopen_if_gone(shared);
	if (key == 0 || set_take(shared, key, F_RDLCK, &set) == -1)
		return 0;
	i = set_find(&set, key);
	set_unlock(shared, &set);
	return i == -1 ? 0 : set.slot[i].value;
}

/*
 * Gives ${key} the value ${value} if it has ${expected}, or, when that is NULL,
 * whatever it has.
 */
static bool
change(struct shared *shared, uint64_t key, const uint64_t *expected,
    uint64_t value)
{
	struct slot slot = { .key = key, .value = value };
	uint64_t there;
	struct set set;
	bool done;
	int i;

	reopen_if_gone(shared);
	if (key == 0 || set_take(shared, key, F_WRLCK, &set) == -1)
		return false;
	i = set_find(&set, key);
	there = i == -1 ? 0 : set.slot[i].value;
	done = expected == NULL || there == *expected;
	if (i == -1)
		i = set_oldest(&set);
	if (done && value != there)
		done = set_put(shared, &set, i, slot);
	set_unlock(shared, &set);
	return done;
}

bool
shared_swap(struct shared *shared, uint64_t key, uint64_t expected,
    uint64_t value)
{
	return change(shared, key, &expected, value);
}

bool
shared_put(struct shared *shared, uint64_t key, uint64_t value)
{
	return change(shared, key, NULL, value);
}
