/* Types: sizes, conversions, and how values are passed by the System V ABI. */

struct type *type_void;
struct type *type_bool;
struct type *type_char;
struct type *type_signed_char;
struct type *type_unsigned_char;
struct type *type_short;
struct type *type_unsigned_short;
struct type *type_int;
struct type *type_unsigned;
struct type *type_long;
struct type *type_unsigned_long;
struct type *type_float;
struct type *type_double;
struct type *type_ldouble;
struct type *type_va_element;   /* the struct of which a va_list is an array of one */

struct type *new_type(long kind)
{
    struct type *t = (struct type *)allocate(sizeof(struct type));
    t->kind = kind;
    return t;
}

struct type *new_unsigned(long kind)
{
    struct type *t = new_type(kind);
    t->is_unsigned = 1;
    return t;
}

struct type *pointer_to(struct type *base)
{
    struct type *t = new_unsigned(POINTER);
    t->base = base;
    return t;
}

struct type *array_of(struct type *base, long count)
{
    struct type *t = new_type(ARRAY);
    t->base = base;
    t->count = count;
    return t;
}

struct type *copy_type(struct type *t)
{
    struct type *copy = new_type(VOID);
    copy_bytes((char *)copy, (char *)t, sizeof(struct type));
    return copy;
}

void add_member(struct record *r, char *name, struct type *t)
{
    struct member *m = (struct member *)allocate(sizeof(struct member));
    struct member *last = r->members;
    m->name = name_of(name);
    m->type = t;
    m->offset = r->size;
    m->bit_width = -1;
    r->size += size_of(t);
    if (!last) {
        r->members = m;
        return;
    }
    while (last->next) {
        last = last->next;
    }
    last->next = m;
}

void define_types(void)
{
    struct record *r;
    type_void = new_type(VOID);
    type_bool = new_unsigned(BOOL);
    type_char = new_type(CHAR);
    type_signed_char = new_type(CHAR);
    type_signed_char->plain = 1;
    type_unsigned_char = new_unsigned(CHAR);
    type_short = new_type(SHORT);
    type_unsigned_short = new_unsigned(SHORT);
    type_int = new_type(INT);
    type_unsigned = new_unsigned(INT);
    type_long = new_type(LONG);
    type_unsigned_long = new_unsigned(LONG);
    type_float = new_type(FLOAT);
    type_double = new_type(DOUBLE);
    type_ldouble = new_type(LDOUBLE);
    r = (struct record *)allocate(sizeof(struct record));
    r->complete = 1;
    r->align = 8;
    add_member(r, "gp_offset", type_unsigned);
    add_member(r, "fp_offset", type_unsigned);
    add_member(r, "overflow_arg_area", pointer_to(type_char));
    add_member(r, "reg_save_area", pointer_to(type_char));
    type_va_element = new_type(RECORD);
    type_va_element->record = r;
}

/* ---- size and alignment ---- */

/* The size in bytes; -1 while it is not known. */
long size_of(struct type *t)
{
    long size;
    switch (t->kind) {
    case BOOL: case CHAR: case VOID: case FUNCTION: return 1;
    case SHORT: return 2;
    case INT: case FLOAT: return 4;
    case LONG: case DOUBLE: case POINTER: return 8;
    case LDOUBLE: return 16;
    case ARRAY:
        size = size_of(t->base);
        if (t->count < 0 || size < 0) {
            return -1;
        }
        return size * t->count;
    }
    if (!t->record->complete) {
        return -1;
    }
    return t->record->size;
}

long align_of(struct type *t)
{
    if (t->align) {
        return t->align;
    }
    if (t->kind == ARRAY) {
        return align_of(t->base);
    }
    if (t->kind == RECORD) {
        return t->record->align;
    }
    return size_of(t);
}

/* ---- families ---- */

long is_integer(struct type *t)
{
    return t->kind >= BOOL && t->kind <= LONG;
}

long is_float(struct type *t)
{
    return t->kind >= FLOAT && t->kind <= LDOUBLE;
}

long is_arithmetic(struct type *t)
{
    return t->kind >= BOOL && t->kind <= LDOUBLE;
}

long is_scalar(struct type *t)
{
    return t->kind >= BOOL && t->kind <= POINTER;
}

long same_type(struct type *a, struct type *b)
{
    struct parameter *p;
    struct parameter *q;
    if (a == b) {
        return 1;
    }
    if (a->kind != b->kind || a->is_unsigned != b->is_unsigned) {
        return 0;
    }
    if (a->kind == POINTER) {
        return same_type(a->base, b->base);
    }
    if (a->kind == ARRAY) {
        return (a->count == b->count || a->count < 0 || b->count < 0) && same_type(a->base, b->base);
    }
    if (a->kind == RECORD) {
        return a->record == b->record;
    }
    if (a->kind == FUNCTION) {
        if (!same_type(a->base, b->base)) {
            return 0;
        }
        if (a->unknown || b->unknown) {
            return 1;
        }
        q = b->parameters;
        for (p = a->parameters; p; p = p->next) {
            if (!q || !same_type(p->type, q->type)) {
                return 0;
            }
            q = q->next;
        }
        return q == 0 && a->variadic == b->variadic;
    }
    return 1;
}

/* ---- conversions of arithmetic ---- */

/* The type of n after integer promotion. */
struct type *promoted(struct node *n)
{
    struct type *t = n->type;
    if (!is_integer(t)) {
        return t;
    }
    if (n->bit_width >= 0 && n->bit_width < 32) {
        return type_int;
    }
    if (n->bit_width == 32 && t->kind <= INT) {
        if (t->is_unsigned) {
            return type_unsigned;
        }
        return type_int;
    }
    if (t->kind < INT) {
        return type_int;
    }
    return t;
}

/* The type in which an operation on two promoted types is done. */
struct type *common_type(struct type *a, struct type *b)
{
    struct type *larger = a;
    if (b->kind > a->kind || (b->kind == a->kind && b->is_unsigned)) {
        larger = b;
    }
    switch (larger->kind) {
    case LDOUBLE: return type_ldouble;
    case DOUBLE: return type_double;
    case FLOAT: return type_float;
    case LONG:
        if (larger->is_unsigned) {
            return type_unsigned_long;
        }
        return type_long;
    }
    if (larger->is_unsigned) {
        return type_unsigned;
    }
    return type_int;
}

/* ---- the ABI's classes ---- */

enum { CLASS_NONE, CLASS_SSE, CLASS_INTEGER, CLASS_X87, CLASS_MEMORY };

void classify_at(struct type *t, long offset, long *classes)
{
    struct member *m;
    long i;
    long class = CLASS_INTEGER;
    if (t->kind == RECORD) {
        for (m = t->record->members; m; m = m->next) {
            if (m->bit_width >= 0) {
                if (m->name && m->bit_width > 0) {
                    i = (offset + m->offset) * 8 + m->bit_offset;
                    classify_at(type_char, i / 8, classes);
                    classify_at(type_char, (i + m->bit_width - 1) / 8, classes);
                }
            } else {
                classify_at(m->type, offset + m->offset, classes);
            }
        }
        return;
    }
    if (t->kind == ARRAY) {
        for (i = 0; i < t->count; i++) {
            classify_at(t->base, offset + i * size_of(t->base), classes);
        }
        return;
    }
    if (offset % align_of(t)) {
        classes[0] = CLASS_MEMORY;
        return;
    }
    if (t->kind == FLOAT || t->kind == DOUBLE) {
        class = CLASS_SSE;
    } else if (t->kind == LDOUBLE) {
        classes[1] = CLASS_X87;
        class = CLASS_X87;
    }
    if (class > classes[offset / 8]) {
        classes[offset / 8] = class;
    }
}

/* How a value travels: the number of its 8-byte parts that go in registers, with the class
 * of each in classes; 0 if it goes in memory. */
long classify(struct type *t, long *classes)
{
    long size = size_of(t);
    classes[0] = CLASS_NONE;
    classes[1] = CLASS_NONE;
    if (size > 16 || size <= 0) {
        return 0;
    }
    classify_at(t, 0, classes);
    if (classes[0] == CLASS_MEMORY || classes[1] == CLASS_MEMORY) {
        return 0;
    }
    if (classes[0] == CLASS_X87 || classes[1] == CLASS_X87) {
        if (classes[0] != classes[1]) {
            return 0;
        }
        return 1;
    }
    return (size + 7) / 8;
}
