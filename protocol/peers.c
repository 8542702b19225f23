/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Connections and VMs of a vhost-pci server: see peers.h. Names are in
 * peers_name.c.
 *
 * All tables are bounded, and each call looks at every entry a few times at
 * most. A call either does its whole work or refuses. A refusal leaves every
 * other connection, VM and port as it was, with one exception: if a VM comes
 * back with more memory than its device has room for, the device is unplugged,
 * so that the next attempt gets a larger one.
 */

#include <string.h>

#include "peers_int.h"

static void
tell(struct peers *t, enum peers_what what, int conn, int peer)
{
	const struct peers_event event = {
		.what = what, .conn = conn, .peer = peer,
	};

	t->ops->event(t->opaque, &event);
}

static void
tell_connected(struct peers *t, int conn, int peer, enum peers_state before)
{
	const struct peers_event event = {
		.what = PEERS_CONNECTED, .conn = conn, .peer = peer,
		.is_new = before == PEERS_FREE, .is_back = before == PEERS_LOST,
	};

	t->ops->event(t->opaque, &event);
}

/* Remove connection @conn: its number is free from now on. */
static void
drop(struct peers *t, unsigned int conn, uint64_t now)
{
	struct peers_conn *c = &t->conns[conn];
	struct peers_peer *p;

	c->used = false;
	if (c->peer < 0)
		return;
	p = &t->peers[c->peer];
	if (--p->n_conns > 0) {
		tell(t, PEERS_GONE, conn, c->peer);
		return;
	}
	p->state = PEERS_LOST;
	p->until = now + t->config.grace_ms < now ? PEERS_NEVER - 1 :
		now + t->config.grace_ms;
	p->n_files = c->n_files;
	p->main_file = c->main_file;
	memcpy(p->files, c->files, sizeof(p->files));
	tell(t, PEERS_IS_LOST, conn, c->peer);
}

static int
refuse(struct peers *t, unsigned int conn, uint64_t now,
       enum peers_reason reason)
{
	const struct peers_event event = {
		.what = PEERS_REFUSED, .reason = reason, .conn = conn,
		.peer = t->conns[conn].peer,
	};

	t->ops->event(t->opaque, &event);
	drop(t, conn, now);
	return -(int)reason;
}

static void
leave(struct peers *t, unsigned int peer)
{
	t->peers[peer].state = PEERS_LEAVING;
	tell(t, PEERS_IS_UNPLUGGED, -1, peer);
	t->ops->unplug(t->opaque, peer);
}

int
peers_init(struct peers *t, const struct peers_config *config,
	   const struct peers_ops *ops, void *opaque)
{
	memset(t, 0, sizeof(*t));
	if (config->max_peers == 0 || config->max_peers > PEERS_MAX ||
	    config->max_conns == 0 || config->max_conns > PEERS_MAX_CONNS ||
	    config->n_slots == 0 || config->n_slots > PEERS_MAX ||
	    config->max_functions == 0)
		return -1;
	t->config = *config;
	t->ops = ops;
	t->opaque = opaque;
	return 0;
}

static bool
is_used(const struct peers *t, unsigned int conn)
{
	return conn < t->config.max_conns && t->conns[conn].used;
}

/* A free number; else the number of the oldest connection that never sent a
 * message; else -1. */
static int
find_room(const struct peers *t)
{
	unsigned int i;
	int oldest = -1;

	for (i = 0; i < t->config.max_conns; i++) {
		const struct peers_conn *c = &t->conns[i];

		if (!c->used)
			return i;
		if (!c->spoke &&
		    (oldest < 0 || c->since < t->conns[oldest].since))
			oldest = i;
	}
	return oldest;
}

int
peers_connect(struct peers *t, uint64_t now)
{
	const struct peers_event full = {
		.what = PEERS_REFUSED, .reason = PEERS_TOO_MANY_CONNS,
		.conn = -1, .peer = -1,
	};
	int i = find_room(t);

	if (i < 0) {
		t->ops->event(t->opaque, &full);
		return -PEERS_TOO_MANY_CONNS;
	}
	if (t->conns[i].used)
		refuse(t, i, now, PEERS_SILENT);
	memset(&t->conns[i], 0, sizeof(t->conns[i]));
	t->conns[i].used = true;
	t->conns[i].peer = t->conns[i].asked_slot = -1;
	t->conns[i].name_source = t->conns[i].uuid_source = PEERS_MADE_UP;
	t->conns[i].since = ++t->connects;
	return i;
}

void
peers_spoke(struct peers *t, unsigned int conn)
{
	if (is_used(t, conn))
		t->conns[conn].spoke = true;
}

int
peers_identify(struct peers *t, unsigned int conn, uint64_t now,
	       enum peers_source source, const char *name, const uint8_t *uuid,
	       int slot)
{
	struct peers_conn *c;

	if (!is_used(t, conn) || t->conns[conn].peer >= 0)
		return 0;
	c = &t->conns[conn];
	if (name != NULL && !peers_name_is_good(name))
		return refuse(t, conn, now, PEERS_BAD_NAME);
	if (slot >= 0)
		c->asked_slot = slot;
	if (name != NULL && source < c->name_source) {
		strcpy(c->name, name);
		c->name_source = source;
	}
	if (uuid != NULL && source < c->uuid_source && !peers_uuid_is_nil(uuid)) {
		memcpy(c->uuid, uuid, sizeof(c->uuid));
		c->uuid_source = source;
	}
	return 0;
}

uint64_t
peers_window(uint64_t bytes)
{
	uint64_t window = PEERS_MIN_WINDOW;

	if (bytes > UINT64_C(1) << 62)
		return 0;
	while (window < 2 * bytes)
		window *= 2;
	return window;
}

/* The sum of @n files; sets *@main_file to the first of the largest files.
 * Returns 0 if there is no file, if the sum overflows, or if a file occurs
 * twice. */
static uint64_t
sum_files(const struct peers_file *files, unsigned int n, unsigned int *main_file)
{
	uint64_t sum = 0;
	unsigned int i;

	*main_file = 0;
	for (i = 0; i < n; i++) {
		if (files[i].bytes > UINT64_MAX - sum ||
		    peers_has_file(files, i, &files[i]))
			return 0;
		sum += files[i].bytes;
		if (files[i].bytes > files[*main_file].bytes)
			*main_file = i;
	}
	return sum;
}

/* The VM that has the memory of @c; -1: no VM, -2: several VMs. */
static int
find_by_memory(const struct peers *t, const struct peers_conn *c)
{
	unsigned int i;
	int found = -1, peer;

	for (i = 0; i < PEERS_MAX + t->config.max_conns; i++) {
		if (i < PEERS_MAX) {
			const struct peers_peer *p = &t->peers[i];

			peer = p->state == PEERS_LOST &&
				peers_same_vm(p->files, p->n_files, p->main_file,
					      c->files, c->n_files, c->main_file) ?
				(int)i : -1;
		} else {
			const struct peers_conn *o = &t->conns[i - PEERS_MAX];

			peer = o != c && o->used && o->peer >= 0 &&
				peers_same_vm(o->files, o->n_files, o->main_file,
					      c->files, c->n_files, c->main_file) ?
				o->peer : -1;
		}
		if (peer >= 0 && found >= 0 && found != peer)
			return -2;
		if (peer >= 0)
			found = peer;
	}
	return found;
}

/* The port for @window: the port @asked, or the smallest free port with
 * room. */
static int
find_slot(const struct peers *t, int asked, uint64_t window, int *slot)
{
	bool any = false;
	unsigned int i;

	*slot = -1;
	for (i = 0; i < t->config.n_slots; i++) {
		/* 0 means no limit: 0 - 1 wraps to the largest value. */
		const uint64_t max = t->config.slots[i].max_window - 1;

		if (t->taken[i] || (asked >= 0 && asked != (int)i))
			continue;
		any = true;
		if (window - 1 <= max &&
		    (*slot < 0 || max < t->config.slots[*slot].max_window - 1))
			*slot = i;
	}
	if (*slot >= 0)
		return PEERS_OK;
	return any ? PEERS_NO_WINDOW : PEERS_NO_PORT;
}

static int
find_free_peer(const struct peers *t)
{
	unsigned int i;

	for (i = 0; i < t->config.max_peers; i++) {
		if (t->peers[i].state == PEERS_FREE)
			return i;
	}
	return -1;
}

/* Enter a new VM for @c. */
static int
add_peer(struct peers *t, struct peers_conn *c, uint64_t window)
{
	int i = find_free_peer(t), slot, rc;
	struct peers_peer *p;

	if (i < 0)
		return PEERS_TOO_MANY_PEERS;
	if (window == 0)
		return PEERS_NO_WINDOW;
	if (window < t->config.min_window)
		window = t->config.min_window;
	rc = find_slot(t, c->asked_slot, window, &slot);
	if (rc != PEERS_OK)
		return rc;
	p = &t->peers[i];
	memset(p, 0, sizeof(*p));
	p->slot = slot;
	p->window = window;
	peers_name(t, p, c);
	/* plug() may read the entry, so it must be complete. */
	p->state = PEERS_LIVE;
	if (t->ops->plug(t->opaque, i) < 0) {
		p->state = PEERS_FREE;
		return PEERS_NOT_PLUGGED;
	}
	t->taken[slot] = true;
	c->peer = i;
	return PEERS_OK;
}

/* Make @c a function of VM @peer, which is live or lost. */
static int
join_peer(struct peers *t, struct peers_conn *c, unsigned int peer,
	  uint64_t window)
{
	struct peers_peer *p = &t->peers[peer];
	int rc = peers_agrees(p, c);

	if (rc != PEERS_OK)
		return rc;
	if (p->n_conns >= t->config.max_functions)
		return PEERS_TOO_MANY_FUNCTIONS;
	if (window == 0 || window / 2 > p->window) {
		if (p->state == PEERS_LOST)
			leave(t, peer);
		return PEERS_GROWN;
	}
	c->peer = peer;
	return PEERS_OK;
}

/* The lowest function number that no other connection of the VM has. */
static unsigned int
free_function(const struct peers *t, const struct peers_conn *c)
{
	unsigned int f, i;

	for (f = 0;; f++) {
		for (i = 0; i < t->config.max_conns; i++) {
			const struct peers_conn *o = &t->conns[i];

			if (o != c && o->used && o->peer == c->peer &&
			    o->function == f)
				break;
		}
		if (i == t->config.max_conns)
			return f;
	}
}

/* Find or enter the VM of connection @c. */
static int
settle(struct peers *t, struct peers_conn *c, uint64_t window)
{
	enum peers_state before = PEERS_FREE;
	int peer = find_by_memory(t, c), rc;

	if (peer == -2)
		return PEERS_MIXED_MEMORY;
	if (peer < 0) {
		rc = peers_find_lost(t, c, &peer);
		if (rc != PEERS_OK)
			return rc;
	}
	if (peer >= 0)
		before = t->peers[peer].state;
	rc = peer < 0 ? add_peer(t, c, window) : join_peer(t, c, peer, window);
	if (rc != PEERS_OK)
		return rc;
	c->function = free_function(t, c);
	t->peers[c->peer].state = PEERS_LIVE;
	t->peers[c->peer].n_conns++;
	tell_connected(t, c - t->conns, c->peer, before);
	return PEERS_OK;
}

int
peers_memory(struct peers *t, unsigned int conn, uint64_t now,
	     const struct peers_file *files, unsigned int n)
{
	struct peers_conn *c = &t->conns[conn % PEERS_MAX_CONNS];
	unsigned int main_file;
	uint64_t sum;
	int rc, peer;

	if (!is_used(t, conn))
		return 0;
	sum = n == 0 || n > PEERS_MAX_FILES ? 0 : sum_files(files, n, &main_file);
	if (sum == 0)
		return refuse(t, conn, now, PEERS_NO_MEMORY);
	memcpy(c->files, files, n * sizeof(*files));
	c->n_files = n;
	c->main_file = main_file;
	if (c->peer < 0) {
		rc = settle(t, c, peers_window(sum));
		return rc == PEERS_OK ? 0 : refuse(t, conn, now, rc);
	}
	/* The memory may change, but the new memory must belong to this VM
	 * only. */
	peer = find_by_memory(t, c);
	if (peer != (t->peers[c->peer].n_conns > 1 ? c->peer : -1))
		return refuse(t, conn, now, PEERS_MIXED_MEMORY);
	if (sum > t->peers[c->peer].window)
		return refuse(t, conn, now, PEERS_GROWN);
	return 0;
}

void
peers_ready(struct peers *t, unsigned int conn)
{
	if (!is_used(t, conn) || t->conns[conn].peer < 0 ||
	    t->conns[conn].ready)
		return;
	t->conns[conn].ready = true;
	tell(t, PEERS_READY, conn, t->conns[conn].peer);
}

void
peers_disconnect(struct peers *t, unsigned int conn, uint64_t now)
{
	if (is_used(t, conn))
		drop(t, conn, now);
}

uint64_t
peers_deadline(const struct peers *t)
{
	uint64_t first = PEERS_NEVER;
	unsigned int i;

	for (i = 0; i < PEERS_MAX; i++) {
		if (t->peers[i].state == PEERS_LOST &&
		    t->peers[i].until < first)
			first = t->peers[i].until;
	}
	return first;
}

void
peers_expire(struct peers *t, uint64_t now)
{
	unsigned int i;

	for (i = 0; i < PEERS_MAX; i++) {
		if (t->peers[i].state == PEERS_LOST && t->peers[i].until <= now)
			leave(t, i);
	}
}

void
peers_unplugged(struct peers *t, unsigned int peer)
{
	if (peer >= PEERS_MAX || (t->peers[peer].state != PEERS_LEAVING &&
				  t->peers[peer].state != PEERS_LOST))
		return;
	t->taken[t->peers[peer].slot] = false;
	t->peers[peer].state = PEERS_FREE;
}
