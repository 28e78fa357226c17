/* Writes and reads identifiers: a known one by its name, and new ones that differ. */
#include <string.h>
#include <uuid/uuid.h>

int main(void) {
	uuid_t name, again, random;
	char text[UUID_STR_LEN];

	uuid_generate_sha1(name, *uuid_get_template("dns"), "www.example.com", 15);
	uuid_unparse_lower(name, text);
	if (strcmp(text, "2ed6657d-e927-568b-95e1-2665a8aea6a2") || uuid_parse(text, again))
		return 1;
	uuid_generate(random);
	return uuid_compare(name, again) || !uuid_compare(name, random) || uuid_is_null(random);
}
