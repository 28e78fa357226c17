/* Statements and function bodies: code is generated as they are read. */

struct jump_name {              /* a label of the function being compiled */
    struct name *name;
    struct label *label;
    long placed;
    struct token *used;         /* where it was first named */
    struct jump_name *next;
};

struct case_list {              /* a switch being compiled */
    long *values;
    struct label **labels;
    long count;
    long room;
    struct label *otherwise;
    struct type *type;
};

struct jump_name *jump_names;
struct label *break_label;
struct label *continue_label;
struct case_list *cases;

/* ---- labels and goto ---- */

struct jump_name *find_jump_name(struct name *name)
{
    struct jump_name *j;
    for (j = jump_names; j; j = j->next) {
        if (j->name == name) {
            return j;
        }
    }
    j = (struct jump_name *)allocate(sizeof(struct jump_name));
    j->name = name;
    j->label = new_label();
    j->used = token;
    j->next = jump_names;
    jump_names = j;
    return j;
}

void named_label(void)
{
    struct jump_name *j = find_jump_name(token->name);
    if (j->placed) {
        fail("a second label", token->name->text);
    }
    j->placed = 1;
    place_label(j->label);
    next();
    next();
    attributes();
}

void goto_statement(void)
{
    next();
    if (token->kind == '*') {
        fail("refused: goto to a computed place", 0);
    }
    if (token->kind != NAME) {
        fail("expected a label, found", token_text(token));
    }
    jump(find_jump_name(token->name)->label);
    next();
    expect(';', ";");
}

/* ---- switch ---- */

void add_case(long value, struct label *l)
{
    long *values = cases->values;
    struct label **labels = cases->labels;
    long i;
    if (cases->count == cases->room) {
        cases->room = cases->room * 2 + 16;
        cases->values = (long *)allocate(8 * cases->room);
        cases->labels = (struct label **)allocate(8 * cases->room);
        copy_bytes((char *)cases->values, (char *)values, 8 * cases->count);
        copy_bytes((char *)cases->labels, (char *)labels, 8 * cases->count);
    }
    /* keep the values sorted */
    i = cases->count;
    while (i > 0 && cases->values[i - 1] >= value) {
        if (cases->values[i - 1] == value) {
            fail("a second case of the same value", 0);
        }
        cases->values[i] = cases->values[i - 1];
        cases->labels[i] = cases->labels[i - 1];
        i--;
    }
    cases->values[i] = value;
    cases->labels[i] = l;
    cases->count++;
}

void case_label(void)
{
    struct label *l = new_label();
    long value;
    long last;
    next();
    if (!cases) {
        fail("case outside a switch", 0);
    }
    value = wrap(constant_expression(), cases->type);
    last = value;
    if (accept(ELLIPSIS)) {
        last = wrap(constant_expression(), cases->type);
        if (last - value > 10000) {
            fail("refused: a range of cases this large", 0);
        }
    }
    expect(':', ":");
    place_label(l);
    while (value <= last) {
        add_case(value, l);
        value++;
    }
}

void default_label(void)
{
    next();
    if (!cases) {
        fail("default outside a switch", 0);
    }
    if (cases->otherwise) {
        fail("a second default", 0);
    }
    cases->otherwise = new_label();
    place_label(cases->otherwise);
    expect(':', ":");
}

void switch_statement(void)
{
    struct case_list *outer_cases = cases;
    struct label *outer_break = break_label;
    struct label *search = new_label();
    struct node *n;
    next();
    expect('(', "(");
    n = value_of(expression());
    expect(')', ")");
    if (!is_integer(n->type)) {
        fail("a switch needs an integer", 0);
    }
    cases = (struct case_list *)allocate(sizeof(struct case_list));
    cases->type = promoted(n);
    break_label = new_label();
    generate(convert(convert(n, cases->type), type_long));
    jump(search);
    statement();
    jump(break_label);
    place_label(search);
    if (!cases->otherwise) {
        cases->otherwise = break_label;
    }
    generate_search(cases->values, cases->labels, 0, cases->count, cases->otherwise);
    place_label(break_label);
    cases = outer_cases;
    break_label = outer_break;
}

/* ---- conditions and loops ---- */

/* A condition in brackets; jumps to `otherwise` if it does not hold. */
void condition(struct label *otherwise)
{
    struct node *n;
    expect('(', "(");
    n = scalar_condition(expression());
    expect(')', ")");
    generate_branch(n, otherwise, 0);
}

void if_statement(void)
{
    struct label *otherwise = new_label();
    struct label *end;
    next();
    condition(otherwise);
    statement();
    if (accept(K_ELSE)) {
        end = new_label();
        jump(end);
        place_label(otherwise);
        statement();
        place_label(end);
    } else {
        place_label(otherwise);
    }
}

/* The statement a loop repeats. */
void loop_body(struct label *again, struct label *end)
{
    struct label *outer_break = break_label;
    struct label *outer_continue = continue_label;
    break_label = end;
    continue_label = again;
    statement();
    break_label = outer_break;
    continue_label = outer_continue;
}

void while_statement(void)
{
    struct label *again = new_label();
    struct label *end = new_label();
    next();
    place_label(again);
    condition(end);
    loop_body(again, end);
    jump(again);
    place_label(end);
}

void do_statement(void)
{
    struct label *start = new_label();
    struct label *again = new_label();
    struct label *end = new_label();
    struct node *n;
    next();
    place_label(start);
    loop_body(again, end);
    place_label(again);
    if (!accept(K_WHILE)) {
        fail("expected while, found", token_text(token));
    }
    expect('(', "(");
    n = scalar_condition(expression());
    expect(')', ")");
    expect(';', ";");
    generate_branch(n, start, 1);
    place_label(end);
}

void for_statement(void)
{
    struct label *start = new_label();
    struct label *again = new_label();
    struct label *end = new_label();
    struct node *step = 0;
    next();
    expect('(', "(");
    enter_scope();
    if (starts_type()) {
        declaration(0);
    } else if (!accept(';')) {
        generate_discard(expression());
        expect(';', ";");
    }
    place_label(start);
    if (!accept(';')) {
        generate_branch(scalar_condition(expression()), end, 0);
        expect(';', ";");
    }
    if (token->kind != ')') {
        step = expression();
    }
    expect(')', ")");
    loop_body(again, end);
    place_label(again);
    if (step) {
        generate_discard(step);
    }
    jump(start);
    place_label(end);
    leave_scope();
}

/* ---- others ---- */

void return_statement(void)
{
    struct node *n = 0;
    next();
    if (token->kind != ';') {
        n = expression();
        if (result_type->kind == VOID) {
            if (value_of(n)->type->kind != VOID) {
                fail("a void function returns a value", 0);
            }
            generate_discard(n);
            n = 0;
        } else {
            n = assign_convert(n, result_type, "return");
        }
    }
    expect(';', ";");
    generate_return(n);
}

void block(void)
{
    expect('{', "{");
    enter_scope();
    while (token->kind != '}') {
        if (token->kind == END) {
            fail("a block without end", 0);
        }
        if (starts_type()) {
            declaration(0);
        } else {
            statement();
        }
    }
    leave_scope();
    next();
}

void jump_statement(struct label *l, char *word)
{
    if (!l) {
        fail("outside a loop or switch:", word);
    }
    next();
    jump(l);
    expect(';', ";");
}

void statement(void)
{
    switch (token->kind) {
    case '{': block(); return;
    case ';': next(); return;
    case K_IF: if_statement(); return;
    case K_WHILE: while_statement(); return;
    case K_DO: do_statement(); return;
    case K_FOR: for_statement(); return;
    case K_SWITCH: switch_statement(); return;
    case K_RETURN: return_statement(); return;
    case K_GOTO: goto_statement(); return;
    case K_BREAK: jump_statement(break_label, "break"); return;
    case K_CONTINUE: jump_statement(continue_label, "continue"); return;
    case K_ASM: fail("refused: asm", 0);
    case K_CASE:
        case_label();
        statement();
        return;
    case K_DEFAULT:
        default_label();
        statement();
        return;
    case NAME:
        if (peek()->kind == ':') {
            named_label();
            if (token->kind != '}') {
                statement();
            }
            return;
        }
    }
    generate_discard(expression());
    expect(';', ";");
}

/* ---- functions ---- */

/* A function from its '{' on. */
void function_body(struct name *name, struct object *o, struct type *t)
{
    struct symbol **parameters;
    struct parameter *p;
    struct jump_name *j;
    long count = 0;
    if (o->defined) {
        fail("defined before:", name->text);
    }
    if (t->base->kind != VOID && size_of(t->base) < 0) {
        fail("the function's result has an incomplete type", 0);
    }
    for (p = t->parameters; p; p = p->next) {
        count++;
    }
    parameters = (struct symbol **)allocate(8 * count + 8);
    enter_scope();
    count = 0;
    for (p = t->parameters; p; p = p->next) {
        if (!p->name) {
            p->name = name_of("");
        }
        if (size_of(p->type) < 0) {
            fail("a parameter of incomplete type:", p->name->text);
        }
        parameters[count] = declare(SYMBOL_LOCAL, p->name, p->type);
        count++;
    }
    jump_names = 0;
    break_label = 0;
    continue_label = 0;
    cases = 0;
    function_name = name;
    begin_function(o, t, parameters, count);
    block();
    leave_scope();
    for (j = jump_names; j; j = j->next) {
        if (!j->placed) {
            fail_at(j->used->file, j->used->line, "no such label", j->name->text);
        }
    }
    if (same_text(name->text, "main")) {
        emit(0x31C0);                   /* xor eax, eax: main without return gives 0 */
    }
    end_function();
    function_name = 0;
}
