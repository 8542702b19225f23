/* SPDX-License-Identifier: Apache-2.0
 *
 * windowmap refuse FILE BAR LEN    tries mappings, most of them forbidden
 * windowmap hold FILE BAR OFFSET   maps 4 MiB of a window until its standard
 *                                  input ends; for each line prints the first
 *                                  and the last word of the mapping; for a
 *                                  line "w" writes 1 to both before
 * windowmap pin FILE BAR OFFSET    asks the kernel for the pages of a mapping
 *
 * FILE belongs to the module vhost_pci_window. "refuse" and "pin" print the
 * errno of each try by its name; 0 is success.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define BAR_SHIFT 56
#define HELD (4ul << 20)
#define PAGE 4096ul
#define RW (PROT_READ | PROT_WRITE)

static void *
map(int fd, uint64_t offset, uint64_t len, int prot, int flags)
{
	return mmap(NULL, len, prot, flags, fd, offset);
}

static void
try(const char *name, int fd, uint64_t offset, uint64_t len, int prot,
    int flags)
{
	void *p = map(fd, offset, len, prot, flags);

	printf("%s=%d\n", name, p == MAP_FAILED ? errno : 0);
	if (p != MAP_FAILED)
		munmap(p, len);
}

static int
refuse(int fd, uint64_t bar, uint64_t len)
{
	uint64_t base = bar << BAR_SHIFT;
	unsigned int other;
	char name[8];
	void *p;

	try("all", fd, base, len, RW, MAP_SHARED);
	try("last", fd, base + len - PAGE, PAGE, RW, MAP_SHARED);
	try("beyond", fd, base + len, PAGE, RW, MAP_SHARED);
	try("across", fd, base + len - PAGE, 2 * PAGE, RW, MAP_SHARED);
	try("next_bar", fd, base + (1ull << BAR_SHIFT) - PAGE, 2 * PAGE, RW,
	    MAP_SHARED);
	try("wrap", fd, 0xfffffffffffff000ull, PAGE, RW, MAP_SHARED);
	try("private", fd, base, PAGE, PROT_READ, MAP_PRIVATE);
	try("exec", fd, base, PAGE, PROT_READ | PROT_EXEC, MAP_SHARED);
	for (other = 0; other < 8; other++) {
		if (other == bar)
			continue;
		snprintf(name, sizeof(name), "bar%u", other);
		try(name, fd, (uint64_t)other << BAR_SHIFT, PAGE, RW, MAP_SHARED);
	}
	p = map(fd, base, PAGE, RW, MAP_SHARED);
	printf("exec_later=%d\n",
	       mprotect(p, PAGE, PROT_READ | PROT_EXEC) == 0 ? 0 : errno);
	p = mremap(p, PAGE, 2 * PAGE, MREMAP_MAYMOVE);
	printf("grow=%d\n", p == MAP_FAILED ? errno : 0);
	return 0;
}

static int
hold(volatile uint64_t *p)
{
	volatile uint64_t *last = p + HELD / sizeof(*p) - 1;
	char line[16];

	printf("ready\n");
	while (fgets(line, sizeof(line), stdin) != NULL) {
		if (line[0] == 'w')
			*p = *last = 1;
		printf("first=%016" PRIx64 " last=%016" PRIx64 "\n", *p, *last);
	}
	printf("end\n");
	return 0;
}

/* The window has no struct page: the kernel must refuse to pin its pages. */
static int
pin(char *p)
{
	struct iovec small = { p + HELD - PAGE, 8 }, huge = { p, 8 };
	int fds[2];

	*(volatile uint64_t *)p;
	*(volatile uint64_t *)(p + HELD - PAGE);
	if (pipe(fds) != 0)
		return 1;
	printf("huge=%d\n", vmsplice(fds[1], &huge, 1, 0) >= 0 ? 0 : errno);
	printf("small=%d\n", vmsplice(fds[1], &small, 1, 0) >= 0 ? 0 : errno);
	/* write() copies bytes and needs no page, so it must succeed. */
	printf("copy=%d\n", write(fds[1], p, 8) == 8 ? 0 : errno);
	return 0;
}

int
main(int argc, char **argv)
{
	uint64_t bar, number;
	void *p;
	int fd;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 5)
		return 2;
	fd = open(argv[2], O_RDWR);
	if (fd < 0) {
		perror(argv[2]);
		return 1;
	}
	bar = strtoull(argv[3], NULL, 0);
	number = strtoull(argv[4], NULL, 0);
	if (strcmp(argv[1], "refuse") == 0)
		return refuse(fd, bar, number);
	p = map(fd, (bar << BAR_SHIFT) + number, HELD, RW, MAP_SHARED);
	if (p == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	/* The mapping holds the device, even without the open file. */
	close(fd);
	return strcmp(argv[1], "hold") == 0 ? hold(p) : pin(p);
}
