/*
 * The EFI stub of a unified kernel image.
 *
 * A unified kernel image is one PE file: this program, and beside it in sections of their own the
 * kernel (.linux), the initramfs (.initrd) and the command line (.cmdline), and where it has them
 * microcode (.ucode) and a device tree (.dtb). Firmware loads the whole file and starts the stub,
 * which
 *
 *   1. finds those sections in its own image in memory,
 *   2. offers microcode and initramfs, one behind the other, where Linux looks for them (LoadFile2
 *      on a vendor media device path),
 *   3. puts the device tree in the place of the firmware's,
 *   4. loads the kernel, which is an EFI program itself, from memory,
 *   5. hands it the command line and starts it.
 *
 * Under Secure Boot the firmware has checked the signature on the whole file by then, kernel
 * included. The kernel by itself need have none: where the firmware refuses it for that, the stub
 * vouches for these very bytes, and for nothing else.
 *
 * What the firmware or its boot menu pass as load options is not used: all that decides how the
 * machine boots is in the file, so that its hash, or a signature on it, covers all of it.
 *
 * The same source serves x86_64, arm64 and riscv64. It is linked as a position-independent ELF
 * without dynamic relocations; stagex turns that into PE.
 */
#include "efi.h"

/* How long an error stays on the screen before the firmware takes it back. */
#define ERROR_SECONDS 10

static struct efi_system_table *system_table;

/* The compiler may emit calls to these for plain assignments and loops. */
void *memcpy(void *to, const void *from, size_t size)
{
	uint8_t *t = to;
	const uint8_t *f = from;

	while (size--)
		*t++ = *f++;
	return to;
}

void *memset(void *to, int value, size_t size)
{
	uint8_t *t = to;

	while (size--)
		*t++ = (uint8_t)value;
	return to;
}

/* ---- The console ---- */

static void print(const efi_char *text)
{
	struct efi_text_output *out = system_table->con_out;

	if (out)
		out->output_string(out, text);
}

static void print_hex(efi_status value)
{
	efi_char digits[2 * sizeof(value) + 1];
	size_t i;

	for (i = 0; i < 2 * sizeof(value); i++)
		digits[i] = u"0123456789abcdef"[(value >> (8 * sizeof(value) - 4 - 4 * i)) & 15];
	digits[i] = 0;
	print(digits);
}

/* Says what went wrong, leaves a person the time to read it, and gives the status back. */
static efi_status fail(const efi_char *sentence, efi_status status)
{
	print(u"\r\nThis system cannot start: ");
	print(sentence);
	print(u" (EFI status 0x");
	print_hex(status);
	print(u").\r\n");
	system_table->boot->stall((size_t)ERROR_SECONDS * 1000 * 1000);
	return status;
}

/* ---- The sections of this image ---- */

struct bytes {
	uint8_t *start;
	size_t size;
};

struct sections {
	struct bytes kernel, initrd, ucode, cmdline, dtb;
};

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
	return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static int equal(const void *a, const void *b, size_t size)
{
	const uint8_t *x = a, *y = b;

	while (size--)
		if (*x++ != *y++)
			return 0;
	return 1;
}

/*
 * Reads the section table of the loaded image (Microsoft PE/COFF specification). Every offset is
 * held against the image's size, and a section that occurs twice is an error: a second one could
 * be meant to be overlooked.
 */
static efi_status find_sections(uint8_t *image, uint64_t size, struct sections *found)
{
	static const char pe[4] = "PE\0";
	const struct {
		char name[8];
		struct bytes *bytes;
	} wanted[] = {
		{ ".linux", &found->kernel },
		{ ".initrd", &found->initrd },
		{ ".ucode", &found->ucode },
		{ ".cmdline", &found->cmdline },
		{ ".dtb", &found->dtb },
	};
	uint64_t header, table, start, length;
	size_t count, i, j;
	uint8_t *section;

	if (size < 64 || image[0] != 'M' || image[1] != 'Z')
		return EFI_LOAD_ERROR;
	header = get32(image + 0x3c);
	if (header + 24 > size || !equal(image + header, pe, sizeof(pe)))
		return EFI_LOAD_ERROR;
	count = get16(image + header + 6);
	table = header + 24 + get16(image + header + 20);
	if (table + count * 40 > size)
		return EFI_LOAD_ERROR;
	for (i = 0; i < count; i++) {
		section = image + table + i * 40;
		for (j = 0; j < sizeof(wanted) / sizeof(wanted[0]); j++) {
			if (!equal(section, wanted[j].name, 8))
				continue;
			length = get32(section + 8);
			start = get32(section + 12);
			if (start + length > size || wanted[j].bytes->start)
				return EFI_LOAD_ERROR;
			wanted[j].bytes->start = image + start;
			wanted[j].bytes->size = (size_t)length;
		}
	}
	return EFI_SUCCESS;
}

/* ---- The initramfs ---- */

static const struct efi_guid device_path_guid = EFI_DEVICE_PATH_GUID;
static const struct efi_guid load_file2_guid = EFI_LOAD_FILE2_GUID;

/* The protocol comes first, so that a pointer to it is a pointer to the whole. */
struct initrd_file {
	struct efi_load_file2 protocol;
	struct bytes ucode, initrd;
};

struct initrd_path {
	struct efi_device_path node;
	struct efi_guid vendor;
	struct efi_device_path end;
} __attribute__((packed));

/* 13.2.2: called once for the size and once for the bytes. */
static efi_status EFIAPI load_initrd(struct efi_load_file2 *this, struct efi_device_path *path,
				     efi_bool boot_policy, size_t *size, void *buffer)
{
	const struct initrd_file *file = (const struct initrd_file *)this;
	/* Linux looks for each archive on a multiple of 4 bytes. */
	const size_t start = (file->ucode.size + 3) & ~(size_t)3;
	const size_t all = start + file->initrd.size;
	uint8_t *to = buffer;

	if (boot_policy)
		return EFI_UNSUPPORTED;
	if (!path || !size)
		return EFI_INVALID_PARAMETER;
	if (!buffer || *size < all) {
		*size = all;
		return EFI_BUFFER_TOO_SMALL;
	}
	memcpy(to, file->ucode.start, file->ucode.size);
	memset(to + file->ucode.size, 0, start - file->ucode.size);
	memcpy(to + start, file->initrd.start, file->initrd.size);
	*size = all;
	return EFI_SUCCESS;
}

/*
 * Offers the initramfs to the kernel. Refuses where somebody offers one already, for the kernel
 * would take whichever the firmware finds first.
 */
static efi_status offer_initrd(efi_handle *handle, struct initrd_path *path,
			       struct initrd_file *file)
{
	struct efi_boot_services *boot = system_table->boot;
	struct efi_device_path *rest = &path->node;
	efi_handle other = NULL;
	efi_status status;

	if (boot->locate_device_path(&load_file2_guid, &rest, &other) == EFI_SUCCESS &&
	    rest->type == EFI_PATH_END)
		return EFI_ALREADY_STARTED;
	status = boot->install_protocol(handle, &device_path_guid, 0, path);
	if (status != EFI_SUCCESS)
		return status;
	status = boot->install_protocol(handle, &load_file2_guid, 0, file);
	if (status != EFI_SUCCESS)
		boot->uninstall_protocol(*handle, &device_path_guid, path);
	return status;
}

static void withdraw_initrd(efi_handle handle, struct initrd_path *path, struct initrd_file *file)
{
	if (!handle)
		return;
	system_table->boot->uninstall_protocol(handle, &load_file2_guid, file);
	system_table->boot->uninstall_protocol(handle, &device_path_guid, path);
}

/* ---- The device tree ---- */

/*
 * Gives the kernel a device tree in the place of what the firmware has. It lies in memory that the
 * kernel keeps until it has read it (UEFI 4.6).
 */
static efi_status install_dtb(const struct bytes *dtb)
{
	static const struct efi_guid dtb_guid = EFI_DTB_TABLE_GUID;
	struct efi_boot_services *boot = system_table->boot;
	void *copy;
	efi_status status = boot->allocate_pool(EFI_ACPI_RECLAIM_MEMORY, dtb->size, &copy);

	if (status != EFI_SUCCESS)
		return status;
	memcpy(copy, dtb->start, dtb->size);
	return boot->install_configuration_table(&dtb_guid, copy);
}

/* ---- The kernel ---- */

/* 10.3.2.3: names the memory that the kernel is loaded from. */
struct memory_path {
	struct efi_device_path node;
	uint32_t memory_type;
	uint64_t first, last;
	struct efi_device_path end;
} __attribute__((packed));

/* What the firmware asks while the kernel is loaded a second time. */
static const struct bytes *vouched;
static efi_status(EFIAPI *authenticate)(const struct efi_security2 *,
					const struct efi_device_path *, void *, size_t, efi_bool);

static efi_status EFIAPI vouch(const struct efi_security2 *this, const struct efi_device_path *path,
			       void *buffer, size_t size, efi_bool boot_policy)
{
	if (buffer == vouched->start && size == vouched->size)
		return EFI_SUCCESS;
	return authenticate(this, path, buffer, size, boot_policy);
}

/*
 * Loads the kernel. A first time as it is, so that the firmware measures it where it measures; only
 * where Secure Boot refuses it, a second time with the stub's word for it. The signature on this
 * image covers the kernel, and was checked before the stub ran: without Secure Boot, or with a
 * signature that is wrong, nothing comes here.
 */
static efi_status load_kernel(efi_handle self, struct efi_device_path *path,
			      const struct bytes *kernel, efi_handle *image)
{
	static const struct efi_guid security2_guid = EFI_SECURITY2_ARCH_GUID;
	struct efi_boot_services *boot = system_table->boot;
	struct efi_security2 *security;
	efi_status status;

	*image = NULL;
	status = boot->load_image(0, self, path, kernel->start, kernel->size, image);
	if (status != EFI_SECURITY_VIOLATION && status != EFI_ACCESS_DENIED)
		return status;
	if (boot->locate_protocol(&security2_guid, NULL, (void **)&security) != EFI_SUCCESS)
		return status;
	/* A refusal can leave a loaded image behind (7.4.1). */
	if (*image)
		boot->unload_image(*image);
	*image = NULL;
	vouched = kernel;
	authenticate = security->authenticate;
	security->authenticate = vouch;
	status = boot->load_image(0, self, path, kernel->start, kernel->size, image);
	security->authenticate = authenticate;
	return status;
}

/* Widens the ASCII command line, and ends it with a NUL. */
static efi_status widen(const struct bytes *ascii, efi_char **text, uint32_t *size)
{
	efi_status status;
	size_t i;

	*size = (uint32_t)((ascii->size + 1) * sizeof(efi_char));
	status = system_table->boot->allocate_pool(EFI_LOADER_DATA, *size, (void **)text);
	if (status != EFI_SUCCESS)
		return status;
	for (i = 0; i < ascii->size; i++)
		(*text)[i] = ascii->start[i];
	(*text)[i] = 0;
	return EFI_SUCCESS;
}

/* Loads and starts the kernel; returns only if that fails or the kernel gives up. */
static efi_status start_kernel(efi_handle self, const struct bytes *kernel,
			       const struct bytes *cmdline)
{
	static const struct efi_guid loaded_image_guid = EFI_LOADED_IMAGE_GUID;
	struct efi_boot_services *boot = system_table->boot;
	struct memory_path path = {
		.node = { EFI_PATH_HARDWARE, EFI_PATH_HARDWARE_MEMORY, { 24, 0 } },
		.memory_type = EFI_LOADER_DATA,
		.first = (uintptr_t)kernel->start,
		.last = (uintptr_t)kernel->start + kernel->size - 1,
		.end = { EFI_PATH_END, EFI_PATH_END_ENTIRE, { 4, 0 } },
	};
	struct efi_loaded_image *loaded;
	efi_handle image;
	efi_char *options;
	efi_status status;

	status = load_kernel(self, &path.node, kernel, &image);
	if (status != EFI_SUCCESS) {
		if (image)
			boot->unload_image(image);
		return fail(u"the firmware does not load the kernel in this image", status);
	}
	status = boot->handle_protocol(image, &loaded_image_guid, (void **)&loaded);
	if (status == EFI_SUCCESS)
		status = widen(cmdline, &options, &loaded->load_options_size);
	if (status != EFI_SUCCESS) {
		boot->unload_image(image);
		return fail(u"the kernel cannot be given its command line", status);
	}
	loaded->load_options = options;
	status = boot->start_image(image, NULL, NULL);
	boot->free_pool(options);
	return fail(u"the kernel gave up", status);
}

efi_status EFIAPI efi_main(efi_handle self, struct efi_system_table *table)
{
	static const struct efi_guid loaded_image_guid = EFI_LOADED_IMAGE_GUID;
	struct sections sections = { 0 };
	struct initrd_path path = {
		.node = { EFI_PATH_MEDIA, EFI_PATH_MEDIA_VENDOR, { 20, 0 } },
		.vendor = LINUX_EFI_INITRD_MEDIA_GUID,
		.end = { EFI_PATH_END, EFI_PATH_END_ENTIRE, { 4, 0 } },
	};
	struct initrd_file file = { .protocol = { load_initrd } };
	efi_handle initrd = NULL;
	struct efi_loaded_image *loaded;
	efi_status status;

	system_table = table;
	status = table->boot->handle_protocol(self, &loaded_image_guid, (void **)&loaded);
	if (status != EFI_SUCCESS)
		return fail(u"the firmware does not say where this image lies", status);
	status = find_sections(loaded->image_base, loaded->image_size, &sections);
	if (status != EFI_SUCCESS)
		return fail(u"this image is damaged", status);
	if (!sections.kernel.size)
		return fail(u"this image holds no kernel", EFI_NOT_FOUND);
	if (sections.dtb.size) {
		status = install_dtb(&sections.dtb);
		if (status != EFI_SUCCESS)
			return fail(u"the kernel cannot be given its device tree", status);
	}
	if (sections.initrd.size || sections.ucode.size) {
		file.initrd = sections.initrd;
		file.ucode = sections.ucode;
		status = offer_initrd(&initrd, &path, &file);
		if (status != EFI_SUCCESS)
			return fail(u"the initramfs cannot be offered to the kernel", status);
	}
	status = start_kernel(self, &sections.kernel, &sections.cmdline);
	withdraw_initrd(initrd, &path, &file);
	return status;
}
