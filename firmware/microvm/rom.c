/*
 * Takes a kernel, its initramfs and its command line from QEMU, puts them where they
 * belong, tells the kernel of memory and of ACPI's tables, and returns its first
 * instruction. QEMU's docs/specs/fw_cfg.rst says how it hands things over, Linux's
 * Documentation/arch/x86/boot.rst how a kernel takes them.
 */
/* The compiler's own, since musl's stdint.h knows x86_64 alone, and this is built with -m32. */
typedef __UINT8_TYPE__ uint8_t;
typedef __UINT16_TYPE__ uint16_t;
typedef __UINT32_TYPE__ uint32_t;
typedef __UINT64_TYPE__ uint64_t;
typedef __UINTPTR_TYPE__ uintptr_t;
#define UINT64_MAX __UINT64_MAX__

/* Memory below 640 KiB, by which nobody but the kernel has to abide afterwards. */
#define PARAMETERS 0x8000u /* the kernel's, a page */
#define SETUP 0x10000u	   /* the first sectors of the kernel's file */
#define SETUP_MAX 0x10000u
#define SCRATCH 0x40000u /* a file of QEMU's at a time */
#define SCRATCH_MAX 0x10000u
#define TABLES 0x50000u /* ACPI's tables, which stay */
#define TABLES_END 0x80000u
#define LOW_END 0xa0000u
#define HIGH 0x100000u

#define SERIAL 0x3f8
#define SELECTOR_DMA 0x518

enum key {
	KERNEL_ADDRESS = 0x07,
	KERNEL_SIZE = 0x08,
	INITRD_ADDRESS = 0x0a,
	INITRD_SIZE = 0x0b,
	KERNEL = 0x11,
	INITRD = 0x12,
	CMDLINE_ADDRESS = 0x13,
	CMDLINE_SIZE = 0x14,
	CMDLINE = 0x15,
	SETUP_SIZE = 0x17,
	SETUP_DATA = 0x18,
	DIRECTORY = 0x19,
};

#define DMA_ERROR 1u
#define DMA_READ 2u
#define DMA_SELECT 8u

/* The boot protocol's fields, as offsets into the parameters. */
#define ACPI_RSDP 0x070u
#define E820_COUNT 0x1e8u
#define HEADER 0x1f1u
#define HEADER_JUMP 0x201u /* its length beyond 0x202 */
#define HEADER_MAGIC 0x202u
#define PROTOCOL 0x206u
#define LOADER 0x210u
#define CODE32_START 0x214u
#define RAMDISK 0x218u
#define RAMDISK_SIZE 0x21cu
#define CMDLINE_POINTER 0x228u
#define E820 0x2d0u
#define E820_MAX 128u

enum { E820_RAM = 1, E820_ACPI = 3 };

struct file {
	uint32_t size;
	uint16_t key, reserved;
	char name[56];
};

struct range {
	uint64_t start, length;
	uint32_t type;
} __attribute__((packed));

/* QEMU's include/hw/acpi/bios-linker-loader.h: how to put ACPI's tables together. */
struct command {
	uint32_t what;
	char file[56];
	union {
		struct {
			uint32_t align;
		} allocate;
		struct {
			char target[56];
			uint32_t offset;
			uint8_t size;
		} pointer;
		struct {
			uint32_t offset, start, length;
		} checksum;
		uint8_t room[68];
	};
} __attribute__((packed));

enum { ALLOCATE = 1, ADD_POINTER = 2, ADD_CHECKSUM = 3 };

/* More files than QEMU has tables in. */
#define PLACES 8

struct place {
	char name[56];
	uint32_t at, size;
};

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void out32(uint16_t port, uint32_t value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static _Noreturn void fail(const char *why)
{
	for (const char *c = "This system cannot start: "; *c; c++)
		out8(SERIAL, (uint8_t)*c);
	for (; *why; why++)
		out8(SERIAL, (uint8_t)*why);
	out8(SERIAL, '\n');
	for (;;)
		__asm__ volatile("cli; hlt");
}

/* What compilers call for loops and structures. */
void *memcpy(void *to, const void *from, unsigned long length)
{
	uint8_t *out = to;
	const uint8_t *in = from;

	while (length--)
		*out++ = *in++;
	return to;
}

void *memset(void *to, int byte, unsigned long length)
{
	volatile uint8_t *out = to;

	while (length--)
		*out++ = (uint8_t)byte;
	return to;
}

static int same(const char *one, const char *two)
{
	for (int i = 0; i < 56; i++) {
		if (one[i] != two[i])
			return 0;
		if (one[i] == 0)
			return 1;
	}
	return 1;
}

static void read(enum key key, uint32_t to, uint32_t length)
{
	volatile struct {
		uint32_t control, length;
		uint64_t address;
	} __attribute__((aligned(8))) transfer;

	transfer.control = __builtin_bswap32((uint32_t)key << 16 | DMA_SELECT | DMA_READ);
	transfer.length = __builtin_bswap32(length);
	transfer.address = __builtin_bswap64(to);
	out32(SELECTOR_DMA, __builtin_bswap32((uint32_t)(uintptr_t)&transfer));
	while (transfer.control & ~__builtin_bswap32(DMA_ERROR))
		;
	if (transfer.control)
		fail("QEMU does not hand over what it has");
}

static uint32_t number(enum key key)
{
	uint32_t value;

	read(key, (uint32_t)(uintptr_t)&value, sizeof value);
	return value;
}

/* Reads a file of QEMU's to `to`, if it is there; returns its length, else 0. */
static uint32_t read_file(const char *name, uint32_t to, uint32_t limit)
{
	struct file *file = (struct file *)(SCRATCH + 4);

	read(DIRECTORY, SCRATCH, 4);
	uint32_t count = __builtin_bswap32(*(uint32_t *)SCRATCH);
	if (count > (SCRATCH_MAX - 4) / sizeof *file)
		fail("QEMU has too many files");
	read(DIRECTORY, SCRATCH, 4 + count * (uint32_t)sizeof *file);
	for (; count > 0; count--, file++) {
		if (!same(file->name, name))
			continue;
		uint32_t size = __builtin_bswap32(file->size);
		if (size > limit)
			fail("a file of QEMU's is too long");
		read((enum key)__builtin_bswap16(file->key), to, size);
		return size;
	}
	return 0;
}

static uint32_t get(uint32_t address)
{
	uint32_t value;

	memcpy(&value, (void *)address, sizeof value);
	return value;
}

static void put(uint32_t address, uint32_t value)
{
	memcpy((void *)address, &value, sizeof value);
}

static void add_range(uint64_t start, uint64_t end, uint32_t type)
{
	uint8_t *count = (uint8_t *)(PARAMETERS + E820_COUNT);
	struct range *range = (struct range *)(PARAMETERS + E820) + *count;

	if (start >= end)
		return;
	if (*count == E820_MAX)
		fail("memory is in too many pieces");
	range->start = start;
	range->length = end - start;
	range->type = type;
	++*count;
}

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
	return value < low ? low : value > high ? high : value;
}

/* QEMU's ranges, less the hole of old PCs and the place of ACPI's tables. */
static void add_memory(void)
{
	uint32_t length = read_file("etc/e820", SCRATCH, SCRATCH_MAX);
	const struct range *range = (const struct range *)SCRATCH;

	if (length == 0)
		fail("QEMU does not say where memory is");
	for (; length >= sizeof *range; length -= (uint32_t)sizeof *range, range++) {
		uint64_t start = range->start, end = start + range->length;
		if (range->type != E820_RAM) {
			add_range(start, end, range->type);
			continue;
		}
		add_range(clamp(start, 0, TABLES), clamp(end, 0, TABLES), E820_RAM);
		add_range(clamp(start, TABLES_END, LOW_END), clamp(end, TABLES_END, LOW_END), E820_RAM);
		add_range(clamp(start, HIGH, UINT64_MAX), clamp(end, HIGH, UINT64_MAX), E820_RAM);
	}
	add_range(TABLES, TABLES_END, E820_ACPI);
}

static struct place *place_of(struct place *places, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (same(places[i].name, name))
			return &places[i];
	fail("ACPI's tables name one that is not there");
}

/* The places of `length` bytes at an offset of a table. */
static uint8_t *within(const struct place *place, uint32_t offset, uint32_t length)
{
	if (offset > place->size || length > place->size - offset)
		fail("ACPI's tables are shorter than they say");
	return (uint8_t *)place->at + offset;
}

/* Puts ACPI's tables together; without any, the kernel does as it is told otherwise. */
static void add_acpi(void)
{
	struct place places[PLACES];
	int count = 0;
	uint32_t next = TABLES, loader = SCRATCH + 0x8000;
	uint32_t length = read_file("etc/table-loader", loader, SCRATCH_MAX - 0x8000);
	const struct command *command = (const struct command *)loader;

	for (; length >= sizeof *command; length -= (uint32_t)sizeof *command, command++) {
		if (command->what == ALLOCATE) {
			uint32_t align = command->allocate.align;
			if (count == PLACES || align == 0 || (align & (align - 1)) || align > 0x1000)
				fail("ACPI's tables cannot be placed");
			struct place *place = &places[count++];
			next = (next + align - 1) & ~(align - 1);
			memcpy(place->name, command->file, sizeof place->name);
			place->at = next;
			/* The directory is read to SCRATCH, of which it takes less than half. */
			place->size = read_file(place->name, next, TABLES_END - next);
			next += place->size;
			if (same(place->name, "etc/acpi/rsdp"))
				put(PARAMETERS + ACPI_RSDP, place->at);
		} else if (command->what == ADD_POINTER) {
			const struct place *from = place_of(places, count, command->file);
			const struct place *to = place_of(places, count, command->pointer.target);
			uint32_t size = command->pointer.size;
			if (size != 4 && size != 8)
				fail("ACPI's tables have pointers of another size");
			uint8_t *at = within(from, command->pointer.offset, size);
			/* Its high half, where there is one, stays 0. */
			put((uint32_t)(uintptr_t)at, get((uint32_t)(uintptr_t)at) + to->at);
		} else if (command->what == ADD_CHECKSUM) {
			const struct place *place = place_of(places, count, command->file);
			uint32_t bytes = command->checksum.length;
			const uint8_t *from = within(place, command->checksum.start, bytes);
			uint8_t *at = within(place, command->checksum.offset, 1);
			uint8_t sum = 0;
			while (bytes--)
				sum = (uint8_t)(sum + *from++);
			*at = (uint8_t)(*at - sum);
		}
	}
}

uint32_t load(void)
{
	uint32_t setup = number(SETUP_SIZE), kernel = number(KERNEL_SIZE);
	uint32_t initrd = number(INITRD_SIZE), cmdline = number(CMDLINE_SIZE);

	if (kernel == 0 || setup < 0x280 || setup > SETUP_MAX)
		fail("QEMU was given no kernel for it: -kernel");
	read(SETUP_DATA, SETUP, setup);
	if (get(SETUP + HEADER_MAGIC) != 0x53726448 || (get(SETUP + PROTOCOL) & 0xffff) < 0x20c)
		fail("the kernel is too old, or none");
	memset((void *)PARAMETERS, 0, 0x1000);
	memcpy((void *)(PARAMETERS + HEADER), (void *)(SETUP + HEADER),
	       0x202 - HEADER + *(uint8_t *)(SETUP + HEADER_JUMP));
	*(uint8_t *)(PARAMETERS + LOADER) = 0xff; /* none that has a number */

	uint32_t start = number(KERNEL_ADDRESS);
	if (start < HIGH)
		fail("the kernel is one for below 1 MiB");
	read(KERNEL, start, kernel);
	put(PARAMETERS + CODE32_START, start);
	if (initrd) {
		uint32_t at = number(INITRD_ADDRESS);
		read(INITRD, at, initrd);
		put(PARAMETERS + RAMDISK, at);
		put(PARAMETERS + RAMDISK_SIZE, initrd);
	}
	if (cmdline) {
		uint32_t at = number(CMDLINE_ADDRESS);
		read(CMDLINE, at, cmdline);
		put(PARAMETERS + CMDLINE_POINTER, at);
	}
	add_acpi();
	add_memory();
	return start;
}
