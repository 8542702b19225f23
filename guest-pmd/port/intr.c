/* SPDX-License-Identifier: BSD-3-Clause */

/* See port/intr.h. */

#include <errno.h>
#include <unistd.h>

#include <sys/eventfd.h>

#include <rte_interrupts.h>

#include "port/intr.h"
#include "port/port.h"
#include "vring/layout.h"

static bool
wanted(const struct vhostpci_dev *dev, unsigned int q)
{
	return dev->rx_intr_on >> q & 1;
}

void
vhostpci_intr_fire(struct vhostpci_dev *dev, unsigned int q)
{
	uint64_t one = 1;

	if (!wanted(dev, q))
		return;
	/* The eventfd is our own and non-blocking: a full counter wakes the
	 * reader as well. */
	if (write(rte_intr_efds_index_get(dev->rx_intr, q), &one,
		  sizeof(one)) < 0)
		return;
}

/* Ask for kicks, or for none, on every ring from which queue @q receives. Rings
 * that do not run yet are asked when they start. */
static void
set_kicks(struct vhostpci_dev *dev, unsigned int q, bool on)
{
	bool pending = false;
	unsigned int pair;

	for (pair = q; pair < dev->n_rings / 2u; pair += dev->n_rxq) {
		struct vhostpci_ring *ring = &dev->rings[2 * pair + 1];

		if (dev->transport.ops->kick_intr != NULL)
			dev->transport.ops->kick_intr(dev, ring->index, on);
		if (!vhostpci_ring_usable(ring))
			continue;
		vhostpci_ring_kicks(ring, on);
		pending |= on && !vhostpci_is_idle(ring);
	}
	if (pending)
		vhostpci_intr_fire(dev, q);
}

void
vhostpci_intr_rearm(struct vhostpci_dev *dev, unsigned int q)
{
	if (!wanted(dev, q))
		return;
	set_kicks(dev, q, true);
	/* The rings have changed: whoever sleeps must look at them once. */
	vhostpci_intr_fire(dev, q);
}

void
vhostpci_intr_kicked(struct vhostpci_dev *dev, unsigned int i)
{
	uint64_t *kicks = &dev->rings[i].count.kicks;

	/* Other threads read the counter at any time; only this thread writes
	 * it. */
	__atomic_store_n(kicks, *kicks + 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&dev->lock);
	if (dev->n_rxq > 0)
		vhostpci_intr_fire(dev, i / 2 % dev->n_rxq);
	pthread_mutex_unlock(&dev->lock);
}

static int
set_interrupt(struct rte_eth_dev *eth_dev, unsigned int q, bool on)
{
	struct vhostpci_dev *dev = eth_dev->data->dev_private;
	int rc = 0;

	pthread_mutex_lock(&dev->lock);
	if (dev->rx_intr == NULL || q >= dev->n_rxq ||
	    !eth_dev->data->dev_conf.intr_conf.rxq) {
		rc = -ENOTSUP;
	} else if (on) {
		dev->rx_intr_on |= 1ULL << q;
		set_kicks(dev, q, true);
	} else if (wanted(dev, q)) {
		dev->rx_intr_on &= ~(1ULL << q);
		set_kicks(dev, q, false);
	}
	pthread_mutex_unlock(&dev->lock);
	return rc;
}

int
vhostpci_rx_intr_enable(struct rte_eth_dev *eth_dev, uint16_t q)
{
	return set_interrupt(eth_dev, q, true);
}

int
vhostpci_rx_intr_disable(struct rte_eth_dev *eth_dev, uint16_t q)
{
	return set_interrupt(eth_dev, q, false);
}

/* Create eventfds for the most queues that there can be, because applications
 * keep the fds. */
static int
make_efds(struct vhostpci_dev *dev)
{
	unsigned int n = dev->transport.max_queue_pairs, q;

	if (rte_intr_vec_list_alloc(dev->rx_intr, "vhostpci_intr", n) ||
	    rte_intr_max_intr_set(dev->rx_intr, n + 1) ||
	    rte_intr_type_set(dev->rx_intr, RTE_INTR_HANDLE_VDEV) ||
	    rte_intr_efd_counter_size_set(dev->rx_intr, sizeof(uint64_t)))
		return -ENOMEM;
	for (q = 0; q < n; q++) {
		int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

		if (fd < 0)
			return -errno;
		if (rte_intr_efds_index_set(dev->rx_intr, q, fd) ||
		    rte_intr_nb_efd_set(dev->rx_intr, q + 1) ||
		    rte_intr_vec_list_index_set(dev->rx_intr, q,
				q + RTE_INTR_VEC_RXTX_OFFSET))
			return -ENOMEM;
	}
	return 0;
}

void
vhostpci_intr_free(struct vhostpci_dev *dev)
{
	int q;

	if (dev->rx_intr == NULL)
		return;
	/* Remove the fds from any epoll in which the application put them. */
	rte_intr_free_epoll_fd(dev->rx_intr);
	for (q = 0; q < rte_intr_nb_efd_get(dev->rx_intr); q++)
		close(rte_intr_efds_index_get(dev->rx_intr, q));
	rte_intr_vec_list_free(dev->rx_intr);
	rte_intr_instance_free(dev->rx_intr);
	dev->rx_intr = NULL;
	dev->eth_dev->intr_handle = NULL;
}

static int
create(struct vhostpci_dev *dev)
{
	int rc;

	if (dev->rx_intr != NULL)
		return 0;
	dev->rx_intr = rte_intr_instance_alloc(RTE_INTR_INSTANCE_F_PRIVATE);
	if (dev->rx_intr == NULL)
		return -ENOMEM;
	rc = make_efds(dev);
	if (rc != 0) {
		vhostpci_intr_free(dev);
		return rc;
	}
	dev->eth_dev->intr_handle = dev->rx_intr;
	return 0;
}

/* If the transport does not see the kicks (kick_fds), pass it the eventfd for
 * each ring: that of the queue, of @n_rxq, that receives from the ring. */
static int
direct_kicks(struct vhostpci_dev *dev, unsigned int n_rxq)
{
	unsigned int n = n_rxq > 0 ? dev->transport.max_queue_pairs : 0, pair;
	int fds[VHOSTPCI_MAX_RINGS];
	int rc;

	if (dev->transport.ops->kick_fds == NULL)
		return 0;
	for (pair = 0; pair < n; pair++) {
		fds[2 * pair] = -1;
		fds[2 * pair + 1] = rte_intr_efds_index_get(dev->rx_intr,
							    pair % n_rxq);
	}
	rc = dev->transport.ops->kick_fds(dev, fds, 2 * n);
	if (rc != -ENOTSUP)
		return rc;
	/* An application learns this when it enables an interrupt. */
	vhostpci_intr_free(dev);
	return 0;
}

int
vhostpci_intr_configure(struct vhostpci_dev *dev)
{
	const struct rte_eth_dev_data *data = dev->eth_dev->data;
	const struct vhostpci_transport_ops *ops = dev->transport.ops;
	unsigned int q;
	int rc;

	for (q = 0; q < dev->n_rxq; q++) {
		if (wanted(dev, q))
			set_kicks(dev, q, false);
	}
	dev->rx_intr_on = 0;
	if (!data->dev_conf.intr_conf.rxq)
		return dev->rx_intr != NULL ? direct_kicks(dev, 0) : 0;
	/* Without interrupts in the transport the application gets an error
	 * when it enables one. */
	if (ops->kick_intr == NULL && ops->kick_fds == NULL)
		return 0;
	rc = create(dev);
	return rc == 0 ? direct_kicks(dev, data->nb_rx_queues) : rc;
}
