/* SPDX-License-Identifier: BSD-3-Clause */

/*
 * Reports from a burst that finds a rule broken to control. All ports of the
 * process use one interrupt: an EAL interrupt handle takes 26 KiB, and EAL
 * keeps a copy of each handle. That is more than all the rest of a port.
 */

#include <errno.h>
#include <unistd.h>

#include <sys/eventfd.h>

#include <rte_interrupts.h>

#include "port/broken.h"
#include "port/peer.h"
#include "port/port.h"

TAILQ_HEAD(dev_list, vhostpci_dev);

static struct {
	/* Protects n_users, intr and fd. The interrupt handler never takes this
	 * lock. */
	pthread_mutex_t users_lock;
	unsigned int n_users;
	struct rte_intr_handle *intr;
	/* Written under users_lock; the datapath reads it while its port is a
	 * user. */
	int fd;

	/* Protects all that follows. Held for moments only. */
	pthread_mutex_t lock;
	pthread_cond_t done;	/* busy has changed */
	struct dev_list devs;
	struct vhostpci_dev *busy;	/* handle() serves this device */
} reports = {
	.users_lock = PTHREAD_MUTEX_INITIALIZER,
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.done = PTHREAD_COND_INITIALIZER,
	.devs = TAILQ_HEAD_INITIALIZER(reports.devs),
};

static void
ring_the_bell(void)
{
	uint64_t one = 1;

	/* Cannot block: the eventfd is our own and non-blocking. A full counter
	 * wakes the reader as well. */
	if (write(reports.fd, &one, sizeof(one)) < 0)
		return;
}

void
vhostpci_broken_signal(struct vhostpci_dev *dev)
{
	/* release: pairs with the acquire in take_next(), which then sees
	 * ring->broken. */
	__atomic_store_n(&dev->has_broken, true, __ATOMIC_RELEASE);
	ring_the_bell();
}

/* Returns a device with a broken ring, and makes it busy. The device moves to
 * the end of the list, so that a peer that breaks rings all the time does not
 * hide the other peers. */
static struct vhostpci_dev *
take_next(void)
{
	struct vhostpci_dev *dev;

	pthread_mutex_lock(&reports.lock);
	for (dev = TAILQ_FIRST(&reports.devs); dev != NULL;
	     dev = TAILQ_NEXT(dev, next)) {
		if (__atomic_exchange_n(&dev->has_broken, false,
					__ATOMIC_ACQUIRE))
			break;
	}
	if (dev != NULL) {
		TAILQ_REMOVE(&reports.devs, dev, next);
		TAILQ_INSERT_TAIL(&reports.devs, dev, next);
	}
	reports.busy = dev;
	pthread_mutex_unlock(&reports.lock);
	return dev;
}

/* EAL interrupt thread. Serves one device at a time, so that other interrupts
 * get their turn, such as those of the pci transport. */
static void
handle(void *arg)
{
	struct vhostpci_dev *dev;
	uint64_t count;

	RTE_SET_USED(arg);
	if (read(reports.fd, &count, sizeof(count)) < 0)
		return;
	dev = take_next();
	if (dev == NULL)
		return;
	vhostpci_handle_broken(dev);
	pthread_mutex_lock(&reports.lock);
	reports.busy = NULL;
	pthread_cond_broadcast(&reports.done);
	pthread_mutex_unlock(&reports.lock);
	ring_the_bell();
}

/* users_lock is held. */
static void
close_interrupt(void)
{
	rte_intr_callback_unregister_sync(reports.intr, handle, NULL);
	rte_intr_instance_free(reports.intr);
	close(reports.fd);
	reports.intr = NULL;
}

/* users_lock is held. */
static int
open_interrupt(void)
{
	struct rte_intr_handle *intr;
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	intr = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
	reports.fd = fd;
	reports.intr = intr;
	if (intr != NULL && rte_intr_fd_set(intr, fd) == 0 &&
	    rte_intr_type_set(intr, RTE_INTR_HANDLE_EXT) == 0 &&
	    rte_intr_callback_register(intr, handle, NULL) == 0)
		return 0;
	rte_intr_instance_free(intr);
	close(fd);
	return -EIO;
}

int
vhostpci_broken_attach(struct vhostpci_dev *dev)
{
	int rc = 0;

	pthread_mutex_lock(&reports.users_lock);
	if (reports.n_users == 0)
		rc = open_interrupt();
	if (rc == 0)
		reports.n_users++;
	pthread_mutex_unlock(&reports.users_lock);
	if (rc != 0)
		return rc;
	pthread_mutex_lock(&reports.lock);
	TAILQ_INSERT_TAIL(&reports.devs, dev, next);
	pthread_mutex_unlock(&reports.lock);
	return 0;
}

void
vhostpci_broken_detach(struct vhostpci_dev *dev)
{
	pthread_mutex_lock(&reports.lock);
	TAILQ_REMOVE(&reports.devs, dev, next);
	while (reports.busy == dev)
		pthread_cond_wait(&reports.done, &reports.lock);
	pthread_mutex_unlock(&reports.lock);
}

void
vhostpci_broken_release(void)
{
	pthread_mutex_lock(&reports.users_lock);
	if (--reports.n_users == 0)
		close_interrupt();
	pthread_mutex_unlock(&reports.users_lock);
}
