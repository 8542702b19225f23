/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The table of peers. Honest and lying VMs come, go and come back at random,
 * and a model that knows their identities checks the table; other tests check
 * each rule separately. One file: all tests use the table, and the records of
 * its callbacks.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "peers.h"

#define MIB (UINT64_C(1) << 20)
#define GRACE 1000
#define N_VMS 12
#define N_SLOTS 6
#define MAX_PEERS 5
#define MAX_FUNCTIONS 3
#define MAX_CONNS 24
#define SHARED_INO 7 /* of a small file that all VMs have */

static unsigned int seed;
static struct peers t;
static uint64_t now;
static int plug_rc;
/* Arguments of the last callbacks. */
static unsigned int events[PEERS_REFUSED + 1], n_plugged, n_unplugged;
static struct peers_event last;
static bool plugged[PEERS_MAX];

static uint32_t
pick(uint32_t from, uint32_t to)
{
	return from + rand_r(&seed) % (to - from + 1);
}

static int
plug(void *opaque, unsigned int peer)
{
	(void)opaque;
	assert_false(plugged[peer]);
	assert_int_equal(t.peers[peer].state, PEERS_LIVE);
	assert_true(t.peers[peer].name[0] != '\0');
	if (plug_rc < 0)
		return plug_rc;
	plugged[peer] = true;
	n_plugged++;
	return 0;
}

static void
unplug(void *opaque, unsigned int peer)
{
	(void)opaque;
	assert_true(plugged[peer]);
	assert_int_equal(t.peers[peer].state, PEERS_LEAVING);
	n_unplugged++;
}

static void
event(void *opaque, const struct peers_event *e)
{
	(void)opaque;
	assert_int_equal(e->what == PEERS_REFUSED, e->reason != PEERS_OK);
	events[e->what]++;
	last = *e;
}

static const struct peers_ops ops = { plug, unplug, event };

static const struct peers_config standard = {
	.max_peers = MAX_PEERS, .max_conns = MAX_CONNS,
	.max_functions = MAX_FUNCTIONS, .n_slots = N_SLOTS, .grace_ms = GRACE,
	.slots = { { 0 }, { 2048 * MIB }, { 512 * MIB }, { 2048 * MIB },
		   { 1024 * MIB }, { 3000 * MIB } },
};

static int
setup(void **state)
{
	(void)state;
	now = 1;
	plug_rc = 0;
	n_plugged = n_unplugged = 0;
	memset(events, 0, sizeof(events));
	memset(plugged, 0, sizeof(plugged));
	return peers_init(&t, &standard, &ops, NULL);
}

/* The model: a VM as it really is. */
struct vm {
	char name[PEERS_NAME_LEN]; /* "": says none */
	uint8_t uuid[16];	   /* nil: says none */
	uint64_t ino, bytes;
	int conns[MAX_FUNCTIONS];
	unsigned int n_conns;
	int peer; /* where the table has it; -1: not */
	uint64_t until;
	/* What it was called at first. */
	char called[PEERS_NAME_LEN];
};

static struct vm vms[N_VMS];
static uint64_t next_ino;

static void
boot(struct vm *vm)
{
	vm->ino = ++next_ino;
	vm->bytes = pick(1, 6) * 128 * MIB;
}

static void
make_vms(void)
{
	unsigned int i;

	memset(vms, 0, sizeof(vms));
	next_ino = 100;
	for (i = 0; i < N_VMS; i++) {
		if (i % 3 != 0)
			snprintf(vms[i].name, sizeof(vms[i].name), "vm%u", i);
		if (i % 2 == 0)
			vms[i].uuid[3] = i + 1;
		vms[i].peer = -1;
		boot(&vms[i]);
	}
}

static int
say(const struct vm *vm, int slot)
{
	int conn = peers_connect(&t, now);

	assert_true(conn >= 0);
	peers_spoke(&t, conn);
	if (vm->name[0] != '\0' || vm->uuid[3] != 0)
		assert_int_equal(peers_identify(&t, conn, now, PEERS_BY_ITSELF,
						vm->name[0] == '\0' ? NULL :
						vm->name, vm->uuid, slot), 0);
	return conn;
}

static int
present(int conn, uint64_t ino, uint64_t bytes)
{
	/* The small one first: it is not the number that counts. */
	const struct peers_file files[2] = {
		{ .dev = 1, .ino = SHARED_INO, .bytes = MIB },
		{ .dev = 1, .ino = ino, .bytes = bytes - MIB },
	};

	return peers_memory(&t, conn, now, files, 2);
}

/* The smallest free slot for @bytes, as one would look for it by hand. */
static int
expect_slot(uint64_t bytes, int *slot)
{
	static const unsigned int by_size[N_SLOTS] = { 2, 4, 1, 3, 5, 0 };
	uint64_t window = 256 * MIB;
	unsigned int i, j, n_free = 0;

	while (window < 2 * bytes)
		window *= 2;
	*slot = -1;
	for (i = N_SLOTS; i-- > 0;) {
		bool free = true;
		uint64_t max = standard.slots[by_size[i]].max_window;

		for (j = 0; j < PEERS_MAX; j++)
			free = free && (t.peers[j].state == PEERS_FREE ||
					t.peers[j].slot != by_size[i]);
		n_free += free;
		if (free && (max == 0 || window <= max))
			*slot = by_size[i];
	}
	return *slot >= 0 ? PEERS_OK : n_free > 0 ? PEERS_NO_WINDOW :
		PEERS_NO_PORT;
}

static unsigned int
count(enum peers_state state)
{
	unsigned int i, n = 0;

	for (i = 0; i < PEERS_MAX; i++)
		n += t.peers[i].state == state;
	return n;
}

static void
check(void)
{
	unsigned int i, j, n;

	assert_true(count(PEERS_FREE) >= PEERS_MAX - MAX_PEERS);
	assert_int_equal(n_plugged, PEERS_MAX - count(PEERS_FREE));
	for (i = 0; i < PEERS_MAX; i++) {
		const struct peers_peer *p = &t.peers[i];

		assert_int_equal(plugged[i], p->state != PEERS_FREE);
		for (j = n = 0; j < MAX_CONNS; j++)
			n += t.conns[j].used && t.conns[j].peer == (int)i;
		if (p->state == PEERS_LIVE || p->state == PEERS_LOST)
			assert_int_equal(p->n_conns, n);
		assert_int_equal(p->state == PEERS_LIVE, n > 0);
		for (j = 0; j < i; j++) {
			const struct peers_peer *o = &t.peers[j];

			if (p->state == PEERS_FREE || o->state == PEERS_FREE)
				continue;
			assert_int_not_equal(p->slot, o->slot);
			if (p->state == PEERS_LEAVING ||
			    o->state == PEERS_LEAVING)
				continue;
			assert_string_not_equal(p->name, o->name);
			assert_memory_not_equal(p->uuid, o->uuid, 16);
		}
	}
	for (i = 0; i < N_VMS; i++) {
		if (vms[i].peer < 0)
			continue;
		assert_string_equal(t.peers[vms[i].peer].name, vms[i].called);
		assert_int_equal(t.peers[vms[i].peer].state, vms[i].n_conns > 0
				 ? PEERS_LIVE : PEERS_LOST);
	}
}

/* The VM is known by its memory, its name or its UUID: it has its old port. */
static void
expect_known(struct vm *vm, int conn)
{
	const bool lost = vm->n_conns == 0;
	const unsigned int slot = t.peers[vm->peer].slot;
	const uint64_t window = t.peers[vm->peer].window;
	int rc = present(conn, vm->ino, vm->bytes);

	if (vm->n_conns == MAX_FUNCTIONS) {
		assert_int_equal(rc, -PEERS_TOO_MANY_FUNCTIONS);
		return;
	}
	if (vm->bytes > window) {
		assert_true(lost);
		assert_int_equal(rc, -PEERS_GROWN);
		assert_int_equal(t.peers[vm->peer].state, PEERS_LEAVING);
		vm->peer = -1;
		return;
	}
	assert_int_equal(rc, 0);
	assert_int_equal(t.conns[conn].peer, vm->peer);
	assert_int_equal(t.peers[vm->peer].slot, slot);
	assert_int_equal(last.what, PEERS_CONNECTED);
	assert_int_equal(last.is_back, lost);
	assert_false(last.is_new);
	vm->conns[vm->n_conns++] = conn;
}

static void
expect_new(struct vm *vm, int conn)
{
	const bool full = PEERS_MAX - count(PEERS_FREE) == MAX_PEERS;
	int slot, expected = expect_slot(vm->bytes, &slot);
	int rc = present(conn, vm->ino, vm->bytes);

	if (full)
		expected = PEERS_TOO_MANY_PEERS;
	assert_int_equal(rc, -expected);
	if (rc != 0)
		return;
	vm->peer = t.conns[conn].peer;
	assert_int_equal(t.peers[vm->peer].slot, slot);
	assert_true(t.peers[vm->peer].window >= 2 * vm->bytes);
	assert_int_equal(last.what, PEERS_CONNECTED);
	assert_true(last.is_new && !last.is_back);
	strcpy(vm->called, t.peers[vm->peer].name);
	if (vm->name[0] != '\0')
		assert_string_equal(vm->called, vm->name);
	vm->conns[vm->n_conns++] = conn;
}

static void
join(struct vm *vm)
{
	int conn;

	if (vm->n_conns == 0 && pick(0, 1)) {
		boot(vm);
		/* Without name and UUID the table does not recognize the VM
		 * after a boot: the old entry waits in vain. */
		if (vm->name[0] == '\0' && vm->uuid[3] == 0)
			vm->peer = -1;
	}
	conn = say(vm, -1);
	if (vm->peer >= 0)
		expect_known(vm, conn);
	else
		expect_new(vm, conn);
	if (t.conns[conn].used) {
		unsigned int before = events[PEERS_READY];

		peers_ready(&t, conn);
		peers_ready(&t, conn);
		assert_int_equal(events[PEERS_READY], before + 1);
	}
}

static void
part(struct vm *vm)
{
	unsigned int i;

	if (vm->n_conns == 0)
		return;
	i = pick(0, vm->n_conns - 1);
	peers_disconnect(&t, vm->conns[i], now);
	vm->conns[i] = vm->conns[--vm->n_conns];
	assert_int_equal(last.what,
			 vm->n_conns > 0 ? PEERS_GONE : PEERS_IS_LOST);
	vm->until = now + GRACE;
}

/* A liar has the name or the UUID of @vm with other memory, or the memory of
 * @vm with another name or UUID. */
static void
lie(struct vm *vm)
{
	struct vm other = *vm;
	int conn, rc;

	if (vm->n_conns == 0 || (vm->name[0] == '\0' && vm->uuid[3] == 0))
		return;
	if (pick(0, 1)) {
		other.ino = 5;
		conn = say(&other, -1);
		rc = present(conn, other.ino, other.bytes);
		assert_true(rc == -PEERS_NAME_TAKEN || rc == -PEERS_UUID_TAKEN);
		return;
	}
	if (vm->name[0] != '\0')
		strcpy(other.name, "liar");
	else
		other.uuid[3] ^= 0x80;
	conn = say(&other, -1);
	rc = present(conn, vm->ino, vm->bytes);
	assert_int_equal(rc, vm->name[0] != '\0' ? -PEERS_OTHER_NAME :
			 -PEERS_OTHER_UUID);
}

/* Memory is plugged into @vm, and all of its connections present it. */
static void
grow(struct vm *vm)
{
	uint64_t bytes = vm->bytes + 64 * MIB;
	unsigned int i;

	if (vm->n_conns == 0)
		return;
	if (bytes > t.peers[vm->peer].window) {
		assert_int_equal(present(vm->conns[0], vm->ino, bytes),
				 -PEERS_GROWN);
		vm->conns[0] = vm->conns[--vm->n_conns];
		vm->until = now + GRACE;
		return;
	}
	vm->bytes = bytes;
	for (i = 0; i < vm->n_conns; i++)
		assert_int_equal(present(vm->conns[i], vm->ino, bytes), 0);
}

/* A front-end presents memory of two VMs at once. */
static void
mix(const struct vm *a, const struct vm *b)
{
	const struct peers_file files[2] = {
		{ .dev = 1, .ino = a->ino, .bytes = a->bytes },
		{ .dev = 1, .ino = b->ino, .bytes = b->bytes },
	};
	int conn;

	if (a == b || a->n_conns == 0 || b->n_conns == 0)
		return;
	conn = peers_connect(&t, now);
	peers_spoke(&t, conn);
	assert_int_equal(peers_memory(&t, conn, now, files, 2),
			 -PEERS_MIXED_MEMORY);
}

static void
pass_time(void)
{
	uint64_t deadline = peers_deadline(&t);
	unsigned int i;

	now += pick(1, GRACE / 2);
	assert_true(count(PEERS_LOST) > 0 || deadline == PEERS_NEVER);
	peers_expire(&t, now);
	for (i = 0; i < N_VMS; i++) {
		if (vms[i].peer >= 0 && vms[i].n_conns == 0 &&
		    vms[i].until <= now)
			vms[i].peer = -1;
	}
	assert_true(peers_deadline(&t) > now);
}

/* Devices are unplugged at any time. For the device of a connected VM, the
 * message is ignored. */
static void
devices_go(void)
{
	unsigned int i;

	for (i = 0; i < PEERS_MAX; i++) {
		bool leaving = t.peers[i].state == PEERS_LEAVING;

		if ((leaving && pick(0, 2) == 0) ||
		    t.peers[i].state == PEERS_LOST)
			continue;
		peers_unplugged(&t, i);
		if (!leaving)
			continue;
		assert_int_equal(t.peers[i].state, PEERS_FREE);
		plugged[i] = false;
		n_plugged--;
	}
}

static void
vms_come_and_go_as_in_the_model(void **state)
{
	unsigned int op;

	(void)state;
	make_vms();
	for (op = 0; op < 30000; op++) {
		struct vm *vm = &vms[pick(0, N_VMS - 1)];

		switch (pick(0, 9)) {
		case 0: pass_time(); break;
		case 1: devices_go(); break;
		case 2: lie(vm); break;
		case 3: grow(vm); break;
		case 4: mix(vm, &vms[pick(0, N_VMS - 1)]); break;
		case 5: case 6: part(vm); break;
		default: join(vm); break;
		}
		check();
	}
	/* Each event has occurred. */
	for (op = 0; op <= PEERS_REFUSED; op++)
		assert_in_range(events[op], 20, UINT32_MAX);
}

static void
names_that_cannot_be(void **state)
{
	static const char *const bad[] = { "", "a b", "a/1", "a\n", "\x7f" };
	char name[PEERS_NAME_LEN];
	unsigned int i;

	(void)state;
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(peers_identify(&t, peers_connect(&t, now), now,
						PEERS_BY_ITSELF, bad[i], NULL,
						-1), -PEERS_BAD_NAME);
	memset(name, 'a', sizeof(name));
	assert_int_equal(peers_identify(&t, peers_connect(&t, now), now,
					PEERS_BY_ADMIN, name, NULL, -1),
			 -PEERS_BAD_NAME);
	name[sizeof(name) - 1] = '\0';
	assert_int_equal(peers_identify(&t, peers_connect(&t, now), now,
					PEERS_BY_ADMIN, name, NULL, -1), 0);
}

static void
front_end_is_heard_before_the_administrator(void **state)
{
	const uint8_t nil[16] = { 0 }, uuid[16] = { 1 };
	int conn = peers_connect(&t, now);

	(void)state;
	peers_identify(&t, conn, now, PEERS_BY_ADMIN, "admin", uuid, 4);
	peers_identify(&t, conn, now, PEERS_BY_ITSELF, "itself", nil, -1);
	peers_identify(&t, conn, now, PEERS_BY_ADMIN, "again", nil, -1);
	assert_int_equal(present(conn, 9, 100 * MIB), 0);
	assert_int_equal(peers_find_name(&t, "itself"), t.conns[conn].peer);
	assert_int_equal(peers_find_uuid(&t, uuid), t.conns[conn].peer);
	assert_int_equal(t.peers[t.conns[conn].peer].slot, 4);
	assert_int_equal(peers_find_name(&t, "admin"), -1);
}

static void
made_up_identity_is_the_memorys(void **state)
{
	struct peers_peer first;
	int conn = peers_connect(&t, now);

	(void)state;
	assert_int_equal(present(conn, 9, 100 * MIB), 0);
	first = t.peers[t.conns[conn].peer];
	/* Begin with an empty table, like a restarted server. */
	setup(NULL);
	conn = peers_connect(&t, now);
	assert_int_equal(present(conn, 8, 100 * MIB), 0);
	conn = peers_connect(&t, now);
	assert_int_equal(present(conn, 9, 100 * MIB), 0);
	assert_string_equal(t.peers[t.conns[conn].peer].name, first.name);
	assert_memory_equal(t.peers[t.conns[conn].peer].uuid, first.uuid, 16);
	/* Somebody has that name already: another one is made up. */
	setup(NULL);
	conn = peers_connect(&t, now);
	peers_identify(&t, conn, now, PEERS_BY_ITSELF, first.name, NULL, -1);
	assert_int_equal(present(conn, 8, 100 * MIB), 0);
	conn = peers_connect(&t, now);
	assert_int_equal(present(conn, 9, 100 * MIB), 0);
	assert_string_not_equal(t.peers[t.conns[conn].peer].name, first.name);
}

static void
silent_connections_make_room(void **state)
{
	unsigned int i;
	int first = -1, conn;

	(void)state;
	for (i = 0; i < MAX_CONNS - 1; i++) {
		conn = peers_connect(&t, now);
		first = i == 0 ? conn : first;
		if (i > 0)
			peers_spoke(&t, conn);
	}
	for (i = 0; i < 1000; i++)
		assert_true(peers_connect(&t, now) >= 0);
	assert_int_equal(events[PEERS_REFUSED], 999);
	assert_int_equal(last.reason, PEERS_SILENT);
	for (i = 0; i < MAX_CONNS; i++)
		peers_spoke(&t, i);
	assert_int_equal(peers_connect(&t, now), -PEERS_TOO_MANY_CONNS);
	assert_true(t.conns[first].used);
}

static void
memory_that_is_none(void **state)
{
	struct peers_file files[PEERS_MAX_FILES + 1] = { { 0 } };
	unsigned int i;

	(void)state;
	for (i = 0; i <= PEERS_MAX_FILES; i++)
		files[i] = (struct peers_file) { 1, i + 10, UINT64_MAX / 4 };
	assert_int_equal(peers_memory(&t, peers_connect(&t, now), now, files,
				      0), -PEERS_NO_MEMORY);
	assert_int_equal(peers_memory(&t, peers_connect(&t, now), now, files,
				      PEERS_MAX_FILES + 1), -PEERS_NO_MEMORY);
	/* The sum wraps; it does not, but there is no such window. */
	assert_int_equal(peers_memory(&t, peers_connect(&t, now), now, files,
				      5), -PEERS_NO_MEMORY);
	assert_int_equal(peers_memory(&t, peers_connect(&t, now), now, files,
				      4), -PEERS_NO_WINDOW);
	files[1].ino = files[0].ino;
	assert_int_equal(peers_memory(&t, peers_connect(&t, now), now, files,
				      2), -PEERS_NO_MEMORY);
	assert_int_equal(peers_window(0), MIB);
	assert_int_equal(peers_window(3 * MIB), 8 * MIB);
	assert_int_equal(peers_window(UINT64_C(1) << 62), UINT64_C(1) << 63);
	assert_int_equal(peers_window((UINT64_C(1) << 62) + 1), 0);
}

static void
device_that_cannot_be_plugged(void **state)
{
	int conn = peers_connect(&t, now);

	(void)state;
	plug_rc = -5;
	assert_int_equal(present(conn, 9, 100 * MIB), -PEERS_NOT_PLUGGED);
	assert_int_equal(count(PEERS_FREE), PEERS_MAX);
	plug_rc = 0;
	assert_int_equal(present(peers_connect(&t, now), 9, 100 * MIB), 0);
}

static void
port_that_was_asked_for(void **state)
{
	const struct vm a = { .name = "a", .bytes = 100 * MIB },
		b = { .name = "b", .bytes = 100 * MIB };
	int conn = say(&a, 3);

	(void)state;
	assert_int_equal(present(conn, 9, a.bytes), 0);
	assert_int_equal(t.peers[t.conns[conn].peer].slot, 3);
	assert_int_equal(present(say(&b, 3), 10, b.bytes), -PEERS_NO_PORT);
	assert_int_equal(present(say(&b, N_SLOTS), 10, b.bytes),
			 -PEERS_NO_PORT);
	assert_int_equal(present(say(&b, 2), 10, 300 * MIB), -PEERS_NO_WINDOW);
}

/* A connection that changes to completely different memory is refused, because
 * it no longer is a function of its VM. If it is the VM's only connection, the
 * change is allowed: it can mislead nobody. */
static void
memory_of_one_function_stays_the_vms(void **state)
{
	const struct vm a = { .name = "a" };
	int one = say(&a, -1), two = say(&a, -1);

	(void)state;
	assert_int_equal(present(one, 9, 100 * MIB), 0);
	assert_int_equal(present(two, 9, 100 * MIB), 0);
	assert_int_equal(t.conns[two].function, 1);
	assert_int_equal(present(two, 10, 100 * MIB), -PEERS_MIXED_MEMORY);
	assert_int_equal(present(one, 10, 100 * MIB), 0);
	assert_string_equal(peers_reason_text(-PEERS_MIXED_MEMORY),
			    "memory of several peers");
	assert_string_equal(peers_reason_text(-1000), "unknown");
}

/* Another client has the device unplugged: the table no longer waits for the
 * VM. */
static void
device_unplugged_while_its_vm_is_awaited(void **state)
{
	const struct vm a = { .name = "a", .bytes = 100 * MIB };
	int conn = say(&a, 3), peer;

	(void)state;
	assert_int_equal(present(conn, 9, a.bytes), 0);
	peer = t.conns[conn].peer;
	peers_unplugged(&t, peer);
	assert_int_equal(t.peers[peer].state, PEERS_LIVE);
	peers_disconnect(&t, conn, now);
	peers_unplugged(&t, peer);
	plugged[peer] = false;
	assert_int_equal(t.peers[peer].state, PEERS_FREE);
	assert_int_equal(peers_deadline(&t), PEERS_NEVER);
	conn = say(&a, 3);
	assert_int_equal(present(conn, 9, a.bytes), 0);
	assert_true(last.is_new);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, setup)
	const struct CMUnitTest tests[] = {
		TEST(vms_come_and_go_as_in_the_model),
		TEST(names_that_cannot_be),
		TEST(front_end_is_heard_before_the_administrator),
		TEST(made_up_identity_is_the_memorys),
		TEST(silent_connections_make_room),
		TEST(memory_that_is_none),
		TEST(device_that_cannot_be_plugged),
		TEST(port_that_was_asked_for),
		TEST(memory_of_one_function_stays_the_vms),
		TEST(device_unplugged_while_its_vm_is_awaited),
	};
	const char *from = getenv("VHOSTPCI_TEST_SEED");

	seed = from != NULL ? strtoul(from, NULL, 0) : (unsigned int)time(NULL);
	printf("VHOSTPCI_TEST_SEED=%u\n", seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
