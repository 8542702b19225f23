/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Limits on what a front-end, or a wrong path, can cost the host: memory,
 * address space, files, log lines, link changes.
 */

#define _GNU_SOURCE /* memfd_create */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <bus_vdev_driver.h>
#include <rte_cycles.h>

#include "peer/frontend.h"

#define MIB	(1024 * 1024ull)
/* What locks its memory would fill it: keep it small. */
#define SPARSE	(64 * MIB)

/* Memory */

static int
sparse_file(uint64_t size)
{
	int fd = memfd_create("sparse", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	return fd;
}

/* Another region, of @size bytes, behind the front-end's @offset. */
static void
add_region(struct frontend *fe, uint64_t offset, uint64_t size, int fd)
{
	struct vu_wire_mem_reg msg = {
		.region = { .gpa = FE_GPA + offset, .size = size,
			    .uva = FE_UVA + offset },
	};

	fe_send(fe, VU_ADD_MEM_REG, 0, &msg, sizeof(msg), fd, 1);
}

/* As mlockall(MCL_FUTURE); false: not here. */
static bool
lock_memory(void)
{
	void *p;

	if (mlockall(MCL_FUTURE) != 0)
		return false;
	p = mmap(NULL, SPARSE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p != MAP_FAILED) {
		munmap(p, SPARSE);
		return true;
	}
	munlockall();
	return false;
}

static void
locked_process_does_not_fill_the_memory_of_its_peer(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	int fd = sparse_file(SPARSE);
	uint8_t *ours;
	struct stat st;

	(void)state;
	fe_start(fe, FE_FEATURES, 1);
	if (!lock_memory()) {
		print_message("not allowed to lock memory\n");
	} else {
		add_region(fe, FE_SIZE, SPARSE, fd);
		assert_true(fe_ask(fe, VU_GET_FEATURES, 0, NULL, 0) != 0);
		munlockall();
	}
	assert_int_equal(fstat(fd, &st), 0);
	assert_true((uint64_t)st.st_blocks * 512 < MIB);
	/* It can be written to and read. */
	if (fe->socket->core.n_regions == 2) {
		ours = fe->socket->core.regions[1].addr;
		ours[SPARSE - 1] = 42;
		assert_int_equal(ours[SPARSE - 1], 42);
	}
	fe_post(fe, 1);
	assert_int_equal(fe_receive(fe, 0), 1);
	close(fd);
	fe_free(fe);
}

/* ... nor 8 MiB for the stack of each port's thread. */
static void
port_takes_little_stack(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	pthread_attr_t attr;
	size_t size;

	(void)state;
	assert_int_equal(pthread_getattr_np(fe->socket->thread, &attr), 0);
	assert_int_equal(pthread_attr_getstacksize(&attr, &size), 0);
	assert_in_range(size, 1, 512 * 1024);
	pthread_attr_destroy(&attr);
	fe_free(fe);
}

static void
queue_tells_how_much_waits(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	unsigned int i;

	(void)state;
	assert_int_equal(rte_eth_rx_queue_count(fe->port, 0), 0);
	fe_start(fe, FE_FEATURES, 1);
	assert_int_equal(rte_eth_rx_queue_count(fe->port, 0), 0);
	for (i = 0; i < 5; i++)
		fe_post(fe, 1);
	assert_int_equal(rte_eth_rx_queue_count(fe->port, 0), 5);
	assert_int_equal(rte_eth_rx_descriptor_status(fe->port, 0, 4),
			 RTE_ETH_RX_DESC_DONE);
	assert_int_equal(rte_eth_rx_descriptor_status(fe->port, 0, 5),
			 RTE_ETH_RX_DESC_AVAIL);
	assert_int_equal(rte_eth_tx_done_cleanup(fe->port, 0, 0), 0);
	assert_int_equal(fe_receive(fe, 0), 5);
	assert_int_equal(rte_eth_rx_queue_count(fe->port, 0), 0);
	/* An index that no ring has. */
	fe->rings[1].avail->idx += 1000;
	assert_int_equal(rte_eth_rx_queue_count(fe->port, 0), FE_NUM);
	fe_free(fe);
}

static void
memory_beyond_max_mem_is_refused(void **state)
{
	struct frontend *fe = fe_new(",max-mem=16", 1, false);
	int fd = sparse_file(16 * MIB);

	(void)state;
	fe_start(fe, FE_FEATURES, 1);
	add_region(fe, FE_SIZE, 16 * MIB - FE_SIZE, fd);
	assert_true(fe_ask(fe, VU_GET_FEATURES, 0, NULL, 0) != 0);
	assert_int_equal(fe->socket->core.n_regions, 2);
	add_region(fe, 16 * MIB, 4096, fd);
	assert_true(fe_is_closed(fe));
	fe_disconnect(fe);
	assert_true(fe_wait_link(fe, false));
	assert_non_null(strstr(vu_core_error(&fe->socket->core),
			       "region 2 of 4096 bytes, after 16777216 bytes "
			       "before it, exceeds the 16777216 bytes"));
	/* The next one starts from nothing. */
	fe_start(fe, FE_FEATURES, 1);
	close(fd);
	fe_free(fe);
}

static void
peer_may_have_the_memory_of_the_host_by_default(void **state)
{
	struct frontend *fe = fe_new("", 1, false);

	(void)state;
	assert_int_equal(fe->socket->core.config.max_memory,
			 (uint64_t)sysconf(_SC_PHYS_PAGES) *
			 sysconf(_SC_PAGESIZE));
	fe_free(fe);
}

/* Files */

static int
try_port(const char *path)
{
	char devargs[128];
	int rc;

	snprintf(devargs, sizeof(devargs), "path=%s", path);
	rc = rte_vdev_init("net_vpci1", devargs);
	if (rc == 0)
		rte_vdev_uninit("net_vpci1");
	return rc;
}

static int
socket_at(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

static void
only_a_socket_left_behind_is_replaced(void **state)
{
	char dir[] = "/tmp/vp-XXXXXX", path[64], link[64];
	struct stat st;
	int fd;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	snprintf(link, sizeof(link), "%s/link", dir);

	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "data", 4), 4);
	close(fd);
	assert_true(try_port(path) < 0);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 4);
	assert_int_equal(unlink(path), 0);

	fd = socket_at(path);
	assert_true(try_port(path) < 0);
	assert_int_equal(lstat(path, &st), 0);
	close(fd);
	/* The socket is stale now; a symbolic link to it is not a socket. */
	assert_int_equal(symlink(path, link), 0);
	assert_true(try_port(link) < 0);
	assert_int_equal(unlink(link), 0);
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(try_port(path), 0);
	assert_int_equal(lstat(path, &st), -1);
	assert_int_equal(rmdir(dir), 0);
}

static void
port_takes_away_its_own_socket_only(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	char path[sizeof(fe->path)], dir[sizeof(fe->dir)];
	struct stat st;
	int fd;

	(void)state;
	memcpy(path, fe->path, sizeof(path));
	memcpy(dir, fe->dir, sizeof(dir));
	/* Somebody else listens there now. */
	assert_int_equal(unlink(path), 0);
	fd = socket_at(path);
	assert_int_equal(rte_eth_dev_stop(fe->port), 0);
	assert_int_equal(rte_eth_dev_close(fe->port), 0);
	assert_int_equal(lstat(path, &st), 0);
	close(fd);
	assert_int_equal(unlink(path), 0);
	fe_free_closed(fe);
}

/* Two ports start at one path at the same time: one waits for the other, but
 * not for ever. */
static void
port_does_not_begin_where_another_one_does(void **state)
{
	char dir[] = "/tmp/vp-XXXXXX", path[64];
	struct stat st;
	int fd, lock;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/s", dir);
	lock = open(dir, O_RDONLY | O_DIRECTORY);
	assert_int_equal(flock(lock, LOCK_EX), 0);
	/* Bound, and before long it will listen. */
	fd = socket_at(path);
	close(fd);
	assert_true(try_port(path) < 0);
	assert_int_equal(lstat(path, &st), 0);
	close(lock);
	assert_int_equal(try_port(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* Log lines */

static unsigned int
count_lines(FILE *f, const char *with)
{
	unsigned int n = 0;
	char line[256];

	rewind(f);
	while (fgets(line, sizeof(line), f) != NULL)
		n += strstr(line, with) != NULL;
	return n;
}

static void
call_does_not_log_but_control_does(void **state)
{
	static const char text[] = "asynchronous I/O for calls fails";
	struct vhostpci_signal signal;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	FILE *log = tmpfile();

	(void)state;
	assert_non_null(log);
	assert_int_equal(rte_openlog_stream(log), 0);
	vhostpci_signal_init(&signal);
	assert_false(vhostpci_signal_send(&signal, fd));
	vhostpci_signal_fini(&signal);
	assert_true(vhostpci_signal_send(&signal, fd));
	assert_false(vhostpci_signal_send(&signal, fd));
	assert_int_equal(count_lines(log, text), 0);
	vhostpci_signal_report(&signal);
	vhostpci_signal_report(&signal);
	assert_int_equal(rte_openlog_stream(NULL), 0);
	assert_int_equal(count_lines(log, text), 1);
	fclose(log);
	close(fd);
}

static void
failing_call_wakes_who_logs_it(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	uint64_t count;

	(void)state;
	fe_start(fe, FE_FEATURES, 1);
	/* Its thread is at no call then. */
	assert_true(fe_wait(read(fe->call[1], &count, 8) == 8, 5));
	vhostpci_signal_fini(&fe->socket->caller->signal);
	fe_post(fe, 1);
	assert_int_equal(fe_receive(fe, 0), 1);
	assert_int_equal(fe_receive(fe, 0), 0);
	assert_true(fe_wait(__atomic_load_n(
			&fe->socket->caller->signal.looked_only,
			__ATOMIC_RELAXED), 5));
	assert_true(fe_wait(__atomic_load_n(&fe->socket->caller->signal.failure,
					    __ATOMIC_RELAXED) == 0, 5));
	fe_free(fe);
}

/* Link */

static int
count_event(uint16_t port, enum rte_eth_event_type type, void *arg, void *ret)
{
	(void)port;
	(void)type;
	(void)ret;
	__atomic_add_fetch((unsigned int *)arg, 1, __ATOMIC_RELAXED);
	return 0;
}

static void
flap(struct frontend *fe, bool up)
{
	fe_enable(fe, 0, up);
	fe_enable(fe, 1, up);
}

static bool
is_up(const struct frontend *fe)
{
	struct rte_eth_link link;

	assert_int_equal(rte_eth_link_get_nowait(fe->port, &link), 0);
	return link.link_status;
}

static void
link_that_flaps_wakes_the_application_rarely(void **state)
{
	struct frontend *fe = fe_new("", 1, false);
	unsigned int i, events = 0, most;
	uint64_t begin, seconds;

	(void)state;
	fe_start(fe, FE_FEATURES, 1);
	begin = rte_get_timer_cycles();
	assert_int_equal(rte_eth_dev_callback_register(fe->port,
			RTE_ETH_EVENT_INTR_LSC, count_event, &events), 0);
	for (i = 0; i < 300; i++) {
		flap(fe, false);
		assert_false(is_up(fe));
		flap(fe, true);
		/* Honest peers' few are told at once. */
		if (i < 10)
			assert_true(is_up(fe));
	}
	/* Packets flow while the link is late. */
	fe_post(fe, 1);
	assert_int_equal(fe_receive(fe, 0), 1);
	/* The last state counts, and it comes by itself. */
	assert_true(fe_wait_link(fe, true));
	flap(fe, false);
	assert_false(is_up(fe));
	flap(fe, true);
	assert_true(fe_wait_link(fe, true));
	seconds = (rte_get_timer_cycles() - begin) / rte_get_timer_hz();
	/* Twenty at once and four a second, each up and down. */
	most = 2 * (20 + 4 * (seconds + 1));
	assert_true(fe_wait(__atomic_load_n(&events, __ATOMIC_RELAXED) >= 20,
			    5));
	assert_true(__atomic_load_n(&events, __ATOMIC_RELAXED) <= most);
	/* Closed while the link is late. */
	for (i = 0; i < 30; i++) {
		flap(fe, false);
		flap(fe, true);
	}
	fe_free(fe);
}

int
main(int argc, char *argv[])
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			locked_process_does_not_fill_the_memory_of_its_peer),
		cmocka_unit_test(port_takes_little_stack),
		cmocka_unit_test(queue_tells_how_much_waits),
		cmocka_unit_test(memory_beyond_max_mem_is_refused),
		cmocka_unit_test(
			peer_may_have_the_memory_of_the_host_by_default),
		cmocka_unit_test(only_a_socket_left_behind_is_replaced),
		cmocka_unit_test(port_takes_away_its_own_socket_only),
		cmocka_unit_test(port_does_not_begin_where_another_one_does),
		cmocka_unit_test(call_does_not_log_but_control_does),
		cmocka_unit_test(failing_call_wakes_who_logs_it),
		cmocka_unit_test(link_that_flaps_wakes_the_application_rarely),
	};

	(void)argc;
	fp_init(argv[0]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
