#define _GNU_SOURCE /* memfd_create(2), seals */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/metrics.h"
#include "common/num.h"

#define TOTALS (sizeof(struct metrics_totals) / sizeof(uint64_t))
#define OUTCOME_BITS 8 /* of ->last, below its milliseconds */

#define FORM_SIZE 40

struct header {
	char form[FORM_SIZE]; /* what follows, and how */
	uint64_t used;        /* slots that were ever counted in */
	uint64_t since, processes;
};

/* One process counts in it; others look at any time. */
struct slot {
	union {
		struct metrics_totals named;
		uint64_t number[TOTALS];
	} total;
	uint64_t last; /* milliseconds and outcome of the latest call */
	/* Of the process that has the slot now: */
	uint64_t starts;
	struct {
		uint64_t hash;
		int64_t shut_ms;
	} host[HEALTH_HOSTS_MAX];
} __attribute__((aligned(64))); /* no cache line has two */

struct table {
	struct header header;
	struct slot slot[METRICS_SLOTS];
} __attribute__((aligned(64)));

/* Where this process counts, and the table that it adds up. */
static struct header own_header = { .used = 1, .processes = 1 };
static struct slot own_slot;
static struct header *header = &own_header;
static struct slot *slots = &own_slot, *mine = &own_slot;
static bool apart; /* others count elsewhere */

/* ---- counting ----------------------------------------------------------- */

/* Atomic, for with very many processes two may have one slot. */
static void
/* NOLINTNEXTLINE(readability-non-const-parameter): it writes */
add(uint64_t *number, uint64_t more)
{
	(void)__atomic_fetch_add(number, more, __ATOMIC_RELAXED);
}

static void
/* NOLINTNEXTLINE(readability-non-const-parameter): it writes */
put(uint64_t *number, uint64_t value)
{
	__atomic_store_n(number, value, __ATOMIC_RELAXED);
}

static uint64_t
get(const uint64_t *number)
{
	return __atomic_load_n(number, __ATOMIC_RELAXED);
}

static void
add_time(struct metrics_times *times, const int64_t *bounds, int64_t us)
{
	size_t i = 0;

	while (us > bounds[i])
		i++;
	add(&times->count[i], 1);
	add(&times->sum_us, (uint64_t)us);
}

void
metrics_request(enum fail_kind kind, int64_t own_us, int64_t agora_us)
{
	static const int64_t own[METRICS_BOUNDS] = METRICS_OWN_BOUNDS;
	static const int64_t agora[METRICS_BOUNDS] = METRICS_AGORA_BOUNDS;

	add(&mine->total.named.requests[kind], 1);
	add_time(&mine->total.named.own, own, own_us > 0 ? own_us : 0);
	if (agora_us > 0)
		add_time(&mine->total.named.agora, agora, agora_us);
}

void
metrics_call(enum agora_call call, enum agora_class class)
{
	add(&mine->total.named.calls[call][class], 1);
}

void
metrics_outcome(enum metrics_outcome outcome, int64_t now_ms)
{
	put(&mine->last, (uint64_t)now_ms << OUTCOME_BITS | (uint64_t)outcome);
}

void
metrics_starts(size_t count)
{
	put(&mine->starts, count);
}

static void
put_hosts(struct slot *slot, const struct health *health)
{
	for (size_t i = 0; i < HEALTH_HOSTS_MAX; i++) {
		put(&slot->host[i].hash, health->host[i].hash);
		__atomic_store_n(&slot->host[i].shut_ms,
		    health->host[i].shut_ms, __ATOMIC_RELAXED);
	}
}

void
metrics_hosts(const struct health *health)
{
	put_hosts(mine, health);
}

void
metrics_orphans(size_t count)
{
	add(&mine->total.named.orphans, count);
}

void
metrics_lost_lines(size_t count)
{
	add(&mine->total.named.lost_lines, count);
}

/* ---- the sums ----------------------------------------------------------- */

static size_t
slots_used(void)
{
	uint64_t used = get(&header->used);

	return used < METRICS_SLOTS ? (size_t)used : METRICS_SLOTS;
}

int
metrics_read(struct metrics *sum)
{
	union {
		struct metrics_totals named;
		uint64_t number[TOTALS];
	} total = { .number = { 0 } };
	uint64_t last = 0;

	*sum = (struct metrics){ .since = (int64_t)get(&header->since),
		.processes = get(&header->processes) };
	for (size_t i = 0; i < slots_used(); i++) {
		for (size_t j = 0; j < TOTALS; j++)
			total.number[j] += get(&slots[i].total.number[j]);
		sum->starts += get(&slots[i].starts);
		if (get(&slots[i].last) > last)
			last = get(&slots[i].last);
	}
	sum->total = total.named;
	sum->last = (enum metrics_outcome)(last & ((1u << OUTCOME_BITS) - 1));
	sum->last_ms = (int64_t)(last >> OUTCOME_BITS);
	return apart ? -1 : 0;
}

static bool
slot_shuts(const struct slot *slot, const char *base, int64_t now_ms)
{
	struct health health = { .next = 0 };

	for (size_t i = 0; i < HEALTH_HOSTS_MAX; i++) {
		health.host[i].hash = get(&slot->host[i].hash);
		health.host[i].shut_ms =
		    __atomic_load_n(&slot->host[i].shut_ms, __ATOMIC_RELAXED);
	}
	return !health_open(&health, base, now_ms);
}

unsigned
metrics_shut(const char *base, int64_t now_ms)
{
	unsigned count = 0;

	for (size_t i = 0; i < slots_used(); i++)
		if (slot_shuts(&slots[i], base, now_ms))
			count++;
	return count;
}

/* ---- whose table -------------------------------------------------------- */

/* A program of another version may count other things in other places. */
static void
write_form(char form[static FORM_SIZE])
{
	snprintf(form, FORM_SIZE, "agora-agent metrics 1 %zu",
	    sizeof(struct slot));
}

static struct table *
map(int fd)
{
	void *at = mmap(NULL, sizeof(struct table), PROT_READ | PROT_WRITE,
	    MAP_SHARED, fd, 0);

	return at == MAP_FAILED ? NULL : at;
}

/* Count in ${slot} of ${table} from now on. */
static void
move(struct table *table, size_t slot)
{
	header = &table->header;
	slots = table->slot;
	mine = &table->slot[slot];
}

/* Has those who add up look at ${slot} too. */
static void
enter(size_t slot)
{
	uint64_t used = get(&header->used);

	while (used <= slot &&
	    !__atomic_compare_exchange_n(&header->used, &used, slot + 1, false,
		__ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	add(&header->processes, 1);
}

/* Reads "DESCRIPTOR:SLOT". */
static int
parse(const char *text, int64_t *fd, int64_t *slot)
{
	char number[8];
	size_t len = strcspn(text, ":");

	if (text[len] != ':' || len >= sizeof(number))
		return -1;
	memcpy(number, text, len);
	number[len] = '\0';
	if (num_parse(number, 0, INT32_MAX, fd) == -1)
		return -1;
	return num_parse(text + len + 1, 0, METRICS_SLOTS - 1, slot);
}

/* Whether ${fd} is a table of our form that nobody can cut under us. */
static bool
is_table(int fd)
{
	char form[FORM_SIZE] = { 0 };
	struct header found;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	write_form(form);
	return seals != -1 && (seals & F_SEAL_SHRINK) != 0 &&
	    fstat(fd, &st) == 0 && st.st_size == (off_t)sizeof(struct table) &&
	    pread(fd, &found, sizeof(found), 0) == (ssize_t)sizeof(found) &&
	    memcmp(found.form, form, sizeof(form)) == 0;
}

void
metrics_begin(const char *handed_over, int64_t now)
{
	struct table *table = NULL;
	int64_t fd, slot;

	own_header.since = (uint64_t)now;
	if (handed_over == NULL)
		return;
	if (parse(handed_over, &fd, &slot) == 0 && is_table((int)fd)) {
		table = map((int)fd);
		close((int)fd);
	}
	if (table != NULL) {
		move(table, (size_t)slot);
		enter((size_t)slot);
	}
	apart = table == NULL;
	unsetenv(METRICS_VARIABLE);
}

int
metrics_table_make(int64_t now)
{
	int fd = memfd_create("metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct table *table = NULL;

	if (fd == -1)
		return -1;
	if (ftruncate(fd, sizeof(*table)) == 0 &&
	    fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0)
		table = map(fd);
	if (table == NULL) {
		close(fd);
		return -1;
	}
	write_form(table->header.form);
	table->header.since = (uint64_t)now;
	move(table, 0);
	return fd;
}

void
metrics_table_ended(size_t slot)
{
	struct health none = { .next = 0 };

	if (slots == &own_slot)
		return;
	put(&slots[slot].starts, 0);
	put_hosts(&slots[slot], &none);
}

void
metrics_table_hand_over(int fd, size_t slot)
{
	char text[40];

	snprintf(text, sizeof(text), "%d:%zu", fd, slot);
	if (fd != -1)
		fcntl(fd, F_SETFD, 0);
	setenv(METRICS_VARIABLE, text, 1);
}
