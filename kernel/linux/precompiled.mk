# Added to the end of scripts/Makefile.lib: most units begin with precompiled headers.
#
# precompiled.h is empty. Where the compiler can use precompiled.h.gch instead, which is made of
# headers.h, it does; a unit with other options reads the empty file, and is compiled as ever.

$(eval plain_c_flags = $(value c_flags))

# A precompiled header is used only if nothing that it mentions is defined before it. What Kbuild
# defines for each unit, its name, stands in a file of its own after it.
unit_names = $(filter -DKBUILD_MODFILE=% -DKBUILD_BASENAME=% -DKBUILD_MODNAME=% \
	-D__KBUILD_MODNAME=%,$(plain_c_flags))
unit_name_lines = $(subst $(squote),,$(foreach name,$(unit_names), \
	$(patsubst -D%,$(pound)define %,$(subst =,$(space),$(name)))$(newline)))
unit_name_file = $(@D)/.$(@F).h

precompiled_c_flags = $(file >$(unit_name_file),$(unit_name_lines))-include precompiled.h \
	-include $(unit_name_file) $(filter-out $(unit_names),$(plain_c_flags))

# What a unit defines before its first header may be meant for that: such a unit reads all itself.
early_units := $(call read-file,early-units)
# So does one that has a name of its own for something else: a member of a struct is "swap" here.
early_units += lib/sort.c

c_flags = $(if $(filter-out $(early_units),$(filter %.c,$<)),$(precompiled_c_flags),$(plain_c_flags))

# With the options of a unit of the kernel, which are known when it goes into the folders: some stand
# on what was generated before.
ifeq ($(obj),.)
$(subdir-ym): precompiled.h.gch

precompiled.h.gch: headers.h
	$(Q)$(CC) $(filter-out -include %.h $(unit_names),$(plain_c_flags)) -x c-header -o $@ $<
endif
