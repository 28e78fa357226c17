/*
 * malloc for compilers: programs of one thread that ask for much memory in small pieces, give
 * little of it back, and end. musl's own keeps what it knows apart from what it hands out, so that
 * an overflow cannot reach it, and takes its time for that.
 *
 * Sizes are rounded up to classes: each sixteenth byte up to 1 KiB, then four to a doubling. What
 * is freed is kept for the next of its class. What is larger than the last class has a mapping of
 * its own. Memory is asked of Linux as huge pages, where those are to be had: they take fewer
 * page faults.
 *
 * Takes the place of musl's in a program that this object is linked into (musl's manual:
 * "replacing malloc"). ISO C11 7.22.3 says what each function does.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* In front of each block: what class it has, or one of these. Blocks are aligned to 16. */
enum { MAPPED = 0, ALIGNED = 255 };

struct header {
	size_t class;
	/* Of MAPPED the bytes that it has, header and all; of ALIGNED the block that it lies in. */
	size_t of;
};

struct free_block {
	struct free_block *next;
};

enum {
	UNIT = sizeof(struct header),
	SMALL_CLASSES = 64, /* of one to 64 units */
	LARGEST_SHIFT = 14, /* up to 64 units << 14, which is 16 MiB */
	CLASSES = SMALL_CLASSES + 1 + 4 * LARGEST_SHIFT,
	/* Of programs that hardly ask for anything, nobody wants to clear two megabytes. */
	FIRST_CHUNK = 256 << 10,
	CHUNK = 32 << 20,
	HUGE_PAGE = 2 << 20
};

static struct free_block *free_blocks[CLASSES];
static char *chunk, *chunk_end;

static struct header *header_of(void *block)
{
	return (struct header *)block - 1;
}

/* The class of a size in units, which is CLASSES at least if there is none. */
static size_t class_of(size_t units)
{
	unsigned doublings;

	if (units <= SMALL_CLASSES)
		return units ? units : 1;
	/* The two bits below the highest one tell which quarter of a doubling. */
	units--;
	doublings = 63 - __builtin_clzl(units);
	return SMALL_CLASSES + 1 + 4 * (doublings - 6) + (units >> (doublings - 2) & 3);
}

/* How many units a block of a class has. */
static size_t units_of(size_t class)
{
	if (class <= SMALL_CLASSES)
		return class;
	class -= SMALL_CLASSES + 1;
	return (5 + (class & 3)) << (4 + (class >> 2));
}

static void *map(size_t bytes)
{
	void *start =
	    mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (start == MAP_FAILED)
		return 0;
	if (bytes >= HUGE_PAGE) {
		/* An advice: without huge pages everything goes on. */
		int before = errno;
		madvise(start, bytes, MADV_HUGEPAGE);
		errno = before;
	}
	return start;
}

static void *malloc_mapped(size_t bytes)
{
	struct header *header = map(bytes + UNIT);

	if (!header)
		return 0;
	header->class = MAPPED;
	header->of = bytes + UNIT;
	return header + 1;
}

/* A block of a class that none was freed of. What remains of a chunk is left where it is. */
static void *malloc_fresh(size_t class)
{
	size_t bytes = UNIT + units_of(class) * UNIT;
	struct header *header;

	if ((size_t)(chunk_end - chunk) < bytes) {
		size_t size = chunk || bytes > FIRST_CHUNK ? CHUNK : FIRST_CHUNK;
		char *start = map(size);

		if (!start)
			return 0;
		chunk = start;
		chunk_end = start + size;
	}
	header = (struct header *)chunk;
	chunk += bytes;
	header->class = class;
	return header + 1;
}

void *malloc(size_t bytes)
{
	size_t class;
	struct free_block *block;

	if (bytes > PTRDIFF_MAX - 2 * HUGE_PAGE) {
		errno = ENOMEM;
		return 0;
	}
	class = class_of((bytes + UNIT - 1) / UNIT);
	if (class >= CLASSES)
		return malloc_mapped(bytes);
	block = free_blocks[class];
	if (!block)
		return malloc_fresh(class);
	free_blocks[class] = block->next;
	return block;
}

void free(void *block)
{
	struct header *header;

	if (!block)
		return;
	header = header_of(block);
	if (header->class == MAPPED) {
		int before = errno;
		munmap(header, header->of);
		errno = before;
	} else if (header->class == ALIGNED) {
		free((void *)header->of);
	} else {
		struct free_block *freed = block;
		freed->next = free_blocks[header->class];
		free_blocks[header->class] = freed;
	}
}

size_t malloc_usable_size(void *block)
{
	struct header *header;

	if (!block)
		return 0;
	header = header_of(block);
	if (header->class == MAPPED)
		return header->of - UNIT;
	if (header->class == ALIGNED) {
		char *around = (char *)header->of;
		return around + malloc_usable_size(around) - (char *)block;
	}
	return units_of(header->class) * UNIT;
}

void *calloc(size_t count, size_t each)
{
	void *block;

	if (each && count > SIZE_MAX / each) {
		errno = ENOMEM;
		return 0;
	}
	block = malloc(count * each);
	/* A mapping of its own comes cleared. */
	if (block && header_of(block)->class != MAPPED)
		memset(block, 0, count * each);
	return block;
}

void *realloc(void *block, size_t bytes)
{
	size_t before;
	struct header *header;
	void *moved;

	if (!block)
		return malloc(bytes);
	before = malloc_usable_size(block);
	if (bytes <= before)
		return block;
	header = header_of(block);
	if (header->class == MAPPED && bytes <= PTRDIFF_MAX - 2 * HUGE_PAGE) {
		header = mremap(header, header->of, bytes + UNIT, MREMAP_MAYMOVE);
		if (header == MAP_FAILED)
			return 0;
		header->of = bytes + UNIT;
		return header + 1;
	}
	moved = malloc(bytes);
	if (moved) {
		memcpy(moved, block, before);
		free(block);
	}
	return moved;
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
	char *around, *block;

	if (!alignment || alignment & (alignment - 1)) {
		errno = EINVAL;
		return 0;
	}
	if (alignment <= UNIT)
		return malloc(bytes);
	if (alignment > PTRDIFF_MAX / 2 || bytes > PTRDIFF_MAX / 2) {
		errno = ENOMEM;
		return 0;
	}
	around = malloc(bytes + alignment);
	if (!around)
		return 0;
	block = (char *)(((uintptr_t)around + alignment - 1) & -alignment);
	if (block != around) {
		header_of(block)->class = ALIGNED;
		header_of(block)->of = (size_t)around;
	}
	return block;
}
