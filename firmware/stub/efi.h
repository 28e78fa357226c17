/*
 * The part of UEFI that the stub uses, written after the UEFI specification 2.10.
 *
 * Section numbers name where each definition stands. Services that the stub never calls are
 * kept as nameless pointers, so that the offsets of those it calls are right.
 */
#ifndef EFI_H
#define EFI_H

#include <stddef.h>
#include <stdint.h>

/* 2.3: calls follow the Microsoft convention on x86_64, the platform's own one elsewhere. */
#if defined(__x86_64__)
#define EFIAPI __attribute__((ms_abi))
#else
#define EFIAPI
#endif

typedef uintptr_t efi_status;
typedef void *efi_handle;
typedef uint16_t efi_char; /* 2.3.1: UCS-2, native order */
typedef uint8_t efi_bool;

/* Appendix D: errors have the highest bit set. */
#define EFI_ERROR_BIT ((efi_status)1 << (sizeof(efi_status) * 8 - 1))
#define EFI_SUCCESS ((efi_status)0)
#define EFI_LOAD_ERROR (EFI_ERROR_BIT | 1)
#define EFI_INVALID_PARAMETER (EFI_ERROR_BIT | 2)
#define EFI_UNSUPPORTED (EFI_ERROR_BIT | 3)
#define EFI_BUFFER_TOO_SMALL (EFI_ERROR_BIT | 5)
#define EFI_NOT_FOUND (EFI_ERROR_BIT | 14)
#define EFI_ACCESS_DENIED (EFI_ERROR_BIT | 15)
#define EFI_ALREADY_STARTED (EFI_ERROR_BIT | 20)
#define EFI_SECURITY_VIOLATION (EFI_ERROR_BIT | 26)

/* Appendix A */
struct efi_guid {
	uint32_t a;
	uint16_t b, c;
	uint8_t d[8];
};

/* 10.2 and 10.3: nodes are packed and need no alignment */
struct efi_device_path {
	uint8_t type, subtype;
	uint8_t length[2];
};
#define EFI_PATH_HARDWARE 1
#define EFI_PATH_HARDWARE_MEMORY 3
#define EFI_PATH_MEDIA 4
#define EFI_PATH_MEDIA_VENDOR 3
#define EFI_PATH_END 0x7f
#define EFI_PATH_END_ENTIRE 0xff

/* 12.4 */
struct efi_text_output {
	void *reset;
	efi_status(EFIAPI *output_string)(struct efi_text_output *, const efi_char *);
	/* the rest is not used */
};

/* 7.2 */
enum { EFI_LOADER_DATA = 2, EFI_ACPI_RECLAIM_MEMORY = 9 };

/* 4.4 and chapter 7 */
struct efi_boot_services {
	char header[24];
	void *raise_tpl, *restore_tpl;
	void *allocate_pages, *free_pages, *get_memory_map;
	efi_status(EFIAPI *allocate_pool)(int type, size_t size, void **buffer);
	efi_status(EFIAPI *free_pool)(void *buffer);
	void *create_event, *set_timer, *wait_for_event, *signal_event, *close_event, *check_event;
	efi_status(EFIAPI *install_protocol)(efi_handle *, const struct efi_guid *, int type, void *);
	void *reinstall_protocol;
	efi_status(EFIAPI *uninstall_protocol)(efi_handle, const struct efi_guid *, void *);
	efi_status(EFIAPI *handle_protocol)(efi_handle, const struct efi_guid *, void **);
	void *reserved, *register_protocol_notify, *locate_handle;
	efi_status(EFIAPI *locate_device_path)(const struct efi_guid *, struct efi_device_path **,
					       efi_handle *);
	efi_status(EFIAPI *install_configuration_table)(const struct efi_guid *, void *table);
	efi_status(EFIAPI *load_image)(efi_bool boot_policy, efi_handle parent,
				       struct efi_device_path *, void *source, size_t size,
				       efi_handle *image);
	efi_status(EFIAPI *start_image)(efi_handle, size_t *exit_data_size, efi_char **exit_data);
	void *exit;
	efi_status(EFIAPI *unload_image)(efi_handle);
	void *exit_boot_services, *get_next_monotonic_count;
	efi_status(EFIAPI *stall)(size_t microseconds);
	efi_status(EFIAPI *set_watchdog_timer)(size_t seconds, uint64_t code, size_t size,
					       efi_char *data);
	void *connect_controller, *disconnect_controller;
	void *open_protocol, *close_protocol, *open_protocol_information;
	void *protocols_per_handle, *locate_handle_buffer;
	efi_status(EFIAPI *locate_protocol)(const struct efi_guid *, void *registration, void **);
	/* the rest is not used */
};

/* 4.3 */
struct efi_system_table {
	char header[24];
	efi_char *firmware_vendor;
	uint32_t firmware_revision;
	efi_handle console_in_handle;
	void *con_in;
	efi_handle console_out_handle;
	struct efi_text_output *con_out;
	efi_handle standard_error_handle;
	struct efi_text_output *std_err;
	void *runtime_services;
	struct efi_boot_services *boot;
	/* the rest is not used */
};

/* 9.1 */
struct efi_loaded_image {
	uint32_t revision;
	efi_handle parent;
	struct efi_system_table *system;
	efi_handle device;
	struct efi_device_path *file_path;
	void *reserved;
	uint32_t load_options_size; /* bytes */
	void *load_options;
	void *image_base;
	uint64_t image_size; /* bytes */
	int code_type, data_type;
	void *unload;
};

/* 13.2 */
struct efi_load_file2 {
	efi_status(EFIAPI *load_file)(struct efi_load_file2 *, struct efi_device_path *,
				      efi_bool boot_policy, size_t *size, void *buffer);
};

/* UEFI Platform Initialization 1.8, volume 2, 12.9: what LoadImage asks about an image. */
struct efi_security2 {
	efi_status(EFIAPI *authenticate)(const struct efi_security2 *,
					 const struct efi_device_path *, void *buffer, size_t size,
					 efi_bool boot_policy);
};

#define EFI_SECURITY2_ARCH_GUID                                                                    \
	{ 0x94ab2f58, 0x1438, 0x4ef1, { 0x91, 0x52, 0x18, 0x94, 0x1a, 0x3a, 0x0e, 0x68 } }
/* 4.6 */
#define EFI_DTB_TABLE_GUID                                                                         \
	{ 0xb1b621d5, 0xf19c, 0x41a5, { 0x83, 0x0b, 0xd9, 0x15, 0x2c, 0x69, 0xaa, 0xe0 } }
#define EFI_LOADED_IMAGE_GUID                                                                      \
	{ 0x5b1b31a1, 0x9562, 0x11d2, { 0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b } }
#define EFI_DEVICE_PATH_GUID                                                                       \
	{ 0x09576e91, 0x6d3f, 0x11d2, { 0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b } }
#define EFI_LOAD_FILE2_GUID                                                                        \
	{ 0x4006c0c1, 0xfcb3, 0x403e, { 0x99, 0x6d, 0x4a, 0x6c, 0x87, 0x24, 0xe0, 0x6d } }
/* Linux's own: Documentation/arch/x86/boot.rst, "LINUX_EFI_INITRD_MEDIA_GUID". */
#define LINUX_EFI_INITRD_MEDIA_GUID                                                                \
	{ 0x5568e427, 0x68fc, 0x4f3d, { 0xac, 0x74, 0xca, 0x55, 0x52, 0x31, 0xcc, 0x68 } }

#endif
