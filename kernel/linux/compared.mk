# Added to the end of scripts/Makefile.build: each unit for which the compiler uses precompiled
# headers, as it says by -H, is read twice more, without them and with them as text.

cmd_cc_o_c = $(CC) $(c_flags) -H -c -o $@ $< 2>$@.read || { cat $@.read >&2; exit 1; } \
	$(cmd_objtool); \
	if grep -q '^! .*precompiled.h.gch' $@.read; then \
		$(CC) $(plain_c_flags) -E -o $@.plain $< 2>/dev/null; \
		$(CC) $(subst precompiled.h,headers.h,$(c_flags)) -E -o $@.prepared $< 2>/dev/null; \
		"$(COMPARE_UNIT)" $@ $<; \
	fi; \
	rm $@.read
