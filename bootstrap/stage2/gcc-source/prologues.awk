# Which headers the files of gcc begin with, and so which of these beginnings are worth being
# compiled ahead (gcc's manual: "Using Precompiled Headers"). Most of gcc's files
# parse the same headers in the same order, again and again.
#
# usage: cd gcc; awk -v hot=LIST -f prologues.awk FILE.cc... >prologues.mk
#
# Writes prologue/N.h, each a beginning that many files share word for word, and a makefile that
# has objects take them. What an object is made of stays the same: what the file itself includes
# again is guarded. All objects but those that LIST names are compiled with $(COLD_FLAGS); each
# beginning is compiled with these flags and without them, where there are objects that want it.

# What parsing a header costs, roughly, next to one of gcc's smaller ones.
function cost(token) {
	if (token ~ /"cp\/cp-tree\.h"/)
		return 20
	if (token ~ /"(system|c\/c-tree|c-family\/c-common)\.h"/)
		return 12
	if (token ~ /"coretypes\.h"/)
		return 10
	if (token ~ /"(backend|tree|rtl|gimple|cgraph)\.h"/)
		return 5
	return token ~ /^#define/ ? 0 : 1
}

# The line of FILE without comments.
function bare(line,    start, end) {
	if (in_comment) {
		end = index(line, "*/")
		if (!end)
			return ""
		in_comment = 0
		line = substr(line, end + 2)
	}
	while ((start = index(line, "/*"))) {
		end = index(substr(line, start + 2), "*/")
		if (!end) {
			in_comment = 1
			return substr(line, 1, start - 1)
		}
		line = substr(line, 1, start - 1) " " substr(line, start + 2 + end + 1)
	}
	sub(/\/\/.*/, "", line)
	return line
}

# An include as it is to be written where the compiler does not look in the file's own folder.
function include(name, folder,    line) {
	if (folder != "" && (getline line < (folder name)) >= 0) {
		close(folder name)
		return "#include \"" folder name "\""
	}
	return "#include \"" name "\""
}

# Notes that OBJECT goes on from the header TOKEN.
function step(object, token,    node) {
	node = leaf[object]
	if (!((node, token) in child)) {
		child[node, token] = ++nodes
		parent[nodes] = node
		written[nodes] = token
		weight[nodes] = weight[node] + cost(token)
	}
	leaf[object] = child[node, token]
}

# The trees of the compilers proper and of the front ends, which see fewer declarations, are two.
function begin(object, front) {
	objects[++count] = object
	leaf[object] = front ? -1 : 0
}

function read_source(file,    folder, object, line, name) {
	folder = file
	if (!sub(/[^\/]*$/, "", folder))
		folder = ""
	object = file
	sub(/\.cc$/, ".o", object)
	sub(/^config\/.*\//, "", object)
	sub(/^config\//, "", object)
	begin(object, folder ~ /^c(p|-family)?\/$/)
	in_comment = 0
	while ((getline line < file) > 0) {
		line = bare(line)
		if (line ~ /^[ \t]*$/)
			continue
		if (line ~ /^#[ \t]*include[ \t]+"[^"]*"[ \t]*$/) {
			split(line, name, "\"")
			step(object, include(name[2], folder))
		} else if (line ~ /^#[ \t]*include[ \t]+<[^>]*>[ \t]*$/) {
			sub(/[ \t]*$/, "", line)
			step(object, line)
		} else if (line ~ /^#define (INCLUDE_[A-Z_]+|IN_TARGET_CODE 1)[ \t]*$/) {
			sub(/[ \t]*$/, "", line)
			step(object, line)
		} else
			break
	}
	close(file)
}

# Of what is written only while gcc is built: the beginning as the program that writes it has it.
function read_generator(file, made,    names, n, i, line, name, token) {
	n = split(made, names, " ")
	for (i = 1; i <= n; i++)
		begin(names[i], 0)
	while ((getline line < file) > 0) {
		token = ""
		if (match(line, /#include \\"[^\\]*\\"/)) {
			split(substr(line, RSTART, RLENGTH), name, "\"")
			sub(/\\$/, "", name[2])
			token = include(name[2], "")
		} else if (match(line, /#define IN_TARGET_CODE 1\\n/))
			token = "#define IN_TARGET_CODE 1"
		for (i = 1; i <= n && token; i++)
			step(names[i], token)
	}
	close(file)
}

# NAME-1.o to NAME-10.o
function parts(name,    list, i) {
	for (i = 1; i <= 10; i++)
		list = list " " name "-" i ".o"
	return list
}

function read_head(file, made,    names, n, i) {
	n = split(made, names, " ")
	read_source(file)
	for (i = 1; i <= n; i++) {
		begin(names[i], 0)
		leaf[names[i]] = leaf[objects[count - i]]
	}
}

# What compiling NODE's headers ahead would save, less what that takes, hot and cold, and reading
# it back.
function profit(node) {
	return gain[node] - 4 * weight[node]
}

# All lines up to NODE.
function text(node) {
	return node > 0 ? text(parent[node]) written[node] "\n" : ""
}

# A beginning, compiled for objects LIST of one kind.
function rules(number, kind, list, front,    header) {
	header = "prologue/" kind "/" number ".h"
	print ""
	if (front)
		print "CFLAGS-" header ".gch += -DIN_GCC_FRONTEND"
	if (kind == "cold")
		print header ".gch: private ALL_COMPILERFLAGS += $(COLD_FLAGS)"
	print header ".gch: $(srcdir)/prologue/" number ".h | $(generated_files)"
	print "\tmkdir -p $(@D)"
	print "\tcp $< " header
	print "\t$(COMPILER) -x c++-header -c $(ALL_COMPILERFLAGS) $(ALL_CPPFLAGS) -o $@ " header
	print list ": | " header ".gch"
	print list ": private ALL_COMPILERFLAGS += -include " header
}

BEGIN {
	while ((getline line < hot) > 0)
		if (line !~ /^(#|$)/)
			is_hot[line] = 1
	for (i = 1; i < ARGC; i++) {
		file = ARGV[i]
		if (file ~ /(^|\/)gen[^\/]*\.cc$/ && file !~ /generic-match-head\.cc$/)
			continue
		if (file == "gimple-match-head.cc")
			read_head(file, parts("gimple-match"))
		else if (file == "generic-match-head.cc")
			read_head(file, parts("generic-match"))
		else
			read_source(file)
	}
	read_generator("genemit.cc", parts("insn-emit"))
	read_generator("genattrtab.cc", "insn-attrtab.o insn-dfatab.o insn-latencytab.o")
	read_generator("genrecog.cc", "insn-recog.o")
	read_generator("genoutput.cc", "insn-output.o")
	read_generator("genopinit.cc", "insn-opinit.o")
	read_generator("genautomata.cc", "insn-automata.o")
	read_generator("genpeep.cc", "insn-peep.o")

	# The beginning that saves most, and again, until the next would hardly save what it costs.
	for (;;) {
		for (node = 1; node <= nodes; node++)
			gain[node] = 0
		for (i = 1; i <= count; i++)
			for (node = leaf[objects[i]]; node > 0; node = parent[node])
				if (weight[node] > saved[i])
					gain[node] += weight[node] - saved[i]
		best = 0
		for (node = 1; node <= nodes; node++)
			if (profit(node) > (best ? profit(best) : 50))
				best = node
		if (!best)
			break
		for (i = 1; i <= count; i++)
			for (node = leaf[objects[i]]; node > 0; node = parent[node])
				if (node == best && weight[node] > saved[i]) {
					saved[i] = weight[node]
					chosen[i] = best
				}
	}

	print "# Which objects take which beginning; written by prologues.awk."
	printf "HOT_OBJECTS ="
	for (i = 1; i <= count; i++)
		if (objects[i] in is_hot) {
			printf " %s", objects[i]
			delete is_hot[objects[i]]
			was_hot[objects[i]] = 1
		}
	print "\n$(filter-out $(HOT_OBJECTS),$(ALL_HOST_OBJS)): private ALL_COMPILERFLAGS += $(COLD_FLAGS)"
	for (object in is_hot) {
		print "prologues.awk: there is no " object > "/dev/stderr"
		failed = 1
	}
	if (failed)
		exit 1
	for (i = 1; i <= count; i++) {
		node = chosen[i]
		if (!node)
			continue
		if (!(node in number)) {
			number[node] = ++numbers
			printf "%s", text(node) > ("prologue/" numbers ".h")
			close("prologue/" numbers ".h")
			node_of[numbers] = node
		}
		if (objects[i] in was_hot)
			hot_list[node] = hot_list[node] " " objects[i]
		else
			cold_list[node] = cold_list[node] " " objects[i]
	}
	for (i = 1; i <= numbers; i++) {
		node = node_of[i]
		front = node
		while (front > 0)
			front = parent[front]
		if (hot_list[node])
			rules(i, "hot", substr(hot_list[node], 2), front < 0)
		if (cold_list[node])
			rules(i, "cold", substr(cold_list[node], 2), front < 0)
	}
	exit
}
