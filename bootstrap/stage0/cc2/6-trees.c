/* Typed trees for expressions. Each function that makes a node checks its operands,
 * converts them as C says, and folds constants: what is left constant after this is a
 * constant expression.
 *
 * A place (what & may be applied to) is LOCAL, GLOBAL or DEREF, each with a byte offset,
 * so members and constant indices cost no node.
 */

struct node *new_node(long op, struct type *t, struct node *left, struct node *right)
{
    struct node *n = (struct node *)allocate(sizeof(struct node));
    n->op = op;
    n->type = t;
    n->left = left;
    n->right = right;
    n->bit_width = -1;
    return n;
}

struct node *copy_node(struct node *n)
{
    struct node *copy = (struct node *)allocate(sizeof(struct node));
    copy_bytes((char *)copy, (char *)n, sizeof(struct node));
    return copy;
}

struct node *with_type(struct node *n, struct type *t)
{
    struct node *copy = copy_node(n);
    copy->type = t;
    return copy;
}

/* ---- constants ---- */

/* The value as an object of the type holds it. */
long wrap(long value, struct type *t)
{
    long bits = size_of(t) * 8;
    if (t->kind == BOOL) {
        return value != 0;
    }
    if (bits == 64) {
        return value;
    }
    value = value << (64 - bits);
    if (t->is_unsigned) {
        return shift_right(value, 64 - bits);
    }
    return value >> (64 - bits);
}

struct node *constant(long value, struct type *t)
{
    struct node *n = new_node(N_CONSTANT, t, 0, 0);
    n->value = wrap(value, t);
    return n;
}

struct node *real_constant(struct real *r, struct type *t)
{
    struct node *n = new_node(N_REAL, t, 0, 0);
    n->real = r;
    return n;
}

long is_constant(struct node *n)
{
    return n->op == N_CONSTANT || n->op == N_REAL;
}

long is_null(struct node *n)
{
    return n->op == N_CONSTANT && n->value == 0 &&
           (is_integer(n->type) || (n->type->kind == POINTER && n->type->base->kind == VOID));
}

/* ---- places and addresses ---- */

long is_place(struct node *n)
{
    return n->op == N_LOCAL || n->op == N_GLOBAL || n->op == N_DEREF;
}

struct node *local_place(long offset, struct type *t)
{
    struct node *n = new_node(N_LOCAL, t, 0, 0);
    n->value = offset;
    return n;
}

struct node *global_place(struct object *o, struct type *t)
{
    struct node *n = new_node(N_GLOBAL, t, 0, 0);
    n->object = o;
    return n;
}

/* A pointer moved by a number of bytes. */
struct node *move_pointer(struct node *n, long bytes, struct type *t)
{
    struct node *place;
    if (n->op == N_CONSTANT) {
        return constant(n->value + bytes, t);
    }
    if (n->op == N_ADDRESS && is_place(n->left)) {
        place = copy_node(n->left);
        place->value += bytes;
        return new_node(N_ADDRESS, t, place, 0);
    }
    if (n->op == N_ADD && n->right->op == N_CONSTANT) {
        return new_node(N_ADD, t, n->left, constant(n->right->value + bytes, type_long));
    }
    if (bytes == 0) {
        return with_type(n, t);
    }
    return new_node(N_ADD, t, n, constant(bytes, type_long));
}

/* &n as a pointer of type t */
struct node *address_as(struct node *n, struct type *t)
{
    if (n->op == N_DEREF) {
        if (n->value == 0 && !is_place(n->left)) {
            return with_type(n->left, t);
        }
        if (n->value == 0) {
            return new_node(N_CAST, t, n->left, 0);
        }
        return move_pointer(n->left, n->value, t);
    }
    return new_node(N_ADDRESS, t, n, 0);
}

struct node *address_of(struct node *n)
{
    if (n->bit_width >= 0) {
        fail("the address of a bit-field was taken", 0);
    }
    if (!is_place(n) && n->type->kind != RECORD) {
        fail("the address of a value was taken", 0);
    }
    return address_as(n, pointer_to(n->type));
}

/* What n is as a value: an array is the address of its first element, a function its address. */
struct node *value_of(struct node *n)
{
    if (n->type->kind == ARRAY) {
        return address_as(n, pointer_to(n->type->base));
    }
    if (n->type->kind == FUNCTION) {
        return address_as(n, pointer_to(n->type));
    }
    return n;
}

struct node *dereference(struct node *n)
{
    struct node *place;
    n = value_of(n);
    if (n->type->kind != POINTER) {
        fail("only a pointer can be followed", 0);
    }
    if (n->op == N_ADDRESS && is_place(n->left)) {
        place = with_type(n->left, n->type->base);
        place->bit_width = -1;
        return place;
    }
    if (n->op == N_ADD && n->right->op == N_CONSTANT && below(n->right->value + 1000000000, 2000000000)) {
        place = new_node(N_DEREF, n->type->base, n->left, 0);
        place->value = n->right->value;
        return place;
    }
    return new_node(N_DEREF, n->type->base, n, 0);
}

/* The member of that name, also within anonymous members; adds its place to *offset. */
struct member *find_member(struct record *r, struct name *name, long *offset)
{
    struct member *m;
    struct member *inner;
    for (m = r->members; m; m = m->next) {
        if (m->name == name) {
            *offset += m->offset;
            return m;
        }
        if (!m->name && m->type->kind == RECORD) {
            inner = find_member(m->type->record, name, offset);
            if (inner) {
                *offset += m->offset;
                return inner;
            }
        }
    }
    return 0;
}

struct node *member_of(struct node *base, struct name *name)
{
    struct member *m;
    struct node *place;
    long offset = 0;
    if (base->type->kind != RECORD) {
        fail("not a struct or union, for member", name->text);
    }
    if (!base->type->record->complete) {
        fail("incomplete struct or union, for member", name->text);
    }
    m = find_member(base->type->record, name, &offset);
    if (!m) {
        fail("no such member", name->text);
    }
    if (is_place(base)) {
        place = with_type(base, m->type);
    } else {
        place = new_node(N_DEREF, m->type, address_of(base), 0);
    }
    place->value += offset;
    place->bit_width = m->bit_width;
    place->bit_offset = m->bit_offset;
    return place;
}

/* ---- conversion ---- */

/* n as a value of type t, by a cast. */
struct node *convert(struct node *n, struct type *t)
{
    struct node *zero;
    n = value_of(n);
    if (t->kind == VOID) {
        return new_node(N_CAST, t, n, 0);
    }
    if (t->kind == RECORD || n->type->kind == RECORD) {
        if (t->kind == n->type->kind && t->record == n->type->record) {
            return n;
        }
        fail("a struct or union does not convert", 0);
    }
    if (!is_scalar(t) || !is_scalar(n->type)) {
        fail("no value, or one of a type that does not convert", 0);
    }
    if ((is_float(t) && n->type->kind == POINTER) || (is_float(n->type) && t->kind == POINTER)) {
        fail("pointers and floating numbers do not convert", 0);
    }
    if (n->op == N_CONSTANT) {
        if (is_float(t)) {
            return real_constant(real_from_long(n->value, n->type->is_unsigned, t->kind), t);
        }
        return constant(n->value, t);
    }
    if (n->op == N_REAL) {
        if (is_float(t)) {
            return real_constant(real_round(n->real, t->kind), t);
        }
        if (t->kind == BOOL) {
            return constant(n->real->kind != REAL_ZERO, t);
        }
        return constant(real_to_long(n->real, t->is_unsigned), t);
    }
    if (t->kind == BOOL && n->type->kind != BOOL) {
        zero = constant(0, type_int);
        return new_node(N_CAST, t, binary(N_NOT_EQUAL, n, zero), 0);
    }
    if (n->op == N_ADDRESS && (t->kind == POINTER || t->kind == LONG)) {
        return with_type(n, t);
    }
    if (n->bit_width < 0 && n->type->kind == t->kind && n->type->is_unsigned == t->is_unsigned &&
        t->kind != POINTER) {
        return n;
    }
    return new_node(N_CAST, t, n, 0);
}

/* n converted as by assignment to type t. */
struct node *assign_convert(struct node *n, struct type *t, char *what)
{
    n = value_of(n);
    if (n->type->kind == VOID) {
        fail("a void value was used in", what);
    }
    if (t->kind == RECORD && (n->type->kind != RECORD || n->type->record != t->record)) {
        fail("types do not agree in", what);
    }
    if (t->kind != RECORD && n->type->kind == RECORD) {
        fail("types do not agree in", what);
    }
    return convert(n, t);
}

/* ---- unary operations ---- */

struct node *unary(long op, struct node *n)
{
    struct type *t;
    n = value_of(n);
    if (op == N_NOT) {
        n = scalar_condition(n);
        if (n->op == N_CONSTANT) {
            return constant(!n->value, type_int);
        }
        return new_node(N_NOT, type_int, n, 0);
    }
    if (!is_arithmetic(n->type) || (op == N_COMPLEMENT && !is_integer(n->type))) {
        fail("operand of the wrong type", 0);
    }
    t = promoted(n);
    n = convert(n, t);
    if (n->op == N_CONSTANT) {
        if (op == N_NEGATE) {
            return constant(-n->value, t);
        }
        return constant(~n->value, t);
    }
    if (n->op == N_REAL) {
        return real_constant(real_negated(n->real), t);
    }
    return new_node(op, t, n, 0);
}

/* n ready to be tested for zero. */
struct node *scalar_condition(struct node *n)
{
    n = value_of(n);
    if (!is_scalar(n->type)) {
        fail("a condition must be a number or a pointer", 0);
    }
    if (is_float(n->type)) {
        return binary(N_NOT_EQUAL, n, constant(0, type_int));
    }
    if (n->op == N_ADDRESS && is_place(n->left) && n->left->op != N_DEREF) {
        return constant(1, type_int);
    }
    return convert(n, promoted(n));
}

/* ---- binary operations ---- */

long is_comparison(long op)
{
    return op >= N_EQUAL && op <= N_GREATER_EQUAL;
}

/* a op b, of a type that is 32 or 64 bits wide */
long fold_integers(long op, long a, long b, struct type *t)
{
    long is_unsigned = t->is_unsigned;
    switch (op) {
    case N_ADD: return a + b;
    case N_SUB: return a - b;
    case N_MUL: return a * b;
    case N_AND: return a & b;
    case N_OR: return a | b;
    case N_XOR: return a ^ b;
    case N_LEFT: return a << (b & 63);
    case N_RIGHT:
        if (is_unsigned) {
            return shift_right(a, b & 63);
        }
        return a >> (b & 63);
    case N_EQUAL: return a == b;
    case N_NOT_EQUAL: return a != b;
    case N_DIV:
        if (is_unsigned) {
            return divide_unsigned(a, b);
        }
        if (b == -1) {
            return -a;
        }
        return a / b;
    case N_MOD:
        if (is_unsigned) {
            return a - divide_unsigned(a, b) * b;
        }
        if (b == -1) {
            return 0;
        }
        return a % b;
    }
    if (op == N_GREATER || op == N_LESS_EQUAL) {
        if (is_unsigned) {
            return below(b, a) == (op == N_GREATER);
        }
        return (b < a) == (op == N_GREATER);
    }
    if (is_unsigned) {
        return below(a, b) == (op == N_LESS);
    }
    return (a < b) == (op == N_LESS);
}

long fold_comparison(long op, long order)
{
    if (order == 2) {                   /* not a number */
        return op == N_NOT_EQUAL;
    }
    return fold_integers(op, order, 0, type_long);
}

/* An operation on two numbers that already have type t; the result has type `result`. */
struct node *arithmetic(long op, struct node *left, struct node *right, struct type *t,
                        struct type *result)
{
    if (left->op == N_CONSTANT && right->op == N_CONSTANT &&
        !((op == N_DIV || op == N_MOD) && right->value == 0)) {
        return constant(fold_integers(op, left->value, right->value, t), result);
    }
    if (left->op == N_REAL && right->op == N_REAL) {
        if (is_comparison(op)) {
            return constant(fold_comparison(op, real_compare(left->real, right->real)), result);
        }
        return real_constant(real_operate(op, left->real, right->real, t->kind), result);
    }
    return new_node(op, result, left, right);
}

struct node *scaled(struct node *n, long size)
{
    return binary(N_MUL, convert(n, type_long), constant(size, type_long));
}

long pointed_size(struct node *n)
{
    long size = size_of(n->type->base);
    if (size < 0) {
        fail("arithmetic on a pointer to an incomplete type", 0);
    }
    return size;
}

/* pointer + or - integer */
struct node *step_pointer(long op, struct node *pointer, struct node *steps)
{
    struct type *t = pointer->type;
    long size = pointed_size(pointer);
    if (!is_integer(steps->type)) {
        fail("a pointer is moved by something that is no integer", 0);
    }
    steps = scaled(steps, size);
    if (op == N_SUB) {
        steps = unary(N_NEGATE, steps);
    }
    if (steps->op == N_CONSTANT) {
        return move_pointer(pointer, steps->value, t);
    }
    return new_node(N_ADD, t, pointer, steps);
}

/* The distance in bytes of two addresses within one object, as a constant; else 0. */
struct node *constant_distance(struct node *left, struct node *right)
{
    if (left->op == N_ADDRESS && right->op == N_ADDRESS && left->left->op == N_GLOBAL &&
        right->left->op == N_GLOBAL && left->left->object == right->left->object) {
        return constant(left->left->value - right->left->value, type_long);
    }
    return 0;
}

struct node *pointer_distance(struct node *left, struct node *right)
{
    struct node *bytes = constant_distance(left, right);
    long size = pointed_size(left);
    if (!bytes) {
        bytes = arithmetic(N_SUB, convert(left, type_long), convert(right, type_long),
                           type_long, type_long);
    }
    if (size == 1) {
        return bytes;
    }
    return binary(N_DIV, bytes, constant(size, type_long));
}

struct node *compare_pointers(long op, struct node *left, struct node *right)
{
    left = convert(left, pointer_to(type_void));
    right = convert(right, pointer_to(type_void));
    return arithmetic(op, left, right, type_unsigned_long, type_int);
}

struct node *binary(long op, struct node *left, struct node *right)
{
    struct type *t;
    long left_points;
    long right_points;
    left = value_of(left);
    right = value_of(right);
    left_points = left->type->kind == POINTER;
    right_points = right->type->kind == POINTER;
    if (left_points || right_points) {
        if (is_comparison(op)) {
            return compare_pointers(op, left, right);
        }
        if (op == N_SUB && left_points && right_points) {
            return pointer_distance(left, right);
        }
        if ((op == N_ADD || op == N_SUB) && left_points) {
            return step_pointer(op, left, right);
        }
        if (op == N_ADD) {
            return step_pointer(op, right, left);
        }
    }
    if (!is_arithmetic(left->type) || !is_arithmetic(right->type)) {
        fail("operands of the wrong type", 0);
    }
    if (op >= N_MOD && op <= N_RIGHT && (is_float(left->type) || is_float(right->type))) {
        fail("operands must be integers", 0);
    }
    if (op == N_LEFT || op == N_RIGHT) {
        t = promoted(left);
        return arithmetic(op, convert(left, t), convert(right, type_int), t, t);
    }
    t = common_type(promoted(left), promoted(right));
    left = convert(left, t);
    right = convert(right, t);
    if (is_comparison(op)) {
        return arithmetic(op, left, right, t, type_int);
    }
    return arithmetic(op, left, right, t, t);
}

/* left && right, left || right */
struct node *logical(long op, struct node *left, struct node *right)
{
    left = scalar_condition(left);
    right = scalar_condition(right);
    if (left->op == N_CONSTANT) {
        if ((left->value != 0) == (op == N_EITHER)) {
            return constant(op == N_EITHER, type_int);
        }
        if (right->op == N_CONSTANT) {
            return constant(right->value != 0, type_int);
        }
    }
    return new_node(op, type_int, left, right);
}

/* condition ? left : right */
struct node *choose(struct node *condition, struct node *left, struct node *right)
{
    struct type *t;
    struct node *n;
    condition = scalar_condition(condition);
    left = value_of(left);
    right = value_of(right);
    if (is_arithmetic(left->type) && is_arithmetic(right->type)) {
        t = common_type(promoted(left), promoted(right));
    } else if (left->type->kind == VOID || right->type->kind == VOID) {
        t = type_void;
    } else if (left->type->kind == POINTER && right->type->kind == POINTER) {
        t = left->type;
        if (is_null(left) || (right->type->base->kind == VOID && !is_null(right))) {
            t = right->type;
        }
    } else if (left->type->kind == POINTER || right->type->kind == RECORD) {
        t = left->type;
    } else {
        t = right->type;
    }
    left = convert(left, t);
    right = convert(right, t);
    if (condition->op == N_CONSTANT && t->kind != VOID) {
        if (condition->value) {
            return left;
        }
        return right;
    }
    n = new_node(N_CHOOSE, t, left, right);
    n->third = condition;
    return n;
}

struct node *comma(struct node *left, struct node *right)
{
    right = value_of(right);
    return new_node(N_COMMA, right->type, left, right);
}

struct node *assign(struct node *place, struct node *value)
{
    if (!is_place(place) || place->type->kind == ARRAY || place->type->kind == FUNCTION) {
        fail("cannot assign to this", 0);
    }
    if (size_of(place->type) < 0 || place->type->kind == VOID) {
        fail("cannot assign to an incomplete type", 0);
    }
    return new_node(N_ASSIGN, place->type, place, assign_convert(value, place->type, "assignment"));
}
