/* SPDX-License-Identifier: Apache-2.0 */

/* Shows the ring fuzzer's state, from which one can repeat a failure. */

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sys/time.h>

#include "rings.h"

/* Seconds of processor time, of which a burst takes microseconds. */
#define PATIENCE	5

struct rf_state rf_state;

/* Sanitizers end by abort(), and so through show_and_end(). */
const char *__asan_default_options(void);
const char *__ubsan_default_options(void);

const char *
__asan_default_options(void)
{
	return "abort_on_error=1";
}

const char *
__ubsan_default_options(void)
{
	return "abort_on_error=1:print_stacktrace=1";
}

static void
show_state(void)
{
	const struct rf_layout *l = &rf_state.l;
	unsigned int i;

	dprintf(STDERR_FILENO, "fuzz_rings: in %s, burst %" PRIu64
		", round %" PRIu64 ", features 0x%" PRIx64 ", heat %u\n",
		rf_state.doing != NULL ? rf_state.doing : "no step",
		rf_state.bursts, rf_state.round, l->features, l->heat);
	for (i = 0; i < RF_RINGS; i++)
		dprintf(STDERR_FILENO, "  ring %u: %u entries, desc 0x%" PRIx64
			", avail 0x%" PRIx64 ", used 0x%" PRIx64
			", base 0x%x\n", i, l->rings[i].num, l->rings[i].desc,
			l->rings[i].avail, l->rings[i].used, l->rings[i].base);
	dprintf(STDERR_FILENO, "repeat: fuzz_rings --mode=%s%s --seed=%" PRIu64
		" --round=%" PRIu64 " --rounds=1\n", rf_state.mode,
		rf_state.rules ? " --rules" : "", rf_state.seed,
		rf_state.round);
}

static void
show_and_end(int sig)
{
	show_state();
	signal(sig, SIG_DFL);
	raise(sig);
}

/* Each second of processor time: is the step the same as in the last ones? */
static void
look(int sig)
{
	static uint64_t changes;
	static unsigned int same;

	(void)sig;
	if (rf_state.doing == NULL || changes != rf_state.changes)
		same = 0;
	else
		same++;
	changes = rf_state.changes;
	if (same < PATIENCE)
		return;
	dprintf(STDERR_FILENO, "fuzz_rings: %u s of processor time: a hang\n",
		same);
	abort();
}

void
rf_watch(void)
{
	const struct itimerval second = { { 1, 0 }, { 1, 0 } };
	struct sigaction watch = {
		.sa_handler = look, .sa_flags = SA_RESTART,
	};

	signal(SIGABRT, show_and_end);
	sigaction(SIGPROF, &watch, NULL);
	rf_need(setitimer(ITIMER_PROF, &second, NULL) == 0, "no timer");
}

void
rf_doing(const char *what)
{
	rf_state.changes++;
	rf_state.doing = what;
}

void
rf_need(bool ok, const char *format, ...)
{
	va_list args;

	if (ok)
		return;
	fflush(stdout);
	fprintf(stderr, "fuzz_rings: FAILED: ");
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n");
	abort();
}
