/* Reads the ELF file that it is told, and finds the sections that a program has. */
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
	int found = 0;
	size_t names;
	GElf_Shdr header;
	Elf_Scn *section = NULL;
	Elf *elf;

	if (argc != 2 || elf_version(EV_CURRENT) == EV_NONE)
		return 1;
	elf = elf_begin(open(argv[1], O_RDONLY), ELF_C_READ, NULL);
	if (!elf || elf_getshdrstrndx(elf, &names))
		return 1;
	while ((section = elf_nextscn(elf, section))) {
		if (!gelf_getshdr(section, &header))
			return 1;
		found += !strcmp(elf_strptr(elf, names, header.sh_name), ".text");
	}
	elf_end(elf);
	return found != 1;
}
