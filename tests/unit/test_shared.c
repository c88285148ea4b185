#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fail.h"
#include "common/shared.h"
#include "common/sys.h"

#define CERTIFICATE "0123456789abcdef0123456789abcdef"
#define SETS (SHARED_SLOTS / 8)

static char folder[64]; /* of the table; there are no others in its parent */
static char file[96], lock_file[96];

static int
make_folder(void **state)
{
	char parent[] = "/tmp/test_shared.XXXXXX";

	(void)state;
	if (mkdtemp(parent) == NULL)
		return -1;
	snprintf(folder, sizeof(folder), "%s/state", parent);
	snprintf(file, sizeof(file), "%s/agora-agent.shared", folder);
	snprintf(lock_file, sizeof(lock_file), "%s/agora-agent.lock", folder);
	return 0;
}

static int
remove_folder(void **state)
{
	(void)state;
	unlink(file);
	unlink(lock_file);
	unlink(folder);
	rmdir(folder);
	*strrchr(folder, '/') = '\0';
	return rmdir(folder);
}

static struct shared *
opened(void)
{
	struct fail fail = { 0 };
	struct shared *shared = shared_open(folder, &fail);

	if (shared == NULL)
		fail_msg("%s", fail.text);
	return shared;
}

/* ---- keys and values --------------------------------------------------- */

static void
keys_depend_on_certificate_purpose_and_text(void **state)
{
	uint64_t key = shared_key(CERTIFICATE, "ab", "c");

	(void)state;
	assert_int_not_equal(key, 0);
	assert_true(key == shared_key(CERTIFICATE, "ab", "c"));
	assert_true(key != shared_key(CERTIFICATE, "a", "bc"));
	assert_true(key != shared_key(CERTIFICATE, "ab", "d"));
	assert_true(key != shared_key("another", "ab", "c"));
}

static void
a_value_is_swapped_only_for_the_expected_one(void **state)
{
	struct shared *shared = opened();

	(void)state;
	assert_int_equal(shared_get(shared, 7), 0);
	assert_false(shared_swap(shared, 7, 1, 2));
	assert_true(shared_swap(shared, 7, 0, 10));
	assert_false(shared_swap(shared, 7, 0, 11));
	assert_false(shared_swap(shared, 7, 9, 11));
	assert_int_equal(shared_get(shared, 7), 10);
	assert_true(shared_swap(shared, 7, 10, 11));
	assert_int_equal(shared_get(shared, 7), 11);
	assert_true(shared_swap(shared, 7, 11, 0));
	assert_int_equal(shared_get(shared, 7), 0);
	assert_true(shared_swap(shared, 7, 0, 12));
	shared_close(shared);
}

static void
a_value_is_put_in_place_of_any(void **state)
{
	struct shared *shared = opened();

	(void)state;
	assert_true(shared_put(shared, 7, 10));
	assert_int_equal(shared_get(shared, 7), 10);
	assert_true(shared_put(shared, 7, 9));
	assert_true(shared_put(shared, 7, 9));
	assert_int_equal(shared_get(shared, 7), 9);
	assert_false(shared_put(shared, 0, 9));
	shared_close(shared);
}

static void
key_0_is_nobodys(void **state)
{
	struct shared *shared = opened();

	(void)state;
	assert_false(shared_swap(shared, 0, 0, 1));
	assert_int_equal(shared_get(shared, 0), 0);
	shared_close(shared);
}

static void
the_oldest_of_a_set_gives_way(void **state)
{
	struct shared *shared = opened();

	(void)state;
	/* Keys of one set; the third has the lowest value. */
	for (uint64_t i = 1; i <= 8; i++)
		assert_true(
		    shared_swap(shared, i * SETS, 0, i == 3 ? 50 : 100 + i));
	assert_true(shared_swap(shared, 1, 0, 5)); /* of another set */
	assert_true(shared_swap(shared, 9 * SETS, 0, 200));
	for (uint64_t i = 1; i <= 8; i++)
		assert_int_equal(shared_get(shared, i * SETS),
		    i == 3 ? 0 : 100 + i);
	assert_int_equal(shared_get(shared, 9 * SETS), 200);
	assert_int_equal(shared_get(shared, 1), 5);
	shared_close(shared);
}

static void
every_slot_can_be_used(void **state)
{
	struct shared *shared = opened();

	(void)state;
	for (uint64_t key = 1; key <= SHARED_SLOTS; key++)
		assert_true(shared_swap(shared, key, 0, key + 1000));
	for (uint64_t key = 1; key <= SHARED_SLOTS; key++)
		assert_int_equal(shared_get(shared, key), key + 1000);
	shared_close(shared);
}

static void
private_tables_share_nothing(void **state)
{
	struct fail fail = { 0 };
	struct shared *one = shared_open(NULL, &fail);
	struct shared *two = shared_open("", &fail);

	(void)state;
	assert_true(shared_swap(one, 7, 0, 10));
	assert_int_equal(shared_get(one, 7), 10);
	assert_int_equal(shared_get(two, 7), 0);
	shared_close(one);
	shared_close(two);
	shared_close(NULL);
}

/* ---- the file ---------------------------------------------------------- */

static void
a_table_outlives_its_processes(void **state)
{
	struct shared *shared = opened();
	struct stat st;

	(void)state;
	assert_true(shared_swap(shared, 7, 0, 10));
	shared_close(shared);
	shared = opened();
	assert_int_equal(shared_get(shared, 7), 10);
	shared_close(shared);

	assert_int_equal(stat(folder, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	assert_int_equal(stat(file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(st.st_size, 64 + SHARED_SLOTS * 16);
}

/* Overwrites ${len} bytes of the file. */
static void
scribble(off_t at, const char *bytes, size_t len)
{
	int fd = open(file, O_WRONLY);

	assert_int_equal(pwrite(fd, bytes, len, at), len);
	close(fd);
}

static void
assert_replaced(const char *what)
{
	struct shared *shared = opened();
	struct stat st;

	if (shared_get(shared, 7) != 0)
		fail_msg("%s: the old table is used", what);
	assert_true(shared_swap(shared, 7, 0, 10));
	assert_int_equal(lstat(file, &st), 0);
	assert_int_equal(st.st_mode, S_IFREG | 0600);
	shared_close(shared);
}

static void
a_file_of_another_form_is_replaced(void **state)
{
	char other[128];

	(void)state;
	assert_replaced("none");
	scribble(13, "2", 1);
	assert_replaced("version");
	scribble(16, "\1", 1);
	assert_replaced("number of slots");
	scribble(30, "0000", 4);
	assert_replaced("boot");
	assert_int_equal(truncate(file, 65), 0);
	assert_replaced("cut");
	assert_int_equal(truncate(file, 0), 0);
	assert_replaced("empty");
	assert_int_equal(truncate(file, 65601), 0);
	assert_replaced("longer");
	assert_int_equal(chmod(file, 0644), 0);
	assert_replaced("readable by all");

	scribble(0, (char[64]){ 0 }, 64);
	assert_replaced("zeros, after a power cut");

	snprintf(other, sizeof(other), "%s-other", file);
	assert_int_equal(link(file, other), 0);
	assert_replaced("hard link");
	unlink(other);
}

static void
half_a_file_of_a_killed_process_is_in_nobodys_way(void **state)
{
	char fresh[128];
	int fd;

	(void)state;
	shared_close(opened());
	unlink(file);
	snprintf(fresh, sizeof(fresh), "%s.new", file);
	fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL, 0600);
	close(fd);
	assert_replaced("half");
	assert_int_equal(access(fresh, F_OK), -1);
}

static void
a_file_that_vanishes_is_made_anew_by_all(void **state)
{
	struct shared *one = opened(), *two = opened();

	(void)state;
	assert_true(shared_swap(one, 7, 0, 10));
	unlink(file);
	unlink(lock_file);
	rmdir(folder);
	assert_int_equal(shared_get(one, 7), 0);
	assert_true(shared_swap(two, 7, 0, 11));
	assert_int_equal(shared_get(one, 7), 11);
	assert_int_equal(truncate(file, 100), 0);
	assert_true(shared_swap(one, 7, 0, 12));
	assert_int_equal(shared_get(two, 7), 12);
	shared_close(one);
	shared_close(two);
}

static void
assert_refused(const char *path, const char *word)
{
	struct fail fail = { 0 }, checked = { 0 };

	assert_null(shared_open(path, &fail));
	assert_int_equal(fail.kind, FAIL_CONFIG);
	if (strstr(fail.text, word) == NULL)
		fail_msg("%s: %s", path, fail.text);
	assert_int_equal(shared_check(path, &checked), -1);
	assert_int_equal(checked.kind, FAIL_CONFIG);
}

static void
a_folder_that_others_may_change_is_refused(void **state)
{
	char elsewhere[128];

	(void)state;
	assert_int_equal(mkdir(folder, 0700), 0);
	assert_int_equal(chmod(folder, 0770), 0);
	assert_refused(folder, "others may write");
	assert_int_equal(chmod(folder, 01777), 0);
	assert_refused(folder, "others may write");
	assert_int_equal(chmod(folder, 0700), 0);
	if (geteuid() == 0) {
		assert_int_equal(chown(folder, 12345, 12345), 0);
		assert_refused(folder, "another user");
		assert_int_equal(chown(folder, 0, 0), 0);
	}
	snprintf(elsewhere, sizeof(elsewhere), "%s-real", folder);
	assert_int_equal(rename(folder, elsewhere), 0);
	assert_int_equal(symlink(elsewhere, folder), 0);
	assert_refused(folder, "ot a"); /* "Not a directory" or "loop" */
	rmdir(elsewhere);
	assert_refused("/proc/nothing/here", "No such file");
	assert_refused("/dev/null", "ot a");
}

/* Makes a file of the table's name that is none. */
static void
make_foreign(const char *text)
{
	FILE *out = fopen(file, "w");

	assert_non_null(out);
	fputs(text, out);
	fclose(out);
}

static void
what_is_no_table_is_left_alone(void **state)
{
	char other[128], text[32] = "";
	FILE *in;

	(void)state;
	assert_int_equal(mkdir(folder, 0700), 0);
	make_foreign("agora-agents\n");
	assert_refused(folder, "agora-agent.shared is not ours");
	make_foreign("0");
	assert_refused(folder, "agora-agent.shared is not ours");
	in = fopen(file, "r");
	assert_non_null(fgets(text, sizeof(text), in));
	assert_string_equal(text, "0");
	fclose(in);

	snprintf(other, sizeof(other), "%s-other", file);
	assert_int_equal(rename(file, other), 0);
	assert_int_equal(symlink(other, file), 0);
	assert_refused(folder, "symbolic links");
	unlink(file);
	unlink(other);
	assert_int_equal(mkfifo(file, 0600), 0);
	assert_refused(folder, "agora-agent.shared is not ours");
	unlink(file);
	assert_int_equal(mkdir(file, 0700), 0);
	assert_refused(folder, "directory");
	rmdir(file);
}

static void
a_check_makes_nothing(void **state)
{
	struct fail fail = { 0 };

	(void)state;
	assert_int_equal(shared_check(folder, &fail), 0);
	assert_int_equal(access(folder, F_OK), -1);
	shared_close(opened());
	assert_int_equal(shared_check(folder, &fail), 0);
}

/* ---- several processes ------------------------------------------------- */

/* Adds 1 to the value of ${key}, ${times} times. */
static void
count(struct shared *shared, uint64_t key, int times)
{
	uint64_t value;

	while (times > 0) {
		value = shared_get(shared, key);
		if (shared_swap(shared, key, value, value + 1))
			times--;
	}
}

static void
no_swap_is_lost_among_processes(void **state)
{
	struct shared *shared;
	pid_t pid[8];
	int status;

	(void)state;
	/* Together they also find out who makes the file. */
	for (size_t i = 0; i < 8; i++) {
		pid[i] = fork();
		if (pid[i] == 0) {
			shared = opened();
			count(shared, 7, 500);
			shared_close(shared);
			_exit(0);
		}
	}
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(waitpid(pid[i], &status, 0), pid[i]);
		assert_int_equal(status, 0);
	}
	shared = opened();
	assert_int_equal(shared_get(shared, 7), 8 * 500);
	shared_close(shared);
}

/* Swaps until it is killed; value = 1000 * n + key, so that mixes show. */
static void
swap_for_ever(void)
{
	struct shared *shared = opened();
	uint64_t value;

	for (uint64_t key = 1;; key = key % 40 + 1) {
		value = shared_get(shared, key * SETS);
		shared_swap(shared, key * SETS, value,
		    (value == 0 ? key : value) + 1000);
	}
}

static void
a_killed_process_leaves_a_table_that_works(void **state)
{
	const struct timespec pause = { .tv_nsec = 700000 };
	struct shared *shared = opened();
	uint64_t value;
	pid_t pid;

	(void)state;
	for (int round = 0; round < 300; round++) {
		pid = fork();
		if (pid == 0)
			swap_for_ever();
		nanosleep(&pause, NULL);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		for (uint64_t key = 1; key <= 40; key++) {
			value = shared_get(shared, key * SETS);
			assert_true(value == 0 || value % 1000 == key);
		}
		assert_true(shared_swap(shared, 7, (uint64_t)round,
		    (uint64_t)round + 1));
	}
	shared_close(shared);
}

/* In a child: locks the set of ${key} and is stopped with it. */
static pid_t
stopped_with_lock(uint64_t key)
{
	struct flock lock = { .l_type = F_WRLCK,
		.l_whence = SEEK_SET,
		.l_start = 64 + (off_t)(key % SETS) * 128,
		.l_len = 128 };
	pid_t pid = fork();
	int fd, status;

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fd = open(file, O_RDWR);
		if (fcntl(fd, F_SETLK, &lock) == 0)
			raise(SIGSTOP);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	return pid;
}

static void
a_stopped_process_stops_nobody_else(void **state)
{
	struct shared *shared = opened();
	int64_t began = sys_monotonic_ms();
	pid_t pid = stopped_with_lock(7);

	(void)state;
	assert_false(shared_swap(shared, 7, 0, 10));
	assert_in_range(sys_monotonic_ms() - began, SHARED_WAIT_MS, 10000);
	assert_int_equal(shared_get(shared, 7), 0);
	assert_true(shared_swap(shared, 8, 0, 10)); /* another set */
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_true(shared_swap(shared, 7, 0, 10));
	shared_close(shared);
}

/* In a child: does flock(2) on ${path}, keeps it, and is stopped. */
static pid_t
stopped_with_flock(const char *path)
{
	pid_t pid = fork();
	int fd, status;

	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		fd = open(path, O_RDONLY);
		if (flock(fd, LOCK_EX) == 0)
			raise(SIGSTOP);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	return pid;
}

/* Everybody can lock a folder that he can read. */
static void
a_locked_folder_is_in_nobodys_way(void **state)
{
	pid_t pid;

	(void)state;
	assert_int_equal(mkdir(folder, 0755), 0);
	pid = stopped_with_flock(folder);
	alarm(10);
	shared_close(opened());
	alarm(0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void
a_held_lock_is_not_waited_for_for_ever(void **state)
{
	struct fail fail = { 0 };
	struct shared *shared = opened();
	int64_t began;
	struct stat st;
	pid_t pid;

	(void)state;
	assert_int_equal(stat(lock_file, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	pid = stopped_with_flock(lock_file);
	began = sys_monotonic_ms();
	alarm(10);
	assert_null(shared_open(folder, &fail));
	assert_in_range(sys_monotonic_ms() - began, SHARED_WAIT_MS, 10000);
	assert_int_equal(fail.kind, FAIL_CONFIG);
	assert_non_null(strstr(fail.text, "is held by another process"));
	assert_true(shared_swap(shared, 7, 0, 10)); /* who is in, is in */
	alarm(0);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	shared_close(shared);
	shared_close(opened());
}

#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(keys_depend_on_certificate_purpose_and_text),
		TEST(a_value_is_swapped_only_for_the_expected_one),
		TEST(a_value_is_put_in_place_of_any),
		TEST(key_0_is_nobodys),
		TEST(the_oldest_of_a_set_gives_way),
		TEST(every_slot_can_be_used),
		TEST(private_tables_share_nothing),
		TEST(a_table_outlives_its_processes),
		TEST(a_file_of_another_form_is_replaced),
		TEST(half_a_file_of_a_killed_process_is_in_nobodys_way),
		TEST(a_file_that_vanishes_is_made_anew_by_all),
		TEST(a_folder_that_others_may_change_is_refused),
		TEST(what_is_no_table_is_left_alone),
		TEST(a_check_makes_nothing),
		TEST(no_swap_is_lost_among_processes),
		TEST(a_killed_process_leaves_a_table_that_works),
		TEST(a_stopped_process_stops_nobody_else),
		TEST(a_locked_folder_is_in_nobodys_way),
		TEST(a_held_lock_is_not_waited_for_for_ever),
	};

	return cmocka_run_group_tests_name("shared", tests, NULL, NULL);
}
