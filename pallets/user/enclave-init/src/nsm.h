/*
 * What is asked of Nitro's security module, and what it answers: CBOR (RFC 8949)
 * maps of one entry, as AWS's nsm-api writes them.
 */
#ifndef NSM_H
#define NSM_H

#include <stddef.h>
#include <stdint.h>

/* The longest request and response that the driver takes. */
#define NSM_REQUEST 0x1000
#define NSM_RESPONSE 0x3000
/* The longest nonce of an attestation that fits our requests. */
#define NSM_NONCE 512

/* Each writes a request of at most NSM_REQUEST bytes and returns its length. */
size_t nsm_describe_pcr(uint8_t *request, uint8_t index);
size_t nsm_attestation(uint8_t *request, const uint8_t *nonce, size_t length);

/*
 * Finds the byte string `field` in a response to the operation `name`, such as
 * "data" of "DescribePCR". Returns NULL where the response says something else,
 * an error of the module among it, or is no CBOR.
 */
const uint8_t *nsm_field(const uint8_t *response, size_t length, const char *name,
			 const char *field, size_t *field_length);

#endif
