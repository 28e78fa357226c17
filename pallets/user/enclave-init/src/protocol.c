#include "protocol.h"

#include <string.h>

#include "nsm.h"
#include "sha256.h"

static void hex(FILE *out, const uint8_t *data, size_t length)
{
	for (size_t i = 0; i < length; i++)
		fprintf(out, "%02x", data[i]);
	fputc('\n', out);
}

/* Prints `name` and the value of `key` in the release, where it has one. */
static void release_value(FILE *out, const char *release, const char *key, const char *name)
{
	size_t length = strlen(key);

	for (const char *line = release; *line; ) {
		size_t end = strcspn(line, "\n");
		if (strncmp(line, key, length) == 0 && line[length] == '=')
			fprintf(out, "%s %.*s\n", name, (int)(end - length - 1), line + length + 1);
		line += end + (line[end] == '\n');
	}
}

static void registers(const struct enclave *enclave, FILE *out)
{
	/* Image, kernel and initramfs, application, signer; Nitro's own 3 and 4 vary. */
	static const uint8_t indices[] = { 0, 1, 2, 8 };
	static uint8_t request[NSM_REQUEST], response[NSM_RESPONSE];

	for (size_t i = 0; i < sizeof indices; i++) {
		size_t length = nsm_describe_pcr(request, indices[i]), size;
		length = enclave->ask(request, length, response);
		const uint8_t *data = nsm_field(response, length, "DescribePCR", "data", &size);
		if (data) {
			fprintf(out, "pcr%d ", indices[i]);
			hex(out, data, size);
		}
	}
}

static void attest(const struct enclave *enclave, const char *nonce, size_t length, FILE *out)
{
	static uint8_t request[NSM_REQUEST], response[NSM_RESPONSE];
	size_t size;

	length = nsm_attestation(request, (const uint8_t *)nonce, length);
	length = enclave->ask(request, length, response);
	const uint8_t *document = nsm_field(response, length, "Attestation", "document", &size);
	if (document) {
		fputs("document ", out);
		hex(out, document, size);
	} else {
		fputs(length ? "error the security module refuses\n" :
			       "error there is no security module\n", out);
	}
}

/* What follows `word` and a space in the line; NULL for another line. */
static const char *after(const char *line, size_t length, const char *word, size_t *rest)
{
	size_t taken = strlen(word) + 1;

	if (length <= taken || strncmp(line, word, taken - 1) != 0 || line[taken - 1] != ' ')
		return NULL;
	*rest = length - taken;
	return line + taken;
}

static int is(const char *line, size_t length, const char *word)
{
	return length == strlen(word) && memcmp(line, word, length) == 0;
}

enum verdict answer(const struct enclave *enclave, const char *line, size_t length, FILE *out)
{
	const char *text;
	size_t rest;

	/* Terminals and some clients end a line by both. */
	if (length > 0 && line[length - 1] == '\r')
		length--;
	if (length == 0)
		return GO_ON;
	if (is(line, length, "who")) {
		release_value(out, enclave->release, "NAME", "name");
		release_value(out, enclave->release, "VERSION", "version");
		release_value(out, enclave->release, "DIGEST", "digest");
		registers(enclave, out);
		fputs("ok\n", out);
	} else if ((text = after(line, length, "challenge", &rest))) {
		uint8_t digest[SHA256_LENGTH];
		sha256((const uint8_t *)text, rest, digest);
		fputs("answer ", out);
		hex(out, digest, sizeof digest);
	} else if ((text = after(line, length, "attest", &rest))) {
		attest(enclave, text, rest, out);
	} else if (is(line, length, "stop")) {
		fputs("stopping\n", out);
		return STOP;
	} else {
		fputs("error unknown; known are who, challenge TEXT, attest TEXT, stop\n", out);
	}
	return GO_ON;
}

enum verdict converse(const struct enclave *enclave, FILE *in, FILE *out)
{
	char line[LINE];
	size_t length = 0;
	int byte;

	while ((byte = fgetc(in)) != EOF) {
		if (byte != '\n') {
			/* Counted past the end, so that a long line is known as one. */
			if (length < LINE)
				line[length] = (char)byte;
			length += length <= LINE;
			continue;
		}
		enum verdict verdict = GO_ON;
		if (length > LINE)
			fprintf(out, "error a line has at most %d bytes\n", LINE);
		else
			verdict = answer(enclave, line, length, out);
		length = 0;
		if (fflush(out) != 0 || verdict == STOP)
			return verdict;
	}
	return GO_ON;
}
