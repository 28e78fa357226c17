/* malloc.c keeps its promises: blocks apart from each other, aligned, kept by realloc, cleared
   by calloc, and what cannot be is refused. */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 3000, ROUNDS = 300000 };

static struct {
	unsigned char *start;
	size_t size;
	unsigned char fill;
} blocks[BLOCKS];

static uint64_t state = 1;

static size_t number(size_t below)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (state >> 33) % below;
}

/* Mostly small, seldom larger than the last class. */
static size_t size(void)
{
	size_t kind = number(1000);

	return kind < 900 ? number(300) : kind < 999 ? number(20000) : number(20 << 20);
}

static void fail(const char *what)
{
	fprintf(stderr, "check: %s\n", what);
	exit(1);
}

static void expect(int i, size_t bytes)
{
	/* Of a large block its ends. */
	size_t at, step = bytes > 40000 ? 4093 : 1;

	for (at = 0; at < bytes; at += step)
		if (blocks[i].start[at] != blocks[i].fill)
			fail("a block has lost what was in it");
	if (bytes && blocks[i].start[bytes - 1] != blocks[i].fill)
		fail("a block has lost its end");
}

static void keep(int i, void *start, size_t bytes)
{
	if (!start)
		fail("no memory");
	if ((uintptr_t)start % 16)
		fail("a block is not aligned");
	if (malloc_usable_size(start) < bytes)
		fail("a block is smaller than asked for");
	blocks[i].start = start;
	blocks[i].size = bytes;
	blocks[i].fill = number(256);
	memset(start, blocks[i].fill, bytes);
}

int main(void)
{
	int round, i;
	size_t at, bytes;
	unsigned char *start;
	volatile size_t most = SIZE_MAX;

	for (round = 0; round < ROUNDS; round++) {
		i = number(BLOCKS);
		bytes = size();
		expect(i, blocks[i].size);
		switch (number(4)) {
		case 0:
			free(blocks[i].start);
			keep(i, malloc(bytes), bytes);
			break;
		case 1:
			start = realloc(blocks[i].start, bytes);
			if (!start)
				fail("no memory");
			blocks[i].start = start;
			expect(i, bytes < blocks[i].size ? bytes : blocks[i].size);
			keep(i, start, bytes);
			break;
		case 2:
			free(blocks[i].start);
			start = calloc(bytes / 8 + 1, 8);
			for (at = 0; start && at < bytes; at++)
				if (start[at])
					fail("calloc does not clear");
			keep(i, start, bytes);
			break;
		default:
			free(blocks[i].start);
			at = (size_t)32 << number(8);
			start = aligned_alloc(at, bytes);
			if ((uintptr_t)start % at)
				fail("aligned_alloc does not align");
			keep(i, start, bytes);
		}
	}
	for (i = 0; i < BLOCKS; i++) {
		expect(i, blocks[i].size);
		free(blocks[i].start);
	}

	errno = 0;
	if (malloc(most) || errno != ENOMEM)
		fail("more than there is was not refused by malloc");
	errno = 0;
	if (calloc(most / 2, 3) || errno != ENOMEM)
		fail("more than there is was not refused by calloc");
	start = malloc(1);
	if (realloc(start, most) || errno != ENOMEM)
		fail("more than there is was not refused by realloc");
	if (aligned_alloc(48, 1) || errno != EINVAL)
		fail("an alignment that is no power of two was not refused");
	return 0;
}
