/* Trees to x86_64 code.
 *
 * A value is left in rax (integers, pointers, the address of a struct), in xmm0 (float,
 * double) or in st0 (long double). The upper half of rax means nothing for types of 32
 * bits; narrower types are extended to 32. Values that wait lie on the stack; `depth`
 * counts its 8-byte words, so that calls can keep rsp a multiple of 16.
 *
 * "Simple" trees can be computed into any register without touching another; most
 * operands are simple, and cost no push and pop.
 */

enum { RAX = 0, RCX = 1, RDX = 2, RSI = 6, RDI = 7, R10 = 10 };

struct fixup *text_fixups;
long depth;
long frame_size;                /* of the function being compiled */
long frame_place;               /* where its size is patched in */
struct label *exit_label;
struct type *result_type;
long result_pointer;            /* frame offset of the hidden pointer to a struct result */
long save_area;                 /* frame offset of a variadic function's saved registers */
long named_integers;            /* bytes of the save area used by named parameters */
long named_floats;
long named_stack;               /* where its arguments on the stack begin, from rbp */

/* ---- bytes ---- */

/* Append the bytes of an instruction, written as one hexadecimal number. */
void emit(long bytes)
{
    long shift = 56;
    while (shift > 0 && ((bytes >> shift) & 255) == 0) {
        shift -= 8;
    }
    while (shift >= 0) {
        put_byte(text, (bytes >> shift) & 255);
        shift -= 8;
    }
}

void emit_number(long value, long size)
{
    long i;
    for (i = 0; i < size; i++) {
        put_byte(text, value & 255);
        value = value >> 8;
    }
}

void emit_with(long bytes, long immediate)
{
    emit(bytes);
    emit_number(immediate, 4);
}

void add_text_fixup(struct object *target, long addend, long kind)
{
    struct fixup *f = (struct fixup *)allocate(sizeof(struct fixup));
    f->place = text->length;
    f->target = target;
    f->addend = addend;
    f->kind = kind;
    f->next = text_fixups;
    text_fixups = f;
    emit_number(0, 4);
}

void push(void)
{
    emit(0x50);                         /* push rax */
    depth++;
}

void pop(long reg)
{
    if (reg >= 8) {
        emit(0x41);
    }
    emit(0x58 + (reg & 7));             /* pop reg */
    depth--;
}

/* ---- labels ---- */

struct label *new_label(void)
{
    struct label *l = (struct label *)allocate(sizeof(struct label));
    l->address = -1;
    return l;
}

void place_label(struct label *l)
{
    struct patch *p;
    l->address = text->length;
    for (p = l->patches; p; p = p->next) {
        write_number(text->data + p->place, l->address - p->place - 4, 4);
    }
}

/* The 32-bit distance to a label, ending an instruction. */
void emit_distance(struct label *l)
{
    struct patch *p;
    if (l->address >= 0) {
        emit_number(l->address - text->length - 4, 4);
        return;
    }
    p = (struct patch *)allocate(sizeof(struct patch));
    p->place = text->length;
    p->next = l->patches;
    l->patches = p;
    emit_number(0, 4);
}

void jump(struct label *l)
{
    emit(0xE9);                         /* jmp */
    emit_distance(l);
}

/* Conditions as x86 numbers them; condition ^ 1 is the opposite. */
enum { BELOW = 2, NOT_BELOW, IS_ZERO, NOT_ZERO, NOT_ABOVE, ABOVE, SIGN = 8, PARITY = 10,
       NO_PARITY, LESS_THAN, NOT_LESS, NOT_GREATER, GREATER_THAN };

void jump_if(long condition, struct label *l)
{
    emit(0x0F80 + condition);           /* jcc */
    emit_distance(l);
}

/* ---- the frame ---- */

/* The frame offset of a new local variable. */
long new_local(long size, long align)
{
    if (align < 8) {
        align = 8;
    }
    frame_size = (frame_size + size + align - 1) & -align;
    return -frame_size;
}

/* ---- memory operands ---- */

long fits_byte(long value)
{
    return value >= -128 && value < 128;
}

long fits_word(long value)
{
    return value >= -2147483648 && value < 2147483648;
}

/* The ModRM byte and what follows, for `reg` and the memory at a place; the pointer of a
 * DEREF is in register `base`. */
void operand(long reg, struct node *place, long base)
{
    reg = (reg & 7) << 3;
    base = base & 7;
    if (place->op == N_GLOBAL) {
        emit(0x04 | reg);
        emit(0x25);
        add_text_fixup(place->object, place->value, 4);
        return;
    }
    if (place->op == N_LOCAL) {
        base = 5;                       /* rbp */
    } else if (place->value == 0) {
        put_byte(text, reg | base);
        return;
    }
    if (fits_byte(place->value)) {
        emit(0x40 | reg | base);
        emit_number(place->value, 1);
    } else {
        emit_with(0x80 | reg | base, place->value);
    }
}

/* An instruction with a register and a memory operand. */
void instruction(long prefix, long wide, long opcode, long reg, struct node *place, long base)
{
    long rex = wide << 3 | (reg >= 8) << 2 | (place->op == N_DEREF && base >= 8);
    if (prefix) {
        emit(prefix);
    }
    if (rex) {
        emit(0x40 | rex);
    }
    emit(opcode);
    operand(reg, place, base);
}

/* An instruction with two registers: reg and rm. */
void registers(long wide, long opcode, long reg, long rm)
{
    long rex = wide << 3 | (reg >= 8) << 2 | (rm >= 8);
    if (rex) {
        emit(0x40 | rex);
    }
    emit(opcode);
    emit(0xC0 | (reg & 7) << 3 | (rm & 7));
}

long is_wide(struct type *t)
{
    return size_of(t) == 8;
}

void load_integer(struct type *t, long reg, struct node *place, long base)
{
    long opcode = 0x8B;                 /* mov */
    if (t->kind == BOOL || (t->kind == CHAR && t->is_unsigned)) {
        opcode = 0x0FB6;                /* movzx */
    } else if (t->kind == CHAR) {
        opcode = 0x0FBE;                /* movsx */
    } else if (t->kind == SHORT && t->is_unsigned) {
        opcode = 0x0FB7;
    } else if (t->kind == SHORT) {
        opcode = 0x0FBF;
    }
    instruction(0, is_wide(t), opcode, reg, place, base);
}

/* Load into xmm0, xmm1 or push on the x87's stack. */
void load_float(struct type *t, long reg, struct node *place, long base)
{
    if (t->kind == LDOUBLE) {
        instruction(0, 0, 0xDB, 5, place, base);            /* fld */
    } else {
        instruction(0xF2 + (t->kind == FLOAT), 0, 0x0F10, reg, place, base);    /* movsd, movss */
    }
}

/* The value in rax, xmm0 or st0 (taken off) to memory. */
void store(struct type *t, struct node *place, long base)
{
    switch (t->kind) {
    case BOOL: case CHAR:
        instruction(0, 0, 0x88, RAX, place, base);
        break;
    case SHORT:
        instruction(0x66, 0, 0x89, RAX, place, base);
        break;
    case FLOAT:
        instruction(0xF3, 0, 0x0F11, 0, place, base);       /* movss */
        break;
    case DOUBLE:
        instruction(0xF2, 0, 0x0F11, 0, place, base);       /* movsd */
        break;
    case LDOUBLE:
        instruction(0, 0, 0xDB, 7, place, base);            /* fstp */
        break;
    default:
        instruction(0, is_wide(t), 0x89, RAX, place, base);
    }
}

/* The address of a place; the pointer of a DEREF is in `base`. */
void load_address(long reg, struct node *place, long base)
{
    if (place->op == N_GLOBAL) {
        if (reg >= 8) {
            emit(0x41);
        }
        emit(0xB8 + (reg & 7));                             /* mov reg, address */
        add_text_fixup(place->object, place->value, 4);
    } else {
        instruction(0, 1, 0x8D, reg, place, base);          /* lea */
    }
}

/* ---- simple trees ---- */

long is_register_type(struct type *t)
{
    return is_integer(t) || t->kind == POINTER;
}

/* True if n can be computed into one register without touching another. */
long is_simple(struct node *n)
{
    if (!is_register_type(n->type)) {
        return 0;
    }
    switch (n->op) {
    case N_CONSTANT:
        return 1;
    case N_LOCAL: case N_GLOBAL:
        return n->bit_width < 0;
    case N_DEREF:
        return n->bit_width < 0 && is_simple(n->left);
    case N_ADDRESS:
        if (n->left->op == N_DEREF) {
            return is_simple(n->left->left);
        }
        return n->left->op == N_LOCAL || n->left->op == N_GLOBAL;
    case N_CAST:
        return n->type->kind != BOOL && is_simple(n->left);
    case N_ADD:
        return n->right->op == N_CONSTANT && fits_word(n->right->value) && is_simple(n->left);
    }
    return 0;
}

void load_constant(long reg, long value)
{
    if (value >= 0 && value <= 0xFFFFFFFF) {
        if (reg >= 8) {
            emit(0x41);
        }
        emit_with(0xB8 + (reg & 7), value);                 /* mov reg, value (32 bits) */
    } else if (fits_word(value)) {
        registers(1, 0xC7, 0, reg);                         /* mov reg, value, sign-extended */
        emit_number(value, 4);
    } else {
        emit(0x48 + (reg >= 8));
        emit(0xB8 + (reg & 7));                             /* mov reg, value (64 bits) */
        emit_number(value, 8);
    }
}

/* Convert between integers and pointers within a register. */
void extend(struct type *from, struct type *to, long reg)
{
    if (size_of(to) == 8 && size_of(from) < 8) {
        if (from->is_unsigned) {
            registers(0, 0x89, reg, reg);                   /* mov reg, reg (32 bits) */
        } else {
            registers(1, 0x63, reg, reg);                   /* movsxd */
        }
    } else if (to->kind == CHAR && (from->kind != CHAR || from->is_unsigned != to->is_unsigned)) {
        if (reg >= 4) {
            emit(0x40 | (reg >= 8) * 5);                    /* for sil, dil and the like */
        }
        emit(0x0FBE - 8 * to->is_unsigned);                 /* movsx, movzx */
        emit(0xC0 | (reg & 7) * 9);
    } else if (to->kind == SHORT && (from->kind > SHORT || from->is_unsigned != to->is_unsigned)) {
        registers(0, 0x0FBF - 8 * to->is_unsigned, reg, reg);
    }
}

void generate_simple(struct node *n, long reg)
{
    switch (n->op) {
    case N_CONSTANT:
        load_constant(reg, n->value);
        break;
    case N_LOCAL: case N_GLOBAL:
        load_integer(n->type, reg, n, 0);
        break;
    case N_DEREF:
        generate_simple(n->left, reg);
        load_integer(n->type, reg, n, reg);
        break;
    case N_ADDRESS:
        if (n->left->op == N_DEREF) {
            generate_simple(n->left->left, reg);
        }
        load_address(reg, n->left, reg);
        break;
    case N_CAST:
        generate_simple(n->left, reg);
        extend(n->left->type, n->type, reg);
        break;
    default:
        generate_simple(n->left, reg);
        registers(is_wide(n->type), 0x81, 0, reg);          /* add reg, constant */
        emit_number(n->right->value, 4);
    }
}

/* ---- addresses and copies ---- */

void generate_address(struct node *n)
{
    if (n->op == N_LOCAL || n->op == N_GLOBAL) {
        load_address(RAX, n, 0);
    } else if (n->op == N_DEREF) {
        generate(n->left);
        if (n->value) {
            load_address(RAX, n, RAX);
        }
    } else {
        generate(n);                    /* a struct's value is its address */
    }
}

struct node *at(long offset)
{
    struct node *n = new_node(N_DEREF, type_long, 0, 0);
    n->value = offset;
    return n;
}

/* Copy `size` bytes from where rax points to where rcx points; keeps both unless large. */
void copy_memory(long size)
{
    long done = 0;
    long part;
    struct type *t;
    if (size > 64) {
        emit(0x4889C6);                 /* mov rsi, rax */
        emit(0x4889CF);                 /* mov rdi, rcx */
        emit_with(0xB9, size);          /* mov ecx, size */
        emit(0xF3A4);                   /* rep movsb */
        return;
    }
    while (done < size) {
        part = size - done;
        if (part >= 8) {
            t = type_unsigned_long;
        } else if (part >= 4) {
            t = type_unsigned;
        } else if (part >= 2) {
            t = type_unsigned_short;
        } else {
            t = type_unsigned_char;
        }
        part = size_of(t);
        load_integer(t, RDX, at(done), RAX);
        if (part == 2) {
            instruction(0x66, 0, 0x89, RDX, at(done), RCX);
        } else {
            instruction(0, part == 8, 0x88 + (part > 1), RDX, at(done), RCX);
        }
        done += part;
    }
}

void zero_memory(struct node *place, long size)
{
    long done;
    if (size > 128) {
        load_address(RDI, place, 0);
        emit(0x31C0);                   /* xor eax, eax */
        emit_with(0xB9, size);          /* mov ecx, size */
        emit(0xF3AA);                   /* rep stosb */
        return;
    }
    emit(0x31C0);                       /* xor eax, eax */
    place = copy_node(place);
    for (done = 0; done < size; done += 8) {    /* locals take multiples of 8 bytes */
        store(type_long, place, 0);
        place->value += 8;
    }
}

/* ---- operands ---- */

/* Two integers: left to rax, right to rcx. */
void generate_operands(struct node *left, struct node *right)
{
    if (is_simple(right)) {
        generate(left);
        generate_simple(right, RCX);
    } else if (is_simple(left)) {
        generate(right);
        emit(0x4889C1);                 /* mov rcx, rax */
        generate_simple(left, RAX);
    } else {
        generate(right);
        push();
        generate(left);
        pop(RCX);
    }
}

/* Two floats or doubles to xmm0 and xmm1. */
void generate_float_operands(struct node *left, struct node *right)
{
    generate(right);
    emit(0x66480F7EC0);                 /* movq rax, xmm0 */
    push();
    generate(left);
    pop(RAX);
    emit(0x66480F6EC8);                 /* movq xmm1, rax */
}

/* Two long doubles: left to st1, right to st0. */
void generate_x87_operands(struct node *left, struct node *right)
{
    generate(right);
    emit(0x4883EC10);                   /* sub rsp, 16 */
    emit(0xDB3C24);                     /* fstp [rsp] */
    depth += 2;
    generate(left);
    emit(0xDB2C24);                     /* fld [rsp] */
    emit(0x4883C410);                   /* add rsp, 16 */
    depth -= 2;
}

/* ---- arithmetic ---- */

void generate_division(struct type *t, long want_remainder)
{
    long rex = is_wide(t) * 0x48;
    if (t->is_unsigned) {
        emit(0x31D2);                   /* xor edx, edx */
    } else {
        if (rex) {
            emit(rex);
        }
        emit(0x99);                     /* cdq, cqo */
    }
    if (rex) {
        emit(rex);
    }
    emit(0xF7F9 - t->is_unsigned * 8);  /* idiv rcx, div rcx */
    if (want_remainder) {
        emit(0x4889D0);                 /* mov rax, rdx */
    }
}

/* The opcode of `op eax, constant` */
long immediate_opcode(long op)
{
    switch (op) {
    case N_ADD: return 0x05;
    case N_SUB: return 0x2D;
    case N_AND: return 0x25;
    case N_OR: return 0x0D;
    case N_XOR: return 0x35;
    case N_MUL: return 0x69C0;          /* imul eax, eax, constant */
    }
    return 0;
}

/* The ModRM byte of a shift of eax */
long shift_byte(struct node *n)
{
    if (n->op == N_LEFT) {
        return 0xE0;                    /* shl */
    }
    if (n->type->is_unsigned) {
        return 0xE8;                    /* shr */
    }
    return 0xF8;                        /* sar */
}

void generate_integer_arithmetic(struct node *n)
{
    long wide = is_wide(n->type);
    if (n->right->op == N_CONSTANT && fits_word(n->right->value)) {
        if (immediate_opcode(n->op)) {
            generate(n->left);
            if (wide) {
                emit(0x48);
            }
            emit_with(immediate_opcode(n->op), n->right->value);
            return;
        }
        if (n->op == N_LEFT || n->op == N_RIGHT) {
            generate(n->left);
            if (wide) {
                emit(0x48);
            }
            emit(0xC1);
            emit(shift_byte(n));
            emit_number(n->right->value, 1);
            return;
        }
    }
    generate_operands(n->left, n->right);
    switch (n->op) {
    case N_DIV: case N_MOD:
        generate_division(n->type, n->op == N_MOD);
        return;
    case N_ADD: registers(wide, 0x01, RCX, RAX); return;
    case N_SUB: registers(wide, 0x29, RCX, RAX); return;
    case N_AND: registers(wide, 0x21, RCX, RAX); return;
    case N_OR: registers(wide, 0x09, RCX, RAX); return;
    case N_XOR: registers(wide, 0x31, RCX, RAX); return;
    case N_MUL: registers(wide, 0x0FAF, RAX, RCX); return;
    }
    if (wide) {
        emit(0x48);
    }
    emit(0xD3);                         /* shift by cl */
    emit(shift_byte(n));
}

void generate_arithmetic(struct node *n)
{
    long opcode = 0x0F58;               /* add */
    long x87 = 0xDEC1;
    if (is_register_type(n->type)) {
        generate_integer_arithmetic(n);
        return;
    }
    switch (n->op) {
    case N_SUB:
        opcode = 0x0F5C;
        x87 = 0xDEE9;
        break;
    case N_MUL:
        opcode = 0x0F59;
        x87 = 0xDEC9;
        break;
    case N_DIV:
        opcode = 0x0F5E;
        x87 = 0xDEF9;
        break;
    }
    if (n->type->kind == LDOUBLE) {
        generate_x87_operands(n->left, n->right);
        emit(x87);                      /* st1 op st0, popped */
    } else {
        generate_float_operands(n->left, n->right);
        emit(0xF2 + (n->type->kind == FLOAT));
        emit(opcode);                   /* op xmm0, xmm1 */
        emit(0xC1);
    }
}

void generate_negation(struct node *n)
{
    long one = 1;
    generate(n->left);
    if (n->type->kind == LDOUBLE) {
        emit(0xD9E0);                   /* fchs */
    } else if (is_float(n->type)) {
        load_constant(RCX, one << (size_of(n->type) * 8 - 1));
        emit(0x66480F6EC9);             /* movq xmm1, rcx */
        emit(0x660F57C1);               /* xorpd xmm0, xmm1 */
    } else {
        registers(is_wide(n->type), 0xF7, 3, RAX);          /* neg */
    }
}

/* ---- comparisons ---- */

/* The condition under which an integer comparison holds after cmp. */
long condition_of(long op, long is_unsigned)
{
    switch (op) {
    case N_EQUAL: return IS_ZERO;
    case N_NOT_EQUAL: return NOT_ZERO;
    case N_LESS: return LESS_THAN - 10 * is_unsigned;
    case N_LESS_EQUAL: return NOT_GREATER - 8 * is_unsigned;
    case N_GREATER: return GREATER_THAN - 8 * is_unsigned;
    }
    return NOT_LESS - 10 * is_unsigned;
}

/* Compare integers; give the condition that then holds. */
long generate_comparison(struct node *n)
{
    struct type *t = n->left->type;
    if (n->right->op == N_CONSTANT && n->right->value == 0) {
        generate(n->left);
        registers(is_wide(t), 0x85, RAX, RAX);              /* test */
    } else if (n->right->op == N_CONSTANT && fits_word(n->right->value)) {
        generate(n->left);
        if (is_wide(t)) {
            emit(0x48);
        }
        emit_with(0x3D, n->right->value);                   /* cmp eax, constant */
    } else {
        generate_operands(n->left, n->right);
        registers(is_wide(t), 0x39, RCX, RAX);              /* cmp */
    }
    return condition_of(n->op, t->is_unsigned);
}

void set_if(long condition)
{
    emit(0x0F90 + condition);           /* setcc al */
    emit(0xC0);
    emit(0x0FB6C0);                     /* movzx eax, al */
}

/* 1 or 0 to eax; a comparison with what is not a number is false, but != true. */
void generate_float_comparison(struct node *n)
{
    long is_less = n->op == N_LESS || n->op == N_LESS_EQUAL;
    struct type *t = n->left->type;
    if (t->kind == LDOUBLE) {
        generate_x87_operands(n->left, n->right);
        if (!is_less) {
            emit(0xD9C9);               /* fxch */
        }
        emit(0xDFE9);                   /* fucomip st0, st1 */
        emit(0xDDD8);                   /* fstp st0 */
    } else {
        generate_float_operands(n->left, n->right);
        if (t->kind == DOUBLE) {
            emit(0x66);
        }
        emit(0x0F2EC1 + is_less * 7);   /* ucomisd xmm0, xmm1, or xmm1, xmm0 */
    }
    if (n->op == N_EQUAL) {
        emit(0x0F9BC1);                 /* setnp cl */
        emit(0x0F94C0);                 /* sete al */
        emit(0x20C8);                   /* and al, cl */
    } else if (n->op == N_NOT_EQUAL) {
        emit(0x0F9AC1);                 /* setp cl */
        emit(0x0F95C0);                 /* setne al */
        emit(0x08C8);                   /* or al, cl */
    } else if (n->op == N_LESS || n->op == N_GREATER) {
        emit(0x0F97C0);                 /* seta al */
    } else {
        emit(0x0F93C0);                 /* setae al */
    }
    emit(0x0FB6C0);                     /* movzx eax, al */
}

/* Jump to target if n is true (sense 1) or false (sense 0). */
void generate_branch(struct node *n, struct label *target, long sense)
{
    struct label *around;
    long condition;
    if (n->op == N_CONSTANT) {
        if ((n->value != 0) == sense) {
            jump(target);
        }
        return;
    }
    if (n->op == N_NOT) {
        generate_branch(n->left, target, !sense);
        return;
    }
    if (n->op == N_BOTH || n->op == N_EITHER) {
        if ((n->op == N_EITHER) == sense) {
            generate_branch(n->left, target, sense);
            generate_branch(n->right, target, sense);
        } else {
            around = new_label();
            generate_branch(n->left, around, !sense);
            generate_branch(n->right, target, sense);
            place_label(around);
        }
        return;
    }
    if (is_comparison(n->op) && !is_float(n->left->type)) {
        condition = generate_comparison(n);
    } else {
        generate(n);
        registers(is_wide(n->type), 0x85, RAX, RAX);        /* test */
        condition = NOT_ZERO;
    }
    jump_if(condition ^ !sense, target);
}

/* 1 or 0, by jumps */
void generate_truth(struct node *n)
{
    struct label *is_false = new_label();
    struct label *end = new_label();
    generate_branch(n, is_false, 0);
    emit_with(0xB8, 1);                 /* mov eax, 1 */
    jump(end);
    place_label(is_false);
    emit(0x31C0);                       /* xor eax, eax */
    place_label(end);
}

/* ---- conversions ---- */

/* unsigned long in rax to xmm0; `prefix` tells float from double */
void unsigned_to_float(long prefix)
{
    struct label *large = new_label();
    struct label *end = new_label();
    emit(0x4885C0);                     /* test rax, rax */
    jump_if(SIGN, large);
    emit(prefix);
    emit(0x480F2AC0);                   /* cvtsi2sd xmm0, rax */
    jump(end);
    place_label(large);                 /* halve, keeping the last bit for rounding */
    emit(0x4889C1);                     /* mov rcx, rax */
    emit(0x48D1E9);                     /* shr rcx, 1 */
    emit(0x83E001);                     /* and eax, 1 */
    emit(0x4809C1);                     /* or rcx, rax */
    emit(prefix);
    emit(0x480F2AC1);                   /* cvtsi2sd xmm0, rcx */
    emit(prefix);
    emit(0x0F58C0);                     /* addsd xmm0, xmm0 */
    place_label(end);
}

void integer_to_float(struct type *from, struct type *to)
{
    struct label *end = new_label();
    long prefix = 0xF2 + (to->kind == FLOAT);
    extend(from, type_long, RAX);
    if (to->kind == LDOUBLE) {
        emit(0x50);                     /* push rax */
        emit(0xDF2C24);                 /* fild qword [rsp] */
        emit(0x58);                     /* pop rax */
        if (from->is_unsigned && is_wide(from)) {
            emit(0x4885C0);             /* test rax, rax */
            jump_if(SIGN ^ 1, end);
            emit_with(0x68, 0x5F800000);    /* push 2^64 as a float */
            emit(0xD80424);             /* fadd dword [rsp] */
            emit(0x58);                 /* pop rax */
            place_label(end);
        }
    } else if (from->is_unsigned && is_wide(from)) {
        unsigned_to_float(prefix);
    } else {
        emit(prefix);
        emit(0x480F2AC0);               /* cvtsi2sd xmm0, rax */
    }
}

/* A double in xmm0 or long double in st0 to unsigned long: what is 2^63 or more is converted
 * without its top bit. */
void float_to_unsigned(struct type *from)
{
    struct label *small = new_label();
    struct label *end = new_label();
    if (from->kind == LDOUBLE) {
        emit_with(0x68, 0x5F000000);    /* push 2^63 as a float */
        emit(0xD90424);                 /* fld dword [rsp] */
        emit(0xDFE9);                   /* fucomip st0, st1 */
        jump_if(ABOVE, small);
        emit(0xD82424);                 /* fsub dword [rsp] */
        emit(0xDD0C24);                 /* fisttp qword [rsp] */
        emit(0x58);                     /* pop rax */
        emit(0x480FBAF83F);             /* btc rax, 63 */
        jump(end);
        place_label(small);
        emit(0xDD0C24);                 /* fisttp qword [rsp] */
        emit(0x58);                     /* pop rax */
    } else {
        load_constant(RCX, 0x43E0000000000000);     /* 2^63 as a double */
        emit(0x66480F6EC9);             /* movq xmm1, rcx */
        emit(0x660F2EC1);               /* ucomisd xmm0, xmm1 */
        jump_if(BELOW, small);
        emit(0xF20F5CC1);               /* subsd xmm0, xmm1 */
        emit(0xF2480F2CC0);             /* cvttsd2si rax, xmm0 */
        emit(0x480FBAF83F);             /* btc rax, 63 */
        jump(end);
        place_label(small);
        emit(0xF2480F2CC0);             /* cvttsd2si rax, xmm0 */
    }
    place_label(end);
}

/* What does not fit is undefined in C; as other compilers do, the conversion itself is to 32
 * bits unless the type needs more. */
void float_to_integer(struct type *from, struct type *to)
{
    long narrow = !is_wide(to) && !(to->kind == INT && to->is_unsigned);
    if (from->kind == FLOAT) {
        emit(0xF30F5AC0);               /* cvtss2sd xmm0, xmm0 */
    }
    if (to->is_unsigned && is_wide(to)) {
        float_to_unsigned(from);
    } else if (from->kind == LDOUBLE) {
        emit(0x50);                     /* push rax */
        if (narrow) {
            emit(0xDB0C24);             /* fisttp dword [rsp] */
        } else {
            emit(0xDD0C24);             /* fisttp qword [rsp] */
        }
        emit(0x58);                     /* pop rax */
    } else if (narrow) {
        emit(0xF20F2CC0);               /* cvttsd2si eax, xmm0 */
    } else {
        emit(0xF2480F2CC0);             /* cvttsd2si rax, xmm0 */
    }
    if (!is_wide(to)) {
        extend(type_int, to, RAX);
    }
}

void float_to_float(struct type *from, struct type *to)
{
    if (from->kind == to->kind) {
        return;
    }
    if (to->kind == LDOUBLE) {
        emit(0x66480F7EC0);             /* movq rax, xmm0 */
        emit(0x50);                     /* push rax */
        if (from->kind == FLOAT) {
            emit(0xD90424);             /* fld dword [rsp] */
        } else {
            emit(0xDD0424);             /* fld qword [rsp] */
        }
        emit(0x58);                     /* pop rax */
    } else if (from->kind == LDOUBLE) {
        emit(0x50);                     /* push rax */
        if (to->kind == FLOAT) {
            emit(0xD91C24);             /* fstp dword [rsp] */
        } else {
            emit(0xDD1C24);             /* fstp qword [rsp] */
        }
        emit(0x58);                     /* pop rax */
        emit(0x66480F6EC0);             /* movq xmm0, rax */
    } else if (to->kind == DOUBLE) {
        emit(0xF30F5AC0);               /* cvtss2sd xmm0, xmm0 */
    } else {
        emit(0xF20F5AC0);               /* cvtsd2ss xmm0, xmm0 */
    }
}

void generate_cast(struct node *n)
{
    struct type *from = n->left->type;
    struct type *to = n->type;
    if (to->kind == VOID) {
        generate_discard(n->left);
        return;
    }
    generate(n->left);
    if (to->kind == BOOL) {
        return;                         /* its operand is a comparison */
    }
    if (is_float(from) && is_float(to)) {
        float_to_float(from, to);
    } else if (is_float(from)) {
        float_to_integer(from, to);
    } else if (is_float(to)) {
        integer_to_float(from, to);
    } else {
        extend(from, to, RAX);
    }
}

/* ---- places ---- */

/* Leave in rax the bit-field that lies there from bit_offset on. */
void extract_bits(struct node *place)
{
    emit(0x48C1E0);                     /* shl rax, count */
    emit_number(64 - place->bit_offset - place->bit_width, 1);
    if (place->type->is_unsigned) {
        emit(0x48C1E8);                 /* shr rax, count */
    } else {
        emit(0x48C1F8);                 /* sar rax, count */
    }
    emit_number(64 - place->bit_width, 1);
}

void generate_place(struct node *n)
{
    if (!is_scalar(n->type)) {
        generate_address(n);
        return;
    }
    if (n->op == N_DEREF) {
        generate(n->left);
    }
    if (is_float(n->type)) {
        load_float(n->type, 0, n, RAX);
    } else {
        load_integer(n->type, RAX, n, RAX);
    }
    if (n->bit_width >= 0) {
        extract_bits(n);
    }
}

/* Store rax in a bit-field; its pointer is in rcx. */
void store_bits(struct node *place, long discard)
{
    long one = 1;
    long mask = -1;
    if (place->bit_width < 64) {
        mask = (one << place->bit_width) - 1;
    }
    load_integer(place->type, RDX, place, RCX);
    load_constant(RSI, mask);
    emit(0x4821F0);                     /* and rax, rsi */
    emit(0x48C1E0);                     /* shl rax, offset */
    emit_number(place->bit_offset, 1);
    load_constant(RSI, ~(mask << place->bit_offset));
    emit(0x4821F2);                     /* and rdx, rsi */
    emit(0x4809D0);                     /* or rax, rdx */
    store(place->type, place, RCX);
    if (!discard) {
        extract_bits(place);
    }
}

void generate_assignment(struct node *n, long discard)
{
    struct node *place = n->left;
    struct node *value = n->right;
    struct type *t = n->type;
    if (discard && value->op == N_CAST && t->kind >= CHAR && t->kind <= INT &&
        is_integer(value->left->type) && value->left->type->kind != BOOL) {
        value = value->left;            /* the store cuts it anyway */
    }
    if (place->op != N_DEREF) {
        generate(value);
        if (t->kind == RECORD) {
            load_address(RCX, place, 0);
        }
    } else if (is_simple(place->left)) {
        generate(value);
        generate_simple(place->left, RCX);
    } else {
        generate(place->left);
        push();
        generate(value);
        pop(RCX);
    }
    if (t->kind == RECORD) {
        if (place->op == N_DEREF && place->value) {
            load_address(RCX, place, RCX);
        }
        copy_memory(size_of(t));        /* leaves rax at the value: as good as the place */
    } else if (place->bit_width >= 0) {
        store_bits(place, discard);
    } else {
        if (t->kind == LDOUBLE && !discard) {
            emit(0xD9C0);               /* fld st0 */
        }
        store(t, place, RCX);
    }
}

/* ---- calls ---- */

struct argument {
    struct node *value;
    long parts;                 /* 8-byte parts that travel in registers; 0: on the stack */
    long *classes;
    long place;                 /* on the stack, from rsp */
    long is_late;               /* simple: computed when the others are in their registers */
};

long integers_used;             /* by the arguments or parameters seen so far */
long floats_used;
long stack_used;

long integer_register(long i)
{
    switch (i) {
    case 0: return RDI;
    case 1: return RSI;
    case 2: return RDX;
    case 3: return RCX;
    }
    return i + 4;                       /* r8, r9 */
}

/* Decide where a value of type t travels: give its number of parts in registers, with their
 * classes; for 0, stack_used is past it on the stack. */
long assign_registers(struct type *t, long *classes)
{
    long parts = classify(t, classes);
    long integers = 0;
    long floats = 0;
    long i;
    if (parts && classes[0] != CLASS_X87) {
        for (i = 0; i < parts; i++) {
            integers += classes[i] == CLASS_INTEGER;
            floats += classes[i] == CLASS_SSE;
        }
        if (integers_used + integers <= 6 && floats_used + floats <= 8) {
            integers_used += integers;
            floats_used += floats;
            return parts;
        }
    }
    if (align_of(t) > 8) {
        stack_used = (stack_used + 15) & -16;
    }
    stack_used += (size_of(t) + 7) & -8;
    return 0;
}

/* With the address of a struct in rax: make it safe to read in whole 8-byte parts. */
void pad_struct(struct type *t)
{
    struct node *copy;
    if (size_of(t) % 8) {
        copy = local_place(new_local(16, 8), t);
        load_address(RCX, copy, 0);
        copy_memory(size_of(t));
        load_address(RAX, copy, 0);
    }
}

void push_argument(struct argument *a)
{
    struct type *t = a->value->type;
    generate(a->value);
    if (t->kind == RECORD) {
        pad_struct(t);
        if (a->parts == 2) {
            emit(0xFF7008);             /* push [rax + 8] */
            depth++;
        }
        emit(0xFF30);                   /* push [rax] */
        depth++;
    } else {
        if (is_float(t)) {
            emit(0x66480F7EC0);         /* movq rax, xmm0 */
        }
        push();
    }
}

/* Take an argument's parts off the stack into the next registers. */
void pop_argument(struct argument *a)
{
    long i;
    for (i = 0; i < a->parts; i++) {
        if (a->classes[i] == CLASS_INTEGER) {
            if (a->is_late) {
                generate_simple(a->value, integer_register(integers_used));
            } else {
                pop(integer_register(integers_used));
            }
            integers_used++;
        } else {
            pop(RAX);
            emit(0x66480F6E);           /* movq xmm, rax */
            emit(0xC0 | floats_used << 3);
            floats_used++;
        }
    }
}

/* Write a value to its place among the arguments on the stack. */
void store_argument(struct argument *a)
{
    struct type *t = a->value->type;
    generate(a->value);
    switch (t->kind) {
    case RECORD:
        emit_with(0x488D8C24, a->place);        /* lea rcx, [rsp + place] */
        copy_memory(size_of(t));
        break;
    case FLOAT:
        emit_with(0xF30F118424, a->place);      /* movss [rsp + place], xmm0 */
        break;
    case DOUBLE:
        emit_with(0xF20F118424, a->place);      /* movsd [rsp + place], xmm0 */
        break;
    case LDOUBLE:
        emit_with(0xDBBC24, a->place);          /* fstp [rsp + place] */
        break;
    default:
        emit_with(0x48898424, a->place);        /* mov [rsp + place], rax */
    }
}

/* Write a struct that came back in registers to the local memory meant for it. */
void store_result(struct type *t, long local)
{
    long *classes = (long *)allocate(16);
    long parts = classify(t, classes);
    long integers = 0;
    long floats = 0;
    long i;
    struct node *place = local_place(local, t);
    for (i = 0; i < parts; i++) {
        if (classes[i] == CLASS_INTEGER) {
            instruction(0, 1, 0x89, integers, place, 0);            /* mov; rax or rdx */
            integers = RDX;
        } else if (classes[i] == CLASS_SSE) {
            instruction(0xF2, 0, 0x0F11, floats, place, 0);         /* movsd */
            floats++;
        } else {
            store(type_ldouble, place, 0);
        }
        place->value += 8;
    }
    place->value = local;
    load_address(RAX, place, 0);
}

void generate_call(struct node *n)
{
    struct type *t = n->left->type->base;
    struct argument **arguments;
    struct argument *a;
    struct node *value;
    struct node *function = n->left;
    long *classes = (long *)allocate(16);
    long hidden = t->base->kind == RECORD && !classify(t->base, classes);
    long direct = function->op == N_ADDRESS && function->left->op == N_GLOBAL;
    long count = 0;
    long outer_stack;
    long i;
    for (value = n->right; value; value = value->next) {
        count++;
    }
    arguments = (struct argument **)allocate(8 * count + 8);
    integers_used = hidden;
    floats_used = 0;
    stack_used = 0;
    count = 0;
    for (value = n->right; value; value = value->next) {
        a = (struct argument *)allocate(sizeof(struct argument));
        a->value = value;
        a->classes = (long *)allocate(16);
        a->parts = assign_registers(value->type, a->classes);
        a->is_late = a->parts == 1 && is_simple(value);
        if (!a->parts) {
            a->place = stack_used - ((size_of(value->type) + 7) & -8);
        }
        arguments[count] = a;
        count++;
    }
    outer_stack = (stack_used + 15) & -16;
    outer_stack += (depth & 1) * 8;
    if (outer_stack) {
        emit_with(0x4881EC, outer_stack);       /* sub rsp, size */
        depth += outer_stack / 8;
    }
    for (i = count - 1; i >= 0; i--) {
        if (!arguments[i]->parts) {
            store_argument(arguments[i]);
        }
    }
    if (!direct && !is_simple(function)) {
        generate(function);
        push();
    }
    for (i = count - 1; i >= 0; i--) {
        if (arguments[i]->parts && !arguments[i]->is_late) {
            push_argument(arguments[i]);
        }
    }
    integers_used = hidden;
    floats_used = 0;
    for (i = 0; i < count; i++) {
        pop_argument(arguments[i]);
    }
    if (hidden) {
        load_address(RDI, local_place(n->value, t->base), 0);
    }
    if (!direct) {
        if (is_simple(function)) {
            generate_simple(function, R10);
        } else {
            pop(R10);
        }
    }
    if (t->variadic || t->unknown) {
        emit_with(0xB8, floats_used);           /* mov eax, number of xmm registers */
    }
    if (direct) {
        emit(0xE8);                             /* call */
        add_text_fixup(function->left->object, function->left->value, 0);
    } else {
        emit(0x41FFD2);                         /* call r10 */
    }
    if (outer_stack) {
        emit_with(0x4881C4, outer_stack);       /* add rsp, size */
        depth -= outer_stack / 8;
    }
    if (hidden) {
        load_address(RAX, local_place(n->value, t->base), 0);
    } else if (t->base->kind == RECORD) {
        store_result(t->base, n->value);
    } else if (t->base->kind == BOOL) {
        emit(0x0FB6C0);                         /* movzx eax, al */
    } else if (t->base->kind < INT && t->base->kind != VOID) {
        extend(type_int, t->base, RAX);
    }
}

/* ---- functions ---- */

/* Store the registers of a parameter in a new local variable. */
void receive_parameter(struct symbol *s, long parts, long *classes)
{
    struct node *place;
    long i;
    long integer = integers_used;
    long float_number = floats_used;
    s->value = new_local(16, 16);
    place = local_place(s->value, s->type);
    for (i = parts - 1; i >= 0; i--) {
        place->value = s->value + 8 * i;
        if (classes[i] == CLASS_INTEGER) {
            integer--;
            instruction(0, 1, 0x89, integer_register(integer), place, 0);   /* mov */
        } else {
            float_number--;
            instruction(0xF2, 0, 0x0F11, float_number, place, 0);           /* movsd */
        }
    }
}

void save_registers(void)
{
    long i;
    save_area = new_local(176, 16);
    for (i = 0; i < 6; i++) {
        instruction(0, 1, 0x89, integer_register(i), local_place(save_area + 8 * i, type_long), 0);
    }
    for (i = 0; i < 8; i++) {
        instruction(0, 0, 0x0F29, i, local_place(save_area + 48 + 16 * i, type_long), 0);  /* movaps */
    }
}

/* The entry of a function; gives its parameters (the latest first) their places. */
void begin_function(struct object *o, struct type *t, struct symbol **parameters, long count)
{
    long *classes = (long *)allocate(16);
    long parts;
    long i;
    while (text->length & 15) {
        emit(0x90);                     /* nop */
    }
    o->defined = 1;
    o->is_function = 1;
    o->address = text->length;
    depth = 0;
    frame_size = 0;
    exit_label = new_label();
    result_type = t->base;
    emit(0x55);                         /* push rbp */
    emit(0x4889E5);                     /* mov rbp, rsp */
    emit_with(0x4881EC, 0);             /* sub rsp, size */
    frame_place = text->length - 4;
    integers_used = 0;
    floats_used = 0;
    stack_used = 0;
    if (t->base->kind == RECORD && !classify(t->base, classes)) {
        result_pointer = new_local(8, 8);
        instruction(0, 1, 0x89, RDI, local_place(result_pointer, type_long), 0);    /* mov */
        integers_used = 1;
    }
    if (t->variadic) {
        save_registers();
    }
    for (i = 0; i < count; i++) {
        parts = assign_registers(parameters[i]->type, classes);
        if (parts) {
            receive_parameter(parameters[i], parts, classes);
        } else {
            parameters[i]->value = 16 + stack_used - ((size_of(parameters[i]->type) + 7) & -8);
        }
    }
    named_integers = integers_used * 8;
    named_floats = 48 + floats_used * 16;
    named_stack = 16 + stack_used;
}

void end_function(void)
{
    place_label(exit_label);
    emit(0xC9);                         /* leave */
    emit(0xC3);                         /* ret */
    if (frame_size > 1000000000) {
        fail("a function's variables need too much memory", 0);
    }
    write_number(text->data + frame_place, (frame_size + 15) & -16, 4);
}

/* Put a struct, whose address is in rax, where the caller expects it. */
void return_struct(struct type *t)
{
    long *classes = (long *)allocate(16);
    long parts = classify(t, classes);
    long integer = RAX;
    long floats = 0;
    long i;
    if (!parts) {
        load_integer(type_long, RCX, local_place(result_pointer, type_long), 0);
        copy_memory(size_of(t));
        load_integer(type_long, RAX, local_place(result_pointer, type_long), 0);
        return;
    }
    if (classes[0] == CLASS_X87) {
        load_float(type_ldouble, 0, at(0), RAX);
        return;
    }
    pad_struct(t);
    emit(0x4889C1);                     /* mov rcx, rax */
    for (i = 0; i < parts; i++) {
        if (classes[i] == CLASS_SSE) {
            instruction(0xF2, 0, 0x0F10, floats, at(8 * i), RCX);   /* movsd */
            floats++;
        } else {
            instruction(0, 1, 0x8B, integer, at(8 * i), RCX);       /* mov */
            integer = RDX;
        }
    }
}

void generate_return(struct node *n)
{
    if (n) {
        generate(n);
        if (n->type->kind == RECORD) {
            return_struct(n->type);
        }
    }
    jump(exit_label);
}

/* ---- variable arguments ---- */

void generate_va_start(struct node *n)
{
    generate(n->left);
    emit_with(0xC700, named_integers);          /* mov dword [rax], … */
    emit_with(0xC74004, named_floats);          /* mov dword [rax + 4], … */
    load_address(RCX, local_place(named_stack, type_long), 0);
    emit(0x48894808);                           /* mov [rax + 8], rcx */
    load_address(RCX, local_place(save_area, type_long), 0);
    emit(0x48894810);                           /* mov [rax + 16], rcx */
}

/* rcx = the next argument on the stack; rax points to the va_list. */
void next_stack_argument(struct type *t)
{
    emit(0x488B4808);                           /* mov rcx, [rax + 8] */
    if (align_of(t) > 8) {
        emit(0x4883C10F);                       /* add rcx, 15 */
        emit(0x4883E1F0);                       /* and rcx, -16 */
    }
    emit_with(0x488D91, (size_of(t) + 7) & -8); /* lea rdx, [rcx + size] */
    emit(0x48895008);                           /* mov [rax + 8], rdx */
}

/* Copy the parts of a struct out of the saved registers to local memory. */
void gather_parts(long parts, long *classes, long local)
{
    long i;
    for (i = 0; i < parts; i++) {
        if (classes[i] == CLASS_INTEGER) {
            emit(0x8B08);                       /* mov ecx, [rax] */
            emit(0x830008);                     /* add dword [rax], 8 */
        } else {
            emit(0x8B4804);                     /* mov ecx, [rax + 4] */
            emit(0x83400410);                   /* add dword [rax + 4], 16 */
        }
        emit(0x48034810);                       /* add rcx, [rax + 16] */
        emit(0x488B11);                         /* mov rdx, [rcx] */
        instruction(0, 1, 0x89, RDX, local_place(local + 8 * i, type_long), 0);
    }
    load_address(RCX, local_place(local, type_long), 0);
}

/* The address of the next argument. */
void generate_va_arg(struct node *n)
{
    struct type *t = n->type->base;
    long *classes = (long *)allocate(16);
    long parts = classify(t, classes);
    long integers = 0;
    long floats = 0;
    long i;
    struct label *on_stack = new_label();
    struct label *end = new_label();
    generate(n->left);
    if (parts && classes[0] != CLASS_X87) {
        for (i = 0; i < parts; i++) {
            integers += classes[i] == CLASS_INTEGER;
            floats += classes[i] == CLASS_SSE;
        }
        if (integers) {
            emit(0x8B08);                       /* mov ecx, [rax] */
            emit(0x83F9);                       /* cmp ecx, last offset with room */
            emit_number(48 - 8 * integers, 1);
            jump_if(ABOVE, on_stack);
        }
        if (floats) {
            emit(0x8B4804);                     /* mov ecx, [rax + 4] */
            emit_with(0x81F9, 176 - 16 * floats);   /* cmp ecx, … */
            jump_if(ABOVE, on_stack);
        }
        if (n->value) {
            gather_parts(parts, classes, n->value);
        } else {
            emit(0x48034810);                   /* add rcx, [rax + 16] */
            if (integers) {
                emit(0x830008);                 /* add dword [rax], 8 */
            } else {
                emit(0x83400410);               /* add dword [rax + 4], 16 */
            }
        }
        jump(end);
        place_label(on_stack);
    }
    next_stack_argument(t);
    place_label(end);
    emit(0x4889C8);                             /* mov rax, rcx */
}

/* ---- other built-in functions ---- */

void generate_syscall(struct node *n)
{
    struct node *value;
    for (value = n->right; value; value = value->next) {
        generate(value);
        push();
    }
    pop(9);
    pop(8);
    pop(R10);
    pop(RDX);
    pop(RSI);
    pop(RDI);
    pop(RAX);
    emit(0x0F05);                       /* syscall */
}

/* No register is kept across statements, so a place in the code and two pointers are all
 * that setjmp must save. */
void generate_setjmp(struct node *n)
{
    struct label *back = new_label();
    generate(n->left);
    emit(0x488928);                     /* mov [rax], rbp */
    emit(0x48896008);                   /* mov [rax + 8], rsp */
    emit(0x488D0D);                     /* lea rcx, [rip + back] */
    emit_distance(back);
    emit(0x48894810);                   /* mov [rax + 16], rcx */
    emit(0x31C0);                       /* xor eax, eax */
    place_label(back);
}

void generate_longjmp(struct node *n)
{
    generate_operands(n->left, n->right);
    emit(0x488B28);                     /* mov rbp, [rax] */
    emit(0x488B6008);                   /* mov rsp, [rax + 8] */
    emit(0x488B5010);                   /* mov rdx, [rax + 16] */
    emit(0x89C8);                       /* mov eax, ecx */
    emit(0x83F801);                     /* cmp eax, 1: carry if zero */
    emit(0x83D000);                     /* adc eax, 0 */
    emit(0xFFE2);                       /* jmp rdx */
}

/* ---- all trees ---- */

void generate_real(struct node *n)
{
    struct object *o;
    char *bytes = allocate(16);
    long value = 0;
    long i;
    real_store(bytes, n->real, n->type->kind);
    if (n->type->kind == LDOUBLE) {
        o = new_object(0);
        o->defined = 1;
        o->size = 16;
        o->align = 16;
        o->data = bytes;
        load_float(n->type, 0, global_place(o, n->type), 0);
        return;
    }
    for (i = 7; i >= 0; i--) {
        value = value << 8 | bytes[i];
    }
    load_constant(RAX, value);
    emit(0x66480F6EC0);                 /* movq xmm0, rax */
}

void generate_choice(struct node *n)
{
    struct label *otherwise = new_label();
    struct label *end = new_label();
    generate_branch(n->third, otherwise, 0);
    generate(n->left);
    jump(end);
    place_label(otherwise);
    generate(n->right);
    place_label(end);
}

void generate(struct node *n)
{
    if (is_simple(n)) {
        generate_simple(n, RAX);
        return;
    }
    switch (n->op) {
    case N_REAL: generate_real(n); return;
    case N_LOCAL: case N_GLOBAL: case N_DEREF: generate_place(n); return;
    case N_ADDRESS: generate_address(n->left); return;
    case N_CAST: generate_cast(n); return;
    case N_NEGATE: generate_negation(n); return;
    case N_COMPLEMENT:
        generate(n->left);
        registers(is_wide(n->type), 0xF7, 2, RAX);          /* not */
        return;
    case N_NOT: case N_BOTH: case N_EITHER: generate_truth(n); return;
    case N_COMMA:
        generate_discard(n->left);
        generate(n->right);
        return;
    case N_ASSIGN: generate_assignment(n, 0); return;
    case N_CHOOSE: generate_choice(n); return;
    case N_CALL: generate_call(n); return;
    case N_VA_START: generate_va_start(n); return;
    case N_VA_ARG: generate_va_arg(n); return;
    case N_SYSCALL: generate_syscall(n); return;
    case N_SETJMP: generate_setjmp(n); return;
    case N_LONGJMP: generate_longjmp(n); return;
    case N_ZERO: zero_memory(n->left, n->value); return;
    }
    if (is_comparison(n->op)) {
        if (is_float(n->left->type)) {
            generate_float_comparison(n);
        } else {
            set_if(generate_comparison(n));
        }
    } else {
        generate_arithmetic(n);
    }
}

/* Evaluate n for what it does, not for its value. */
void generate_discard(struct node *n)
{
    struct label *otherwise;
    switch (n->op) {
    case N_CONSTANT: case N_REAL: case N_LOCAL: case N_GLOBAL:
        return;
    case N_DEREF: case N_ADDRESS: case N_CAST: case N_NEGATE: case N_COMPLEMENT: case N_NOT:
        generate_discard(n->left);
        return;
    case N_BOTH: case N_EITHER:
        otherwise = new_label();
        generate_branch(n->left, otherwise, n->op == N_EITHER);
        generate_discard(n->right);
        place_label(otherwise);
        return;
    case N_ASSIGN:
        generate_assignment(n, 1);
        return;
    }
    if ((n->op >= N_ADD && n->op <= N_GREATER_EQUAL) || n->op == N_COMMA) {
        generate_discard(n->left);
        generate_discard(n->right);
        return;
    }
    if (n->op == N_CHOOSE) {
        generate_choice(n);
    } else {
        generate(n);
    }
    if (n->type->kind == LDOUBLE) {
        emit(0xDDD8);                   /* fstp st0 */
    }
}

/* Jump by the value in rax to one of the labels of sorted values, by halving. */
void generate_search(long *values, struct label **labels, long from, long to, struct label *otherwise)
{
    long middle = (from + to) / 2;
    struct label *upper;
    if (from >= to) {
        jump(otherwise);
        return;
    }
    if (fits_word(values[middle])) {
        emit_with(0x483D, values[middle]);      /* cmp rax, value */
    } else {
        load_constant(RCX, values[middle]);
        emit(0x4839C8);                         /* cmp rax, rcx */
    }
    jump_if(IS_ZERO, labels[middle]);
    upper = new_label();
    jump_if(GREATER_THAN, upper);
    generate_search(values, labels, from, middle, otherwise);
    place_label(upper);
    generate_search(values, labels, middle + 1, to, otherwise);
}
