/* SPDX-License-Identifier: Apache-2.0 */

/* The hostile peer's process: it maps its memory, and writes. */

#define _GNU_SOURCE /* MAP_ANONYMOUS */

#include <signal.h>
#include <unistd.h>

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <rte_cycles.h>
#include <rte_pause.h>

#include "rings.h"

/* Shared with the peer's process. */
static struct control {
	bool stop;		/* loop: w */
	uint32_t generation;	/* loop: w; odd: the layout is being written */
	struct rf_layout l;	/* loop: w */
	uint16_t turn[RF_RINGS]; /* both: rw */
	uint64_t writes;	/* peer: w */
} *control;

static pid_t peer_pid;

static void
know_layout(struct rf_mutator *m, uint32_t *generation)
{
	/* acquire: pairs with the release in rf_peer_tell(). */
	uint32_t now = __atomic_load_n(&control->generation, __ATOMIC_ACQUIRE);

	if (now == *generation || now & 1)
		return;
	/* If it changes meanwhile: torn, and again with the next step. */
	rf_mutator_know(m, &control->l);
	m->rand = ~m->rand; /* not the loop's own steps again */
	*generation = now;
}

static void
peer_process(int memfd)
{
	struct rf_mutator m = { .turn = control->turn };
	uint32_t generation = 1;
	unsigned int i;
	uint8_t *at;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	at = mmap(NULL, RF_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	rf_need(at != MAP_FAILED, "the peer cannot map its memory");
	for (i = 0; i < RF_REGIONS; i++) {
		m.mem.addr[i] = at;
		at += rf_regions[i].size;
	}
	while (!__atomic_load_n(&control->stop, __ATOMIC_ACQUIRE)) {
		know_layout(&m, &generation);
		if (generation & 1)
			continue; /* nothing to attack yet */
		rf_mutate(&m);
		__atomic_store_n(&control->writes, m.writes,
				 __ATOMIC_RELEASE);
		/* Slow enough for bursts to get somewhere in between. */
		for (i = rf_rand(&m.rand) % 256; i > 0; i--)
			rte_pause();
	}
	_exit(0);
}

void
rf_peer_tell(const struct rf_layout *l)
{
	__atomic_fetch_add(&control->generation, 1, __ATOMIC_RELAXED);
	/* Pairs with know_layout(): the layout is written while odd. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	control->l = *l;
	__atomic_fetch_add(&control->generation, 1, __ATOMIC_RELEASE);
}

uint16_t *
rf_peer_open(int memfd, bool race)
{
	control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	rf_need(control != MAP_FAILED, "no shared memory");
	peer_pid = race ? fork() : 0;
	rf_need(peer_pid >= 0, "cannot fork");
	if (race && peer_pid == 0)
		peer_process(memfd);
	return control->turn;
}

uint64_t
rf_peer_writes(void)
{
	return __atomic_load_n(&control->writes, __ATOMIC_ACQUIRE);
}

void
rf_peer_close(void)
{
	int status;

	if (peer_pid == 0)
		return;
	__atomic_store_n(&control->stop, true, __ATOMIC_RELEASE);
	rf_need(waitpid(peer_pid, &status, 0) == peer_pid && status == 0,
		"the peer's process failed");
}

/* On a busy machine one process can be ahead of the other, but not for long. */
void
rf_peer_wait(void)
{
	static uint64_t seen;
	uint64_t end = rte_get_timer_cycles() +
		RF_SECONDS_TO_REPORT * rte_get_timer_hz();
	uint64_t now;

	while ((now = rf_peer_writes()) < seen + RF_AHEAD / 16) {
		rf_need(waitpid(peer_pid, NULL, WNOHANG) == 0 &&
			rte_get_timer_cycles() < end,
			"the peer's process does not go on");
		rte_delay_us_sleep(20);
	}
	seen = now;
}
