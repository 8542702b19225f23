/* SPDX-License-Identifier: BSD-3-Clause */

/* See socket/signal.h. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <sys/syscall.h>

#include <rte_branch_prediction.h>

#include "base/log.h"
#include "socket/signal.h"

/* Each signal leaves a result in the context. After RESULTS signals one more
 * system call removes all results. The context has room for twice as many,
 * because other queues signal meanwhile. */
#define RESULTS	64

void
vhostpci_signal_init(struct vhostpci_signal *signal)
{
	*signal = (struct vhostpci_signal) { .nothing = -1 };
	signal->nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (signal->nothing >= 0 &&
	    syscall(SYS_io_setup, 2 * RESULTS, &signal->context) == 0)
		return;
	VHOSTPCI_LOG(WARNING, "no asynchronous I/O for calls (%s): a hostile "
		     "peer can delay a burst", strerror(errno));
	signal->context = 0;
	signal->looked_only = true;
}

void
vhostpci_signal_fini(struct vhostpci_signal *signal)
{
	if (signal->context != 0)
		syscall(SYS_io_destroy, signal->context);
	if (signal->nothing >= 0)
		close(signal->nothing);
	signal->context = 0;
	signal->nothing = -1;
}

static void
drop_results(const struct vhostpci_signal *signal)
{
	struct io_event events[RESULTS];
	struct timespec now = { 0 };

	syscall(SYS_io_getevents, signal->context, 0, RESULTS, events, &now);
}

static bool
submit(const struct vhostpci_signal *signal, int fd)
{
	char byte;
	struct iocb op = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = signal->nothing,
		.aio_buf = (uintptr_t)&byte,
		.aio_nbytes = sizeof(byte),
		.aio_flags = IOCB_FLAG_RESFD,
		.aio_resfd = fd,
	};
	struct iocb *ops = &op;

	return syscall(SYS_io_submit, signal->context, 1, &ops) == 1;
}

static bool
send_by_aio(struct vhostpci_signal *signal, int fd)
{
	/* relaxed: only the number counts. */
	if (unlikely((__atomic_add_fetch(&signal->submitted, 1,
					 __ATOMIC_RELAXED) % RESULTS) == 0))
		drop_results(signal);
	if (likely(submit(signal, fd)))
		return true;
	/* The context is full: the thread that had to remove results was
	 * preempted. */
	drop_results(signal);
	return submit(signal, fd);
}

/* The fallback. It is not safe: between poll() and write() the peer can fill
 * the counter. */
static void
send_if_room(int fd)
{
	struct pollfd room = { .fd = fd, .events = POLLOUT };
	uint64_t one = 1;

	if (poll(&room, 1, 0) != 1 || !(room.revents & POLLOUT))
		return;
	if (write(fd, &one, sizeof(one)) < 0)
		return;
}

bool
vhostpci_signal_send(struct vhostpci_signal *signal, int fd)
{
	int failure;
	bool first;

	if (likely(signal->context != 0) && likely(send_by_aio(signal, fd)))
		return false;
	failure = signal->context != 0 ? errno : EBADF;
	first = !__atomic_exchange_n(&signal->looked_only, true,
				     __ATOMIC_RELAXED);
	/* relaxed: the wake-up of the caller's thread orders. */
	if (first)
		__atomic_store_n(&signal->failure, failure, __ATOMIC_RELAXED);
	send_if_room(fd);
	return first;
}

void
vhostpci_signal_report(struct vhostpci_signal *signal)
{
	int failure = __atomic_exchange_n(&signal->failure, 0,
					  __ATOMIC_RELAXED);

	if (failure != 0)
		VHOSTPCI_LOG(WARNING, "asynchronous I/O for calls fails (%s): "
			     "a hostile peer can delay a burst",
			     strerror(failure));
}
