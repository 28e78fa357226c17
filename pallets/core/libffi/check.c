/* Calls a function of mixed types, found at run time. */
#include <ffi.h>

static double mix(int a, double b, long c) {
	return a + b * c;
}

int main(void) {
	ffi_type *types[] = { &ffi_type_sint, &ffi_type_double, &ffi_type_slong };
	int a = 2;
	double b = 1.5, result;
	long c = 4;
	void *values[] = { &a, &b, &c };
	ffi_cif cif;

	if (ffi_prep_cif(&cif, FFI_DEFAULT_ABI, 3, &ffi_type_double, types) != FFI_OK)
		return 1;
	ffi_call(&cif, FFI_FN(mix), &result, values);
	return result != 8.0;
}
