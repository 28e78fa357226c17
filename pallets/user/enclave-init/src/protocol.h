/*
 * The words that an enclave understands, a line each:
 *
 *     who               name, version and digest of the box, and what the security
 *                       module measured, a line each; then `ok`
 *     challenge TEXT    `answer` and the SHA-256 of TEXT in hexadecimal
 *     attest TEXT       `document` and the module's signed statement about this
 *                       enclave in hexadecimal, with TEXT as its nonce
 *     stop              `stopping`; the machine ends
 *
 * Anything else is answered by a line that begins with `error`.
 */
#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* The longest line that is taken, its end apart. */
#define LINE 512

/* What the answers are made from. */
struct enclave {
	/* os-release(5), as the box's builder wrote it. */
	const char *release;
	/*
	 * Asks the security module; returns the response's length, 0 where there is
	 * none. The response has room for NSM_RESPONSE bytes.
	 */
	size_t (*ask)(const uint8_t *request, size_t length, uint8_t *response);
};

enum verdict { GO_ON, STOP };

/* Answers one line, without its end. */
enum verdict answer(const struct enclave *enclave, const char *line, size_t length, FILE *out);

/* Answers all lines of a stream; returns STOP if it was asked to. */
enum verdict converse(const struct enclave *enclave, FILE *in, FILE *out);

#endif
