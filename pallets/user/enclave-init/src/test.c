/* Tests all but what needs a machine: the words, the security module's, SHA-256. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nsm.h"
#include "protocol.h"
#include "sha256.h"

static int failed, passed;

static void same(const char *what, const char *found, const char *expected)
{
	if (strcmp(found, expected) == 0) {
		passed++;
		return;
	}
	failed++;
	fprintf(stderr, "%s:\n  expected: %s\n  found:    %s\n", what, expected, found);
}

static const char release[] = "NAME=box\nID=box\nVERSION=1.2\nPRETTY_NAME=\"box 1.2\"\nDIGEST=d1\n";

static uint8_t asked[NSM_REQUEST];
static size_t asked_length, reply_length;
static const uint8_t *reply;

static size_t ask(const uint8_t *request, size_t length, uint8_t *response)
{
	memcpy(asked, request, length);
	asked_length = length;
	if (reply_length)
		memcpy(response, reply, reply_length);
	return reply_length;
}

static const struct enclave enclave = { release, ask };

/* What is answered to an input; `end` says how the conversation ended. */
static const char *said(const char *input, size_t length, enum verdict *end)
{
	static char text[8192];
	FILE *in = fmemopen((void *)(uintptr_t)input, length, "r");
	FILE *out = fmemopen(text, sizeof text, "w");

	memset(text, 0, sizeof text);
	enum verdict verdict = converse(&enclave, in, out);
	fclose(in);
	fclose(out);
	if (end)
		*end = verdict;
	return text;
}

static const char *answered(const char *input)
{
	return said(input, strlen(input), NULL);
}

static const char *hashed(const char *text, size_t length)
{
	static char hex[2 * SHA256_LENGTH + 1];
	uint8_t digest[SHA256_LENGTH];

	sha256((const uint8_t *)text, length, digest);
	for (int i = 0; i < SHA256_LENGTH; i++)
		sprintf(hex + 2 * i, "%02x", digest[i]);
	return hex;
}

static void check_hash(void)
{
	static char a[1000];

	/* FIPS 180-4's examples, and lengths around the end of a block. */
	memset(a, 'a', sizeof a);
	same("nothing", hashed("", 0),
	     "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	same("abc", hashed("abc", 3),
	     "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	same("55", hashed(a, 55), "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318");
	same("56", hashed(a, 56), "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a");
	same("64", hashed(a, 64), "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
	same("1000", hashed(a, 1000),
	     "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3");
}

static void check_words(void)
{
	enum verdict end;
	char line[LINE + 16];

	reply_length = 0;
	same("who", answered("who\n"), "name box\nversion 1.2\ndigest d1\nok\n");
	same("a challenge", answered("challenge abc\r\n"),
	     "answer ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\n");
	same("blanks belong to it", strcmp(answered("challenge a  b\n"), answered("challenge a b\n"))
		? "differ" : "same", "same");
	same("attest", answered("attest n\n"), "error there is no security module\n");
	same("empty lines", answered("\n\r\n\n"), "");
	same("half a line", answered("who"), "");
	const char *unknown = "error unknown; known are who, challenge TEXT, attest TEXT, stop\n";
	same("unknown", answered("whoami\n"), unknown);
	same("no text", answered("challenge \n"), unknown);
	same("no blank", answered("challengeabc\n"), unknown);
	same("a zero byte", said("who\0\n", 5, NULL), unknown);
	same("stop", said("stop\nwho\n", 9, &end), "stopping\n");
	same("it stops", end == STOP ? "stop" : "go on", "stop");
	said("who\n", 4, &end);
	same("it goes on", end == STOP ? "stop" : "go on", "go on");
	memset(line, 'x', sizeof line);
	line[LINE] = '\n';
	same("the longest line", said(line, LINE + 1, NULL), unknown);
	memcpy(line + LINE, "x\nwho\n", 6);
	same("a longer line, and the next", said(line, LINE + 6, NULL),
	     "error a line has at most 512 bytes\nname box\nversion 1.2\ndigest d1\nok\n");
}

static void check_module(void)
{
	static const uint8_t pcr[] = "\xa1\x6b" "DescribePCR" "\xa2\x64" "lock\xf5\x64" "data\x43\x01\xab\xff";
	static const uint8_t swapped[] = "\xa1\x6b" "DescribePCR" "\xa2\x64" "data\x43\x01\xab\xff\x64" "lock\xf5";
	static const uint8_t error[] = "\xa1\x65" "Error\x6f" "InvalidArgument";
	static const uint8_t document[] = "\xa1\x6b" "Attestation" "\xa1\x68" "document\x59\x00\x02\x0a\x0b";
	static const uint8_t question[] = "\xa1\x6b" "DescribePCR" "\xa1\x65" "index\x08";
	static const uint8_t nonce[] =
		"\xa1\x6b" "Attestation" "\xa3\x69" "user_data\xf6\x65" "nonce\x42hi\x6a" "public_key\xf6";
	size_t size;

	reply = pcr, reply_length = sizeof pcr - 1;
	same("registers", answered("who\n"),
	     "name box\nversion 1.2\ndigest d1\npcr0 01abff\npcr1 01abff\npcr2 01abff\npcr8 01abff\nok\n");
	same("the question", asked_length == sizeof question - 1 &&
	     memcmp(asked, question, asked_length) == 0 ? "as it should be" : "other", "as it should be");
	same("any order", nsm_field(swapped, sizeof swapped - 1, "DescribePCR", "data", &size) &&
	     size == 3 ? "found" : "not", "found");
	reply = error, reply_length = sizeof error - 1;
	same("an error", answered("attest hi\n"), "error the security module refuses\n");
	same("the nonce", asked_length == sizeof nonce - 1 && memcmp(asked, nonce, asked_length) == 0
		? "as it should be" : "other", "as it should be");
	reply = document, reply_length = sizeof document - 1;
	same("a document", answered("attest hi\n"), "document 0a0b\n");

	/* Cut anywhere, changed anywhere: an answer or none, and no byte beyond the end. */
	for (size_t length = 0; length < sizeof pcr - 1; length++) {
		uint8_t *copy = malloc(length + 1);
		memcpy(copy, pcr, length);
		same("a cut response", nsm_field(copy, length, "DescribePCR", "data", &size)
			? "taken" : "refused", "refused");
		free(copy);
	}
	for (size_t at = 0; at < sizeof pcr - 1; at++)
		for (int byte = 0; byte < 256; byte++) {
			uint8_t copy[sizeof pcr - 1];
			memcpy(copy, pcr, sizeof copy);
			copy[at] = (uint8_t)byte;
			const uint8_t *data = nsm_field(copy, sizeof copy, "DescribePCR", "data", &size);
			if (data && (data < copy || size > (size_t)(copy + sizeof copy - data)))
				same("a changed response", "out of bounds", "within");
		}
}

int main(void)
{
	check_hash();
	check_words();
	check_module();
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
