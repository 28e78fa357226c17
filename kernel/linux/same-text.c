/*
 * Tells whether a unit of the kernel reads the same with headers put before it as without.
 *
 *     same-text KNOWN PLAIN PREPARED
 *
 * PLAIN and PREPARED are what the preprocessor makes of the unit, with its line markers
 * ("Preprocessor Output" in the manual of GNU's cpp): alone, and with the headers that are
 * precompiled before it. Each file that PLAIN is made of, the unit among them, has to have given
 * PREPARED the same tokens: then no macro stood for anything else, and what is new are declarations
 * that the unit does not know of. KNOWN names files of which the difference is known, a line each;
 * what follows a blank there is the reason.
 *
 * Numbers that __COUNTER__ gave do not count, nor which of its two spellings an attribute has.
 * Each difference goes to standard output. Exit status: 0 the same, 1 not, 2 wrong use.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct part {
	struct part *next;
	char *name, *text;
	size_t size, room;
};

#define BUCKETS 4096

struct reading {
	struct part *buckets[BUCKETS];
};

static void *memory(void *old, size_t size)
{
	void *new = realloc(old, size);

	if (!new) {
		fputs("same-text: out of memory\n", stderr);
		exit(2);
	}
	return new;
}

static char *whole(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t size = 0, got;

	if (!file) {
		perror(path);
		exit(2);
	}
	do {
		text = memory(text, size + (1 << 20) + 1);
		got = fread(text + size, 1, 1 << 20, file);
		size += got;
	} while (got);
	if (ferror(file)) {
		perror(path);
		exit(2);
	}
	fclose(file);
	text[size] = 0;
	return text;
}

static struct part *part_of(struct reading *reading, const char *name, int make)
{
	unsigned hash = 5381;
	struct part *part;

	for (const char *c = name; *c; c++)
		hash = hash * 33 + (unsigned char)*c;
	for (part = reading->buckets[hash % BUCKETS]; part; part = part->next)
		if (!strcmp(part->name, name))
			return part;
	if (!make)
		return NULL;
	part = memory(NULL, sizeof *part);
	*part = (struct part){ .next = reading->buckets[hash % BUCKETS] };
	part->name = strcpy(memory(NULL, strlen(name) + 1), name);
	return reading->buckets[hash % BUCKETS] = part;
}

static void add(struct part *part, const char *text, size_t size)
{
	if (part->size + size + 1 > part->room) {
		part->room = 2 * (part->size + size + 1);
		part->text = memory(part->text, part->room);
	}
	memcpy(part->text + part->size, text, size);
	part->size += size;
	part->text[part->size] = 0;
}

/* Names that the kernel makes with __COUNTER__. */
static int counted(const char *token, size_t size)
{
	static const char *const made[] = {
		"__UNIQUE_ID_", "__compiletime_assert_", "__initcall__", "__addressable_",
	};

	for (size_t i = 0; i < sizeof made / sizeof *made; i++)
		if (memmem(token, size, made[i], strlen(made[i])))
			return 1;
	return 0;
}

static void add_token(struct part *part, const char *token, size_t size)
{
	static const char attribute[] = "__no_instrument_function__";
	const char *spelt = memmem(token, size, attribute, sizeof attribute - 1);

	if (spelt) {
		add(part, token, spelt - token);
		add(part, attribute + 2, sizeof attribute - 5);
		add_token(part, spelt + sizeof attribute - 1, size - (spelt - token) - (sizeof attribute - 1));
		return;
	}
	if (!counted(token, size)) {
		add(part, token, size);
	} else {
		for (size_t i = 0; i < size; i++)
			if (!isdigit((unsigned char)token[i]))
				add(part, token + i, 1);
	}
	add(part, " ", 1);
}

/* Takes "./" and "NAME/../" out of a path, so that each file has one name. */
static void simple(char *path)
{
	char *from;

	while (!strncmp(path, "./", 2))
		memmove(path, path + 2, strlen(path + 2) + 1);
	while ((from = strstr(path, "/../"))) {
		char *before = from;

		while (before > path && before[-1] != '/')
			before--;
		memmove(before, from + 4, strlen(from + 4) + 1);
	}
}

static void read_all(struct reading *reading, char *text)
{
	struct part *part = NULL;
	char *end;

	for (char *line = text; *line; line = end) {
		end = strchr(line, '\n');
		if (end)
			*end++ = 0;
		else
			end = line + strlen(line);
		if (!strncmp(line, "# ", 2) && isdigit((unsigned char)line[2])) {
			char *name = strchr(line, '"'), *last = name ? strchr(name + 1, '"') : NULL;

			if (last) {
				*last = 0;
				simple(name + 1);
				part = part_of(reading, name + 1, 1);
				continue;
			}
		}
		if (!part)
			part = part_of(reading, "", 1);
		for (char *token = line; *(token += strspn(token, " \t\r\f\v"));) {
			size_t size = strcspn(token, " \t\r\f\v");

			add_token(part, token, size);
			token += size;
		}
	}
}

static int known(const char *list, const char *name)
{
	size_t size = strlen(name);

	for (const char *line = list; line; line = strchr(line, '\n'), line = line ? line + 1 : line)
		if (!strncmp(line, name, size) && isspace((unsigned char)line[size]))
			return 1;
	return 0;
}

static void show(const struct part *plain, const char *other)
{
	size_t at = 0, from;

	while (plain->text[at] && plain->text[at] == other[at])
		at++;
	for (from = at; from && at - from < 60; from--)
		;
	printf("%s:\n  alone:    …%.160s\n  prepared: …%.160s\n", plain->name, plain->text + from,
	       other + from);
}

int main(int count, char **arguments)
{
	static struct reading plain, prepared;
	int differs = 0;

	if (count != 4) {
		fputs("usage: same-text KNOWN PLAIN PREPARED\n", stderr);
		return 2;
	}
	char *list = whole(arguments[1]);

	read_all(&plain, whole(arguments[2]));
	read_all(&prepared, whole(arguments[3]));
	for (int i = 0; i < BUCKETS; i++)
		for (struct part *part = plain.buckets[i]; part; part = part->next) {
			struct part *same = part_of(&prepared, part->name, 0);
			const char *other = same && same->text ? same->text : "";

			if (!part->size || !strcmp(part->text, other) || known(list, part->name))
				continue;
			show(part, other);
			differs = 1;
		}
	return differs;
}
