#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "common/agents.h"
#include "common/fail.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/num.h"
#include "common/secret.h"
#include "common/settings.h"
#include "common/shared.h"
#include "common/sys.h"
#include "common/token.h"
#include "fcgi/cgi.h"
#include "fcgi/endpoint.h"
#include "fcgi/listen.h"
#include "fcgi/params.h"
#include "fcgi/program.h"
#include "fcgi/responder.h"
#include "fcgi/service.h"
#include "fcgi/signals.h"
#include "fcgi/workers.h"

extern char **environ;

#define EXIT_USAGE 2

enum action { SERVE, HELP, SHOW_VERSION, CHECK, MISUSE };

struct options {
	enum action action;
	const char *listen; /* or NULL */
	int workers;        /* 0: serve in this process */
};

static void
print_usage(const struct endpoint *endpoint, FILE *out)
{
	fprintf(out,
	    "usage: %s.fcgi --listen PATH [--workers N]\n"
	    "       %s.fcgi --check | --version | --help\n"
	    "\n"
	    "%s: %s.\n"
	    "Run by a web server as FastCGI or CGI program it needs no "
	    "options.\n"
	    "\n"
	    "  --listen PATH  serve FastCGI on a unix socket (mode 0660)\n"
	    "  --workers N    with N processes (1 to %d); SIGHUP restarts "
	    "them\n"
	    "                 one by one, without losing a request\n"
	    "  --check        say which settings are used and whether they "
	    "are right\n"
	    "  --version      print the version\n"
	    "  --help         print this\n",
	    endpoint->name, endpoint->name, endpoint->name, endpoint->summary,
	    WORKERS_MAX);
}

/* Returns 0, or -1 when ${text} is no number of workers. */
static int
parse_workers(const char *text, struct options *options)
{
	int64_t number;

	if (num_parse(text, 1, WORKERS_MAX, &number) == -1) {
		fprintf(stderr, "--workers takes a number from 1 to %d\n",
		    WORKERS_MAX);
		return -1;
	}
	options->workers = (int)number;
	return 0;
}

/* Takes one option; '?' is getopt's for one that it does not know. */
static void
take_option(int option, const char *value, struct options *options)
{
	if (option == 'l' && *value != '\0')
		options->listen = value;
	else if (option == 'c')
		options->action = CHECK;
	else if (option == 'v')
		options->action = SHOW_VERSION;
	else if (option == 'h')
		options->action = HELP;
	else if (option != 'w' || parse_workers(value, options) == -1)
		options->action = MISUSE;
}

static void
parse_options(int argc, char *argv[], struct options *options)
{
	static const struct option known[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "workers", required_argument, NULL, 'w' },
		{ "check", no_argument, NULL, 'c' },
		{ "version", no_argument, NULL, 'v' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	*options = (struct options){ .action = SERVE };
	while (options->action != MISUSE &&
	    (option = getopt_long(argc, argv, "", known, NULL)) != -1)
		take_option(option, optarg, options);
	if (optind < argc)
		options->action = MISUSE;
}

/* Builds a token and takes it apart again: the libraries work here. */
static int
check_token(const struct settings *settings)
{
	struct token_claims claims = { .app_id = settings->app_id,
		.channel = "check",
		.account = "1",
		.issue_ts = (uint32_t)sys_now(),
		.expire = settings->token_ttl,
		.salt = 1 };
	const char *certificate = settings->certificate.text;
	struct fail fail = { 0 };
	char token[TOKEN_SIZE];

	if (token_build(&claims, certificate, token, &fail) == 0 &&
	    !token_verify(token, settings->app_id, certificate, "check", "1",
		sys_now()))
		fail_set(&fail, FAIL_INTERNAL, "it does not verify");
	secret_wipe(token, sizeof(token));
	printf("token: %s\n",
	    fail.kind == FAIL_NONE ? "builds and verifies" : fail.text);
	return fail.kind == FAIL_NONE ? 0 : 1;
}

/*
 * Programs do without: each process then counts for itself, and CGI programs,
 * if they are to count, start nothing. What root may do says nothing about
 * them.
 */
static void
check_state(const struct settings *settings)
{
	char *const *folder = settings->state_dir;
	struct fail fail = { 0 };

	if (geteuid() == 0) {
		printf("state: not judged, for root may write everywhere; run "
		       "--check as the programs' user\n");
		return;
	}
	for (; *folder != NULL; folder++) {
		fail = (struct fail){ 0 };
		if (shared_check(*folder, &fail) == 0) {
			printf("state: %s is fit\n", *folder);
			return;
		}
	}
	printf("state: warning: STATE_DIR: %s; processes count each for "
	       "itself%s\n",
	    fail.text,
	    settings->start_limit.count == 0 ? "" :
					       ", CGI programs start nothing");
}

static int
check(const struct endpoint *endpoint)
{
	struct settings_source *source = settings_source_new("/proc/self/exe");
	struct settings *settings = NULL;
	int status = 1;

	printf("%s %s\n", endpoint->name, VERSION);
	if (source != NULL && settings_check(source, stdout) == 0 &&
	    (settings = settings_load(source)) != NULL) {
		status = check_token(settings);
		check_state(settings);
		if (endpoint->agents)
			status |= agents_check(settings, source, stdout);
		if (status == 0 && endpoint->check != NULL)
			status = endpoint->check(settings, stdout);
	}
	settings_free(settings);
	settings_source_free(source);
	return status;
}

/*
 * A web server may start us without some of the three standard descriptors
 * (FastCGI specification, 2.2); the next socket must not become stderr.
 */
static void
fill_descriptors(void)
{
	int fd;

	for (fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) == -1)
			(void)!open("/dev/null", O_RDWR);
}

/*
 * Buffers that libraries release (libfcgi's streams, nghttp2's frames) are
 * overwritten; glibc spares small blocks, which we wipe ourselves.
 */
static void
perturb_memory(void)
{
#ifdef M_PERTURB
	mallopt(M_PERTURB, 0xa5);
#endif
}

/* Every connection and every call to Agora takes a descriptor. */
static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Serves in this process: on ${listener}, or one CGI request if NULL. */
static int
serve(const struct endpoint *endpoint, struct listener *listener)
{
	struct service service = { .single = listener == NULL };
	struct fail fail = { 0 };
	int status = 1;

	/* An OpenSSL that could not start stays like that: a new process. */
	if (listener != NULL && token_prepare(&fail) == -1) {
		log_error("%s: %s", endpoint->name, fail.text);
	} else if (service_open(&service, endpoint, &fail) == -1) {
		log_error("%s: %s", endpoint->name, fail.text);
		if (listener == NULL)
			cgi_refuse(&service, &fail);
	} else if (listener == NULL) {
		status = cgi_serve(&service, environ);
	} else {
		status = responder_serve(&service, listener);
	}
	service_close(&service);
	return status;
}

static int
serve_socket(const struct endpoint *endpoint, const struct options *options,
    struct listener *listener)
{
	struct fail fail = { 0 };

	signals_hold();
	raise_descriptor_limit();
	if (listener->fd == -1 &&
	    listener_make(listener, options->listen, &fail) == -1) {
		log_error("%s", fail.text);
		return 1;
	}
	if (listener_prepare(listener, environ, &fail) == -1) {
		log_error("%s", fail.text);
		return fail.kind == FAIL_CONFIG ? EXIT_USAGE : 1;
	}
	if (options->workers > 0)
		return workers_run(listener, options->workers);
	metrics_begin(params_get(environ, METRICS_VARIABLE), sys_now());
	log_on_loss(metrics_lost_lines);
	return serve(endpoint, listener);
}

/*
 * A CGI program's argv comes from the query string: "?--check" must not be an
 * option. (RFC 3875 4.4; the PHP-CGI hole of 2012.)
 */
static bool
is_cgi(void)
{
	return params_get(environ, "GATEWAY_INTERFACE") != NULL ||
	    params_get(environ, "REQUEST_METHOD") != NULL;
}

int
program_main(int argc, char *argv[], const struct endpoint *endpoint)
{
	struct listener listener;
	struct options options = { .action = SERVE };
	bool inherited;

	fill_descriptors();
	sys_forbid_cores();
	perturb_memory();
	sys_tame_environment();
	signals_ignore_pipe();
	inherited = listener_inherited(&listener, environ);
	if (!inherited && is_cgi())
		return serve(endpoint, NULL);
	parse_options(argc, argv, &options);
	switch (options.action) {
	case HELP:
		print_usage(endpoint, stdout);
		return 0;
	case SHOW_VERSION:
		printf("agora-agent %s %s\n", endpoint->name, VERSION);
		return 0;
	case CHECK:
		return check(endpoint);
	case SERVE:
		if (inherited || options.listen != NULL)
			return serve_socket(endpoint, &options, &listener);
		break;
	case MISUSE:
		break;
	}
	print_usage(endpoint, stderr);
	return EXIT_USAGE;
}
