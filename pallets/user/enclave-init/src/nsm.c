#include "nsm.h"

#include <string.h>

/* RFC 8949, 3.1: the major types that occur. */
enum { UNSIGNED = 0, BYTES = 2, TEXT = 3, ARRAY = 4, MAP = 5, SIMPLE = 7 };

#define CBOR_NULL 0xf6
/* Deeper than anything that the module answers. */
#define DEPTH 8

static uint8_t *head(uint8_t *out, unsigned major, size_t value)
{
	if (value < 24) {
		*out++ = (uint8_t)(major << 5 | value);
	} else if (value < 0x100) {
		*out++ = (uint8_t)(major << 5 | 24);
		*out++ = (uint8_t)value;
	} else {
		*out++ = (uint8_t)(major << 5 | 25);
		*out++ = (uint8_t)(value >> 8);
		*out++ = (uint8_t)value;
	}
	return out;
}

static uint8_t *string(uint8_t *out, unsigned major, const void *data, size_t length)
{
	out = head(out, major, length);
	memcpy(out, data, length);
	return out + length;
}

static uint8_t *text(uint8_t *out, const char *word)
{
	return string(out, TEXT, word, strlen(word));
}

size_t nsm_describe_pcr(uint8_t *request, uint8_t index)
{
	uint8_t *out = head(request, MAP, 1);

	out = text(out, "DescribePCR");
	out = head(out, MAP, 1);
	out = text(out, "index");
	out = head(out, UNSIGNED, index);
	return (size_t)(out - request);
}

size_t nsm_attestation(uint8_t *request, const uint8_t *nonce, size_t length)
{
	uint8_t *out = head(request, MAP, 1);

	if (length > NSM_NONCE)
		return 0;
	out = text(out, "Attestation");
	out = head(out, MAP, 3);
	out = text(out, "user_data");
	*out++ = CBOR_NULL;
	out = text(out, "nonce");
	out = string(out, BYTES, nonce, length);
	out = text(out, "public_key");
	*out++ = CBOR_NULL;
	return (size_t)(out - request);
}

/* What is left to read; `bad` once anything did not fit. */
struct input {
	const uint8_t *data;
	size_t length;
	int bad;
};

static uint64_t take_head(struct input *in, unsigned *major)
{
	uint64_t value = 0;
	size_t more = 0;

	*major = SIMPLE;
	if (in->bad || in->length == 0) {
		in->bad = 1;
		return 0;
	}
	*major = in->data[0] >> 5;
	unsigned small = in->data[0] & 31;
	if (small < 24)
		value = small;
	else if (small < 28)
		more = (size_t)1 << (small - 24);
	else
		in->bad = 1; /* of indefinite length: the module writes none */
	if (in->bad || in->length < 1 + more) {
		in->bad = 1;
		return 0;
	}
	for (size_t i = 1; i <= more; i++)
		value = value << 8 | in->data[i];
	in->data += 1 + more;
	in->length -= 1 + more;
	return value;
}

static const uint8_t *take_bytes(struct input *in, uint64_t length)
{
	const uint8_t *data = in->data;

	if (in->bad || length > in->length) {
		in->bad = 1;
		return data;
	}
	in->data += length;
	in->length -= (size_t)length;
	return data;
}

static void skip(struct input *in, int depth)
{
	unsigned major;
	uint64_t value = take_head(in, &major);

	if (depth == 0)
		in->bad = 1;
	if (major == BYTES || major == TEXT)
		take_bytes(in, value);
	if (major == ARRAY || major == MAP)
		for (uint64_t i = 0; i < value && !in->bad; i++) {
			skip(in, depth - 1);
			if (major == MAP)
				skip(in, depth - 1);
		}
}

/* Goes to the value of `key` in the map that begins here. */
static int enter(struct input *in, const char *key)
{
	unsigned major;
	uint64_t entries = take_head(in, &major);

	if (major != MAP)
		return 0;
	for (uint64_t i = 0; i < entries && !in->bad; i++) {
		uint64_t length = take_head(in, &major);
		const uint8_t *name = take_bytes(in, length);
		if (major != TEXT || in->bad)
			return 0;
		if (length == strlen(key) && memcmp(name, key, length) == 0)
			return 1;
		skip(in, DEPTH);
	}
	return 0;
}

const uint8_t *nsm_field(const uint8_t *response, size_t length, const char *name,
			 const char *field, size_t *field_length)
{
	struct input in = { response, length, 0 };
	unsigned major;

	if (!enter(&in, name) || !enter(&in, field))
		return NULL;
	uint64_t size = take_head(&in, &major);
	const uint8_t *data = take_bytes(&in, size);
	if (in.bad || major != BYTES)
		return NULL;
	*field_length = (size_t)size;
	return data;
}
