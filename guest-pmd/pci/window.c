/* SPDX-License-Identifier: BSD-3-Clause */

/* Map the window BAR; pci/window.h says why EAL does not do it. */

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bus_pci_driver.h>
#include <rte_common.h>
#include <rte_cycles.h>

#include "base/log.h"
#include "pci/window.h"

/* Uncached reads are one to two orders of magnitude slower than cached reads.
 * Memory that is this many times slower than ordinary memory is uncached. */
#define UNCACHED_RATIO	8
/* The file of the module vhost_pci_window (guest-pmd/kmod/window.h): the upper
 * bits of an offset hold the number of the BAR. */
#define MODULE_DIR	"/dev/vhost-pci"
#define MODULE_BAR_SHIFT	56

static uint64_t
page_size(void)
{
	return sysconf(_SC_PAGESIZE);
}

static int
open_sysfs_bar(const struct rte_pci_device *pci, unsigned int bar)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/" PCI_PRI_FMT "/resource%u",
		 rte_pci_get_sysfs_path(), pci->addr.domain, pci->addr.bus,
		 pci->addr.devid, pci->addr.function, bar);
	return open(path, O_RDWR | O_CLOEXEC);
}

/* Try mmap(), because lockdown and strict /dev/mem refuse only there. */
static bool
can_map(int fd, uint64_t file_offset)
{
	void *p = mmap(NULL, page_size(), PROT_READ | PROT_WRITE, MAP_SHARED,
		       fd, file_offset);

	if (p == MAP_FAILED)
		return false;
	munmap(p, page_size());
	return true;
}

/* Returns false if the module is not loaded, or, with a line in the log, if it
 * does not serve the device. */
static bool
open_module(struct vhostpci_window *w, const struct rte_pci_device *pci,
	    unsigned int bar)
{
	char path[PATH_MAX];
	int err;

	snprintf(path, sizeof(path), MODULE_DIR "/" PCI_PRI_FMT,
		 pci->addr.domain, pci->addr.bus, pci->addr.devid,
		 pci->addr.function);
	w->file_base = (uint64_t)bar << MODULE_BAR_SHIFT;
	w->how = "vhost_pci_window";
	w->fd = open(path, O_RDWR | O_CLOEXEC);
	if (w->fd >= 0 && can_map(w->fd, w->file_base))
		return true;
	err = errno;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	if (err != ENOENT)
		VHOSTPCI_LOG(WARNING,
			     "%s: cannot map the window through %s (%s); the window is mapped as without that file",
			     pci->name, path, strerror(err));
	return false;
}

static int
open_uio(struct vhostpci_window *w, const struct rte_pci_device *pci,
	 unsigned int bar)
{
	int err;

	/* Without O_SYNC the kernel maps write-back. */
	w->file_base = pci->mem_resource[bar].phys_addr;
	w->how = "/dev/mem";
	w->fd = open("/dev/mem", O_RDWR | O_CLOEXEC);
	if (w->fd >= 0 && can_map(w->fd, w->file_base))
		return 0;
	err = errno;
	if (w->fd >= 0)
		close(w->fd);
	VHOSTPCI_LOG(WARNING,
		     "%s: cannot map the window through /dev/mem (%s); an uncached sysfs mapping takes its place",
		     pci->name, strerror(err));

	w->file_base = 0;
	w->how = "sysfs";
	w->fd = open_sysfs_bar(pci, bar);
	if (w->fd >= 0 && can_map(w->fd, 0))
		return 0;
	err = errno;
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	VHOSTPCI_LOG(ERR, "%s: cannot map the window (BAR %u): %s", pci->name,
		     bar, strerror(err));
	return -err;
}

int
vhostpci_window_open(struct vhostpci_window *w,
		     const struct rte_pci_device *pci, unsigned int bar)
{
	memset(w, 0, sizeof(*w));
	w->fd = -1;
	w->bar_len = pci->mem_resource[bar].len;
	/* Under vfio EAL's own mapping stays, but nothing touches it: vfio
	 * makes page-table entries only at the first touch. */
	if (open_module(w, pci, bar))
		return 0;
	if (pci->kdrv != RTE_PCI_KDRV_VFIO)
		return open_uio(w, pci, bar);

	w->how = "vfio";
	w->whole = pci->mem_resource[bar].addr;
	if (w->whole == NULL) {
		VHOSTPCI_LOG(ERR, "%s: vfio did not map the window (BAR %u)",
			     pci->name, bar);
		return -ENXIO;
	}
	return 0;
}

static void
slot_unmap(struct vhostpci_window *w, struct vhostpci_window_map *m)
{
	if (m->len != 0 && w->whole == NULL)
		munmap(m->addr, m->len);
	memset(m, 0, sizeof(*m));
}

void
vhostpci_window_close(struct vhostpci_window *w)
{
	unsigned int i;

	for (i = 0; i < RTE_DIM(w->maps); i++)
		slot_unmap(w, &w->maps[i]);
	if (w->fd >= 0)
		close(w->fd);
	w->fd = -1;
	w->whole = NULL;
}

void
vhostpci_window_begin(struct vhostpci_window *w)
{
	struct vhostpci_window_map *m;

	for (m = w->maps; m < w->maps + RTE_DIM(w->maps); m++) {
		if (!m->adopted)
			slot_unmap(w, m);
		m->wanted = false;
	}
}

static struct vhostpci_window_map *
slot_find(struct vhostpci_window *w, uint64_t offset, uint64_t len)
{
	struct vhostpci_window_map *m, *free_slot = NULL;

	for (m = w->maps; m < w->maps + RTE_DIM(w->maps); m++) {
		if (m->len == len && m->offset == offset)
			return m;
		if (m->len == 0 && free_slot == NULL)
			free_slot = m;
	}
	return free_slot;
}

void *
vhostpci_window_map(struct vhostpci_window *w, uint64_t offset, uint64_t len)
{
	uint64_t start = RTE_ALIGN_FLOOR(offset, page_size()), end;
	struct vhostpci_window_map *m;
	void *addr;

	if (len == 0 || len > w->bar_len || offset > w->bar_len - len) {
		errno = ERANGE;
		return NULL;
	}
	/* The length of a BAR is a power of two and at least a page, so the
	 * rounded end stays inside. */
	end = RTE_ALIGN_CEIL(offset + len, page_size());
	m = slot_find(w, start, end - start);
	if (m == NULL) {
		errno = ENOSPC;
		return NULL;
	}
	if (m->len == 0) {
		addr = w->whole != NULL ? w->whole + start :
			mmap(NULL, end - start, PROT_READ | PROT_WRITE,
			     MAP_SHARED, w->fd, w->file_base + start);
		if (addr == MAP_FAILED)
			return NULL;
		m->offset = start;
		m->len = end - start;
		m->addr = addr;
	}
	m->wanted = true;
	return m->addr + (offset - start);
}

void
vhostpci_window_keep(struct vhostpci_window *w)
{
	struct vhostpci_window_map *m;

	for (m = w->maps; m < w->maps + RTE_DIM(w->maps); m++)
		m->adopted |= m->wanted;
}

void
vhostpci_window_commit(struct vhostpci_window *w)
{
	struct vhostpci_window_map *m;

	for (m = w->maps; m < w->maps + RTE_DIM(w->maps); m++) {
		if (!m->wanted)
			slot_unmap(w, m);
		m->adopted = m->wanted;
	}
}

/* Returns the cycles for 64 reads of one line, the best of many rounds: the
 * first reads fault and miss, and interrupts disturb some. */
static uint64_t
read_cycles(const volatile uint64_t *line)
{
	uint64_t best = UINT64_MAX, start, cycles;
	unsigned int round, i;

	for (round = 0; round < 32; round++) {
		start = rte_rdtsc_precise();
		for (i = 0; i < 64; i++)
			(void)line[i % 8];
		cycles = rte_rdtsc_precise() - start;
		best = RTE_MIN(best, cycles);
	}
	return RTE_MAX(best, 1u);
}

enum vhostpci_window_type
vhostpci_window_measure(const volatile void *line, unsigned int *ratio)
{
	uint64_t ordinary[8] __rte_cache_aligned = { 0 };
	uint64_t ram, window;

	ram = read_cycles(ordinary);
	window = read_cycles(line);
	*ratio = RTE_MIN(window * 10 / ram, UINT_MAX);
	return *ratio >= UNCACHED_RATIO * 10 ? VHOSTPCI_WINDOW_UC :
					       VHOSTPCI_WINDOW_WB;
}

void *
vhostpci_window_map_registers(const struct rte_pci_device *pci,
			      unsigned int bar)
{
	const struct rte_mem_resource *res = &pci->mem_resource[bar];
	void *addr = MAP_FAILED;
	int fd, err;

	if (res->len == 0 || res->phys_addr == 0) {
		errno = ENXIO;
		return NULL;
	}
	fd = open("/dev/mem", O_RDWR | O_SYNC | O_CLOEXEC);
	if (fd >= 0) {
		addr = mmap(NULL, res->len, PROT_READ | PROT_WRITE, MAP_SHARED,
			    fd, res->phys_addr);
		close(fd);
	}
	if (addr != MAP_FAILED)
		return addr;

	fd = open_sysfs_bar(pci, bar);
	if (fd < 0)
		return NULL;
	addr = mmap(NULL, res->len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	err = errno;
	close(fd);
	errno = err;
	return addr == MAP_FAILED ? NULL : addr;
}
