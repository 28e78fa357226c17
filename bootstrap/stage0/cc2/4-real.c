/* Floating constants: read, computed and rounded exactly, by integers of any size.
 *
 * A real is negative, mantissa · 2^(exponent - 63) with the mantissa's top bit set: the
 * x87's 80-bit format without its limits. Every operation makes an exact fraction of two
 * big integers and rounds it once, to the nearest, ties to even.
 */

struct big {                    /* limb[0] + limb[1] · 2^32 + … */
    long count;
    long *limb;
};

enum { LIMB_MASK = 0xFFFFFFFF };

/* ---- big integers ---- */

struct big *new_big(long room)
{
    struct big *b = (struct big *)allocate(sizeof(struct big));
    b->limb = (long *)allocate(8 * room + 8);
    return b;
}

void big_trim(struct big *b)
{
    while (b->count > 0 && b->limb[b->count - 1] == 0) {
        b->count--;
    }
}

struct big *big_from(long value)
{
    struct big *b = new_big(2);
    b->limb[0] = value & LIMB_MASK;
    b->limb[1] = shift_right(value, 32);
    b->count = 2;
    big_trim(b);
    return b;
}

/* b · factor + term, both below 2^32 */
struct big *big_scale(struct big *b, long factor, long term)
{
    struct big *r = new_big(b->count + 1);
    long carry = term;
    long i;
    for (i = 0; i < b->count; i++) {
        carry += b->limb[i] * factor;
        r->limb[i] = carry & LIMB_MASK;
        carry = shift_right(carry, 32);
    }
    r->limb[b->count] = carry;
    r->count = b->count + 1;
    big_trim(r);
    return r;
}

struct big *big_multiply(struct big *a, struct big *b)
{
    struct big *r = new_big(a->count + b->count);
    long i;
    long j;
    long carry;
    for (i = 0; i < a->count; i++) {
        carry = 0;
        for (j = 0; j < b->count; j++) {
            carry += r->limb[i + j] + a->limb[i] * b->limb[j];
            r->limb[i + j] = carry & LIMB_MASK;
            carry = shift_right(carry, 32);
        }
        r->limb[i + b->count] = carry;
    }
    r->count = a->count + b->count;
    big_trim(r);
    return r;
}

struct big *big_shift_left(struct big *b, long bits)
{
    long limbs = bits / 32;
    struct big *r = new_big(b->count + limbs + 1);
    long carry = 0;
    long i;
    bits = bits % 32;
    for (i = 0; i < b->count; i++) {
        carry |= b->limb[i] << bits;
        r->limb[i + limbs] = carry & LIMB_MASK;
        carry = shift_right(carry, 32);
    }
    r->limb[b->count + limbs] = carry;
    r->count = b->count + limbs + 1;
    big_trim(r);
    return r;
}

/* Below, at or above zero as a is below, equal to or above b. */
long big_compare(struct big *a, struct big *b)
{
    long i;
    if (a->count != b->count) {
        return a->count - b->count;
    }
    for (i = a->count - 1; i >= 0; i--) {
        if (a->limb[i] != b->limb[i]) {
            return a->limb[i] - b->limb[i];
        }
    }
    return 0;
}

/* a -= b, where b is not above a */
void big_subtract(struct big *a, struct big *b)
{
    long borrow = 0;
    long i;
    for (i = 0; i < a->count; i++) {
        borrow += a->limb[i];
        if (i < b->count) {
            borrow -= b->limb[i];
        }
        a->limb[i] = borrow & LIMB_MASK;
        borrow = borrow >> 32;
    }
    big_trim(a);
}

struct big *big_add(struct big *a, struct big *b)
{
    struct big *r = new_big(a->count + b->count + 1);
    long carry = 0;
    long i;
    for (i = 0; i < a->count + b->count; i++) {
        if (i < a->count) {
            carry += a->limb[i];
        }
        if (i < b->count) {
            carry += b->limb[i];
        }
        r->limb[i] = carry & LIMB_MASK;
        carry = carry >> 32;
    }
    r->count = a->count + b->count;
    big_trim(r);
    return r;
}

/* a *= 2, in place: a has room */
void big_double(struct big *a)
{
    long carry = 0;
    long i;
    for (i = 0; i < a->count; i++) {
        carry += a->limb[i] << 1;
        a->limb[i] = carry & LIMB_MASK;
        carry = carry >> 32;
    }
    if (carry) {
        a->limb[a->count] = carry;
        a->count++;
    }
}

long big_bits(struct big *b)
{
    long bits;
    long top;
    if (b->count == 0) {
        return 0;
    }
    bits = (b->count - 1) * 32;
    for (top = b->limb[b->count - 1]; top; top = top >> 1) {
        bits++;
    }
    return bits;
}

/* ---- rounding ---- */

long precision_of(long kind)
{
    if (kind == FLOAT) {
        return 24;
    }
    if (kind == DOUBLE) {
        return 53;
    }
    return 64;
}

long largest_exponent(long kind)
{
    if (kind == FLOAT) {
        return 127;
    }
    if (kind == DOUBLE) {
        return 1023;
    }
    return 16383;
}

struct real *new_real(long kind, long negative)
{
    struct real *r = (struct real *)allocate(sizeof(struct real));
    r->kind = kind;
    r->negative = negative;
    return r;
}

/* Drop leading zero bits. */
struct real *normalised(struct real *r)
{
    if (r->mantissa == 0) {
        r->kind = REAL_ZERO;
        return r;
    }
    while (r->mantissa > 0) {
        r->mantissa = r->mantissa << 1;
        r->exponent--;
    }
    return r;
}

/* over / under, rounded to a format */
struct real *real_from_fraction(long negative, struct big *over, struct big *under, long kind)
{
    struct real *r = new_real(REAL_FINITE, negative);
    long bits = precision_of(kind);
    long smallest = 1 - largest_exponent(kind);
    long exponent;
    long mantissa = 0;
    long i;
    long rest;
    long one = 1;
    if (over->count == 0) {
        return new_real(REAL_ZERO, negative);
    }
    /* scale so that under <= over < 2 · under; then over / under · 2^exponent is the value */
    exponent = big_bits(over) - big_bits(under);
    over = big_shift_left(over, 1);
    under = big_shift_left(under, 1);
    if (exponent > 0) {
        under = big_shift_left(under, exponent);
    } else {
        over = big_shift_left(over, -exponent);
    }
    if (big_compare(over, under) < 0) {
        over = big_shift_left(over, 1);
        exponent--;
    }
    if (exponent < smallest) {
        bits -= smallest - exponent;    /* a subnormal number has fewer bits */
    }
    if (bits < 0) {
        return new_real(REAL_ZERO, negative);
    }
    over = big_shift_left(over, 0);     /* a copy with room to double */
    for (i = 0; i < bits; i++) {
        mantissa = mantissa << 1;
        if (big_compare(over, under) >= 0) {
            big_subtract(over, under);
            mantissa++;
        }
        big_double(over);
    }
    r->exponent = exponent + 64 - bits;
    rest = big_compare(over, under);
    if (rest > 0 || (rest == 0 && (mantissa & 1))) {
        mantissa++;
        if (mantissa == 0) {            /* 2^64 */
            mantissa = one << 63;
            r->exponent++;
        }
    }
    r->mantissa = mantissa;
    r = normalised(r);
    if (r->kind == REAL_FINITE && r->exponent > largest_exponent(kind)) {
        r->kind = REAL_INFINITE;
    }
    return r;
}

/* over · 2^shift, rounded */
struct real *real_from_scaled(long negative, struct big *over, long shift, long kind)
{
    struct big *under = big_from(1);
    if (shift > 0) {
        over = big_shift_left(over, shift);
    } else {
        under = big_shift_left(under, -shift);
    }
    return real_from_fraction(negative, over, under, kind);
}

struct real *real_round(struct real *r, long kind)
{
    if (r->kind != REAL_FINITE) {
        return r;
    }
    return real_from_scaled(r->negative, big_from(r->mantissa), r->exponent - 63, kind);
}

/* ---- from text and integers ---- */

long hex_value(long c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 32;
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return 99;
}

/* The number of a decimal or hexadecimal floating constant, without suffix. */
struct real *real_from_text(char *text, long length, long kind)
{
    struct big *digits = big_from(0);
    struct big *power = big_from(1);
    char *p = text;
    char *end = text + length;
    long base = 10;
    long scale = 0;                 /* the value is digits · (10 or 2)^scale */
    long after_point = 0;
    long exponent = 0;
    long negative = 0;
    long significant = 0;
    if (length > 2 && p[0] == '0' && (p[1] | 32) == 'x') {
        base = 16;
        p += 2;
    }
    while (p < end && (hex_value(*p) < base || *p == '.')) {
        if (*p == '.') {
            after_point = 1;
        } else {
            digits = big_scale(digits, base, hex_value(*p));
            significant += digits->count > 0;
            if (after_point) {
                scale -= 1 + 3 * (base == 16);
            }
        }
        p++;
    }
    if (p < end) {                  /* e or p */
        p++;
        if (p < end && (*p == '-' || *p == '+')) {
            negative = *p == '-';
            p++;
        }
        while (p < end) {
            if (exponent < 1000000) {
                exponent = exponent * 10 + *p - '0';
            }
            p++;
        }
        if (negative) {
            exponent = -exponent;
        }
        scale += exponent;
    }
    if (digits->count == 0) {
        return new_real(REAL_ZERO, 0);
    }
    if (scale + significant * 4 > 80000 ) {
        return new_real(REAL_INFINITE, 0);
    }
    if (scale + significant * 4 < -80000) {
        return new_real(REAL_ZERO, 0);
    }
    if (base == 16) {
        return real_from_scaled(0, digits, scale, kind);
    }
    negative = scale < 0;
    if (negative) {
        scale = -scale;
    }
    while (scale >= 9) {
        power = big_scale(power, 1000000000, 0);
        scale -= 9;
    }
    while (scale > 0) {
        power = big_scale(power, 10, 0);
        scale--;
    }
    if (negative) {
        return real_from_fraction(0, digits, power, kind);
    }
    return real_from_fraction(0, big_multiply(digits, power), big_from(1), kind);
}

struct real *real_from_long(long value, long is_unsigned, long kind)
{
    long negative = value < 0 && !is_unsigned;
    if (negative) {
        value = -value;
    }
    return real_from_fraction(negative, big_from(value), big_from(1), kind);
}

/* Towards zero. */
long real_to_long(struct real *r, long is_unsigned)
{
    long value;
    long one = 1;
    if (r->kind == REAL_ZERO || (r->kind == REAL_FINITE && r->exponent < 0)) {
        return 0;
    }
    if (r->kind != REAL_FINITE || r->exponent > 63 || (r->exponent == 63 && !is_unsigned)) {
        return one << 63;
    }
    value = shift_right(r->mantissa, 63 - r->exponent);
    if (r->negative) {
        value = -value;
    }
    return value;
}

/* ---- arithmetic ---- */

struct real *real_negated(struct real *r)
{
    struct real *n = new_real(r->kind, !r->negative);
    n->exponent = r->exponent;
    n->mantissa = r->mantissa;
    return n;
}

struct real *real_add(struct real *a, struct real *b, long kind)
{
    struct big *x;
    struct big *y;
    struct real *swap;
    long low;
    if (a->kind == REAL_NAN || b->kind == REAL_NAN) {
        return new_real(REAL_NAN, 0);
    }
    if (a->kind == REAL_INFINITE || b->kind == REAL_INFINITE) {
        if (a->kind == b->kind && a->negative != b->negative) {
            return new_real(REAL_NAN, 1);
        }
        if (a->kind == REAL_INFINITE) {
            return a;
        }
        return b;
    }
    if (a->kind == REAL_ZERO && b->kind == REAL_ZERO) {
        return new_real(REAL_ZERO, a->negative && b->negative);
    }
    if (a->kind == REAL_ZERO) {
        return real_round(b, kind);
    }
    if (b->kind == REAL_ZERO) {
        return real_round(a, kind);
    }
    if (a->exponent < b->exponent) {
        swap = a;
        a = b;
        b = swap;
    }
    low = b->exponent;
    x = big_shift_left(big_from(a->mantissa), a->exponent - low);
    y = big_from(b->mantissa);
    if (a->negative == b->negative) {
        return real_from_scaled(a->negative, big_add(x, y), low - 63, kind);
    }
    if (big_compare(x, y) == 0) {
        return new_real(REAL_ZERO, 0);
    }
    if (big_compare(x, y) > 0) {
        big_subtract(x, y);
        return real_from_scaled(a->negative, x, low - 63, kind);
    }
    big_subtract(y, x);
    return real_from_scaled(b->negative, y, low - 63, kind);
}

struct real *real_multiply(struct real *a, struct real *b, long kind)
{
    long negative = a->negative != b->negative;
    if (a->kind == REAL_NAN || b->kind == REAL_NAN) {
        return new_real(REAL_NAN, 0);
    }
    if (a->kind == REAL_INFINITE || b->kind == REAL_INFINITE) {
        if (a->kind == REAL_ZERO || b->kind == REAL_ZERO) {
            return new_real(REAL_NAN, 1);
        }
        return new_real(REAL_INFINITE, negative);
    }
    if (a->kind == REAL_ZERO || b->kind == REAL_ZERO) {
        return new_real(REAL_ZERO, negative);
    }
    return real_from_scaled(negative, big_multiply(big_from(a->mantissa), big_from(b->mantissa)),
                            a->exponent + b->exponent - 126, kind);
}

struct real *real_divide(struct real *a, struct real *b, long kind)
{
    long negative = a->negative != b->negative;
    long shift = a->exponent - b->exponent;
    struct big *over = big_from(a->mantissa);
    struct big *under = big_from(b->mantissa);
    if (a->kind == REAL_NAN || b->kind == REAL_NAN) {
        return new_real(REAL_NAN, 0);
    }
    if (a->kind == b->kind && a->kind != REAL_FINITE) {
        return new_real(REAL_NAN, 1);
    }
    if (a->kind == REAL_INFINITE || b->kind == REAL_ZERO) {
        return new_real(REAL_INFINITE, negative);
    }
    if (a->kind == REAL_ZERO || b->kind == REAL_INFINITE) {
        return new_real(REAL_ZERO, negative);
    }
    if (shift > 0) {
        over = big_shift_left(over, shift);
    } else {
        under = big_shift_left(under, -shift);
    }
    return real_from_fraction(negative, over, under, kind);
}

struct real *real_operate(long op, struct real *a, struct real *b, long kind)
{
    if (op == N_ADD) {
        return real_add(a, b, kind);
    }
    if (op == N_SUB) {
        return real_add(a, real_negated(b), kind);
    }
    if (op == N_MUL) {
        return real_multiply(a, b, kind);
    }
    return real_divide(a, b, kind);
}

/* Below, at or above zero, as a is to b; 2 if they have no order. */
long real_compare(struct real *a, struct real *b)
{
    struct real *difference;
    if (a->kind == REAL_NAN || b->kind == REAL_NAN) {
        return 2;
    }
    if (a->kind == REAL_INFINITE && b->kind == REAL_INFINITE && a->negative == b->negative) {
        return 0;
    }
    difference = real_add(a, real_negated(b), LDOUBLE);
    if (difference->kind == REAL_ZERO) {
        return 0;
    }
    return 1 - 2 * difference->negative;
}

/* ---- to memory ---- */

/* Store a real of a format's precision as float, double or 80-bit long double. */
void real_store(char *to, struct real *r, long kind)
{
    long bits = precision_of(kind);
    long bias = largest_exponent(kind);
    long exponent = r->exponent + bias;
    long mantissa = r->mantissa;
    long one = 1;
    if (r->kind == REAL_ZERO) {
        exponent = 0;
        mantissa = 0;
    } else if (r->kind != REAL_FINITE) {
        exponent = 2 * bias + 1;
        mantissa = one << 63;
        if (r->kind == REAL_NAN) {
            mantissa |= one << 62;
        }
    } else if (exponent <= 0) {         /* subnormal */
        mantissa = shift_right(mantissa, 1 - exponent);
        exponent = 0;
    }
    if (kind == LDOUBLE) {
        write_number(to, mantissa, 8);
        write_number(to + 8, exponent | r->negative << 15, 2);
    } else {
        mantissa = shift_right(mantissa, 64 - bits) & ((one << (bits - 1)) - 1);
        if (kind == FLOAT) {
            write_number(to, mantissa | exponent << 23 | r->negative << 31, 4);
        } else {
            write_number(to, mantissa | exponent << 52 | r->negative << 63, 8);
        }
    }
}
